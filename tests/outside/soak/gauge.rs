//! What the program takes of the machine, second by second.

use std::fmt;
use std::time::{Duration, Instant};

use super::Soak;

/// The time in which connections are opened, code is compiled and buffers find their size: the first third, up to this.
const MAX_WARM_UP: Duration = Duration::from_secs(60);

/// How much more memory the last quarter may take than the first: what an allocator keeps differs by as much from one minute
/// to the next. A leak of 2 KiB a request would be many times that.
const MORE_MEMORY: usize = 16 << 20;

/// How many more file descriptors and threads: those of a connection or a compiler that is just there.
const MORE_DESCRIPTORS: usize = 16;
const MORE_THREADS: usize = 3;

/// What was measured, from the end of the warm-up on.
pub(super) struct Gauge(Vec<Sample>);

/// What the program takes at a time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sample {
    /// Bytes in memory.
    pub(super) memory: usize,
    pub(super) descriptors: usize,
    pub(super) threads: usize,
}

/// Which number of a sample is looked at, what it is called, and how much it may grow.
type Measure = (&'static str, fn(&Sample) -> usize, usize);

const MEASURES: [Measure; 3] = [
    ("bytes of memory", |sample| sample.memory, MORE_MEMORY),
    (
        "file descriptors",
        |sample| sample.descriptors,
        MORE_DESCRIPTORS,
    ),
    ("threads", |sample| sample.threads, MORE_THREADS),
];

impl Gauge {
    /// Measures until the soak is over, and asks after the program's health.
    pub(super) fn watch(soak: &Soak) -> Self {
        let begun = Instant::now();
        let warm_up = ((soak.deadline - begun) / 3).min(MAX_WARM_UP);
        let mut samples = Vec::new();
        while soak.goes_on_after(Duration::from_millis(500)) {
            if let Err(wrong) = soak.site.health() {
                soak.ledger.bad(&wrong);
            }
            match soak.site.sample() {
                Some(sample) if begun.elapsed() >= warm_up => samples.push(sample),
                Some(_) => {}
                None => {
                    soak.ledger.bad("the program has ended");
                    soak.is_over.store(true, super::SeqCst);
                }
            }
        }
        Self(samples)
    }

    /// What has grown, and by how much.
    pub(super) fn growth(&self) -> Vec<String> {
        let grown = MEASURES.iter().filter_map(|(what, of, more)| {
            let (first, last) = self.quarters(*of)?;
            (last > first + more).then(|| {
                format!("{what}: {first} at first, {last} at the end; {more} more are allowed")
            })
        });
        grown.collect()
    }

    /// The medians of the first quarter and of the last.
    fn quarters(&self, of: fn(&Sample) -> usize) -> Option<(usize, usize)> {
        let quarter = self.0.len().div_ceil(4);
        let median = |samples: &[Sample]| {
            let mut numbers: Vec<_> = samples.iter().map(of).collect();
            numbers.sort_unstable();
            numbers.get(numbers.len() / 2).copied()
        };
        let last = self.0.len().saturating_sub(quarter);
        Some((median(self.0.get(..quarter)?)?, median(&self.0[last..])?))
    }
}

impl fmt::Display for Gauge {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, of, _) in MEASURES {
            let (first, last) = self.quarters(of).unwrap_or_default();
            write!(out, "{what}: {first} at first, {last} at the end; ")?;
        }
        Ok(())
    }
}
