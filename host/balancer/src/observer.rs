//! Who is told when the state of a member changes.

use crate::{AttemptOutcome, Member};

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StateChange<'a> {
    /// The member is in error now, for this.
    Failed(AttemptOutcome),
    /// Its `retry` is over: it is tried again.
    Retried,
    /// All members were in error and `forcerecovery` let it out.
    Forced,
    /// Checks that it passed in a row ended its error.
    Recovered,
    /// It is healthy again, for this reason.
    Healthy(&'a str),
    /// It is unhealthy, for this reason.
    Unhealthy(&'a str),
    /// Of all enabled members too few are healthy: the balancer takes no notice of who is. Of no member in particular.
    PanicStarted {
        /// So many are healthy.
        healthy: usize,
        /// Of so many.
        all: usize,
    },
    /// Enough members are healthy again: unhealthy ones are left out. Of no member in particular.
    PanicEnded {
        /// So many are healthy.
        healthy: usize,
        /// Of so many.
        all: usize,
    },
}

/// Is told of every change of state, on the thread where it happens and often within a decision: it must be quick, and
/// never ask the balancer.
pub trait Observer: Send + Sync {
    /// What changed; the member it is about, if it is about one.
    fn observe(&self, member: Option<&Member>, change: StateChange<'_>);
}
