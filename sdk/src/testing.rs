//! A request and candidates made by hand, to test a policy without a proxy.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::{IpAddr, Ipv4Addr};

use crate::{Candidates, Host, Level, Request};

/// A request made by hand.
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
    /// Which try this is.
    pub attempt: u32,
    /// Ids of the members tried before.
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

/// One candidate made by hand; see [`Candidates`] for the meaning of the columns.
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
    pub transferred: u64,
    pub read: u64,
    pub latency_us: u32,
    pub consecutive_failures: u32,
    pub ready_slots: u32,
    pub busy_slots: u32,
    pub heartbeat_age_ms: u32,
}

impl FakeCandidate {
    /// An idle member with `loadfactor = 1` that was never asked and never sent a heartbeat.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            weight: 100,
            busy: 0,
            elected: 0,
            transferred: 0,
            read: 0,
            latency_us: 0,
            consecutive_failures: 0,
            ready_slots: 0,
            busy_slots: 0,
            heartbeat_age_ms: u32::MAX,
        }
    }
}

/// Candidates made by hand.
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
    pub transferred: Vec<u64>,
    pub read: Vec<u64>,
    pub latency_us: Vec<u32>,
    pub consecutive_failures: Vec<u32>,
    pub ready_slots: Vec<u32>,
    pub busy_slots: Vec<u32>,
    pub heartbeat_age_ms: Vec<u32>,
    /// What [`Candidates::narrow`] was last called with.
    pub narrowed: RefCell<Vec<usize>>,
}

impl FromIterator<FakeCandidate> for FakeCandidates {
    fn from_iter<I: IntoIterator<Item = FakeCandidate>>(candidates: I) -> Self {
        let mut columns = Self::default();
        for candidate in candidates {
            columns.ids.push(candidate.id);
            columns.weights.push(candidate.weight);
            columns.busy.push(candidate.busy);
            columns.elected.push(candidate.elected);
            columns.transferred.push(candidate.transferred);
            columns.read.push(candidate.read);
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

    fn transferred(&self) -> &[u64] {
        &self.transferred
    }

    fn read(&self) -> &[u64] {
        &self.read
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

    fn narrow(&self, positions: &[usize]) {
        self.narrowed.replace(positions.to_vec());
    }
}

/// A host whose clocks and random numbers are given.
#[derive(Debug, Clone, Default)]
pub struct FakeHost {
    /// What [`Host::random`] answers, every time.
    pub random: u32,
    /// What [`Host::now_ms`] answers.
    pub now_ms: u64,
    /// What [`Host::unix_ms`] answers.
    pub unix_ms: u64,
    /// What was logged.
    pub logged: RefCell<Vec<(Level, String)>>,
}

impl FakeHost {
    /// A host whose clocks stand at 0 and whose random number is this.
    pub fn with_random(random: u32) -> Self {
        Self {
            random,
            ..Self::default()
        }
    }
}

impl Host for FakeHost {
    fn random(&self) -> u32 {
        self.random
    }

    fn now_ms(&self) -> u64 {
        self.now_ms
    }

    fn unix_ms(&self) -> u64 {
        self.unix_ms
    }

    fn log(&self, level: Level, message: &str) {
        self.logged.borrow_mut().push((level, message.to_owned()));
    }
}
