//! The minimum rate at which a peer that is waited for has to send or take.

use std::time::Duration;

use tokio::time::Instant;

/// The credit at first and at most: how long a peer may be waited for without a byte, and how far ahead faster bytes count.
pub(crate) const MAX_CREDIT: Duration = Duration::from_secs(10);

/// Keeps a credit of time for a peer.
///
/// Waiting uses the credit up, second by second; bytes that end a wait add the time that they would have taken at the minimum
/// rate, up to [`MAX_CREDIT`]. A peer without credit is too slow: so over any length of time the average rate of the waits is at
/// least the minimum, but for the first ten seconds. Time in which the peer is not waited for does not count.
///
/// | at 100 bytes a second | credit  |
/// |-----------------------|---------|
/// | begin                 | 10 s    |
/// | 4 s, then 200 bytes   | 8 s     |
/// | 6 s, then 10 000 bytes| 10 s    |
/// | 10 s, and nothing     | too slow|
#[derive(Debug)]
pub(crate) struct MinRate {
    /// In bytes a second; 0 for any.
    min_rate: usize,
    credit: Duration,
    waiting_since: Option<Instant>,
}

impl MinRate {
    /// With all its credit. `min_rate` is in bytes a second; 0 is for any.
    pub(crate) fn new(min_rate: usize) -> Self {
        Self {
            min_rate,
            credit: MAX_CREDIT,
            waiting_since: None,
        }
    }

    /// Waits from now on, unless it does already.
    pub(crate) fn wait(&mut self, now: Instant) {
        self.waiting_since.get_or_insert(now);
    }

    /// Whether it waits.
    pub(crate) fn is_waiting(&self) -> bool {
        self.waiting_since.is_some()
    }

    /// Some bytes have passed, which ends the wait. Without a wait they do not count.
    pub(crate) fn record(&mut self, bytes: usize, now: Instant) {
        let Some(since) = self.waiting_since.take() else {
            return;
        };
        let left = self.credit.saturating_sub(now.duration_since(since));
        self.credit = left.saturating_add(self.credit_for(bytes)).min(MAX_CREDIT);
    }

    /// When the peer will be too slow, if nothing comes; `None` while it is not waited for, or for any rate.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let since = self.waiting_since.filter(|_| self.min_rate > 0)?;
        Some(since + self.credit)
    }

    /// How long bytes may take.
    fn credit_for(&self, bytes: usize) -> Duration {
        match u64::try_from(self.min_rate) {
            Ok(min_rate @ 1..) => {
                let micros = (bytes as u64).saturating_mul(1_000_000) / min_rate;
                Duration::from_micros(micros)
            }
            _ => MAX_CREDIT,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn waits_use_credit_up_and_bytes_add_to_it() {
        // At 100 bytes a second: seconds waited, bytes then, and what is left.
        let table = [
            (4, 200, 8_000),
            (6, 10_000, 10_000),
            (10, 1, 10),
            (1, 50, 500),
            (0, 0, 500),
            (1, 0, 0),
            (3, 100, 1_000),
            (100, usize::MAX, 10_000),
        ];
        let mut now = Instant::now();
        let mut rate = MinRate::new(100);
        for (seconds, bytes, left) in table {
            rate.wait(now);
            now += seconds * SECOND;
            rate.record(bytes, now);
            assert_eq!(rate.credit.as_millis(), left, "{seconds} s, {bytes} bytes");
        }
    }

    #[test]
    fn a_peer_has_ten_seconds_and_its_credit() {
        let start = Instant::now();
        let mut rate = MinRate::new(100);
        assert_eq!(rate.deadline(), None);
        rate.wait(start);
        rate.wait(start + 5 * SECOND);
        assert_eq!(rate.deadline(), Some(start + MAX_CREDIT));
        rate.record(300, start + 5 * SECOND);
        assert_eq!(rate.deadline(), None);
        rate.wait(start + 60 * SECOND);
        assert_eq!(rate.deadline(), Some(start + 68 * SECOND));
    }

    #[test]
    fn a_byte_a_second_is_too_slow_and_the_rate_is_not() {
        for (bytes, lasts) in [(1, false), (99, false), (100, true), (1_000, true)] {
            let mut now = Instant::now();
            let mut rate = MinRate::new(100);
            let lasted = (0..10_000).all(|_| {
                rate.wait(now);
                now += SECOND;
                let is_in_time = rate.deadline().is_some_and(|deadline| now <= deadline);
                rate.record(bytes, now);
                is_in_time
            });
            assert_eq!(lasted, lasts, "{bytes} bytes a second");
        }
    }

    #[test]
    fn any_rate_is_never_too_slow() {
        let now = Instant::now();
        let mut rate = MinRate::new(0);
        rate.wait(now);
        assert_eq!(rate.deadline(), None);
        rate.record(0, now + 1_000 * SECOND);
        rate.wait(now + 1_000 * SECOND);
        assert_eq!(rate.deadline(), None);
    }
}
