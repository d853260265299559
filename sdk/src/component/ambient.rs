//! What a policy may know, asked of the host when it is needed.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::net::{IpAddr, Ipv4Addr};

use super::bindings::imports::equipoise::balancer::{candidates, host, request};
use crate::halves::joined;
use crate::{Candidates, Column, Host, Level, Request};

/// The request, the candidates and the host of the call under way.
///
/// A column that did not come with the call is fetched when it is first asked for. It is kept to the end of the call.
#[derive(Default)]
pub(super) struct Ambient<'a> {
    /// How many candidates there are, where the call says so.
    count: Option<usize>,
    /// A random number that came with the call, and was not asked for yet.
    random: Cell<Option<u32>>,
    tried: OnceCell<Vec<u32>>,
    ids: OnceCell<Cow<'a, [u32]>>,
    weights: OnceCell<Cow<'a, [u32]>>,
    busy: OnceCell<Cow<'a, [u32]>>,
    elected: OnceCell<Cow<'a, [u64]>>,
    transferred: OnceCell<Cow<'a, [u64]>>,
    read: OnceCell<Cow<'a, [u64]>>,
    latency_us: OnceCell<Cow<'a, [u32]>>,
    consecutive_failures: OnceCell<Cow<'a, [u32]>>,
    ready_slots: OnceCell<Cow<'a, [u32]>>,
    busy_slots: OnceCell<Cow<'a, [u32]>>,
    heartbeat_age_ms: OnceCell<Cow<'a, [u32]>>,
}

impl<'a> Ambient<'a> {
    /// A call that says how many candidates there are.
    pub(super) fn with_candidates(count: u32) -> Self {
        Self {
            count: Some(count as usize),
            ..Self::default()
        }
    }

    /// A call that hands over a random number and columns, whose numbers follow each other.
    #[inline]
    pub(super) fn with_columns(
        count: u32,
        random: u32,
        columns: &[Column],
        numbers: &'a [u32],
    ) -> Self {
        let mut ambient = Self::with_candidates(count);
        ambient.random.set(Some(random));
        let mut rest = numbers;
        for column in columns {
            let length = count as usize * column.width();
            let Some((own, after)) = rest.split_at_checked(length) else {
                break;
            };
            ambient.fill(*column, own);
            rest = after;
        }
        ambient
    }

    #[inline]
    fn fill(&mut self, column: Column, numbers: &'a [u32]) {
        let narrow = || OnceCell::from(Cow::Borrowed(numbers));
        let wide = || OnceCell::from(joined(numbers));
        match column {
            Column::Ids => self.ids = narrow(),
            Column::Weights => self.weights = narrow(),
            Column::Busy => self.busy = narrow(),
            Column::Elected => self.elected = wide(),
            Column::Transferred => self.transferred = wide(),
            Column::Read => self.read = wide(),
            Column::LatencyUs => self.latency_us = narrow(),
            Column::ConsecutiveFailures => self.consecutive_failures = narrow(),
            Column::ReadySlots => self.ready_slots = narrow(),
            Column::BusySlots => self.busy_slots = narrow(),
            Column::HeartbeatAgeMs => self.heartbeat_age_ms = narrow(),
        }
    }
}

/// The numbers of a column, which are fetched unless they are there.
fn column<'c, N: Clone>(
    cell: &'c OnceCell<Cow<'_, [N]>>,
    fetch: impl FnOnce() -> Vec<N>,
) -> &'c [N] {
    cell.get_or_init(|| Cow::Owned(fetch()))
}

impl Request for Ambient<'_> {
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

impl Candidates for Ambient<'_> {
    fn len(&self) -> usize {
        self.count.unwrap_or_else(|| self.ids().len())
    }

    fn ids(&self) -> &[u32] {
        column(&self.ids, candidates::ids)
    }

    fn weights(&self) -> &[u32] {
        column(&self.weights, candidates::weights)
    }

    fn busy(&self) -> &[u32] {
        column(&self.busy, candidates::busy)
    }

    fn elected(&self) -> &[u64] {
        column(&self.elected, candidates::elected)
    }

    fn transferred(&self) -> &[u64] {
        column(&self.transferred, candidates::transferred)
    }

    fn read(&self) -> &[u64] {
        column(&self.read, candidates::read)
    }

    fn latency_us(&self) -> &[u32] {
        column(&self.latency_us, candidates::latency_us)
    }

    fn consecutive_failures(&self) -> &[u32] {
        column(&self.consecutive_failures, candidates::consecutive_failures)
    }

    fn ready_slots(&self) -> &[u32] {
        column(&self.ready_slots, candidates::ready_slots)
    }

    fn busy_slots(&self) -> &[u32] {
        column(&self.busy_slots, candidates::busy_slots)
    }

    fn heartbeat_age_ms(&self) -> &[u32] {
        column(&self.heartbeat_age_ms, candidates::heartbeat_age_ms)
    }

    fn narrow(&self, positions: &[usize]) {
        let positions: Vec<u32> = positions.iter().copied().map(position).collect();
        candidates::narrow(&positions);
    }
}

impl Host for Ambient<'_> {
    fn random(&self) -> u32 {
        self.random.take().unwrap_or_else(host::random)
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
