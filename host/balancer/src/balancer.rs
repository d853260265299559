//! A balancer: its members, its rules and one decision after another.

use std::sync::Mutex;
use std::time::Duration;

use equipoise_sdk::{Host, Request, Selector, SessionReader};
use thiserror::Error;

use crate::{Counters, Lease, Member, MemberSettings};

/// What the configuration says of a balancer, as far as choosing is concerned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// The balancer's name.
    pub name: String,
    /// `nofailover`: a session whose member is unusable gets a refusal instead of another member.
    pub nofailover: bool,
    /// `forcerecovery`: when every member is in error, all errors are forgotten at once.
    pub forcerecovery: bool,
    /// `failonstatus`: response codes that put the member into the error state.
    pub failonstatus: Vec<u16>,
    /// `failontimeout`: whether a response that does not come in time puts the member into the error state.
    pub failontimeout: bool,
}

/// The policies of a balancer.
pub struct Methods {
    /// Chooses among the candidates.
    pub selector: Box<dyn Selector>,
    /// Decides when the selector answers nothing or nonsense.
    pub fallback: Box<dyn Selector>,
    /// Reads the sticky session; `None` where sessions are not sticky.
    pub session: Option<Box<dyn SessionReader>>,
}

/// A member chosen for a request.
#[derive(Debug)]
pub struct Choice {
    /// Counts the request as in flight at the member until it is dropped.
    pub lease: Lease,
    /// Whether the member was found by the request's session.
    pub sticky: bool,
    /// Apache's `BALANCER_ROUTE_CHANGED`: sessions are sticky and the member's route is not the one the request carries.
    pub route_changed: bool,
}

/// Why there is no member for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Refusal {
    /// Nobody may be chosen: all are in error, disabled, stopped, draining, or there is no member at all.
    #[error("no member is eligible")]
    NoneEligible,
    /// `nofailover` is on and the session's member cannot be used.
    #[error("the session's member is unusable and nofailover is on")]
    SessionUnusable,
}

/// What became of a request at its member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A connection was made.
    Connected,
    /// No connection could be made, or the member did not say it is ready (`ping`).
    Unreachable,
    /// The member answered with this status.
    Answered(u16),
    /// The member took too long to answer.
    TimedOut,
}
