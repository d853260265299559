//! The least rate at which somebody who is waited for has to send or to take.

use std::time::Duration;

use tokio::time::Instant;

/// How long somebody may be waited for in all without a byte, whatever the rate; and how far ahead what came faster counts.
pub(crate) const GRACE: Duration = Duration::from_secs(10);

/// Keeps account of somebody who is waited for now and then.
///
/// The account holds time, at most [`GRACE`], which is what it begins with. Waiting takes from it, second by second; bytes
/// that end a wait pay in what they would have taken at the least rate. Who has used it up is too slow: so over any length of
/// time the average of the waits is at least the rate, but for the first ten seconds, and a time in which we do not wait
/// counts for nothing.
///
/// | at 100 bytes a second | account |
/// |-----------------------|---------|
/// | begin                 | 10 s    |
/// | 4 s, then 200 bytes   | 8 s     |
/// | 6 s, then 10 000 bytes| 10 s    |
/// | 10 s, and nothing     | too slow|
#[derive(Debug)]
pub(crate) struct Rate {
    /// In bytes a second; 0 for any.
    least: usize,
    account: Duration,
    waiting_since: Option<Instant>,
}

impl Rate {
    /// A new account. `least` is in bytes a second; 0 is for any.
    pub(crate) fn new(least: usize) -> Self {
        Self {
            least,
            account: GRACE,
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

    /// Some bytes have passed, which ends the wait. Without a wait they count for nothing.
    pub(crate) fn pass(&mut self, bytes: usize, now: Instant) {
        let Some(since) = self.waiting_since.take() else {
            return;
        };
        let left = self.account.saturating_sub(now.duration_since(since));
        self.account = left.saturating_add(self.worth(bytes)).min(GRACE);
    }

    /// When who is waited for will have been too slow, if nothing comes; `None` while nobody is, or for any rate.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let since = self.waiting_since.filter(|_| self.least > 0)?;
        Some(since + self.account)
    }

    /// How long bytes may take.
    fn worth(&self, bytes: usize) -> Duration {
        match u64::try_from(self.least) {
            Ok(least @ 1..) => {
                let micros = (bytes as u64).saturating_mul(1_000_000) / least;
                Duration::from_micros(micros)
            }
            _ => GRACE,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_account_is_kept_as_told() {
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
        let mut rate = Rate::new(100);
        for (seconds, bytes, left) in table {
            rate.wait(now);
            now += seconds * SECOND;
            rate.pass(bytes, now);
            assert_eq!(rate.account.as_millis(), left, "{seconds} s, {bytes} bytes");
        }
    }

    #[test]
    fn who_is_waited_for_has_ten_seconds_and_what_was_paid_in() {
        let start = Instant::now();
        let mut rate = Rate::new(100);
        assert_eq!(rate.deadline(), None);
        rate.wait(start);
        rate.wait(start + 5 * SECOND);
        assert_eq!(rate.deadline(), Some(start + GRACE));
        rate.pass(300, start + 5 * SECOND);
        assert_eq!(rate.deadline(), None);
        rate.wait(start + 60 * SECOND);
        assert_eq!(rate.deadline(), Some(start + 68 * SECOND));
    }

    #[test]
    fn a_byte_a_second_is_too_slow_and_the_rate_is_not() {
        for (bytes, lasts) in [(1, false), (99, false), (100, true), (1_000, true)] {
            let mut now = Instant::now();
            let mut rate = Rate::new(100);
            let lasted = (0..10_000).all(|_| {
                rate.wait(now);
                now += SECOND;
                let is_in_time = rate.deadline().is_some_and(|deadline| now <= deadline);
                rate.pass(bytes, now);
                is_in_time
            });
            assert_eq!(lasted, lasts, "{bytes} bytes a second");
        }
    }

    #[test]
    fn any_rate_is_never_too_slow() {
        let now = Instant::now();
        let mut rate = Rate::new(0);
        rate.wait(now);
        assert_eq!(rate.deadline(), None);
        rate.pass(0, now + 1_000 * SECOND);
        rate.wait(now + 1_000 * SECOND);
        assert_eq!(rate.deadline(), None);
    }
}
