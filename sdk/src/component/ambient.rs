//! What a policy may know, asked of the host when it is needed.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::{IpAddr, Ipv4Addr};

use super::bindings::imports::equipoise::balancer::{candidates, host, request};
use crate::{Candidates, Host, Level, Request};

/// The request, the candidates and the host of the call under way.
///
/// A column is fetched when it is first asked for and kept to the end of the call.
#[derive(Default)]
pub(super) struct Ambient {
    /// How many candidates there are, where the call says so.
    count: Option<usize>,
    tried: OnceCell<Vec<u32>>,
    ids: OnceCell<Vec<u32>>,
    weights: OnceCell<Vec<u32>>,
    busy: OnceCell<Vec<u32>>,
    elected: OnceCell<Vec<u64>>,
    transferred: OnceCell<Vec<u64>>,
    read: OnceCell<Vec<u64>>,
    latency_us: OnceCell<Vec<u32>>,
    consecutive_failures: OnceCell<Vec<u32>>,
    ready_slots: OnceCell<Vec<u32>>,
    busy_slots: OnceCell<Vec<u32>>,
    heartbeat_age_ms: OnceCell<Vec<u32>>,
}

impl Ambient {
    /// A call that says how many candidates there are.
    pub(super) fn with_candidates(count: u32) -> Self {
        Self {
            count: Some(count as usize),
            ..Self::default()
        }
    }
}

impl Request for Ambient {
    fn method(&self) -> Cow<'_, str> {
        Cow::Owned(request::method())
    }

    fn path(&self) -> Cow<'_, str> {
        Cow::Owned(request::path())
    }

    fn query(&self) -> Option<Cow<'_, str>> {
        request::query().map(Cow::Owned)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        request::header(name).map(Cow::Owned)
    }

    /// 0.0.0.0 where there is no request.
    fn client_address(&self) -> IpAddr {
        let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        request::client_address().parse().unwrap_or(unknown)
    }

    fn attempt(&self) -> u32 {
        request::attempt()
    }

    fn tried(&self) -> &[u32] {
        self.tried.get_or_init(request::tried)
    }

    fn cookie(&self, name: &str) -> Option<String> {
        request::cookie(name)
    }

    fn header_hash(&self, name: &str) -> Option<u32> {
        request::header_hash(name)
    }

    fn client_hash(&self) -> u32 {
        request::client_hash()
    }
}

impl Candidates for Ambient {
    fn len(&self) -> usize {
        self.count.unwrap_or_else(|| self.ids().len())
    }

    fn ids(&self) -> &[u32] {
        self.ids.get_or_init(candidates::ids)
    }

    fn weights(&self) -> &[u32] {
        self.weights.get_or_init(candidates::weights)
    }

    fn busy(&self) -> &[u32] {
        self.busy.get_or_init(candidates::busy)
    }

    fn elected(&self) -> &[u64] {
        self.elected.get_or_init(candidates::elected)
    }

    fn transferred(&self) -> &[u64] {
        self.transferred.get_or_init(candidates::transferred)
    }

    fn read(&self) -> &[u64] {
        self.read.get_or_init(candidates::read)
    }

    fn latency_us(&self) -> &[u32] {
        self.latency_us.get_or_init(candidates::latency_us)
    }

    fn consecutive_failures(&self) -> &[u32] {
        self.consecutive_failures
            .get_or_init(candidates::consecutive_failures)
    }

    fn ready_slots(&self) -> &[u32] {
        self.ready_slots.get_or_init(candidates::ready_slots)
    }

    fn busy_slots(&self) -> &[u32] {
        self.busy_slots.get_or_init(candidates::busy_slots)
    }

    fn heartbeat_age_ms(&self) -> &[u32] {
        self.heartbeat_age_ms
            .get_or_init(candidates::heartbeat_age_ms)
    }

    fn narrow(&self, positions: &[usize]) {
        let positions: Vec<u32> = positions.iter().copied().map(position).collect();
        candidates::narrow(&positions);
    }
}

impl Host for Ambient {
    fn random(&self) -> u32 {
        host::random()
    }

    fn now_ms(&self) -> u64 {
        host::now_ms()
    }

    fn unix_ms(&self) -> u64 {
        host::unix_ms()
    }

    fn log(&self, level: Level, message: &str) {
        let level = match level {
            Level::Error => host::Level::Error,
            Level::Warn => host::Level::Warn,
            Level::Info => host::Level::Info,
            Level::Debug => host::Level::Debug,
        };
        host::log(level, message);
    }
}

/// A position as the contract has it. What is out of range stays out of range.
pub(super) fn position(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
