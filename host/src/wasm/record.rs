//! What is remembered of a version's faults, and when they are too many.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::fault::FaultKind;

/// Within which time `max-faults` are too many.
pub(crate) const WINDOW: Duration = Duration::from_secs(10);

/// The life of one version, over all its instances.
#[derive(Debug)]
pub(crate) struct Record {
    /// Calls that were answered, faults included.
    calls: AtomicU64,
    /// Calls answered with none: the fallback was asked to decide.
    declined: AtomicU64,
    /// By the number of the kind.
    faults: [AtomicU64; FaultKind::ALL.len()],
    max_faults: usize,
    /// When the last faults were, at most `max_faults` of them.
    recent: Mutex<VecDeque<Instant>>,
    quarantined: AtomicBool,
}

impl Record {
    pub(super) fn new(max_faults: usize) -> Self {
        Self {
            calls: AtomicU64::new(0),
            declined: AtomicU64::new(0),
            faults: Default::default(),
            max_faults,
            recent: Mutex::default(),
            quarantined: AtomicBool::new(false),
        }
    }

    pub(super) fn count_call(&self) {
        self.calls.fetch_add(1, Relaxed);
    }

    pub(super) fn count_declined(&self) {
        self.declined.fetch_add(1, Relaxed);
    }

    /// Counts a fault; tells whether it was the one that puts the version out of service.
    pub(super) fn count_fault(&self, kind: FaultKind, now: Instant) -> bool {
        self.faults[kind as usize].fetch_add(1, Relaxed);
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
    pub(crate) fn is_quarantined(&self) -> bool {
        self.quarantined.load(Relaxed)
    }

    /// What was counted since the version was loaded, in words: `120 calls, 3 declined; faults: 4 trap, 1 deadline`.
    pub(crate) fn summary(&self) -> String {
        let faults: Vec<String> = FaultKind::ALL
            .into_iter()
            .map(|kind| (self.faults(kind), kind))
            .filter(|(count, _)| *count > 0)
            .map(|(count, kind)| format!("{count} {kind}"))
            .collect();
        let (calls, declined) = (self.calls.load(Relaxed), self.declined.load(Relaxed));
        format!(
            "{calls} calls, {declined} declined; faults: {}",
            faults.join(", ")
        )
    }

    /// Calls since the version was loaded, faults included.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Relaxed)
    }

    /// Calls that left the decision to the fallback.
    pub(crate) fn declined(&self) -> u64 {
        self.declined.load(Relaxed)
    }

    /// Faults by the names of their kinds; of those kinds that there were.
    pub(crate) fn faults_by_kind(&self) -> BTreeMap<String, u64> {
        let counted = FaultKind::ALL.map(|kind| (kind.to_string(), self.faults(kind)));
        counted
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// Faults of a kind since the version was loaded.
    fn faults(&self, kind: FaultKind) -> u64 {
        self.faults[kind as usize].load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts faults at these seconds; tells at which of them the version was put out of service.
    fn quarantined_at(max_faults: usize, seconds: &[u64]) -> Option<u64> {
        let record = Record::new(max_faults);
        let start = Instant::now();
        let mut faults = seconds.iter().copied();
        faults.find(|&at| record.count_fault(FaultKind::Trap, start + Duration::from_secs(at)))
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

    #[test]
    fn quarantine_is_told_once() {
        let record = Record::new(1);
        let now = Instant::now();
        assert!(record.count_fault(FaultKind::Memory, now));
        assert!(!record.count_fault(FaultKind::Memory, now));
        assert!(record.is_quarantined());
        assert_eq!(record.faults(FaultKind::Memory), 2);
        assert_eq!(record.faults(FaultKind::Trap), 0);
    }
}
