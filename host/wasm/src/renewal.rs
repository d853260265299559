//! Fresh instances of a plugin in a role, in place of one that had a fault or is about to run out of memory.
//!
//! Making an instance takes longer than a decision: memory is mapped, start functions run, it is configured, and it is handed
//! what the one before remembers. So the thread that met the fault does it, but beside the lock under which instances are asked:
//! the [`InstanceSlot`](super::instance_slot::InstanceSlot) leaves the old instance here, and takes the fresh one from here. Both take a moment.
//!
//! | state | what follows |
//! |---|---|
//! | idle | nothing is to be made; one that could not be had is due again when it is asked for |
//! | due | a thread makes it, and that is under way |
//! | under way | it is ready; or idle, where it could not be had |
//! | ready | it is taken, and idle |

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use equipoise_sdk::{LogLevel, PolicyConfig};
use thiserror::Error;

use super::budget::Budget;
use super::clock::{Nanos, processor_time};
use super::fault::Fault;
use super::instance::Instance;
use super::instance_slot::one_line;
use super::version::Version;
use super::watch::within;
use equipoise_balancer::{FaultKind, Role};

/// Makes the instances of one version in one role for one balancer (or one worker's share of it).
pub(super) struct Renewal {
    version: Arc<Version>,
    role: Role,
    config: Arc<PolicyConfig>,
    budget: Arc<Budget>,
    /// Whether `state` is [`State::Due`]: to be looked at after every decision.
    is_due: AtomicBool,
    /// Never locked for longer than it takes to exchange it.
    state: Mutex<State>,
}

/// How far a fresh instance is.
enum State {
    Idle,
    Due(Option<Before>),
    UnderWay,
    Ready(FreshInstance),
}

/// The instance before.
pub(super) enum Before {
    /// It had a fault, and may be in any state.
    Faulty(Instance),
    /// It is about to run out of memory, and hands over what it remembers.
    Full(Instance),
}

/// An instance that is configured, and has not been asked yet.
pub(super) struct FreshInstance {
    pub(super) instance: Instance,
    /// Memory at which it is to be exchanged for another, before it runs out: leaks are to cost no request.
    pub(super) full: usize,
}

/// Why a fresh instance could not be had.
#[derive(Debug, Error)]
pub(super) enum InstantiateError {
    #[error("it does not start: {0}")]
    Start(Fault),
    #[error("in configure: {0}")]
    Configure(Fault),
    #[error("its configure refuses: {0}")]
    Refused(String),
    #[error("in prefetch.columns: {0}")]
    Columns(Fault),
    #[error("its prefetch.columns cannot be: {0}")]
    NoColumns(String),
}

impl InstantiateError {
    /// What it is counted as. One that was configured before and now refuses has failed as if it had trapped.
    fn kind(&self) -> FaultKind {
        match self {
            Self::Start(fault) | Self::Configure(fault) | Self::Columns(fault) => fault.kind,
            Self::Refused(_) => FaultKind::Trap,
            Self::NoColumns(_) => FaultKind::Malformed,
        }
    }
}

impl Renewal {
    /// Of instances with this configuration, which are charged to a budget.
    pub(super) fn new(
        version: &Arc<Version>,
        role: Role,
        config: &Arc<PolicyConfig>,
        budget: &Arc<Budget>,
    ) -> Self {
        Self {
            version: version.clone(),
            role,
            config: config.clone(),
            budget: budget.clone(),
            is_due: AtomicBool::new(false),
            state: Mutex::new(State::Idle),
        }
    }

    /// A fresh instance, right now.
    ///
    /// # Errors
    /// Why there is none.
    pub(super) fn instantiate(&self) -> Result<FreshInstance, InstantiateError> {
        let plugin = &self.version.plugin;
        let mut instance = Instance::new(&self.version).map_err(InstantiateError::Start)?;
        within(plugin.deadline, || {
            instance.configure(self.role, &self.config)
        })
        .map_err(InstantiateError::Configure)?
        .map_err(|refusal| InstantiateError::Refused(one_line(&refusal)))?;
        if self.role == Role::Selector {
            within(plugin.deadline, || instance.ask_for_columns())
                .map_err(InstantiateError::Columns)?
                .map_err(InstantiateError::NoColumns)?;
        }
        let full = match plugin.memory.saturating_sub(instance.memory()) / 4 {
            // One that has all it may have from the start leaks nothing, and a fresh one would be as full.
            0 => usize::MAX,
            reserve => plugin.memory - reserve,
        };
        Ok(FreshInstance { instance, full })
    }

