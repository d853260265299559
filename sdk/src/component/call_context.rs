//! The request, candidates and environment of a call, fetched from the host on demand.

use std::borrow::Cow;
use std::cell::{Cell, OnceCell};
use std::net::{IpAddr, Ipv4Addr};

use super::bindings::imports::equipoise::balancer::{candidates, env, request};
use crate::halves::joined;
use crate::{Candidates, Column, Env, LogLevel, Request};

/// The request, the candidates and the environment of the current call.
///
/// A column that was not passed with the call is fetched when it is first read, and kept to the end of the call.
#[derive(Default)]
pub(super) struct CallContext<'a> {
    /// The number of candidates, where the call passes it.
    count: Option<usize>,
    /// A random number passed with the call, and not used yet.
    random: Cell<Option<u32>>,
    tried: OnceCell<Vec<u32>>,
    ids: OnceCell<Cow<'a, [u32]>>,
    weights: OnceCell<Cow<'a, [u32]>>,
    busy: OnceCell<Cow<'a, [u32]>>,
    elected: OnceCell<Cow<'a, [u64]>>,
    bytes_sent: OnceCell<Cow<'a, [u64]>>,
    bytes_received: OnceCell<Cow<'a, [u64]>>,
    latency_us: OnceCell<Cow<'a, [u32]>>,
    consecutive_failures: OnceCell<Cow<'a, [u32]>>,
    ready_slots: OnceCell<Cow<'a, [u32]>>,
    busy_slots: OnceCell<Cow<'a, [u32]>>,
    heartbeat_age_ms: OnceCell<Cow<'a, [u32]>>,
}

impl<'a> CallContext<'a> {
    /// A call that passes the number of candidates.
    pub(super) fn with_candidates(count: u32) -> Self {
        Self {
            count: Some(count as usize),
            ..Self::default()
        }
    }

    /// A call that passes a random number and columns, one after the other in `values`.
    #[inline]
    pub(super) fn with_columns(
        count: u32,
        random: u32,
        columns: &[Column],
        values: &'a [u32],
    ) -> Self {
        let mut context = Self::with_candidates(count);
        context.random.set(Some(random));
        let mut rest = values;
        for column in columns {
            let length = count as usize * column.width();
            let Some((own, after)) = rest.split_at_checked(length) else {
                break;
            };
            context.set_column(*column, own);
            rest = after;
        }
        context
    }

    #[inline]
    fn set_column(&mut self, column: Column, numbers: &'a [u32]) {
        let narrow = || OnceCell::from(Cow::Borrowed(numbers));
        let wide = || OnceCell::from(joined(numbers));
        match column {
            Column::Ids => self.ids = narrow(),
            Column::Weights => self.weights = narrow(),
            Column::Busy => self.busy = narrow(),
            Column::Elected => self.elected = wide(),
            Column::BytesSent => self.bytes_sent = wide(),
            Column::BytesReceived => self.bytes_received = wide(),
            Column::LatencyUs => self.latency_us = narrow(),
            Column::ConsecutiveFailures => self.consecutive_failures = narrow(),
            Column::ReadySlots => self.ready_slots = narrow(),
            Column::BusySlots => self.busy_slots = narrow(),
            Column::HeartbeatAgeMs => self.heartbeat_age_ms = narrow(),
        }
    }
}

/// The values of a column, fetched unless they are there.
fn column<'c, N: Clone>(
    cell: &'c OnceCell<Cow<'_, [N]>>,
    fetch: impl FnOnce() -> Vec<N>,
) -> &'c [N] {
    cell.get_or_init(|| Cow::Owned(fetch()))
}

impl Request for CallContext<'_> {
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

impl Candidates for CallContext<'_> {
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

    fn bytes_sent(&self) -> &[u64] {
        column(&self.bytes_sent, candidates::bytes_sent)
    }

    fn bytes_received(&self) -> &[u64] {
        column(&self.bytes_received, candidates::bytes_received)
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

    fn restrict_fallback(&self, positions: &[usize]) {
        let positions: Vec<u32> = positions.iter().copied().map(position).collect();
        candidates::restrict_fallback(&positions);
    }
}

impl Env for CallContext<'_> {
    fn random(&self) -> u32 {
        self.random.take().unwrap_or_else(env::random)
    }

    fn now_ms(&self) -> u64 {
        env::now_ms()
    }

    fn unix_ms(&self) -> u64 {
        env::unix_ms()
    }

    fn log(&self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Error => env::LogLevel::Error,
            LogLevel::Warn => env::LogLevel::Warn,
            LogLevel::Info => env::LogLevel::Info,
            LogLevel::Debug => env::LogLevel::Debug,
        };
        env::log(level, message);
    }
}

/// A position as the contract has it. What is out of range stays out of range.
pub(super) fn position(position: usize) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}
