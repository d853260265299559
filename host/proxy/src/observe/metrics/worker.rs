//! What one worker counts of its clients.

use std::sync::Arc;

use equipoise_http::http2::ConnectionError;

use super::Metrics;
use crate::wire::ByteCounter;
use equipoise_metrics::Counter;

/// What one worker counts: alone on its lines of the cache, so that workers do not wait for each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct WorkerMetrics {
    /// Connections of clients, from the first.
    pub connections: Counter,
    /// Those that have ended.
    pub ended: Counter,
    /// Bytes from clients, heads included.
    pub received: Counter,
    /// Bytes to clients.
    pub sent: Counter,
    /// Connections that wait for a place among `limits.connections`, now.
    pub waiting: Counter,
    limit_hits: [Counter; LIMITS.len()],
    /// Connections that broke the rules of HTTP/2, in the order of [`ConnectionError::ALL`].
    http2_errors: [Counter; ConnectionError::ALL.len()],
}

/// Limits that clients run into, in a word each; in the order of [`Limit`].
pub const LIMITS: [&str; 3] = ["connections", "handshakes", "streams"];

/// A limit that clients run into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// `connections`: a client had to wait for another to leave.
    Connections,
    /// `handshake-timeout`: a client took too long for its PROXY header or TLS handshake.
    Handshakes,
    /// `streams`: a client of HTTP/2 has as many requests under way as it may.
    Streams,
}

impl WorkerMetrics {
    /// A client has run into a limit.
    pub(crate) fn count_limit(&self, limit: Limit) {
        self.limit_hits[limit as usize].add(1);
    }

    /// A client's connection has broken the rules of HTTP/2.
    #[cold]
    pub(crate) fn count_http2_error(&self, error: ConnectionError) {
        self.of_http2_error(error).add(1);
    }

    /// How many have, in this way.
    pub fn http2_errors(&self, error: ConnectionError) -> u64 {
        self.of_http2_error(error).get()
    }

    fn of_http2_error(&self, error: ConnectionError) -> &Counter {
        let place = ConnectionError::ALL.iter().position(|it| *it == error);
        &self.http2_errors[place.unwrap_or_default()]
    }

    /// How often clients ran into the limit at this place among [`LIMITS`].
    pub fn limit_hits(&self, place: usize) -> u64 {
        self.limit_hits[place].get()
    }
}

/// A worker's numbers, held on to.
#[derive(Debug, Clone)]
pub struct WorkerMetricsHandle {
    metrics: Arc<Metrics>,
    worker: usize,
}

impl WorkerMetricsHandle {
    /// Of the worker of this number.
    pub fn new(metrics: Arc<Metrics>, worker: usize) -> Self {
        Self { metrics, worker }
    }

    #[inline]
    pub(crate) fn counts(&self) -> &WorkerMetrics {
        self.metrics.worker(self.worker)
    }

    /// A client has connected and there is no place for it, until this is dropped.
    pub(crate) fn wait_for_permit(&self) -> Waiting {
        self.counts().count_limit(Limit::Connections);
        self.counts().waiting.add(1);
        Waiting(self.clone())
    }

    /// A client has connected; the connection is over when this is dropped.
    pub(crate) fn connection(self) -> OpenConnection {
        self.counts().connections.add(1);
        OpenConnection(self)
    }
}

impl ByteCounter for WorkerMetricsHandle {
    #[inline]
    fn received(&self, bytes: usize) {
        self.counts().received.add(bytes as u64);
    }

    #[inline]
    fn sent(&self, bytes: usize) {
        self.counts().sent.add(bytes as u64);
    }
}

/// A client's connection that waits for a place, counted so until this is dropped.
#[derive(Debug)]
pub(crate) struct Waiting(WorkerMetricsHandle);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.counts().waiting.take(1);
    }
}

/// A client's connection, counted as open until this is dropped.
#[derive(Debug)]
pub struct OpenConnection(WorkerMetricsHandle);

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.counts().ended.add(1);
    }
}
