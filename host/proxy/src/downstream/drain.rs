//! The end of a listener's connections: they are asked to finish, and waited for.
//!
//! First, every answer says that it is the last. A client that sends its requests one after the other so learns of the end
//! between two of them, and loses none. After a while those connections are closed, too, on which nothing is asked.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::timeout;

/// The connections that a worker serves of one listener, and whether they are to end.
#[derive(Debug, Default)]
pub(super) struct Drain {
    has_begun: Cell<bool>,
    insists: Cell<bool>,
    /// The tasks that serve connections, once they have been polled.
    tasks: RefCell<Slab<Option<Waker>>>,
    /// Told when the last of them has ended.
    is_empty: Notify,
}

/// A connection; counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Guest {
    drain: Rc<Drain>,
    key: usize,
}

impl Drain {
    /// Counts a connection.
    pub(super) fn admit(self: &Rc<Self>) -> Guest {
        Guest {
            drain: self.clone(),
            key: self.tasks.borrow_mut().insert(None),
        }
    }

    /// Whether answers are the last of their connections.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun.get()
    }

    /// Whether connections are to end, idle or not.
    pub(super) fn insists(&self) -> bool {
        self.insists.get()
    }

    /// Makes each answer from now on the last of its connection. A connection of HTTP/2 is told at once: it can say so between
    /// answers.
    pub(super) fn begin(&self) {
        if !self.has_begun.replace(true) {
            self.wake();
        }
    }

    /// Waits until all connections have ended. Those that are idle are closed after `grace`.
    pub(super) async fn run(&self, grace: Duration) {
        self.begin();
        if timeout(grace, self.emptied()).await.is_ok() {
            return;
        }
        self.insists.set(true);
        self.wake();
        self.emptied().await;
    }

    /// Has every connection look what is wanted of it.
    fn wake(&self) {
        let tasks = self.tasks.borrow();
        for waker in tasks.iter().filter_map(|(_, waker)| waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    async fn emptied(&self) {
        while !self.tasks.borrow().is_empty() {
            self.is_empty.notified().await;
        }
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }
}

impl Guest {
    /// Has the task that awaits this woken when its connection is to end.
    pub(super) async fn settle(&self) {
        poll_fn(|context| {
            if let Some(waker) = self.drain.tasks.borrow_mut().get_mut(self.key) {
                *waker = Some(context.waker().clone());
            }
            Poll::Ready(())
        })
        .await;
    }

    /// What comes of a future, unless the connection is to end before: then nothing.
    pub(super) async fn unless_insisted<F: Future>(
        &self,
        mut future: Pin<&mut F>,
    ) -> Option<F::Output> {
        poll_fn(|context| match self.drain.insists() {
            true => Poll::Ready(None),
            false => future.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// Whose it is.
    pub(super) fn drain(&self) -> &Rc<Drain> {
        &self.drain
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut tasks = self.drain.tasks.borrow_mut();
        tasks.remove(self.key);
        if tasks.is_empty() {
            self.drain.is_empty.notify_waiters();
        }
    }
}
