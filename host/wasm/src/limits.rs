//! Limits of an instance: memory, and processor time of a call.

use std::time::Duration;

use wasmtime::{ResourceLimiter, Trap, UpdateDeadline};

use super::clock::{Nanos, nanos, processor_time};
use super::engine::TICK;

/// Elements of all tables of an instance: functions called through pointers. Go and Python have the most, some 40 000.
const MAX_TABLE_ELEMENTS: usize = 200_000;

/// Core instances, tables and memories of a component. Python has the most, some 25 core instances.
pub(super) const MAX_PARTS: usize = 100;

/// The memory of one instance, all its linear memories together.
#[derive(Debug)]
pub(super) struct MemoryLimiter {
    /// Maximum, in bytes.
    bound: usize,
    /// Allocated bytes.
    taken: usize,
    table_elements: usize,
    /// Whether growth was refused since [`MemoryLimiter::begin`].
    refused: bool,
}

impl MemoryLimiter {
    pub(super) fn new(bound: usize) -> Self {
        Self {
            bound,
            taken: 0,
            table_elements: 0,
            refused: false,
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self) {
        self.refused = false;
    }

    /// Whether the call was refused memory or table elements.
    pub(super) fn was_refused(&self) -> bool {
        self.refused
    }

    /// Allocated bytes.
    pub(super) fn taken(&self) -> usize {
        self.taken
    }

    /// Grows `what` by the difference if that stays within `bound`.
    fn grow(what: &mut usize, bound: usize, current: usize, desired: usize) -> bool {
        let grown = what.saturating_add(desired.saturating_sub(current));
        let fits = grown <= bound;
        if fits {
            *what = grown;
        }
        fits
    }
}

impl ResourceLimiter for MemoryLimiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = Self::grow(&mut self.taken, self.bound, current, desired);
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let granted = Self::grow(
            &mut self.table_elements,
            MAX_TABLE_ELEMENTS,
            current,
            desired,
        );
        self.refused |= !granted;
        Ok(granted)
    }

    fn instances(&self) -> usize {
        MAX_PARTS
    }

    fn tables(&self) -> usize {
        MAX_PARTS
    }

    fn memories(&self) -> usize {
        MAX_PARTS
    }
}

/// The time of one call, in processor time of the thread: a plugin is not blamed for a busy machine.
///
/// The processor's clock costs a system call, so it is not read before the first tick of the epoch, which most calls do not
/// live to see. How long before that tick the call began is not known, so it is taken to have been a whole one: a call is
/// stopped within the last tick before `deadline`. Where `deadline` is less than two ticks, that would leave a call nothing:
/// it is stopped within the tick after it.
#[derive(Debug)]
pub(super) struct CpuDeadline {
    /// From the first tick on.
    deadline: Nanos,
    /// The thread's processor time at the first tick of the call.
    first_tick: Option<Nanos>,
}

impl CpuDeadline {
    pub(super) fn new(deadline: Duration) -> Self {
        let before_first_tick = if deadline < 2 * TICK {
            Duration::ZERO
        } else {
            TICK
        };
        Self {
            deadline: nanos(deadline - before_first_tick),
            first_tick: None,
        }
    }

    /// A call begins.
    pub(super) fn begin(&mut self) {
        self.first_tick = None;
    }

    /// The thread's processor time at the first tick that the last call saw; none where that was over before.
    pub(super) fn first_tick(&self) -> Option<Nanos> {
        self.first_tick
    }

    /// A tick of the epoch: goes on to the next one, or stops the call.
    pub(super) fn tick(&mut self) -> wasmtime::Result<UpdateDeadline> {
        let now = processor_time();
        let first = *self.first_tick.get_or_insert(now);
        if now.saturating_sub(first) >= self.deadline {
            return Err(Trap::Interrupt.into());
        }
        Ok(UpdateDeadline::Continue(1))
    }
}
