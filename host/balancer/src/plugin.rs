//! Plugins as the core and the data plane see them: roles, kinds of faults, and how policies are built from a version. The runtime
//! that loads and calls plugins implements [`PluginVersion`].

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use anyhow::Result;
use equipoise_sdk::{PolicyConfig, Selector, SessionReader};

use crate::PluginHealthPolicy;

/// What a plugin may be to a balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Chooses members.
    Selector,
    /// Reads sessions.
    Session,
    /// Judges members.
    Health,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Selector, Self::Session, Self::Health];

    /// The interface that makes a component fit for the role.
    pub fn name(self) -> &'static str {
        match self {
            Self::Selector => "selector",
            Self::Session => "session",
            Self::Health => "health",
        }
    }
}

/// The kinds that faults are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// It trapped: unreachable code (a panic), a division by zero, an access out of bounds.
    Trap,
    /// It did not return within `deadline`.
    Deadline,
    /// It needed more than `memory`, or more table elements than allowed.
    Memory,
    /// It overflowed its stack.
    Stack,
    /// It returned a position that is no candidate's.
    Position,
    /// It returned an invalid session or cookie.
    Session,
    /// It passed a list or text that is out of bounds, too long, or not UTF-8.
    Malformed,
    /// Its calls took more than `cpu-budget` in total, for more than half of a second.
    OverBudget,
}

impl FaultKind {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Trap,
        Self::Deadline,
        Self::Memory,
        Self::Stack,
        Self::Position,
        Self::Session,
        Self::Malformed,
        Self::OverBudget,
    ];

    /// The word for it, as in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Position => "position",
            Self::Session => "session",
            Self::Malformed => "malformed",
            Self::OverBudget => "over-budget",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A plugin as a load balancing method.
pub struct RenewableSelector {
    /// Answers none without an instance: after a fault, until there is a fresh one.
    pub selector: Box<dyn Selector>,
    /// Makes that.
    pub renewal: Arc<dyn Renewal>,
}

/// Makes the instance of a selector anew after a fault, or before its memory runs out.
///
/// A selector is asked while the balancer is locked, and making an instance takes longer than a decision. So the selector only says
/// that a fresh one is due; whichever thread decided then makes it when it has unlocked the balancer. Until the selector takes
/// that with one of its next calls, it answers none, and the fallback decides.
pub trait Renewal: Send + Sync {
    /// Whether a fresh instance is to be made. This is asked after every decision, so it takes a load from memory.
    fn is_due(&self) -> bool;

    /// Makes it, unless another thread has begun to.
    fn renew(&self);
}

/// A loaded version of a plugin. A policy of it returns `None` where it fails; see [`FaultKind`].
///
/// Errors are sentences for the operator: why the version cannot be used for that.
pub trait PluginVersion: Any + Send + Sync {
    /// Whether it can have this role.
    ///
    /// # Errors
    /// It cannot; the message names the roles that it can have.
    fn check_role(&self, role: Role) -> Result<()>;

    /// The plugin as a load balancing method: the instance of this number, 0 where workers share one.
    ///
    /// # Errors
    /// It is not fit for that, or refuses the settings.
    fn selector(
        self: Arc<Self>,
        config: &Arc<PolicyConfig>,
        number: usize,
    ) -> Result<RenewableSelector>;

    /// The plugin as a reader of sessions, of which so many can be read at once.
    ///
    /// # Errors
    /// It is not fit for that, or refuses the settings.
    fn session(
        self: Arc<Self>,
        config: &Arc<PolicyConfig>,
        instances: usize,
    ) -> Result<Box<dyn SessionReader>>;

    /// The plugin as a health policy.
    ///
    /// # Errors
    /// It is not fit for that, or refuses the settings.
    fn health_policy(
        self: Arc<Self>,
        config: &Arc<PolicyConfig>,
    ) -> Result<Box<dyn PluginHealthPolicy>>;

    /// Whether it is out of service for its faults: it is not called any more.
    fn is_quarantined(&self) -> bool;

    /// The last fault of any version on this thread since the last call: why a plugin's call has just failed, or that it was not
    /// called because it was over its budget.
    fn take_fault(&self) -> Option<FaultKind>;
}
