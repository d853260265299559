//! Counts a version's calls and faults, and decides when faults are too many.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::clock::Nanos;
use equipoise_balancer::FaultKind;
use equipoise_metrics::{CALLS, Counter, Histogram};

/// Window in which `max-faults` put a version out of service.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// Every 16th call is timed: reading the clock twice takes as long as a short call.
const TIMED_EVERY: u64 = 16;

/// Counters of calls.
#[derive(Debug)]
struct Counters {
    /// Calls, faults included.
    calls: Counter,
    /// Calls that returned none: the fallback decided.
    declined: Counter,
    /// Calls that were not made since the plugin was over its budget.
    over_budget: Counter,
    /// Nanoseconds that calls took, as they were charged.
    spent: Counter,
    /// By the number of the kind.
    faults: [Counter; FaultKind::ALL.len()],
    /// How long those that were timed took.
    durations: Histogram,
    /// How often the plugin was put into service.
    installed: Counter,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            calls: Counter::default(),
            declined: Counter::default(),
            over_budget: Counter::default(),
            spent: Counter::default(),
            faults: Default::default(),
            durations: Histogram::new(CALLS),
            installed: Counter::default(),
        }
    }
}

/// Statistics of one version, over all its instances.
#[derive(Debug)]
pub struct Stats {
    own: Counters,
    /// Of all versions of the plugin.
    plugin: Arc<Counters>,
    max_faults: usize,
    /// When the last faults were, at most `max_faults` of them.
    recent: Mutex<VecDeque<Instant>>,
    quarantined: AtomicBool,
    /// The last second that was a fault for being over budget, and one more.
    over_budget_until: AtomicU64,
}

impl Stats {
    pub(super) fn new(max_faults: usize) -> Self {
        Self {
            own: Counters::default(),
            plugin: Arc::default(),
            max_faults,
            recent: Mutex::default(),
            quarantined: AtomicBool::new(false),
            over_budget_until: AtomicU64::new(0),
        }
    }

    /// Counts a call; returns its start if it is timed.
    #[inline]
    pub(super) fn count_call(&self) -> Option<Instant> {
        self.plugin.calls.add(1);
        let number = self.own.calls.next();
        number.is_multiple_of(TIMED_EVERY).then(Instant::now)
    }

    /// A call that is timed is over.
    pub(super) fn count_duration(&self, duration: Duration) {
        self.own.durations.observe(duration);
        self.plugin.durations.observe(duration);
    }

    pub(super) fn count_declined(&self) {
        self.own.declined.add(1);
        self.plugin.declined.add(1);
    }

    /// A call was not made since the plugin was over its budget.
    pub(super) fn count_over_budget(&self) {
        self.own.over_budget.add(1);
        self.plugin.over_budget.add(1);
    }

    /// A call took so long.
    pub(super) fn count_spent(&self, spent: Nanos) {
        self.plugin.spent.add(spent);
    }

    /// Whether this second, in which one of its budgets was overdrawn for too long, is the first fault for that: the others
    /// of the same second are none.
    pub(super) fn is_first_over_budget(&self, second: u64) -> bool {
        self.over_budget_until.fetch_max(second + 1, Relaxed) <= second
    }

    /// The version is of the same plugin as another: counts on from that one's numbers. To be called before it serves.
    pub(super) fn join(&mut self, other: &Self) {
        self.plugin = other.plugin.clone();
    }

    /// The version comes into service.
    pub fn note_installed(&self) {
        self.plugin.installed.add(1);
    }

    /// Counts a fault; tells whether it was the one that puts the version out of service.
    pub(super) fn count_fault(&self, kind: FaultKind, now: Instant) -> bool {
        self.own.faults[kind as usize].add(1);
        self.plugin.faults[kind as usize].add(1);
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.push_back(now);
        if recent.len() > self.max_faults {
            recent.pop_front();
        }
        let first = recent.front().copied().unwrap_or(now);
        let too_many =
            recent.len() >= self.max_faults && now.saturating_duration_since(first) < WINDOW;
        too_many && !self.quarantined.swap(true, Relaxed)
    }

    /// Whether the version is out of service for its faults.
    pub fn is_quarantined(&self) -> bool {
        self.quarantined.load(Relaxed)
    }

    /// What was counted since the version was loaded, in words: `120 calls, 3 declined, 0 over budget; faults: 4
    /// trap, 1 deadline`.
    pub fn summary(&self) -> String {
        let faults: Vec<String> = FaultKind::ALL
            .into_iter()
            .map(|kind| (self.own.faults[kind as usize].get(), kind))
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect();
        let (calls, declined) = (self.own.calls.get(), self.own.declined.get());
        let over_budget = self.own.over_budget.get();
        format!(
            "{calls} calls, {declined} declined, {over_budget} over budget; faults: {}",
            faults.join(", ")
        )
    }

