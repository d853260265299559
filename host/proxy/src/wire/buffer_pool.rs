//! The buffers that a thread keeps for its next connections.

use std::cell::RefCell;

/// The capacity of a buffer at first, in bytes: room for most heads and small bodies.
pub(super) const SMALL_BUFFER: usize = 16 * 1024;

/// The capacity of a buffer that a body keeps filling, in bytes.
pub(super) const LARGE_BUFFER: usize = 128 * 1024;

/// How many small buffers a thread keeps.
pub(super) const MAX_POOLED_SMALL: usize = 256;

/// How many large buffers a thread keeps.
const MAX_POOLED_LARGE: usize = 16;

thread_local! {
    pub(super) static POOL: RefCell<BufferPool> = const { RefCell::new(BufferPool::NONE) };
}

/// Buffers that no connection of the thread holds now.
pub(super) struct BufferPool {
    pub(super) small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl BufferPool {
    const NONE: Self = Self {
        small: Vec::new(),
        large: Vec::new(),
    };

    /// An empty small buffer.
    #[inline]
    pub(super) fn take() -> Vec<u8> {
        let pool = POOL.with_borrow_mut(|pool| pool.small.pop());
        pool.unwrap_or_else(|| Vec::with_capacity(SMALL_BUFFER))
    }

    /// An empty large buffer.
    pub(super) fn take_large() -> Vec<u8> {
        let pool = POOL.with_borrow_mut(|pool| pool.large.pop());
        pool.unwrap_or_else(|| Vec::with_capacity(LARGE_BUFFER))
    }

    /// Puts a buffer back, if it is of a usual size and there is room.
    #[inline]
    pub(super) fn put(mut bytes: Vec<u8>) {
        if bytes.capacity() != SMALL_BUFFER {
            return Self::put_other(bytes);
        }
        bytes.clear();
        POOL.with_borrow_mut(|pool| {
            if pool.small.len() < MAX_POOLED_SMALL {
                pool.small.push(bytes);
            }
        });
    }

    #[cold]
    fn put_other(mut bytes: Vec<u8>) {
        bytes.clear();
        POOL.with_borrow_mut(|pool| {
            if bytes.capacity() == LARGE_BUFFER && pool.large.len() < MAX_POOLED_LARGE {
                pool.large.push(bytes);
            }
        });
    }
}
