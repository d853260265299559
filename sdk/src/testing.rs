//! A request and candidates made by hand, to test a policy without a proxy.

use std::borrow::Cow;
use std::net::{IpAddr, Ipv4Addr};

use crate::{Candidates, Host, Request};

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
}

/// One candidate made by hand; see [`Candidates`] for the meaning of the columns.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "each field is the column of the same name in Candidates"
)]
pub struct FakeCandidate {
    pub id: u32,
    pub lbfactor: u32,
    pub busy: u32,
    pub elected: u64,
    pub transferred: u64,
    pub read: u64,
    pub ready_slots: u32,
    pub busy_slots: u32,
    pub heartbeat_age_ms: u32,
}

impl FakeCandidate {
    /// An idle member with `loadfactor = 1` that was never asked and never sent a heartbeat.
    pub fn new(id: u32) -> Self {
        Self {
            id,
            lbfactor: 100,
            busy: 0,
            elected: 0,
            transferred: 0,
            read: 0,
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
    pub lbfactors: Vec<u32>,
    pub busy: Vec<u32>,
    pub elected: Vec<u64>,
    pub transferred: Vec<u64>,
    pub read: Vec<u64>,
    pub ready_slots: Vec<u32>,
    pub busy_slots: Vec<u32>,
    pub heartbeat_age_ms: Vec<u32>,
}

impl FromIterator<FakeCandidate> for FakeCandidates {
    fn from_iter<I: IntoIterator<Item = FakeCandidate>>(candidates: I) -> Self {
        let mut columns = Self::default();
        for candidate in candidates {
            columns.ids.push(candidate.id);
            columns.lbfactors.push(candidate.lbfactor);
            columns.busy.push(candidate.busy);
            columns.elected.push(candidate.elected);
            columns.transferred.push(candidate.transferred);
            columns.read.push(candidate.read);
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

    fn lbfactors(&self) -> &[u32] {
        &self.lbfactors
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

    fn ready_slots(&self) -> &[u32] {
        &self.ready_slots
    }

    fn busy_slots(&self) -> &[u32] {
        &self.busy_slots
    }

    fn heartbeat_age_ms(&self) -> &[u32] {
        &self.heartbeat_age_ms
    }
}

/// A host whose random numbers are given.
#[derive(Debug, Clone, Copy)]
pub struct FakeHost {
    /// What [`Host::random`] answers, every time.
    pub random: u64,
}

impl Host for FakeHost {
    fn random(&self) -> u64 {
        self.random
    }
}
