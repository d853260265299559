//! The candidates of one decision, as the columns a selector reads.

use std::cell::{Cell, OnceCell, RefCell};
use std::ptr::addr_eq;
use std::sync::{Arc, Weak};
use std::time::Duration;

use equipoise_sdk::Candidates;

use crate::Counters;
use crate::roster::Roster;

/// A list of members, with the memory of its columns; kept between decisions.
#[derive(Default)]
pub(crate) struct CandidateColumns {
    /// The members' positions in their roster.
    positions: Vec<usize>,
    /// That roster, where the list may be the same again; its memory is not reused for another while this is held.
    roster: Weak<Roster>,
    // Stay the same as long as the list does.
    ids: Column<u32>,
    weights: Column<u32>,
    // Gathered for each decision.
    busy: Column<u32>,
    elected: Column<u64>,
    transferred: Column<u64>,
    read: Column<u64>,
    latency_us: Column<u32>,
    consecutive_failures: Column<u32>,
    heartbeat_age_ms: Column<u32>,
    /// Whether any of these was gathered.
    has_counters: Cell<bool>,
    // Stay the same until a heartbeat arrives.
    ready_slots: Column<u32>,
    busy_slots: Column<u32>,
    heartbeat_times: Column<HeartbeatTime>,
    /// The heartbeat generation those were gathered at.
    heartbeats_seen: u64,
    restricted: RefCell<Vec<usize>>,
}

impl CandidateColumns {
    pub(crate) fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Fills it with the members at these positions.
    pub(crate) fn fill(&mut self, positions: impl IntoIterator<Item = usize>) {
        self.positions.clear();
        self.positions.extend(positions);
        self.ids.clear();
        self.weights.clear();
        self.clear_slots();
    }

    /// As [`fill`](Self::fill); where it lists these members already, what was gathered is kept.
    pub(crate) fn fill_unless_same(&mut self, roster: &Arc<Roster>, positions: &[usize]) {
        let is_same = addr_eq(self.roster.as_ptr(), Arc::as_ptr(roster));
        if !(is_same && self.positions == positions) {
            self.fill(positions.iter().copied());
            self.roster = Arc::downgrade(roster);
        }
    }

    /// Fills it with the members of `all` but for those at these indices of that list, which ascend.
    pub(crate) fn fill_without(&mut self, all: &Self, indices: &[usize]) {
        copy_without(&mut self.positions, &all.positions, indices);
        self.ids.copy_without(&all.ids, indices);
        self.weights.copy_without(&all.weights, indices);
        self.clear_slots();
    }

    /// Fills it with those members of `all` that its selector left to the fallback; returns whether there are any.
    pub(crate) fn fill_restricted(&mut self, all: &Self) -> bool {
        let restricted = all.restricted.borrow();
        let positions = restricted
            .iter()
            .filter_map(|&index| all.positions.get(index));
        self.fill(positions.copied());
        !self.positions.is_empty()
    }

    /// A view of the list at `now`; counters are gathered anew.
    #[inline]
    pub(crate) fn view<'a>(&'a mut self, roster: &'a Roster, now: Duration) -> CandidateView<'a> {
        self.restricted.get_mut().clear();
        if self.has_counters.take() {
            self.clear_counters();
        }
        let heartbeats = roster.generations.heartbeats();
        if self.heartbeats_seen != heartbeats {
            self.heartbeats_seen = heartbeats;
            self.clear_slots();
        }
        CandidateView {
            roster,
            now,
            columns: self,
        }
    }

    fn clear_slots(&mut self) {
        self.ready_slots.clear();
        self.busy_slots.clear();
        self.heartbeat_times.clear();
    }

    fn clear_counters(&mut self) {
        self.busy.clear();
        self.elected.clear();
        self.transferred.clear();
        self.read.clear();
        self.latency_us.clear();
        self.consecutive_failures.clear();
        self.heartbeat_age_ms.clear();
    }
}

