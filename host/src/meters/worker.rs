//! What one worker counts of its clients.

use std::sync::Arc;

use super::{Count, Meters};

/// What one worker counts: alone on its lines of the cache, so that workers do not wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct WorkerMeters {
    /// Connections of clients, from the first.
    pub(crate) connections: Count,
    /// Those that have ended.
    pub(crate) ended: Count,
    /// Bytes from clients, heads included.
    pub(crate) received: Count,
    /// Bytes to clients.
    pub(crate) sent: Count,
}

/// A worker's numbers, held on to.
#[derive(Debug, Clone)]
pub(crate) struct Desk {
    meters: Arc<Meters>,
    worker: usize,
}

impl Desk {
    pub(crate) fn new(meters: Arc<Meters>, worker: usize) -> Self {
        Self { meters, worker }
    }

    #[inline]
    pub(crate) fn counts(&self) -> &WorkerMeters {
        self.meters.worker(self.worker)
    }

    /// A client has connected; the connection is over when this is dropped.
    pub(crate) fn connection(self) -> Connected {
        self.counts().connections.add(1);
        Connected(self)
    }
}

/// A client's connection, counted as open until this is dropped.
#[derive(Debug)]
pub(crate) struct Connected(Desk);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.counts().ended.add(1);
    }
}
