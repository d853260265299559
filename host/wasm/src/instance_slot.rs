//! The instance of a plugin in one role of a balancer, replaced after every fault.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use equipoise_sdk::PolicyConfig;

use super::budget::Budget;
use super::call_context::CallContext;
use super::clock::{Nanos, nanos, processor_time};
use super::fault::Fault;
use super::instance::Instance;
use super::renewal::{Before, FreshInstance, Renewal};
use super::version::Version;
use super::watch::{Watch, within};
use equipoise_balancer::{PluginVersion as _, Role};

/// A version of a plugin in one role for one balancer (or one worker's share of it).
pub(super) struct InstanceSlot {
    version: Arc<Version>,
    role: Role,
    budget: Arc<Budget>,
    watch: Watch,
    /// None until there is a fresh one; where instantiation failed, the next call has it tried again.
    instance: Option<Instance>,
    /// Memory in bytes at which the instance is recycled.
    full: usize,
    renewal: Arc<Renewal>,
    renewed: Renewed,
}

/// Who runs the renewal of a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Renewed {
    /// The slot itself, within the call: for roles without a fallback that would do.
    AtOnce,
    /// The caller, when it has unlocked what the slot is behind.
    ByCaller,
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
        let renewal = Renewal::new(version, role, config, &budget);
        let FreshInstance { instance, full } = renewal.instantiate()?;
        Ok(Self {
            version: version.clone(),
            role,
            budget,
            watch: Watch::new(version.plugin.deadline),
            instance: Some(instance),
            full,
            renewal: Arc::new(renewal),
            renewed: Renewed::AtOnce,
        })
    }

    /// Leaves renewing to the caller, by what is returned.
    pub(super) fn renewed_by_caller(&mut self) -> Arc<Renewal> {
        self.renewed = Renewed::ByCaller;
        self.renewal.clone()
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
            self.take_fresh();
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

    /// Has the instance replaced after a fault.
    #[cold]
    fn replace(&mut self, fault: &Fault) {
        let instance = self.instance.take();
        self.version.note_fault(self.role, fault);
        if let Some(instance) = instance
            && !self.version.stats.is_quarantined()
        {
            self.renew(Before::Faulty(instance));
        }
    }

    /// Has the instance replaced by a fresh one with its state.
    #[cold]
    fn recycle(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.renew(Before::Full(instance));
        }
    }

    fn renew(&mut self, before: Before) {
        self.renewal.request(before);
        if self.renewed == Renewed::AtOnce {
            self.take_fresh();
        }
    }

    /// Takes the fresh instance, if there is one.
    #[cold]
    fn take_fresh(&mut self) {
        let mut fresh = self.renewal.take();
        if fresh.is_none() && self.renewed == Renewed::AtOnce {
            self.renewal.run();
            fresh = self.renewal.take_ready();
        }
        if let Some(FreshInstance { instance, full }) = fresh {
            self.instance = Some(instance);
            self.full = full;
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
            self.renewal.note_refused_state(reason);
        }
        refused
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