/// When a heartbeat arrived: milliseconds, and nanoseconds beyond them.
#[derive(Clone, Copy, Default)]
struct HeartbeatTime {
    milliseconds: u64,
    rest: u32,
}

impl HeartbeatTime {
    /// No heartbeat arrived.
    const NEVER: Self = Self {
        milliseconds: u64::MAX,
        rest: 0,
    };

    fn at(moment: Duration) -> Self {
        Self {
            // No less than 500 million years.
            milliseconds: u64::try_from(moment.as_millis()).unwrap_or(u64::MAX - 1),
            rest: moment.subsec_nanos() % 1_000_000,
        }
    }

    /// Whole milliseconds until `now`; 0 for a heartbeat from the future, `u32::MAX` for none.
    #[inline]
    fn age_ms(self, now: Self) -> u32 {
        let begun = u64::from(now.rest < self.rest);
        let age = now.milliseconds.saturating_sub(self.milliseconds);
        let age = age.saturating_sub(begun);
        match self.milliseconds {
            u64::MAX => u32::MAX,
            _ => u32::try_from(age).unwrap_or(u32::MAX),
        }
    }
}

/// One column: gathered when first read, its memory reused by the next decision.
#[derive(Default)]
struct Column<T> {
    gathered: OnceCell<Vec<T>>,
    spare: Cell<Vec<T>>,
}

impl<T: Copy> Column<T> {
    fn clear(&mut self) {
        if let Some(numbers) = self.gathered.take() {
            self.spare.set(numbers);
        }
    }

    #[inline]
    fn gather(&self, numbers: impl Iterator<Item = T>) -> &[T] {
        self.gathered.get_or_init(|| {
            let mut column = self.spare.take();
            column.clear();
            column.extend(numbers);
            column
        })
    }

    /// The column has been gathered.
    fn gather_all(&self, column: Vec<T>) {
        self.gathered.get_or_init(|| column);
    }

    /// Copies another column but for these indices, if that one has been gathered.
    fn copy_without(&mut self, all: &Self, indices: &[usize]) {
        self.clear();
        if let Some(all) = all.gathered.get() {
            let mut column = self.spare.take();
            copy_without(&mut column, all, indices);
            self.gathered = OnceCell::from(column);
        }
    }
}

/// Copies all but what is at these indices, which ascend: range by range.
fn copy_without<T: Copy>(to: &mut Vec<T>, all: &[T], indices: &[usize]) {
    to.clear();
    let mut start = 0;
    for &index in indices {
        to.extend_from_slice(&all[start..index]);
        start = index + 1;
    }
    to.extend_from_slice(&all[start..]);
}

/// Some members of a balancer, as candidates.
pub(crate) struct CandidateView<'a> {
    roster: &'a Roster,
    now: Duration,
    columns: &'a CandidateColumns,
}

impl CandidateView<'_> {
    fn counters(&self) -> impl Iterator<Item = &Counters> {
        let counters = &self.roster.counters;
        let positions = self.columns.positions.iter();
        positions.map(|&position| &*counters[position])
    }

    /// The same, for a column that is good for this decision only.
    fn counters_now(&self) -> impl Iterator<Item = &Counters> {
        self.columns.has_counters.set(true);
        self.counters()
    }

    /// Gathers both directions at once: a selector that reads one mostly reads the other, and the counters are adjacent.
    fn gather_bytes(&self) {
        let (to, from) = (&self.columns.transferred, &self.columns.read);
        if to.gathered.get().is_some() {
            return;
        }
        let (mut sent, mut received) = (to.spare.take(), from.spare.take());
        sent.resize(self.len(), 0);
        received.resize(self.len(), 0);
        let entries = sent.iter_mut().zip(&mut received);
        for ((sent, received), counters) in entries.zip(self.counters_now()) {
            *sent = counters.transferred();
            *received = counters.read();
        }
        to.gather_all(sent);
        from.gather_all(received);
    }
}

