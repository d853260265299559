//! The instance of a plugin in one role of a balancer, replaced after every fault.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use equipoise_sdk::{LogLevel, PolicyConfig};
use thiserror::Error;

use super::budget::Budget;
use super::call_context::CallContext;
use super::clock::{Nanos, nanos, processor_time};
use super::fault::Fault;
use super::instance::Instance;
use super::version::Version;
use super::watch::{Watch, within};
use equipoise_balancer::FaultKind;
use equipoise_balancer::{PluginVersion as _, Role};

/// A version of a plugin in one role for one balancer (or one worker's share of it).
pub(super) struct InstanceSlot {
    version: Arc<Version>,
    role: Role,
    config: Arc<PolicyConfig>,
    budget: Arc<Budget>,
    watch: Watch,
    /// None when instantiation failed; the next call tries again.
    instance: Option<Instance>,
    /// Memory in bytes at which the instance is recycled, before it runs out: leaks cost no request.
    full: usize,
}

/// Why instantiation failed.
#[derive(Debug, Error)]
enum InstantiateError {
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
    /// The kind that it is counted as. A refusal of a configuration that was accepted before counts as a trap.
    fn kind(&self) -> FaultKind {
        match self {
            Self::Start(fault) | Self::Configure(fault) | Self::Columns(fault) => fault.kind,
            Self::Refused(_) => FaultKind::Trap,
            Self::NoColumns(_) => FaultKind::Malformed,
        }
    }
}

impl InstanceSlot {
    /// Gives a version the role: a fresh instance, configured, whose calls are charged to a budget.
    ///
    /// # Errors
    /// It has no such export, or its start or its `configure` went wrong.
    pub(super) fn new(
        version: &Arc<Version>,
        role: Role,
        config: &Arc<PolicyConfig>,
        budget: Arc<Budget>,
    ) -> Result<Self> {
        version.check_role(role)?;
        let mut slot = Self {
            version: version.clone(),
            role,
            config: config.clone(),
            budget,
            watch: Watch::new(version.plugin.deadline),
            instance: None,
            full: usize::MAX,
        };
        slot.instantiate()?;
        Ok(slot)
    }

    /// Calls the instance. `None` after a fault, while the version is out of service, or while its budget is overdrawn. The
    /// call is charged with what follows from it, such as a fresh instance.
    #[inline]
    pub(super) fn call<R>(
        &mut self,
        function: impl FnOnce(&mut Instance) -> Result<R, Fault>,
    ) -> Option<R> {
        if self.version.stats.is_quarantined() {
            return None;
        }
        let now = self.now();
        if self.budget.is_overdrawn(now) {
            self.deny(now);
            return None;
        }
        self.watch.begin(now, processor_time);
        let result = self.call_instance(function);
        let now = self.now();
        if self.watch.is_noticed(now) {
            let spent = self.watch.end(now, processor_time);
            self.charge(spent);
        }
        result
    }

    /// As [`call`](Self::call), when one version replaces another: that is rare, and must not fail for lack of budget.
    fn call_once<R>(
        &mut self,
        function: impl FnOnce(&mut Instance) -> Result<R, Fault>,
    ) -> Option<R> {
        if self.version.stats.is_quarantined() {
            return None;
        }
        let deadline = self.version.plugin.deadline;
        self.watch.begin(self.now(), processor_time);
        self.call_instance(|instance| within(deadline, || function(instance)))
    }

    /// The time by the coarse clock.
    #[inline]
    pub(super) fn now(&self) -> Nanos {
        self.version.sandbox.clock.now()
    }

    /// When calls that begin now should be over, by the same clock.
    pub(super) fn deadline(&self) -> Nanos {
        self.now() + nanos(self.version.plugin.deadline)
    }

    #[cold]
    fn deny(&self, now: Nanos) {
        self.version.note_over_budget(self.role, &self.budget, now);
    }

    fn charge(&self, spent: Nanos) {
        self.budget.charge(spent, self.now());
        self.version.stats.count_spent(spent);
    }

    fn call_instance<R>(
        &mut self,
        function: impl FnOnce(&mut Instance) -> Result<R, Fault>,
    ) -> Option<R> {
        if self.instance.is_none() {
            self.reinstantiate();
        }
        let instance = self.instance.as_mut()?;
        let timed_since = self.version.stats.count_call();
        let mut result = function(instance);
        if let Some(begun) = timed_since {
            self.version.stats.count_duration(begun.elapsed());
        }
        let now = self.version.sandbox.clock.now();
        if self.watch.is_noticed(now)
            && self
                .watch
                .is_late(now, instance.first_tick(), processor_time)
        {
            result = result.and_then(|_| Err(Fault::late()));
        }
        match result {
            Ok(value) => {
                if instance.memory() >= self.full {
                    self.recycle();
                }
                Some(value)
            }
            Err(fault) => {
                self.replace(&fault);
                None
            }
        }
    }

