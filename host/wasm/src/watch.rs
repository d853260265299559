//! Measures how long calls take.
//!
//! Most calls are over before the coarse clock moves, and cost nothing to watch. One that a tick falls into is charged by that
//! clock, which is right on average. One that lasts for several ticks is looked at by the processor's clock, as far as its begin is
//! known by that; and so are the next calls, from their begin on: a plugin is not blamed for a machine that is busy,
//! and a bulk operation of memory, which no tick interrupts, does not last unnoticed twice.

use std::time::Duration;

use super::clock::{Nanos, nanos, processor_time};
use super::engine::TICK;
use super::fault::Fault;

/// Calls that are measured from their begin: the first ones, and those after a long one.
const MEASURED_CALLS: u32 = 16;

/// The maximum of them: their number doubles whenever a call lasted for its deadline for unknown reasons.
const MAX_MEASURED_CALLS: u32 = 1 << 16;

/// Watches the calls of an instance, one after the other.
#[derive(Debug)]
pub(super) struct Watch {
    deadline: Nanos,
    /// How many calls are still to be looked at from their begin.
    closely: u32,
    /// How many will be, after the next call that lasts.
    next: u32,
    /// When the current call began, by the coarse clock.
    begun: Nanos,
    /// The same by the processor's, where it is looked at from its begin.
    processor_begun: Option<Nanos>,
    /// The processor's clock at the first tick that the call saw.
    first_tick: Option<Nanos>,
}

impl Watch {
    pub(super) fn new(deadline: Duration) -> Self {
        Self {
            deadline: nanos(deadline),
            closely: MEASURED_CALLS,
            next: MEASURED_CALLS,
            begun: 0,
            processor_begun: None,
            first_tick: None,
        }
    }

    /// A call begins. `processor` reads the processor's clock.
    #[inline]
    pub(super) fn begin(&mut self, now: Nanos, processor: impl FnOnce() -> Nanos) {
        self.begun = now;
        self.processor_begun = (self.closely > 0).then(processor);
        self.first_tick = None;
    }

    /// Whether the current call is noticed at all.
    #[inline]
    pub(super) fn is_noticed(&self, now: Nanos) -> bool {
        now != self.begun || self.processor_begun.is_some()
    }

    /// Whether the call that is over took longer than its deadline, as far as that is certain; `first_tick` is the
    /// processor's clock at the first tick it saw.
    pub(super) fn is_late(
        &mut self,
        now: Nanos,
        first_tick: Option<Nanos>,
        processor: impl FnOnce() -> Nanos,
    ) -> bool {
        self.first_tick = first_tick;
        if now.saturating_sub(self.begun) < self.deadline {
            return false;
        }
        let since = self.processor_begun.or(first_tick);
        since.is_some_and(|since| processor().saturating_sub(since) > self.deadline)
    }

    /// The charge for the current call, with everything that followed from it.
    pub(super) fn end(&mut self, now: Nanos, processor: impl FnOnce() -> Nanos) -> Nanos {
        let (lasted, tick) = (now.saturating_sub(self.begun), nanos(TICK));
        if let Some(begun) = self.processor_begun {
            self.closely -= 1;
            return processor().saturating_sub(begun);
        }
        if lasted < 2 * tick {
            return lasted;
        }
        self.closely = self.next;
        if lasted >= self.deadline {
            self.next = (2 * self.next).min(MAX_MEASURED_CALLS);
        }
        match self.first_tick {
            // How long before that it began is not known.
            Some(first) => lasted.min(tick + processor().saturating_sub(first)),
            None => lasted.min(self.deadline),
        }
    }
}

/// Makes a call that is rare enough to look at the processor's clock before and after it.
///
/// # Errors
/// The call's fault, or that it took longer than its deadline.
pub(super) fn within<R>(
    deadline: Duration,
    call: impl FnOnce() -> Result<R, Fault>,
) -> Result<R, Fault> {
    let begun = processor_time();
    let value = call()?;
    if processor_time().saturating_sub(begun) > nanos(deadline) {
        return Err(Fault::late());
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Nanos = 1_000_000;

    /// A call in milliseconds: how long by the coarse clock and by the processor's, and after how much of the latter it saw a
    /// tick.
    #[derive(Debug, Clone, Copy)]
    struct Call(u64, u64, Option<u64>);

    /// A watch with a deadline of 5 ms that does not look closely.
    fn watch() -> Watch {
        let mut watch = Watch::new(Duration::from_millis(5));
        watch.closely = 0;
        watch
    }

    /// Makes a call; tells whether it was late, and what it is charged in milliseconds.
    fn make(watch: &mut Watch, Call(lasts, takes, tick): Call) -> (bool, u64) {
        const NOW: Nanos = 1_000 * MS;
        const PROCESSOR: Nanos = 300 * MS;
        watch.begin(NOW, || PROCESSOR);
        let (now, processor) = (NOW + lasts * MS, PROCESSOR + takes * MS);
        if !watch.is_noticed(now) {
            return (false, 0);
        }
        let tick = tick.map(|tick| PROCESSOR + tick * MS);
        let is_late = watch.is_late(now, tick, || processor);
        (is_late, watch.end(now, || processor) / MS)
    }

    #[test]
    fn a_call_is_charged_what_is_known_of_it() {
        let table = [
            (Call(0, 0, None), (false, 0)),
            (Call(1, 0, None), (false, 1)),
            // It lasted, and it is seen how long it ran.
            (Call(4, 4, Some(1)), (false, 4)),
            (Call(40, 2, Some(1)), (false, 2)),
            // It ran for longer than it may since it saw a tick.
            (Call(9, 9, Some(1)), (true, 9)),
            // Nothing is known: it may have waited for a processor.
            (Call(4, 4, None), (false, 4)),
            (Call(400, 400, None), (false, 5)),
            (Call(400, 1, None), (false, 5)),
        ];
        for (call, expected) in table {
            assert_eq!(make(&mut watch(), call), expected, "{call:?}");
        }
    }

    #[test]
    fn after_a_call_that_lasted_the_next_ones_are_measured() {
        let mut watch = watch();
        assert_eq!(make(&mut watch, Call(400, 400, None)), (false, 5));
        // Exactly, whether it was busy or waited.
        assert_eq!(make(&mut watch, Call(400, 400, None)), (true, 400));
        assert_eq!(make(&mut watch, Call(400, 3, None)), (false, 3));
        for _ in 2..MEASURED_CALLS {
            assert_eq!(make(&mut watch, Call(0, 0, None)), (false, 0));
        }
        assert_eq!(
            make(&mut watch, Call(400, 400, None)),
            (false, 5),
            "no longer"
        );
    }

    #[test]
    fn plugin_that_is_slow_now_and_then_is_detected() {
        let mut watch = watch();
        let period = 1_000;
        let found = (1..20_000).find(|number| {
            let lasts = if number % period == 0 { 400 } else { 0 };
            make(&mut watch, Call(lasts, lasts, None)).0
        });
        assert_eq!(found, Some(8 * period));
    }

    #[test]
    fn the_first_calls_are_measured() {
        let mut watch = Watch::new(Duration::from_millis(5));
        assert_eq!(make(&mut watch, Call(400, 400, None)), (true, 400));
        assert_eq!(make(&mut watch, Call(0, 0, None)), (false, 0));
        assert_eq!(watch.closely, MEASURED_CALLS - 2);
    }
}
