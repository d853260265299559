//! What is counted of traffic for `/metrics`, besides what balancing counts anyway.
//!
//! Everything here is a relaxed atomic that whoever serves a request adds to, a dozen times a request in all; who asks for the
//! numbers reads them. What belongs to a route, a balancer or a member lives on when the configuration changes, by what it is
//! called: a snapshot takes over the `Arc`s of the one before.

mod histogram;
mod process;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use equipoise_balancer::{By, Choice, Outcome};
use equipoise_sdk::Affinity;

use crate::config::Method;
use crate::proxy::Failure;
pub(crate) use histogram::{CALLS, DURATIONS, Histogram};
pub(crate) use process::Process;

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self, number: u64) {
        self.0.fetch_add(number, Relaxed);
    }

    /// Adds 1; tells what it was before.
    #[inline]
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Relaxed)
    }

    /// Takes off what was added before.
    #[inline]
    pub(crate) fn take(&self, number: u64) {
        self.0.fetch_sub(number, Relaxed);
    }

    pub(crate) fn set(&self, number: u64) {
        self.0.store(number, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// What is counted of the process as a whole.
#[derive(Debug)]
pub(crate) struct Meters {
    workers: Box<[WorkerMeters]>,
    /// Requests that no route takes.
    pub(crate) unrouted: RouteMeters,
    pub(crate) reloads: Reloads,
    started: SystemTime,
}

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

/// What became of configurations that were to be put in force while the program runs.
#[derive(Debug, Default)]
pub(crate) struct Reloads {
    applied: Count,
    refused: Count,
    /// Milliseconds since 1970; 0 for never.
    last_applied: Count,
    /// Whether the last one was refused.
    is_stale: Count,
}

impl Reloads {
    /// A configuration is in force from now on.
    #[cfg_attr(not(test), expect(dead_code, reason = "nothing reloads yet"))]
    pub(crate) fn note_applied(&self) {
        self.applied.add(1);
        self.last_applied.set(unix_ms(SystemTime::now()));
        self.is_stale.set(0);
    }

    /// A configuration was refused, and the one before serves on.
    #[cfg_attr(not(test), expect(dead_code, reason = "nothing reloads yet"))]
    pub(crate) fn note_refused(&self) {
        self.refused.add(1);
        self.is_stale.set(1);
    }

    pub(crate) fn applied(&self) -> u64 {
        self.applied.get()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Whether the last configuration that was to be is in force.
    pub(crate) fn is_fresh(&self) -> bool {
        self.is_stale.get() == 0
    }

    /// When a configuration was put in force last, in seconds since 1970; none since the start.
    pub(crate) fn last_applied(&self) -> Option<f64> {
        let milliseconds = self.last_applied.get();
        (milliseconds > 0).then(|| milliseconds as f64 / 1000.0)
    }
}

impl Meters {
    /// Of a process with so many workers that starts now.
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            workers: (0..workers.max(1))
                .map(|_| WorkerMeters::default())
                .collect(),
            unrouted: RouteMeters::default(),
            reloads: Reloads::default(),
            started: SystemTime::now(),
        }
    }

    /// Those of a worker, by its number from 0.
    pub(crate) fn worker(&self, number: usize) -> &WorkerMeters {
        &self.workers[number % self.workers.len()]
    }

    /// A number of all workers together.
    pub(crate) fn sum(&self, of: impl Fn(&WorkerMeters) -> u64) -> u64 {
        self.workers.iter().map(of).sum()
    }

    /// When the process started, in seconds since 1970.
    pub(crate) fn started(&self) -> f64 {
        unix_ms(self.started) as f64 / 1000.0
    }
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

/// The classes that statuses are counted by.
pub(crate) const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// What is counted of a route.
#[derive(Debug, Default)]
pub(crate) struct RouteMeters([Count; CLASSES.len()]);

impl RouteMeters {
    /// An answer has begun.
    #[inline]
    pub(crate) fn count(&self, status: u16) {
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        self.0[class].add(1);
    }

    /// The answers of each class.
    pub(crate) fn classes(&self) -> impl Iterator<Item = (&'static str, u64)> {
        CLASSES.into_iter().zip(self.0.iter().map(Count::get))
    }
}

/// Who decides, as decisions are counted.
pub(crate) const POLICIES: [&str; 8] = [
    "session", "redirect", "key", "method", "plugin", "fallback", "order", "nobody",
];

/// Who found a member, in a word.
pub(crate) fn policy(by: By, method: Method) -> &'static str {
    POLICIES[place(by, method)]
}

/// The place of that word among [`POLICIES`].
fn place(by: By, method: Method) -> usize {
    match (by, method) {
        (By::Session, _) => 0,
        (By::Redirect, _) => 1,
        (By::Key, _) => 2,
        (By::Method, Method::Builtin(_)) => 3,
        (By::Method, Method::Plugin { .. }) => 4,
        (By::Fallback, _) => 5,
        (By::Order, _) => 6,
    }
}

/// What became of requests with a session.
pub(crate) const SESSIONS: [&str; 2] = ["stuck", "moved"];

/// Why requests are tried again.
pub(crate) const RETRIES: [&str; 8] = [
    "full",
    "unreachable",
    "not_ready",
    "unsent",
    "broken_off",
    "nonsense",
    "timed_out",
    "status",
];

/// The place of the last of them: an answer that is not good enough.
const STATUS: usize = RETRIES.len() - 1;

/// What went wrong with a try, in a word.
pub(crate) fn word(failure: &Failure) -> &'static str {
    reason(failure).map_or("client", |reason| RETRIES[reason])
}

