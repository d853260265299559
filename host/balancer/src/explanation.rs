//! The trace of a decision: why each member was eligible or not, recorded as the decision is made.
//!
//! A decision is generic over its trace. [`NoTrace`] records nothing and costs nothing; an [`Explanation`] records each member's
//! eligibility at the moment that the rules evaluate it. Nothing is evaluated a second time, so the explanation is what happened,
//! whatever other threads did meanwhile.

use std::time::Duration;

/// Whether a member was eligible in a decision, or why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    /// It could be chosen.
    Candidate,
    /// It was not evaluated: the session had its member, or an earlier set had candidates.
    NotConsidered,
    /// `D`: the operator has disabled it.
    Disabled,
    /// `S`: the operator has stopped it.
    Stopped,
    /// `E`: in error, and not tried again before this moment on the clock of the decision. None where it had just left.
    InError(Option<Duration>),
    /// `C`: unhealthy, and the balancer is not in panic mode.
    Unhealthy,
    /// `N`: it takes sessions of its own only.
    Draining,
    /// `N`, and its drain is over: it does not even take sessions of its own.
    Drained,
    /// An earlier try of the request failed there.
    Tried,
    /// `R`: no member is missing that it would stand in for.
    SpareNotNeeded,
    /// `H`: others are eligible.
    StandbyNotNeeded,
    /// Slow start: left out of this decision.
    HeldBack,
    /// It was a candidate until the method left others only to the fallback.
    ExcludedByMethod,
}

/// Why a member was chosen.
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
    /// The method chose none, or an invalid position, and the fallback chose it.
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

/// The recorded trace of a decision, made by [`Balancer::explain`](crate::Balancer::explain).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The eligibility of each member, in configuration order.
    pub eligibility: Vec<Eligibility>,
    /// Every member was in error, and `forcerecovery` ended that.
    pub recovery_forced: bool,
    /// Too few members are healthy: the balancer ignored health.
    pub in_panic_mode: bool,
    /// Only members that were tried before were eligible, so earlier tries were ignored.
    pub tried_ignored: bool,
}

/// Records a decision as it is made.
pub(crate) trait DecisionTrace {
    /// Whether it records anything: then every member is evaluated, even where nothing has changed since the last decision.
    const ENABLED: bool;

    /// The decision begins, among so many members, or begins again.
    fn begin(&mut self, members: usize, in_panic_mode: bool);

    /// The eligibility of the member at this position; the last call counts.
    fn record(&mut self, position: usize, eligibility: impl FnOnce() -> Eligibility);

    /// The method left only the candidates at these positions to its fallback.
    fn restrict_fallback(&mut self, left: &[usize]);

    /// `forcerecovery` ended the error state of all members.
    fn force_recovery(&mut self);

    /// Only members that were tried before are eligible.
    fn ignore_tried(&mut self);
}

/// Records nothing.
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
