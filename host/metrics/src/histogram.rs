//! How times are distributed, in buckets whose bounds never change.

use std::time::Duration;

use super::Counter;

/// The upper bounds of buckets, in nanoseconds, ascending. What is longer than the last has a bucket of its own.
pub type Bounds = &'static [u64];

const MICROSECOND: u64 = 1_000;
const MILLISECOND: u64 = 1_000_000;
const SECOND: u64 = 1_000_000_000;

/// For requests: half a millisecond to a minute.
pub const DURATIONS: Bounds = &[
    500 * MICROSECOND,
    MILLISECOND,
    2_500 * MICROSECOND,
    5 * MILLISECOND,
    10 * MILLISECOND,
    25 * MILLISECOND,
    50 * MILLISECOND,
    100 * MILLISECOND,
    250 * MILLISECOND,
    500 * MILLISECOND,
    SECOND,
    2_500 * MILLISECOND,
    5 * SECOND,
    10 * SECOND,
    30 * SECOND,
    60 * SECOND,
];

/// For calls of plugins: a quarter of a microsecond to 16 ms, each twice the one before.
pub const CALLS: Bounds = &[
    250,
    500,
    MICROSECOND,
    2 * MICROSECOND,
    4 * MICROSECOND,
    8 * MICROSECOND,
    16 * MICROSECOND,
    32 * MICROSECOND,
    64 * MICROSECOND,
    128 * MICROSECOND,
    256 * MICROSECOND,
    512 * MICROSECOND,
    MILLISECOND,
    2 * MILLISECOND,
    4 * MILLISECOND,
    8 * MILLISECOND,
    16 * MILLISECOND,
];

/// Times, counted by how long they are.
#[derive(Debug)]
pub struct Histogram {
    bounds: Bounds,
    /// One for each bound, and one for what is longer than all.
    buckets: Box<[Counter]>,
    /// All of them together, in nanoseconds.
    sum: Counter,
}

impl Histogram {
    /// Without any times yet; [`DURATIONS`] and [`CALLS`] are bounds.
    pub fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            buckets: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            sum: Counter::default(),
        }
    }

    /// Counts one.
    #[inline]
    pub fn observe(&self, time: Duration) {
        let nanoseconds = time.as_secs().saturating_mul(SECOND);
        let nanoseconds = nanoseconds.saturating_add(time.subsec_nanos().into());
        let mut bounds = self.bounds.iter();
        let bucket = bounds.position(|bound| nanoseconds <= *bound);
        self.buckets[bucket.unwrap_or(self.bounds.len())].add(1);
        self.sum.add(nanoseconds);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(Counter::get).sum()
    }

    /// All of them together, in seconds.
    pub fn sum(&self) -> f64 {
        self.sum.get() as f64 / SECOND as f64
    }

    /// For each bucket its bound in seconds, `f64::MAX` for none, and its count alone.
    pub fn buckets(&self) -> Vec<(f64, u64)> {
        let bounds = self.bounds.iter();
        let bounds = bounds.map(|&bound| bound as f64 / SECOND as f64);
        let counts = self.buckets.iter().map(Counter::get);
        bounds.chain([f64::MAX]).zip(counts).collect()
    }

    /// The time that this part of all, from 0 to 1, does not exceed, in microseconds: somewhere within its bucket. 0 where
    /// nothing was counted; the last bound for what is longer.
    pub fn quantile_us(&self, part: f64) -> f64 {
        let counts: Vec<u64> = self.buckets.iter().map(Counter::get).collect();
        let rank = part * counts.iter().sum::<u64>() as f64;
        let (mut before, mut lower) = (0.0, 0.0);
        for (count, bound) in counts.iter().zip(self.bounds) {
            let (count, upper) = (*count as f64, *bound as f64 / MICROSECOND as f64);
            if count > 0.0 && before + count >= rank {
                return lower + (upper - lower) * ((rank - before) / count).clamp(0.0, 1.0);
            }
            before += count;
            lower = upper;
        }
        match counts.last() {
            Some(0) | None => 0.0,
            Some(_) => lower,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_counted_in_the_first_bucket_that_holds_them() {
        let histogram = Histogram::new(&[10, 20]);
        for nanoseconds in [0, 10, 11, 20, 21, u64::MAX] {
            histogram.observe(Duration::from_nanos(nanoseconds));
        }
        let counts: Vec<_> = histogram
            .buckets()
            .iter()
            .map(|(_, count)| *count)
            .collect();
        assert_eq!(counts, [2, 2, 2]);
        assert_eq!(histogram.count(), 6);
        assert_eq!(histogram.buckets()[2].0, f64::MAX);
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [DURATIONS, CALLS] {
            assert!(bounds.is_sorted_by(|one, next| one < next));
        }
    }

    #[test]
    fn quantiles_are_within_their_bucket() {
        let histogram = Histogram::new(CALLS);
        assert_eq!(histogram.quantile_us(0.5), 0.0);
        for _ in 0..98 {
            histogram.observe(Duration::from_nanos(1_500));
        }
        for _ in 0..2 {
            histogram.observe(Duration::from_micros(100));
        }
        let (half, nearly_all) = (histogram.quantile_us(0.5), histogram.quantile_us(0.99));
        assert!((1.0..2.0).contains(&half), "{half}");
        assert!((64.0..=128.0).contains(&nearly_all), "{nearly_all}");
        let slow = Histogram::new(CALLS);
        slow.observe(Duration::from_secs(1));
        assert_eq!(slow.quantile_us(0.5), 16_000.0);
    }
}
