//! The end of a worker: its connections are asked to finish and waited for.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use slab::Slab;
use tokio::sync::Notify;

/// The connections of a worker, and whether they are to end.
#[derive(Debug, Default)]
pub(super) struct Drain {
    has_begun: Cell<bool>,
    /// The tasks that serve connections.
    tasks: RefCell<Slab<Waker>>,
    /// Told when the last of them has ended.
    is_empty: Notify,
}

/// A connection's task; counted until it is dropped.
#[derive(Debug)]
pub(super) struct Guest {
    drain: Rc<Drain>,
    key: usize,
}

impl Drain {
    /// Counts the task that awaits this. It is woken when the drain begins.
    pub(super) async fn enter(self: Rc<Self>) -> Guest {
        poll_fn(|context| {
            let key = self.tasks.borrow_mut().insert(context.waker().clone());
            Poll::Ready(Guest {
                drain: self.clone(),
                key,
            })
        })
        .await
    }

    /// Whether connections are to end.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// Asks every connection to end and waits until all have.
    pub(super) async fn run(&self) {
        self.has_begun.set(true);
        for (_, waker) in &*self.tasks.borrow() {
            waker.wake_by_ref();
        }
        while !self.tasks.borrow().is_empty() {
            self.is_empty.notified().await;
        }
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut tasks = self.drain.tasks.borrow_mut();
        tasks.remove(self.key);
        if tasks.is_empty() {
            self.drain.is_empty.notify_one();
        }
    }
}