/// The place among [`RETRIES`] of what went wrong with a try; none where it was the client.
fn reason(failure: &Failure) -> Option<usize> {
    Some(match failure {
        Failure::Full => 0,
        Failure::Unreachable(_) => 1,
        Failure::NotReady(_) => 2,
        Failure::Unsent => 3,
        Failure::BrokenOff(_) => 4,
        Failure::Nonsense(_) => 5,
        Failure::TimedOut(_) => 6,
        // Others are not a member's, and the request is not tried again.
        _ => return None,
    })
}

/// What is counted of a balancer.
#[derive(Debug)]
pub(crate) struct BalancerMeters {
    /// From a request's head to the end of its answer.
    pub(crate) durations: Histogram,
    decisions: [Count; POLICIES.len()],
    sessions: [Count; SESSIONS.len()],
    retries: [Count; RETRIES.len()],
}

impl Default for BalancerMeters {
    fn default() -> Self {
        Self {
            durations: Histogram::new(DURATIONS),
            decisions: Default::default(),
            sessions: Default::default(),
            retries: Default::default(),
        }
    }
}

impl BalancerMeters {
    /// A member was chosen.
    #[inline]
    pub(crate) fn count_choice(&self, choice: &Choice, method: Method, session: Option<&Affinity>) {
        self.decisions[place(choice.by, method)].add(1);
        if session.is_some() {
            self.sessions[usize::from(choice.route_changed)].add(1);
        }
    }

    /// Nobody could be chosen.
    pub(crate) fn count_refusal(&self) {
        self.decisions[POLICIES.len() - 1].add(1);
    }

    /// A request is tried again after this failure; none for an answer that is not good enough.
    pub(crate) fn count_retry(&self, failure: Option<&Failure>) {
        self.retries[failure.and_then(reason).unwrap_or(STATUS)].add(1);
    }

    pub(crate) fn decisions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        POLICIES
            .into_iter()
            .zip(self.decisions.iter().map(Count::get))
    }

    pub(crate) fn sessions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SESSIONS
            .into_iter()
            .zip(self.sessions.iter().map(Count::get))
    }

    pub(crate) fn retries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RETRIES.into_iter().zip(self.retries.iter().map(Count::get))
    }
}

/// What members do wrong.
pub(crate) const ERRORS: [&str; 4] = ["unreachable", "timed_out", "broken_off", "status"];

/// What is counted of a member.
#[derive(Debug)]
pub(crate) struct MemberMeters {
    /// Those of its balancer, the same for all its members.
    pub(crate) balancer: Arc<BalancerMeters>,
    /// From the decision to the head of the answer.
    pub(crate) responses: Histogram,
    errors: [Count; ERRORS.len()],
    /// Connections that were opened.
    pub(crate) opened: Count,
    /// How often a request found one that was idle.
    pub(crate) reused: Count,
    /// Connections that are idle now, of all workers.
    pub(crate) idle: Count,
}

impl MemberMeters {
    pub(crate) fn new(balancer: Arc<BalancerMeters>) -> Self {
        Self {
            balancer,
            responses: Histogram::new(DURATIONS),
            errors: Default::default(),
            opened: Count::default(),
            reused: Count::default(),
            idle: Count::default(),
        }
    }

    /// What became of a request, so long after the decision.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome, after: Duration) {
        match outcome {
            Outcome::Connected => {}
            Outcome::Unreachable => self.errors[0].add(1),
            Outcome::TimedOut => self.errors[1].add(1),
            Outcome::BrokenOff => self.errors[2].add(1),
            Outcome::Answered(status) => {
                self.responses.observe(after);
                if status >= 500 {
                    self.errors[3].add(1);
                }
            }
        }
    }

    pub(crate) fn errors_by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ERRORS.into_iter().zip(self.errors.iter().map(Count::get))
    }

    /// Requests that brought no answer or one of 500 and above.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.iter().map(Count::get).sum()
    }
}

fn unix_ms(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Builtin;

    #[test]
    fn every_way_to_find_a_member_has_its_word() {
        let builtin = Method::Builtin(Builtin::Byrequests);
        let (plugin, fallback) = (0, Builtin::Byrequests);
        let plugin = Method::Plugin { plugin, fallback };
        let words = By::ALL.map(|by| policy(by, builtin));
        let expected = ["session", "redirect", "key", "method", "fallback", "order"];
        assert_eq!(words, expected);
        assert_eq!(policy(By::Method, plugin), "plugin");
    }

    #[test]
    fn statuses_count_in_their_class_whatever_they_are() {
        let route = RouteMeters::default();
        for status in [0, 99, 101, 200, 299, 304, 404, 500, 599, 600, 999] {
            route.count(status);
        }
        let counted: Vec<_> = route.classes().map(|(_, count)| count).collect();
        assert_eq!(counted, [3, 2, 1, 1, 4]);
    }

    #[test]
    fn errors_are_no_answer_and_answers_from_500_on() {
        let member = MemberMeters::new(Arc::default());
        for outcome in [
            Outcome::Connected,
            Outcome::Answered(200),
            Outcome::Answered(499),
            Outcome::Answered(500),
            Outcome::Unreachable,
            Outcome::TimedOut,
            Outcome::BrokenOff,
        ] {
            member.count(outcome, Duration::from_millis(1));
        }
        assert_eq!(member.errors(), 4);
        assert!(member.errors_by_kind().all(|(_, count)| count == 1));
        assert_eq!(member.responses.count(), 3);
    }

    #[test]
    fn reloads_are_fresh_until_one_is_refused() {
        let reloads = Reloads::default();
        assert!(reloads.is_fresh() && reloads.last_applied().is_none());
        reloads.note_refused();
        assert!(!reloads.is_fresh());
        reloads.note_applied();
        assert!(reloads.is_fresh() && reloads.last_applied() > Some(1.0));
        assert_eq!((reloads.applied(), reloads.refused()), (1, 1));
    }
}
