//! Per-thread pool of request buffers, so that a request allocates none.

use std::cell::RefCell;
use std::mem;

use equipoise_http::{Edit, Head};

use crate::lazy_timer::LazyTimer;

/// Workspaces that a thread keeps.
const MAX_POOLED: usize = 128;

/// Buffers that have grown larger are not kept, in bytes.
const MAX_POOLED_BYTES: usize = 64 * 1024;

thread_local! {
    #[expect(clippy::vec_box, reason = "they are moved to and fro, and large")]
    static POOL: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

/// What one request needs; back with its thread when dropped.
pub(crate) struct Workspace {
    /// `None` only while it is dropped.
    parts: Option<Box<Parts>>,
}

#[derive(Default)]
struct Parts {
    request: Box<Head>,
    buffers: Buffers,
}

/// The buffers of one request, without its head.
#[derive(Default)]
pub(crate) struct Buffers {
    /// The head of the response, in the box in which it comes by HTTP/2.
    pub(crate) response: Box<Head>,
    /// How a head is passed on.
    pub(crate) edit: Edit,
    /// The payload of the request's body, as far as it may be sent again.
    pub(crate) replay: Vec<u8>,
    /// When the member has had its time.
    pub(crate) deadline: LazyTimer,
}

impl Workspace {
    /// One that is of no other request.
    pub(crate) fn take() -> Self {
        let parts = POOL.with_borrow_mut(Vec::pop);
        Self {
            parts: Some(parts.unwrap_or_default()),
        }
    }

    /// The head of the request, and the rest.
    pub(crate) fn split(&mut self) -> (&mut Box<Head>, &mut Buffers) {
        let parts = self.parts.get_or_insert_default();
        (&mut parts.request, &mut parts.buffers)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else {
            return;
        };
        let Parts { request, buffers } = &mut *parts;
        for head in [request, &mut buffers.response] {
            if head.capacity() > MAX_POOLED_BYTES {
                mem::take(head);
            }
            head.clear();
        }
        if buffers.edit.capacity() > MAX_POOLED_BYTES {
            mem::take(&mut buffers.edit);
        }
        if buffers.replay.capacity() > MAX_POOLED_BYTES {
            mem::take(&mut buffers.replay);
        }
        buffers.replay.clear();
        buffers.edit.clear();
        buffers.deadline.clear();
        POOL.with_borrow_mut(|pool| {
            if pool.len() < MAX_POOLED {
                pool.push(parts);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use equipoise_http::Known;
    use tokio::time::Instant;

    use super::*;

    /// Empties the thread's store, so that the next workspace is new.
    fn forget() {
        POOL.with_borrow_mut(Vec::clear);
    }

    #[tokio::test]
    async fn the_next_request_finds_the_memory_and_nothing_else() {
        forget();
        let mut workspace = Workspace::take();
        let (request, buffers) = workspace.split();
        for head in [request, &mut buffers.response] {
            head.push(b"name", &[b'x'; 1000]).unwrap();
        }
        buffers.edit.add(Known::Via, b"1.1 a");
        buffers.replay.extend_from_slice(b"body");
        buffers.deadline.set(Instant::now());
        drop(workspace);
        let mut workspace = Workspace::take();
        let (request, buffers) = workspace.split();
        for head in [request, &mut buffers.response] {
            assert_eq!(head.len(), 0);
            assert!(head.capacity() >= 1000);
        }
        assert_eq!(buffers.edit.fields(&Head::new()).count(), 0);
        assert!(buffers.replay.is_empty() && buffers.replay.capacity() > 0);
        assert!(!buffers.deadline.is_set());
    }

    #[test]
    fn parts_that_have_grown_large_are_not_kept() {
        forget();
        let mut workspace = Workspace::take();
        let (request, buffers) = workspace.split();
        for head in [request, &mut buffers.response] {
            head.push(b"name", &[b'x'; MAX_POOLED_BYTES]).unwrap();
        }
        buffers.edit.add(Known::Via, &[b'x'; MAX_POOLED_BYTES]);
        buffers.replay.resize(MAX_POOLED_BYTES + 1, 0);
        drop(workspace);
        let mut workspace = Workspace::take();
        let (request, buffers) = workspace.split();
        assert_eq!((request.capacity(), buffers.response.capacity()), (0, 0));
        assert_eq!((buffers.edit.capacity(), buffers.replay.capacity()), (0, 0));
    }

    #[test]
    fn a_thread_keeps_so_many_and_no_more() {
        forget();
        let many: Vec<_> = (0..MAX_POOLED + 10).map(|_| Workspace::take()).collect();
        drop(many);
        assert_eq!(POOL.with_borrow(Vec::len), MAX_POOLED);
    }
}
