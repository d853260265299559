//! A counter that threads share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds so many.
    #[inline]
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    /// Adds 1; tells what it was before.
    #[inline]
    pub fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }

    /// Takes off what was added before.
    #[inline]
    pub fn take(&self, number: u64) {
        self.0.fetch_sub(number, Relaxed);
    }

    /// Puts this number in place of the one before.
    pub fn set(&self, number: u64) {
        self.0.store(number, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
