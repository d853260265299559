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
pub(crate) struct Columns {
    /// The members' places in their roster.
    positions: Vec<usize>,
    /// That roster, where the list may be the same again; its memory is not used for others while this is held.
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
    /// Whether anything of these was gathered.
    has_counters: Cell<bool>,
    // Stay the same until a heartbeat comes.
    ready_slots: Column<u32>,
    busy_slots: Column<u32>,
    heard: Column<Heard>,
    /// How many had come before those were gathered.
    beats: u64,
    narrowed: RefCell<Vec<usize>>,
}

impl Columns {
    pub(crate) fn positions(&self) -> &[usize] {
        &self.positions
    }

    /// Makes it the list of the members at these positions.
    pub(crate) fn list(&mut self, positions: impl IntoIterator<Item = usize>) {
        self.positions.clear();
        self.positions.extend(positions);
        self.ids.clear();
        self.weights.clear();
        self.clear_slots();
    }

    /// The same, which may be the list that it is already: then what was gathered is kept.
    pub(crate) fn list_again(&mut self, roster: &Arc<Roster>, positions: &[usize]) {
        let is_same = addr_eq(self.roster.as_ptr(), Arc::as_ptr(roster));
        if !(is_same && self.positions == positions) {
            self.list(positions.iter().copied());
            self.roster = Arc::downgrade(roster);
        }
    }

    /// Makes it the list of the same members but for those at these places of it, in ascending order.
    pub(crate) fn list_without(&mut self, all: &Self, places: &[usize]) {
        copy_without(&mut self.positions, &all.positions, places);
        self.ids.copy_without(&all.ids, places);
        self.weights.copy_without(&all.weights, places);
        self.clear_slots();
    }

    /// Makes it the list of those that `all` were narrowed to in the last decision; tells whether that is anybody.
    pub(crate) fn list_narrowed(&mut self, all: &Self) -> bool {
        let narrowed = all.narrowed.borrow();
        let positions = narrowed
            .iter()
            .filter_map(|&place| all.positions.get(place));
        self.list(positions.copied());
        !self.positions.is_empty()
    }

    /// Views the list at `now`, when counters may be others than in the decision before.
    #[inline]
    pub(crate) fn view<'a>(&'a mut self, roster: &'a Roster, now: Duration) -> View<'a> {
        self.narrowed.get_mut().clear();
        if self.has_counters.take() {
            self.clear_counters();
        }
        let beats = roster.generations.beats();
        if self.beats != beats {
            self.beats = beats;
            self.clear_slots();
        }
        View {
            roster,
            now,
            columns: self,
        }
    }

    fn clear_slots(&mut self) {
        self.ready_slots.clear();
        self.busy_slots.clear();
        self.heard.clear();
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
struct Heard {
    milliseconds: u64,
    rest: u32,
}

impl Heard {
    /// None did.
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

    /// Whole milliseconds from there to `now`; 0 where it is to come, the most where there was none.
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

/// One column: gathered when first asked for, its memory taken over from the decision before.
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

    /// The same as another column but at these places; gathered if that is.
    fn copy_without(&mut self, all: &Self, places: &[usize]) {
        self.clear();
        if let Some(all) = all.gathered.get() {
            let mut column = self.spare.take();
            copy_without(&mut column, all, places);
            self.gathered = OnceCell::from(column);
        }
    }
}

/// Copies all but what is at these places, which ascend: stretch by stretch.
fn copy_without<T: Copy>(to: &mut Vec<T>, all: &[T], places: &[usize]) {
    to.clear();
    let mut start = 0;
    for &place in places {
        to.extend_from_slice(&all[start..place]);
        start = place + 1;
    }
    to.extend_from_slice(&all[start..]);
}

/// Some members of a balancer, as candidates.
pub(crate) struct View<'a> {
    roster: &'a Roster,
    now: Duration,
    columns: &'a Columns,
}

impl View<'_> {
    fn counters(&self) -> impl Iterator<Item = &Counters> {
        let counters = &self.roster.counters;
        let positions = self.columns.positions.iter();
        positions.map(|&position| &*counters[position])
    }

    /// The same, for a column that is of this decision only.
    fn passing(&self) -> impl Iterator<Item = &Counters> {
        self.columns.has_counters.set(true);
        self.counters()
    }

    /// Both directions at once: who asks for one mostly asks for the other, and the counters lie beside each other.
    fn gather_bytes(&self) {
        let (to, from) = (&self.columns.transferred, &self.columns.read);
        if to.gathered.get().is_some() {
            return;
        }
        let (mut sent, mut received) = (to.spare.take(), from.spare.take());
        sent.resize(self.len(), 0);
        received.resize(self.len(), 0);
        let entries = sent.iter_mut().zip(&mut received);
        for ((sent, received), counters) in entries.zip(self.passing()) {
            *sent = counters.transferred();
            *received = counters.read();
        }
        to.gather_all(sent);
        from.gather_all(received);
    }
}

impl Candidates for View<'_> {
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
        self.columns.busy.gather(self.passing().map(Counters::busy))
    }

    fn elected(&self) -> &[u64] {
        let elected = self.passing().map(Counters::elected);
        self.columns.elected.gather(elected)
    }

    fn transferred(&self) -> &[u64] {
        self.gather_bytes();
        self.columns.transferred.gather(std::iter::empty())
    }

    fn read(&self) -> &[u64] {
        self.gather_bytes();
        self.columns.read.gather(std::iter::empty())
    }

    fn latency_us(&self) -> &[u32] {
        let latency = self.passing().map(Counters::latency_us);
        self.columns.latency_us.gather(latency)
    }

    fn consecutive_failures(&self) -> &[u32] {
        let failures = self.passing().map(Counters::consecutive_failures);
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
        let heard = reports.map(|report| report.map_or(Heard::NEVER, |it| Heard::at(it.at)));
        let heard = self.columns.heard.gather(heard);
        let now = Heard::at(self.now);
        self.columns.has_counters.set(true);
        let ages = heard.iter().map(|heard| heard.age_ms(now));
        self.columns.heartbeat_age_ms.gather(ages)
    }

    fn narrow(&self, positions: &[usize]) {
        let mut narrowed = self.columns.narrowed.borrow_mut();
        narrowed.clear();
        narrowed.extend_from_slice(positions);
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
        for (heard, now, expected) in table {
            let at = |moment| Heard::at(Duration::from_nanos(moment));
            assert_eq!(at(heard).age_ms(at(now)), expected, "{heard} {now}");
        }
        assert_eq!(Heard::NEVER.age_ms(Heard::at(Duration::ZERO)), u32::MAX);
    }

    #[test]
    fn copies_leave_out_places_at_both_ends_and_between() {
        for places in [&[][..], &[0], &[4], &[0, 1, 4], &[2, 3], &[0, 1, 2, 3, 4]] {
            let mut copy = vec![9];
            copy_without(&mut copy, &[0, 1, 2, 3, 4], places);
            let expected = (0..5).filter(|place| !places.contains(place));
            assert_eq!(copy, expected.collect::<Vec<_>>());
        }
    }
}