impl Candidates for CandidateView<'_> {
    fn len(&self) -> usize {
        self.columns.positions.len()
    }

    fn ids(&self) -> &[u32] {
        let members = &self.roster.members;
        let positions = self.columns.positions.iter();
        let ids = positions.map(|&position| members[position].id);
        self.columns.ids.gather(ids)
    }

    fn weights(&self) -> &[u32] {
        let members = &self.roster.members;
        let positions = self.columns.positions.iter();
        let weights = positions.map(|&position| members[position].settings.lbfactor);
        self.columns.weights.gather(weights)
    }

    fn busy(&self) -> &[u32] {
        self.columns
            .busy
            .gather(self.counters_now().map(Counters::busy))
    }

    fn elected(&self) -> &[u64] {
        let elected = self.counters_now().map(Counters::elected);
        self.columns.elected.gather(elected)
    }

    fn bytes_sent(&self) -> &[u64] {
        self.gather_bytes();
        self.columns.transferred.gather(std::iter::empty())
    }

    fn bytes_received(&self) -> &[u64] {
        self.gather_bytes();
        self.columns.read.gather(std::iter::empty())
    }

    fn latency_us(&self) -> &[u32] {
        let latency = self.counters_now().map(Counters::latency_us);
        self.columns.latency_us.gather(latency)
    }

    fn consecutive_failures(&self) -> &[u32] {
        let failures = self.counters_now().map(Counters::consecutive_failures);
        self.columns.consecutive_failures.gather(failures)
    }

    fn ready_slots(&self) -> &[u32] {
        let reports = self.counters().map(Counters::heartbeat);
        let ready = reports.map(|report| report.map_or(0, |report| report.ready));
        self.columns.ready_slots.gather(ready)
    }

    fn busy_slots(&self) -> &[u32] {
        let reports = self.counters().map(Counters::heartbeat);
        let busy = reports.map(|report| report.map_or(0, |report| report.busy));
        self.columns.busy_slots.gather(busy)
    }

    fn heartbeat_age_ms(&self) -> &[u32] {
        let reports = self.counters().map(Counters::heartbeat);
        let times = reports
            .map(|report| report.map_or(HeartbeatTime::NEVER, |it| HeartbeatTime::at(it.at)));
        let times = self.columns.heartbeat_times.gather(times);
        let now = HeartbeatTime::at(self.now);
        self.columns.has_counters.set(true);
        let ages = times.iter().map(|time| time.age_ms(now));
        self.columns.heartbeat_age_ms.gather(ages)
    }

    fn restrict_fallback(&self, positions: &[usize]) {
        let mut restricted = self.columns.restricted.borrow_mut();
        restricted.clear();
        restricted.extend_from_slice(positions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_whole_milliseconds() {
        let table = [
            (0, 0, 0),
            (0, 999_999, 0),
            (0, 1_000_000, 1),
            (1_999_999, 2_000_000, 0),
            (1_999_999, 2_999_998, 0),
            (1_999_999, 2_999_999, 1),
            // From the future.
            (5_000_001, 5_000_000, 0),
            (5_000_000, 0, 0),
            (1, u64::MAX, u32::MAX),
        ];
        for (heartbeat, now, expected) in table {
            let at = |moment| HeartbeatTime::at(Duration::from_nanos(moment));
            assert_eq!(at(heartbeat).age_ms(at(now)), expected, "{heartbeat} {now}");
        }
        assert_eq!(
            HeartbeatTime::NEVER.age_ms(HeartbeatTime::at(Duration::ZERO)),
            u32::MAX
        );
    }

    #[test]
    fn copies_leave_out_indices_at_both_ends_and_between() {
        for indices in [&[][..], &[0], &[4], &[0, 1, 4], &[2, 3], &[0, 1, 2, 3, 4]] {
            let mut copy = vec![9];
            copy_without(&mut copy, &[0, 1, 2, 3, 4], indices);
            let expected = (0..5).filter(|index| !indices.contains(index));
            assert_eq!(copy, expected.collect::<Vec<_>>());
        }
    }
}
