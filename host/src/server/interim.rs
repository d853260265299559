//! An interim answer (1xx) on its way to a client, ahead of the answer itself.

use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use http::Response;

/// Where a request leaves an interim answer for whatever writes to its client; room for one.
///
/// Both belong to one task, and the writer comes behind the request. It takes what is there when everything before it has been
/// written, and sees to it that the request is polled again.
#[derive(Debug, Default)]
pub(crate) struct Interim {
    /// Whether there is one: known without a lock, since there hardly ever is.
    is_there: AtomicBool,
    answer: Mutex<Option<Response<()>>>,
}

impl Interim {
    /// Leaves an answer to be written, and waits until it is ahead of everything that comes later.
    pub(crate) async fn send(&self, answer: Response<()>) {
        *self.lock() = Some(answer);
        self.is_there.store(true, Relaxed);
        poll_fn(|_| match self.is_there.load(Relaxed) {
            true => Poll::Pending,
            false => Poll::Ready(()),
        })
        .await;
    }

    /// The answer to be written now, if there is one.
    pub(super) fn take(&self) -> Option<Response<()>> {
        if !self.is_there.load(Relaxed) {
            return None;
        }
        self.is_there.store(false, Relaxed);
        self.lock().take()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Response<()>>> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An interim answer as HTTP/1.1 has it.
pub(super) fn written(answer: &Response<()>) -> Vec<u8> {
    let status = answer.status();
    let reason = status.canonical_reason().unwrap_or_default();
    let mut head = format!("HTTP/1.1 {} {reason}\r\n", status.as_str()).into_bytes();
    for (name, value) in answer.headers() {
        head.extend_from_slice(name.as_str().as_bytes());
        head.extend_from_slice(b": ");
        head.extend_from_slice(value.as_bytes());
        head.extend_from_slice(b"\r\n");
    }
    head.extend_from_slice(b"\r\n");
    head
}
