//! The observer of state changes.

use crate::{AttemptOutcome, Member};

/// A change of state, of a member or of the balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateChange<'a> {
    /// The member entered the error state, by this outcome.
    Failed(AttemptOutcome),
    /// Its `retry` is over: it is retried.
    Retried,
    /// All members were in error and `forcerecovery` ended that.
    Forced,
    /// Checks passed in a row ended the error state.
    Recovered,
    /// It is healthy again, for this reason.
    Healthy(&'a str),
    /// It is unhealthy, for this reason.
    Unhealthy(&'a str),
    /// Of all enabled members too few are healthy: the balancer ignores health. Of no member in particular.
    PanicStarted {
        /// The number of healthy members.
        healthy: usize,
        /// The number of enabled members.
        all: usize,
    },
    /// Enough members are healthy again: unhealthy ones are left out. Of no member in particular.
    PanicEnded {
        /// The number of healthy members.
        healthy: usize,
        /// The number of enabled members.
        all: usize,
    },
}

/// Notified of every change of state, on the thread where it happens and often within a decision: it must be quick, and
/// never call the balancer.
pub trait Observer: Send + Sync {
    /// A change, and the member that it is of, if it is of one.
    fn observe(&self, member: Option<&Member>, change: StateChange<'_>);
}