    /// A fresh instance is to be made in place of this one.
    pub(super) fn request(&self, before: Before) {
        self.become_due(&mut self.state(), Some(before));
    }

    /// The instance that is ready. Where there is none and none is on its way, since it could not be had, it is due again.
    pub(super) fn take(&self) -> Option<FreshInstance> {
        let mut state = self.state();
        match mem::replace(&mut *state, State::Idle) {
            State::Ready(fresh) => return Some(fresh),
            State::Idle => self.become_due(&mut state, None),
            other => *state = other,
        }
        None
    }

    /// The same, where one that could not be had is not asked for again.
    pub(super) fn take_ready(&self) -> Option<FreshInstance> {
        let mut state = self.state();
        match mem::replace(&mut *state, State::Idle) {
            State::Ready(fresh) => Some(fresh),
            other => {
                *state = other;
                None
            }
        }
    }

    /// Makes the instance that is due, if one is. What that takes is up to the caller to charge.
    #[cold]
    pub(super) fn run(&self) {
        let Some(before) = self.begin() else {
            return;
        };
        let mut under_way = UnderWay {
            state: &self.state,
            outcome: State::Idle,
        };
        if let Some(fresh) = self.succeed(before) {
            under_way.outcome = State::Ready(fresh);
        }
    }

    /// What was due is under way; `None` where nothing was.
    fn begin(&self) -> Option<Option<Before>> {
        let mut state = self.state();
        // Also where nothing is due: every decision would look here again.
        self.is_due.store(false, Relaxed);
        match mem::replace(&mut *state, State::UnderWay) {
            State::Due(before) => Some(before),
            other => {
                *state = other;
                None
            }
        }
    }

    /// A fresh instance that follows another, with what that remembers where it can tell. What goes wrong is noted.
    fn succeed(&self, before: Option<Before>) -> Option<FreshInstance> {
        let saved = match before {
            // Its memory goes before the next one's comes.
            Some(Before::Faulty(instance)) => {
                drop(instance);
                None
            }
            Some(Before::Full(mut instance)) => self.noted(self.within(|| instance.save())),
            None => None,
        };
        let mut fresh = self.attempt()?;
        let Some(saved) = saved.filter(|saved| !saved.is_empty()) else {
            return Some(fresh);
        };
        match self.noted(self.within(|| fresh.instance.restore(&saved))) {
            Some(Ok(())) => Some(fresh),
            Some(Err(reason)) => {
                self.note_refused_state(&reason);
                Some(fresh)
            }
            None => {
                drop(fresh);
                self.attempt()
            }
        }
    }

    /// A fresh instance, unless the version is out of service.
    fn attempt(&self) -> Option<FreshInstance> {
        if self.version.stats.is_quarantined() {
            return None;
        }
        let made = self.instantiate();
        self.noted(made.map_err(|error| Fault::new(error.kind(), error.to_string())))
    }

    /// The answer of a call; a fault is noted.
    fn noted<R>(&self, answer: Result<R, Fault>) -> Option<R> {
        answer
            .map_err(|fault| self.version.note_fault(self.role, &fault))
            .ok()
    }

    fn within<R>(&self, call: impl FnOnce() -> Result<R, Fault>) -> Result<R, Fault> {
        within(self.version.plugin.deadline, call)
    }

    /// An instance has refused the state of the one before.
    pub(super) fn note_refused_state(&self, reason: &str) {
        let version = self.version.short_hash();
        let line =
            format!("version {version}: it refuses the state of the version before: {reason}");
        self.version.fault_log.log(LogLevel::Info, &line);
    }

    fn become_due(&self, state: &mut State, before: Option<Before>) {
        *state = State::Due(before);
        self.is_due.store(true, Relaxed);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl equipoise_balancer::Renewal for Renewal {
    #[inline]
    fn is_due(&self) -> bool {
        self.is_due.load(Relaxed)
    }

    fn renew(&self) {
        let begun = processor_time();
        self.run();
        let spent: Nanos = processor_time().saturating_sub(begun);
        self.budget.charge(spent, self.version.sandbox.clock.now());
        self.version.stats.count_spent(spent);
    }
}

/// An instance that is being made. Whatever becomes of that, it is not under way any more when this is dropped.
struct UnderWay<'renewal> {
    state: &'renewal Mutex<State>,
    outcome: State,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let outcome = mem::replace(&mut self.outcome, State::Idle);
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = outcome;
    }
}

#[cfg(test)]
mod tests;
