//! Traffic metrics for `/metrics`, besides what the balancer counts.
//!
//! Everything here is a relaxed atomic that workers add to, a dozen times a request in all; a scrape
//! reads them. What belongs to a route, a balancer or a member lives on when the configuration changes, by what it is
//! called: a snapshot takes over the `Arc`s of the one before.

mod balancer;
mod member;
mod refusals;
mod reloads;
mod route;
mod worker;

use std::time::{SystemTime, UNIX_EPOCH};

pub use balancer::BalancerMetrics;
pub(crate) use balancer::{policy, word};
pub use member::MemberMetrics;
pub use refusals::Refusals;
pub use reloads::Reloads;
pub use route::RouteMetrics;
pub use worker::{LIMITS, Limit, OpenConnection, WorkerMetrics, WorkerMetricsHandle};

/// What is counted of the process as a whole.
#[derive(Debug)]
pub struct Metrics {
    workers: Box<[WorkerMetrics]>,
    /// Requests for the manager at listeners for clients.
    pub manager: RouteMetrics,
    /// Requests that no route takes.
    pub unrouted: RouteMetrics,
    /// Requests that were refused, or whose clients left.
    pub refusals: Refusals,
    /// Of the configuration.
    pub reloads: Reloads,
    started: SystemTime,
}

impl Metrics {
    /// Of a process with so many workers that starts now.
    pub fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1))
                .map(|_| WorkerMetrics::default())
                .collect(),
            manager: RouteMetrics::default(),
            unrouted: RouteMetrics::default(),
            refusals: Refusals::default(),
            reloads: Reloads::default(),
            started: SystemTime::now(),
        }
    }

    /// Those of a worker, by its number from 0.
    pub(crate) fn worker(&self, number: usize) -> &WorkerMetrics {
        &self.workers[number % self.workers.len()]
    }

    /// A number of all workers together.
    pub fn sum(&self, of: impl Fn(&WorkerMetrics) -> u64) -> u64 {
        self.workers.iter().map(of).sum()
    }

    /// When the process started, in seconds since 1970.
    pub fn started(&self) -> f64 {
        unix_ms(self.started) as f64 / 1000.0
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
