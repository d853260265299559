//! Draining: ends a listener's connections, and waits for them.
//!
//! First, each next response is the last of its connection (`Connection: close`, GOAWAY), so that no request is lost. After a while
//! idle connections are closed, too.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use slab::Slab;
use tokio::sync::Notify;
use tokio::time::timeout;

/// The connections that a worker serves of one listener, and whether they drain.
#[derive(Debug, Default)]
pub(super) struct Drain {
    is_draining: Cell<bool>,
    is_forced: Cell<bool>,
    /// The tasks that serve connections, once they have been polled.
    tasks: RefCell<Slab<Option<Waker>>>,
    /// Notified when the last of them has ended.
    is_empty: Notify,
}

/// A connection, registered until this is dropped.
#[derive(Debug)]
pub(crate) struct ConnectionGuard {
    drain: Rc<Drain>,
    key: usize,
}

impl Drain {
    /// Registers a connection.
    pub(super) fn register(self: &Rc<Self>) -> ConnectionGuard {
        ConnectionGuard {
            drain: self.clone(),
            key: self.tasks.borrow_mut().insert(None),
        }
    }

    /// Whether each next response is the last of its connection.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining.get()
    }

    /// Whether connections are to end now if they are idle, or as soon as they are.
    pub(super) fn is_forced(&self) -> bool {
        self.is_forced.get()
    }

    /// Makes each next response the last of its connection. HTTP/2 sends GOAWAY at once.
    pub(super) fn begin(&self) {
        if !self.is_draining.replace(true) {
            self.wake();
        }
    }

    /// Waits until all connections have ended. Idle ones are closed after `idle_timeout`.
    pub(super) async fn run(&self, idle_timeout: Duration) {
        self.begin();
        if timeout(idle_timeout, self.wait_until_empty()).await.is_ok() {
            return;
        }
        self.is_forced.set(true);
        self.wake();
        self.wait_until_empty().await;
    }

    /// Wakes the tasks of all connections.
    fn wake(&self) {
        let tasks = self.tasks.borrow();
        for waker in tasks.iter().filter_map(|(_, waker)| waker.as_ref()) {
            waker.wake_by_ref();
        }
    }

    async fn wait_until_empty(&self) {
        while !self.tasks.borrow().is_empty() {
            self.is_empty.notified().await;
        }
    }

    /// How many connections there are.
    pub(super) fn len(&self) -> usize {
        self.tasks.borrow().len()
    }
}

impl ConnectionGuard {
    /// Has the task that awaits this woken when the drain begins and when it is forced.
    pub(super) async fn register_waker(&self) {
        poll_fn(|context| {
            if let Some(waker) = self.drain.tasks.borrow_mut().get_mut(self.key) {
                *waker = Some(context.waker().clone());
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Runs a future, unless the drain is forced before it completes: then `None`.
    pub(super) async fn or_forced<F: Future>(&self, mut future: Pin<&mut F>) -> Option<F::Output> {
        poll_fn(|context| match self.drain.is_forced() {
            true => Poll::Ready(None),
            false => future.as_mut().poll(context).map(Some),
        })
        .await
    }

    /// The drain it is registered with.
    pub(super) fn drain(&self) -> &Rc<Drain> {
        &self.drain
    }
}

impl Drop for ConnectionGuard {
    fn drop(&mut self) {
        let mut tasks = self.drain.tasks.borrow_mut();
        tasks.remove(self.key);
        if tasks.is_empty() {
            self.drain.is_empty.notify_waiters();
        }
    }
}