    /// Records a fault for an invalid result, and replaces the instance.
    #[cold]
    pub(super) fn record_fault(&mut self, fault: &Fault) {
        let begun = self.now();
        self.replace(fault);
        self.charge(self.now().saturating_sub(begun));
    }

    /// Drops the instance after a fault, and makes a fresh one.
    #[cold]
    fn replace(&mut self, fault: &Fault) {
        self.instance = None;
        self.version.note_fault(self.role, fault);
        if !self.version.stats.is_quarantined() {
            self.reinstantiate();
        }
    }

    /// The state for the next instance; empty without one, or after a fault.
    pub(super) fn save(&mut self) -> Vec<u8> {
        self.call_once(Instance::save).unwrap_or_default()
    }

    /// Restores the state of another instance.
    pub(super) fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        if blob.is_empty() {
            return Ok(());
        }
        let restored = self.call_once(|instance| instance.restore(blob));
        let refused = restored.unwrap_or(Ok(()));
        if let Err(reason) = &refused {
            self.note_refused_state(reason);
        }
        refused
    }

    fn note_refused_state(&self, reason: &str) {
        let version = self.version.short_hash();
        let line =
            format!("version {version}: it refuses the state of the version before: {reason}");
        self.version.fault_log.log(LogLevel::Info, &line);
    }

    /// A call that must succeed before the version may serve.
    pub(super) fn smoke_test<R>(
        &mut self,
        function: impl FnOnce(&mut Instance) -> Result<R, Fault>,
    ) -> Result<R> {
        let instance = self.instance.as_mut();
        let instance = instance.ok_or_else(|| anyhow!("there is no instance"))?;
        let result = within(self.version.plugin.deadline, || function(instance));
        result.map_err(|fault| anyhow!("in the smoke test: {fault}"))
    }

    /// Memory of the instance, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory)
    }

    fn instantiate(&mut self) -> Result<&mut Instance, InstantiateError> {
        let mut instance = Instance::new(&self.version).map_err(InstantiateError::Start)?;
        let deadline = self.version.plugin.deadline;
        within(deadline, || instance.configure(self.role, &self.config))
            .map_err(InstantiateError::Configure)?
            .map_err(|refusal| InstantiateError::Refused(one_line(&refusal)))?;
        if self.role == Role::Selector {
            within(deadline, || instance.ask_for_columns())
                .map_err(InstantiateError::Columns)?
                .map_err(InstantiateError::NoColumns)?;
        }
        let (bound, taken) = (self.version.plugin.memory, instance.memory());
        self.full = match bound.saturating_sub(taken) / 4 {
            // One that has its maximum from the start does not leak, and a fresh one would be as full.
            0 => usize::MAX,
            reserve => bound - reserve,
        };
        Ok(self.instance.insert(instance))
    }

    /// A fresh instance while serving: failure is a fault.
    #[cold]
    fn reinstantiate(&mut self) -> Option<&mut Instance> {
        if let Err(error) = self.instantiate() {
            let fault = Fault::new(error.kind(), error.to_string());
            self.version.note_fault(self.role, &fault);
        }
        self.instance.as_mut()
    }

    /// Replaces the instance by a fresh one with its state.
    ///
    /// Calls the instances without [`call`](Self::call), which would recycle them again if the state alone fills them.
    #[cold]
    fn recycle(&mut self) {
        let Some(mut before) = self.instance.take() else {
            return;
        };
        let deadline = self.version.plugin.deadline;
        let saved = within(deadline, || before.save());
        // Its memory goes before the next one's comes.
        drop(before);
        let blob = match saved {
            Ok(blob) => blob,
            Err(fault) => return self.replace(&fault),
        };
        let restored = match self.reinstantiate() {
            Some(instance) if !blob.is_empty() => within(deadline, || instance.restore(&blob)),
            _ => return,
        };
        match restored {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => self.note_refused_state(&reason),
            Err(fault) => self.replace(&fault),
        }
    }

    /// Whether the plugin has an `lbstatus`.
    pub(super) fn has_schedule(&self) -> bool {
        self.version.exports.schedule.is_some()
    }

    /// Counts a call that left the decision to the fallback.
    pub(super) fn count_declined(&self) {
        self.version.stats.count_declined();
    }

    /// The context of calls without a request.
    pub(super) fn env_context(env: &dyn equipoise_sdk::Env) -> CallContext<'_> {
        CallContext {
            env: Some(env),
            ..CallContext::default()
        }
    }

    /// The context of calls with a request.
    pub(super) fn request_context<'call>(
        request: &'call dyn equipoise_sdk::Request,
        env: &'call dyn equipoise_sdk::Env,
    ) -> CallContext<'call> {
        CallContext {
            request: Some(request),
            candidates: None,
            env: Some(env),
        }
    }
}

/// A plugin's text as one log line.
pub(super) fn one_line(text: &str) -> String {
    let shown = text.chars().take(300);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
