//! Lines of the log that anybody can cause, and so come now and then only.

use std::time::{Duration, Instant};

/// At least so much time lies between two lines of a kind.
const PAUSE: Duration = Duration::from_secs(10);

/// Something that goes wrong again and again.
#[derive(Debug, Default)]
pub(super) struct Complaint {
    /// When it was last told.
    told: Option<Instant>,
    /// How often it has happened since.
    untold: u64,
}

impl Complaint {
    /// It has happened once more. Where it is time for a line: how often it has since the last.
    pub(super) fn count(&mut self, now: Instant) -> Option<u64> {
        self.untold += 1;
        let is_early = |told| now.saturating_duration_since(told) < PAUSE;
        if self.told.is_some_and(is_early) {
            return None;
        }
        self.told = Some(now);
        Some(std::mem::take(&mut self.untold))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_is_told_at_once_and_the_others_together() {
        let start = Instant::now();
        let mut complaint = Complaint::default();
        let mut at = |milliseconds| complaint.count(start + Duration::from_millis(milliseconds));
        let told = [0, 1, 9_999, 10_000, 10_001, 30_000].map(&mut at);
        assert_eq!(told, [Some(1), None, None, Some(3), None, Some(2)]);
    }
}
