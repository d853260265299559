//! A fake request, candidates and environment, to test a policy without a proxy.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};

use crate::{Candidates, Env, LogLevel, Request};

/// A fake request.
#[derive(Debug, Clone)]
pub struct FakeRequest {
    /// The method.
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The query without its `?`.
    pub query: Option<String>,
    /// Header fields: name and value.
    pub headers: Vec<(String, String)>,
    /// The client's address.
    pub client_address: IpAddr,
    /// The number of this attempt.
    pub attempt: u32,
    /// Ids of the members that failed earlier attempts.
    pub tried: Vec<u32>,
}

impl FakeRequest {
    /// A `GET` of `target`, a path with an optional query, from 127.0.0.1.
    pub fn get(target: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self {
            method: "GET".to_owned(),
            path: path.to_owned(),
            query,
            headers: Vec::new(),
            client_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            attempt: 1,
            tried: Vec::new(),
        }
    }

    /// The same request with one more header field.
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Request for FakeRequest {
    fn method(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.method)
    }

    fn path(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.path)
    }

    fn query(&self) -> Option<Cow<'_, str>> {
        self.query.as_deref().map(Cow::Borrowed)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self
            .headers
            .iter()
            .filter(|(field, _)| field.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str());
        let first = values.next()?;
        let separator = if name.eq_ignore_ascii_case("cookie") {
            "; "
        } else {
            ", "
        };
        Some(values.fold(Cow::Borrowed(first), |joined, value| {
            joined + separator + value
        }))
    }

    fn client_address(&self) -> IpAddr {
        self.client_address
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn tried(&self) -> &[u32] {
        &self.tried
    }
}

/// One fake candidate; see [`Candidates`] for the meaning of the columns.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is the column of the same name in Candidates"
)]
pub struct FakeCandidate {
    pub id: u32,
    pub weight: u32,
    pub busy: u32,
    pub elected: u64,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub latency_us: u32,
    pub consecutive_failures: u32,
    pub ready_slots: u32,
    pub busy_slots: u32,
    pub heartbeat_age_ms: u32,
}

impl FakeCandidate {
    /// An idle member with `loadfactor = 1` that never had a request and never sent a heartbeat.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            weight: 100,
            busy: 0,
            elected: 0,
            bytes_sent: 0,
            bytes_received: 0,
            latency_us: 0,
            consecutive_failures: 0,
            ready_slots: 0,
            busy_slots: 0,
            heartbeat_age_ms: u32::MAX,
        }
    }
}

/// Fake candidates.
#[derive(Debug, Clone, Default)]
#[expect(
    missing_docs,
    reason = "each field is the column of the same name in Candidates"
)]
pub struct FakeCandidates {
    pub ids: Vec<u32>,
    pub weights: Vec<u32>,
    pub busy: Vec<u32>,
    pub elected: Vec<u64>,
    pub bytes_sent: Vec<u64>,
    pub bytes_received: Vec<u64>,
    pub latency_us: Vec<u32>,
    pub consecutive_failures: Vec<u32>,
    pub ready_slots: Vec<u32>,
    pub busy_slots: Vec<u32>,
    pub heartbeat_age_ms: Vec<u32>,
    /// The argument of the last call to [`Candidates::restrict_fallback`].
    pub restricted_to: RefCell<Vec<usize>>,
}

impl FromIterator<FakeCandidate> for FakeCandidates {
    fn from_iter<I: IntoIterator<Item = FakeCandidate>>(candidates: I) -> Self {
        let mut columns = Self::default();
        for candidate in candidates {
            columns.ids.push(candidate.id);
            columns.weights.push(candidate.weight);
            columns.busy.push(candidate.busy);
            columns.elected.push(candidate.elected);
            columns.bytes_sent.push(candidate.bytes_sent);
            columns.bytes_received.push(candidate.bytes_received);
            columns.latency_us.push(candidate.latency_us);
            columns
                .consecutive_failures
                .push(candidate.consecutive_failures);
            columns.ready_slots.push(candidate.ready_slots);
            columns.busy_slots.push(candidate.busy_slots);
            columns.heartbeat_age_ms.push(candidate.heartbeat_age_ms);
        }
        columns
    }
}

impl Candidates for FakeCandidates {
    fn len(&self) -> usize {
        self.ids.len()
    }

    fn ids(&self) -> &[u32] {
        &self.ids
    }

    fn weights(&self) -> &[u32] {
        &self.weights
    }

    fn busy(&self) -> &[u32] {
        &self.busy
    }

    fn elected(&self) -> &[u64] {
        &self.elected
    }

    fn bytes_sent(&self) -> &[u64] {
        &self.bytes_sent
    }

    fn bytes_received(&self) -> &[u64] {
        &self.bytes_received
    }

    fn latency_us(&self) -> &[u32] {
        &self.latency_us
    }

    fn consecutive_failures(&self) -> &[u32] {
        &self.consecutive_failures
    }

    fn ready_slots(&self) -> &[u32] {
        &self.ready_slots
    }

    fn busy_slots(&self) -> &[u32] {
        &self.busy_slots
    }

    fn heartbeat_age_ms(&self) -> &[u32] {
        &self.heartbeat_age_ms
    }

    fn restrict_fallback(&self, positions: &[usize]) {
        self.restricted_to.replace(positions.to_vec());
    }
}

/// An environment with given clocks and random numbers.
#[derive(Debug, Clone, Default)]
pub struct FakeEnv {
    /// What [`Env::random`] returns, every time.
    pub random: u32,
    /// What [`Env::now_ms`] returns.
    pub now_ms: u64,
    /// What [`Env::unix_ms`] returns.
    pub unix_ms: u64,
    /// Logged lines.
    pub logged: RefCell<Vec<(LogLevel, String)>>,
}

impl FakeEnv {
    /// An environment whose clocks stand at 0 and whose random number is this.
    pub fn with_random(random: u32) -> Self {
        Self {
            random,
            ..Self::default()
        }
    }
}

impl Env for FakeEnv {
    fn random(&self) -> u32 {
        self.random
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    fn log(&self, level: LogLevel, message: &str) {
        self.logged.borrow_mut().push((level, message.to_owned()));
    }
}
