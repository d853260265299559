//! Why a decision fell as it did, told by the decision itself as it is made.
//!
//! A decision is made before a witness. [`NoTrace`] sees nothing and costs nothing: the code is made once for it and once for an
//! [`Explanation`], which writes down how each member stood at the moment that the rules looked at it. Nothing is looked at a
//! second time, so that what is told is what happened, whatever other threads did meanwhile.

use std::time::Duration;

/// How a member stood in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    /// It could be chosen.
    Candidate,
    /// It was not looked at: the session had its member, or a set before had one.
    NotConsidered,
    /// `D`: the operator has disabled it.
    Disabled,
    /// `S`: the operator has stopped it.
    Stopped,
    /// `E`: in error, and not tried again before this moment on the clock of the decision. None where it had just left.
    InError(Option<Duration>),
    /// `C`: the judge says so, and the balancer does not panic.
    Unhealthy,
    /// `N`: it takes sessions of its own only.
    Draining,
    /// `N`, and its time is over: it takes not even sessions of its own.
    Drained,
    /// The request was sent there before, in vain.
    Tried,
    /// `R`: no member is missing that it would stand in for.
    SpareNotNeeded,
    /// `H`: others can be chosen.
    StandbyNotNeeded,
    /// Slow start: left out of this decision.
    HeldBack,
    /// It was a candidate until the method left the others only to its fallback.
    ExcludedByMethod,
}

/// How a member was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PickReason {
    /// The session's route is the member's own.
    Session,
    /// The member stands in for the session's by `redirect`.
    Redirect,
    /// The session's key belongs to the member.
    Key,
    /// The method chose it.
    Method,
    /// The method answered nothing or nonsense, and the fallback chose it.
    Fallback,
    /// Neither chose: it is the first in configuration order.
    ConfigurationOrder,
}

impl PickReason {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Session,
        Self::Redirect,
        Self::Key,
        Self::Method,
        Self::Fallback,
        Self::ConfigurationOrder,
    ];
}

/// What a decision went by, written down by [`Balancer::explain`](crate::Balancer::explain).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// How each member stood, in configuration order.
    pub eligibility: Vec<Eligibility>,
    /// Every member was in error, and `forcerecovery` let them out.
    pub recovery_forced: bool,
    /// Too few members are healthy: the balancer took no notice of who is.
    pub in_panic_mode: bool,
    /// Nobody was left but members that were tried before, so those counted again.
    pub tried_ignored: bool,
}

/// Sees a decision being made.
pub(crate) trait DecisionTrace {
    /// Whether it sees anything: then everything is looked at, even where nothing has changed since the last decision.
    const ENABLED: bool;

    /// The decision begins, among so many members, or begins again.
    fn begin(&mut self, members: usize, in_panic_mode: bool);

    /// The member at this position stands so; said again, the last word counts.
    fn record(&mut self, position: usize, eligibility: impl FnOnce() -> Eligibility);

    /// The method left only the candidates at these positions to its fallback.
    fn restrict_fallback(&mut self, left: &[usize]);

    /// `forcerecovery` let all members out of the error state.
    fn force_recovery(&mut self);

    /// Nobody was left but those that were tried.
    fn ignore_tried(&mut self);
}

/// Nobody watches.
pub(crate) struct NoTrace;

impl DecisionTrace for NoTrace {
    const ENABLED: bool = false;

    #[inline(always)]
    fn begin(&mut self, _members: usize, _in_panic_mode: bool) {}

    #[inline(always)]
    fn record(&mut self, _position: usize, _eligibility: impl FnOnce() -> Eligibility) {}

    #[inline(always)]
    fn restrict_fallback(&mut self, _left: &[usize]) {}

    #[inline(always)]
    fn force_recovery(&mut self) {}

    #[inline(always)]
    fn ignore_tried(&mut self) {}
}

impl DecisionTrace for Explanation {
    const ENABLED: bool = true;

    fn begin(&mut self, members: usize, in_panic_mode: bool) {
        self.eligibility.clear();
        self.eligibility.resize(members, Eligibility::NotConsidered);
        self.in_panic_mode = in_panic_mode;
    }

    fn record(&mut self, position: usize, eligibility: impl FnOnce() -> Eligibility) {
        if let Some(noted) = self.eligibility.get_mut(position) {
            *noted = eligibility();
        }
    }

    fn restrict_fallback(&mut self, left: &[usize]) {
        for (position, eligibility) in self.eligibility.iter_mut().enumerate() {
            if *eligibility == Eligibility::Candidate && !left.contains(&position) {
                *eligibility = Eligibility::ExcludedByMethod;
            }
        }
    }

    fn force_recovery(&mut self) {
        self.recovery_forced = true;
    }

    fn ignore_tried(&mut self) {
        self.tried_ignored = true;
    }
}
