//! Why a decision fell as it did, told by the decision itself as it is made.
//!
//! A decision is made before a witness. [`Unseen`] sees nothing and costs nothing: the code is made once for it and once for an
//! [`Explanation`], which writes down how each member stood at the moment that the rules looked at it. Nothing is looked at a
//! second time, so that what is told is what happened, whatever other threads did meanwhile.

use std::time::Duration;

/// How a member stood in a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It could be chosen.
    Candidate,
    /// It was not looked at: the session had its member, or a set before had one.
    NotAsked,
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
    Narrowed,
}

/// How a member was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
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
    Order,
}

impl By {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 6] = [
        Self::Session,
        Self::Redirect,
        Self::Key,
        Self::Method,
        Self::Fallback,
        Self::Order,
    ];
}

/// What a decision went by, written down by [`Balancer::explain`](crate::Balancer::explain).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// How each member stood, in configuration order.
    pub standings: Vec<Standing>,
    /// Every member was in error, and `forcerecovery` let them out.
    pub recovery_was_forced: bool,
    /// Too few members are healthy: the balancer took no notice of who is.
    pub panics: bool,
    /// Nobody was left but members that were tried before, so those counted again.
    pub tries_were_disregarded: bool,
}

/// Sees a decision being made.
pub(crate) trait Witness {
    /// Whether it sees anything: then everything is looked at, even where nothing has changed since the last decision.
    const SEES: bool;

    /// The decision begins, among so many members, or begins again.
    fn begin(&mut self, members: usize, panics: bool);

    /// The member at this position stands so; said again, the last word counts.
    fn note(&mut self, position: usize, standing: impl FnOnce() -> Standing);

    /// The method left only the candidates at these positions to its fallback.
    fn narrowed(&mut self, left: &[usize]);

    /// `forcerecovery` let all members out of the error state.
    fn recovery_forced(&mut self);

    /// Nobody was left but those that were tried.
    fn disregards_tries(&mut self);
}

/// Nobody watches.
pub(crate) struct Unseen;

impl Witness for Unseen {
    const SEES: bool = false;

    #[inline(always)]
    fn begin(&mut self, _members: usize, _panics: bool) {}

    #[inline(always)]
    fn note(&mut self, _position: usize, _standing: impl FnOnce() -> Standing) {}

    #[inline(always)]
    fn narrowed(&mut self, _left: &[usize]) {}

    #[inline(always)]
    fn recovery_forced(&mut self) {}

    #[inline(always)]
    fn disregards_tries(&mut self) {}
}

impl Witness for Explanation {
    const SEES: bool = true;

    fn begin(&mut self, members: usize, panics: bool) {
        self.standings.clear();
        self.standings.resize(members, Standing::NotAsked);
        self.panics = panics;
    }

    fn note(&mut self, position: usize, standing: impl FnOnce() -> Standing) {
        if let Some(noted) = self.standings.get_mut(position) {
            *noted = standing();
        }
    }

    fn narrowed(&mut self, left: &[usize]) {
        for (position, standing) in self.standings.iter_mut().enumerate() {
            if *standing == Standing::Candidate && !left.contains(&position) {
                *standing = Standing::Narrowed;
            }
        }
    }

    fn recovery_forced(&mut self) {
        self.recovery_was_forced = true;
    }

    fn disregards_tries(&mut self) {
        self.tries_were_disregarded = true;
    }
}