    /// Calls of the plugin, faults included, over all its versions.
    pub fn calls(&self) -> u64 {
        self.plugin.calls.get()
    }

    /// Calls of the plugin that left the decision to the fallback, over all its versions.
    pub fn declined(&self) -> u64 {
        self.plugin.declined.get()
    }

    /// Calls that were not made since the plugin was over its budget, over all its versions.
    pub fn over_budget(&self) -> u64 {
        self.plugin.over_budget.get()
    }

    /// Seconds that calls of the plugin took, as they were charged to its budget, over all its versions.
    pub fn seconds(&self) -> f64 {
        Duration::from_nanos(self.plugin.spent.get()).as_secs_f64()
    }

    /// Faults of a kind of the plugin, over all its versions.
    pub fn faults(&self, kind: FaultKind) -> u64 {
        self.plugin.faults[kind as usize].get()
    }

    /// How often the plugin was exchanged while it served.
    pub fn swaps(&self) -> u64 {
        self.plugin.installed.get().saturating_sub(1)
    }

    /// How long calls of the plugin took, over all its versions; of one in 16.
    pub fn durations(&self) -> &Histogram {
        &self.plugin.durations
    }

    /// The time that half of this version's calls did not exceed, in microseconds; 0 before the first.
    pub fn p50_us(&self) -> f64 {
        self.own.durations.quantile_us(0.5)
    }

    /// The time that 99 % of this version's calls did not exceed, in microseconds; 0 before the first.
    pub fn p99_us(&self) -> f64 {
        self.own.durations.quantile_us(0.99)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts faults at these seconds; tells at which of them the version was put out of service.
    fn quarantined_at(max_faults: usize, seconds: &[u64]) -> Option<u64> {
        let stats = Stats::new(max_faults);
        let start = Instant::now();
        let mut faults = seconds.iter().copied();
        faults.find(|&at| stats.count_fault(FaultKind::Trap, start + Duration::from_secs(at)))
    }

    #[test]
    fn version_is_quarantined_by_as_many_faults_within_ten_seconds() {
        let table: &[(usize, &[u64], Option<u64>)] = &[
            (5, &[0, 1, 2, 3, 4], Some(4)),
            (5, &[0, 1, 2, 3], None),
            (5, &[0, 1, 2, 3, 10], None),
            (5, &[0, 1, 2, 3, 10, 10], Some(10)),
            (2, &[0, 10, 20, 29], Some(29)),
            (1, &[7], Some(7)),
        ];
        for (max_faults, seconds, expected) in table {
            assert_eq!(
                quarantined_at(*max_faults, seconds),
                *expected,
                "{seconds:?}"
            );
        }
    }

    /// A plugin's numbers only grow, whichever version serves.
    #[test]
    fn numbers_go_on_over_versions_and_back() {
        let (first, mut second) = (Stats::new(9), Stats::new(9));
        let now = Instant::now();
        let call = |stats: &Stats, calls: u64| {
            for _ in 0..calls {
                if stats.count_call().is_some() {
                    stats.count_duration(Duration::from_micros(1));
                }
            }
        };
        first.note_installed();
        call(&first, 17);
        first.count_declined();
        assert_eq!((first.calls(), first.swaps()), (17, 0));
        second.join(&first);
        second.note_installed();
        call(&second, 3);
        second.count_fault(FaultKind::Trap, now);
        // Requests of before are still under way.
        call(&first, 1);
        for stats in [&first, &second] {
            assert_eq!((stats.calls(), stats.declined()), (21, 1));
            assert_eq!((stats.faults(FaultKind::Trap), stats.swaps()), (1, 1));
            assert_eq!(stats.durations().count(), 3);
        }
        assert!(
            second
                .summary()
                .starts_with("3 calls, 0 declined, 0 over budget")
        );
    }

    #[test]
    fn one_call_in_16_is_timed() {
        let stats = Stats::new(1);
        let timed = (0..160).filter(|_| stats.count_call().is_some()).count();
        assert_eq!(timed, 10);
    }

    #[test]
    fn a_second_over_budget_is_one_fault_however_many_budgets_are_overdrawn() {
        let stats = Stats::new(5);
        let reported = [0, 0, 3, 3, 2, 4].map(|second| stats.is_first_over_budget(second));
        assert_eq!(reported, [true, false, true, false, false, true]);
    }

    #[test]
    fn quarantine_is_reported_once() {
        let stats = Stats::new(1);
        let now = Instant::now();
        assert!(stats.count_fault(FaultKind::Memory, now));
        assert!(!stats.count_fault(FaultKind::Memory, now));
        assert!(stats.is_quarantined());
        assert_eq!(stats.faults(FaultKind::Memory), 2);
        assert_eq!(stats.faults(FaultKind::Trap), 0);
    }
}
