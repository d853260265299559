//! The memory that a request is served in: kept by its thread for the next one, so that a request allocates none.

use std::cell::RefCell;
use std::mem;

use equipoise_http::{Edit, Head};

use crate::deadline::Deadline;

/// How many a thread keeps.
const KEPT: usize = 128;

/// A part of one that has grown larger is not kept, in bytes.
const LARGEST: usize = 64 * 1024;

thread_local! {
    #[expect(clippy::vec_box, reason = "they are moved to and fro, and large")]
    static SPARE: RefCell<Vec<Box<Parts>>> = const { RefCell::new(Vec::new()) };
}

/// What one request needs; back with its thread when dropped.
pub(crate) struct Workspace {
    /// `None` only while it is dropped.
    parts: Option<Box<Parts>>,
}

#[derive(Default)]
struct Parts {
    request: Box<Head>,
    room: Room,
}

/// Where the response to a request is made.
#[derive(Default)]
pub(crate) struct Room {
    /// The head of the response, in the box in which it comes by HTTP/2.
    pub(crate) response: Box<Head>,
    /// How a head is passed on.
    pub(crate) edit: Edit,
    /// The payload of the request's body, as far as it may be sent again.
    pub(crate) replay: Vec<u8>,
    /// When the member has had its time.
    pub(crate) deadline: Deadline,
}

impl Workspace {
    /// One that is of no other request.
    pub(crate) fn take() -> Self {
        let parts = SPARE.with_borrow_mut(Vec::pop);
        Self {
            parts: Some(parts.unwrap_or_default()),
        }
    }

    /// The head of the request, and the rest.
    pub(crate) fn split(&mut self) -> (&mut Box<Head>, &mut Room) {
        let parts = self.parts.get_or_insert_default();
        (&mut parts.request, &mut parts.room)
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        let Some(mut parts) = self.parts.take() else {
            return;
        };
        let Parts { request, room } = &mut *parts;
        for head in [request, &mut room.response] {
            if head.capacity() > LARGEST {
                mem::take(head);
            }
            head.clear();
        }
        if room.edit.capacity() > LARGEST {
            mem::take(&mut room.edit);
        }
        if room.replay.capacity() > LARGEST {
            mem::take(&mut room.replay);
        }
        room.replay.clear();
        room.edit.clear();
        room.deadline.clear();
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < KEPT {
                spare.push(parts);
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
        SPARE.with_borrow_mut(Vec::clear);
    }

    #[tokio::test]
    async fn the_next_request_finds_the_memory_and_nothing_else() {
        forget();
        let mut workspace = Workspace::take();
        let (request, room) = workspace.split();
        for head in [request, &mut room.response] {
            head.push(b"name", &[b'x'; 1000]).unwrap();
        }
        room.edit.add(Known::Via, b"1.1 a");
        room.replay.extend_from_slice(b"body");
        room.deadline.set(Instant::now());
        drop(workspace);
        let mut workspace = Workspace::take();
        let (request, room) = workspace.split();
        for head in [request, &mut room.response] {
            assert_eq!(head.len(), 0);
            assert!(head.capacity() >= 1000);
        }
        assert_eq!(room.edit.fields(&Head::new()).count(), 0);
        assert!(room.replay.is_empty() && room.replay.capacity() > 0);
        assert!(!room.deadline.is_set());
    }

    #[test]
    fn parts_that_have_grown_large_are_not_kept() {
        forget();
        let mut workspace = Workspace::take();
        let (request, room) = workspace.split();
        for head in [request, &mut room.response] {
            head.push(b"name", &[b'x'; LARGEST]).unwrap();
        }
        room.edit.add(Known::Via, &[b'x'; LARGEST]);
        room.replay.resize(LARGEST + 1, 0);
        drop(workspace);
        let mut workspace = Workspace::take();
        let (request, room) = workspace.split();
        assert_eq!((request.capacity(), room.response.capacity()), (0, 0));
        assert_eq!((room.edit.capacity(), room.replay.capacity()), (0, 0));
    }

    #[test]
    fn a_thread_keeps_so_many_and_no_more() {
        forget();
        let many: Vec<_> = (0..KEPT + 10).map(|_| Workspace::take()).collect();
        drop(many);
        assert_eq!(SPARE.with_borrow(Vec::len), KEPT);
    }
}
