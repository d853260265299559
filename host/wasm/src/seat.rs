//! The place of a plugin in a balancer: one role, one instance at a time, and a fresh one after every fault.

use std::sync::Arc;

use anyhow::{Result, anyhow};
use equipoise_sdk::{LogLevel, PolicyConfig};
use thiserror::Error;

use super::ambient::Ambient;
use super::budget::Budget;
use super::clock::{Nanos, nanos, processor_time};
use super::fault::Fault;
use super::instance::Instance;
use super::version::Version;
use super::watch::{Watch, within};
use equipoise_balancer::FaultKind;
use equipoise_balancer::{PluginVersion as _, Role};

/// A version of a plugin in one role for one balancer (or one worker's share of it).
pub(super) struct Seat {
    version: Arc<Version>,
    role: Role,
    setup: Arc<PolicyConfig>,
    budget: Arc<Budget>,
    watch: Watch,
    /// None when a fresh one could not be had; the next call tries again.
    instance: Option<Instance>,
    /// Memory at which the instance is exchanged for a fresh one, before it runs out: leaks are to cost no request.
    full: usize,
}

/// Why a fresh instance could not be had.
#[derive(Debug, Error)]
enum NoInstance {
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

impl NoInstance {
    /// What it is counted as. One that was configured before and now refuses has failed as if it had trapped.
    fn kind(&self) -> FaultKind {
        match self {
            Self::Start(fault) | Self::Configure(fault) | Self::Columns(fault) => fault.kind,
            Self::Refused(_) => FaultKind::Trap,
            Self::NoColumns(_) => FaultKind::Malformed,
        }
    }
}

impl Seat {
    /// Gives a version the role: a fresh instance, configured, whose calls are charged to a budget.
    ///
    /// # Errors
    /// It has no such export, or its start or its `configure` went wrong.
    pub(super) fn new(
        version: &Arc<Version>,
        role: Role,
        setup: &Arc<PolicyConfig>,
        budget: Arc<Budget>,
    ) -> Result<Self> {
        version.check_role(role)?;
        let mut seat = Self {
            version: version.clone(),
            role,
            setup: setup.clone(),
            budget,
            watch: Watch::new(version.plugin.deadline),
            instance: None,
            full: usize::MAX,
        };
        seat.fill()?;
        Ok(seat)
    }

    /// Asks the instance. `None` where there is no answer: after a fault, while the version is out of service, or while its
    /// budget is overdrawn. Whatever follows from the call is charged with it, such as a fresh instance.
    #[inline]
    pub(super) fn ask<R>(
        &mut self,
        question: impl FnOnce(&mut Instance) -> Result<R, Fault>,
    ) -> Option<R> {
        if self.version.record.is_quarantined() {
            return None;
        }
        let now = self.now();
        if self.budget.is_overdrawn(now) {
            self.deny(now);
            return None;
        }
        self.watch.begin(now, processor_time);
        let answer = self.put(question);
        let now = self.now();
        if self.watch.is_noticed(now) {
            let spent = self.watch.end(now, processor_time);
            self.charge(spent);
        }
        answer
    }

    /// As [`ask`](Self::ask), when one version succeeds another: that is rare, and must not fail for want of budget.
    fn ask_once<R>(
        &mut self,
        question: impl FnOnce(&mut Instance) -> Result<R, Fault>,
    ) -> Option<R> {
        if self.version.record.is_quarantined() {
            return None;
        }
        let deadline = self.version.plugin.deadline;
        self.watch.begin(self.now(), processor_time);
        self.put(|instance| within(deadline, || question(instance)))
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
        self.version.record.count_spent(spent);
    }

    fn put<R>(&mut self, question: impl FnOnce(&mut Instance) -> Result<R, Fault>) -> Option<R> {
        if self.instance.is_none() {
            self.refill();
        }
        let instance = self.instance.as_mut()?;
        let timed_since = self.version.record.count_call();
        let mut answer = question(instance);
        if let Some(begun) = timed_since {
            self.version.record.count_duration(begun.elapsed());
        }
        let now = self.version.sandbox.clock.now();
        if self.watch.is_noticed(now)
            && self
                .watch
                .is_late(now, instance.first_tick(), processor_time)
        {
            answer = answer.and_then(|_| Err(Fault::late()));
        }
        match answer {
            Ok(answer) => {
                if instance.memory() >= self.full {
                    self.exchange();
                }
                Some(answer)
            }
            Err(fault) => {
                self.replace(&fault);
                None
            }
        }
    }

    /// What the plugin answered is wrong.
    #[cold]
    pub(super) fn blame(&mut self, fault: &Fault) {
        let begun = self.now();
        self.replace(fault);
        self.charge(self.now().saturating_sub(begun));
    }

    /// The plugin did something wrong: throws its instance away and gets a fresh one.
    #[cold]
    fn replace(&mut self, fault: &Fault) {
        self.instance = None;
        self.version.note_fault(self.role, fault);
        if !self.version.record.is_quarantined() {
            self.refill();
        }
    }

    /// What the next instance should know; empty where it does not say, or cannot.
    pub(super) fn save(&mut self) -> Vec<u8> {
        self.ask_once(Instance::save).unwrap_or_default()
    }

    /// Hands over what another instance saved.
    pub(super) fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        if blob.is_empty() {
            return Ok(());
        }
        let restored = self.ask_once(|instance| instance.restore(blob));
        let refused = restored.unwrap_or(Ok(()));
        if let Err(reason) = &refused {
            self.note_refused_state(reason);
        }
        refused
    }

    fn note_refused_state(&self, reason: &str) {
        let version = self.version.short_hash();
        let line = format!("version {version}: the state before is of no use to it: {reason}");
        self.version.notices.say(LogLevel::Info, &line);
    }

    /// A call that must work before the version may serve.
    pub(super) fn rehearse<R>(
        &mut self,
        question: impl FnOnce(&mut Instance) -> Result<R, Fault>,
    ) -> Result<R> {
        let instance = self.instance.as_mut();
        let instance = instance.ok_or_else(|| anyhow!("there is no instance"))?;
        let answer = within(self.version.plugin.deadline, || question(instance));
        answer.map_err(|fault| anyhow!("in the rehearsal: {fault}"))
    }

    /// Bytes of memory the instance has.
    pub(super) fn memory(&self) -> usize {
        self.instance.as_ref().map_or(0, Instance::memory)
    }

    fn fill(&mut self) -> Result<&mut Instance, NoInstance> {
        let mut instance = Instance::new(&self.version).map_err(NoInstance::Start)?;
        let deadline = self.version.plugin.deadline;
        within(deadline, || instance.configure(self.role, &self.setup))
            .map_err(NoInstance::Configure)?
            .map_err(|refusal| NoInstance::Refused(one_line(&refusal)))?;
        if self.role == Role::Selector {
            within(deadline, || instance.ask_for_columns())
                .map_err(NoInstance::Columns)?
                .map_err(NoInstance::NoColumns)?;
        }
        let (bound, taken) = (self.version.plugin.memory, instance.memory());
        self.full = match bound.saturating_sub(taken) / 4 {
            // One that has all it may have from the start leaks nothing, and a fresh one would be as full.
            0 => usize::MAX,
            reserve => bound - reserve,
        };
        Ok(self.instance.insert(instance))
    }

    /// A fresh instance in the midst of serving.
    #[cold]
    fn refill(&mut self) -> Option<&mut Instance> {
        if let Err(error) = self.fill() {
            let fault = Fault::new(error.kind(), error.to_string());
            self.version.note_fault(self.role, &fault);
        }
        self.instance.as_mut()
    }

    /// A fresh instance that knows what the one before did.
    ///
    /// Calls the instances without [`ask`](Self::ask), which would exchange them again if the state alone fills them.
    #[cold]
    fn exchange(&mut self) {
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
        let restored = match self.refill() {
            Some(instance) if !blob.is_empty() => within(deadline, || instance.restore(&blob)),
            _ => return,
        };
        match restored {
            Ok(Ok(())) => {}
            Ok(Err(reason)) => self.note_refused_state(&reason),
            Err(fault) => self.replace(&fault),
        }
    }

    /// Whether the plugin keeps a schedule that can be shown.
    pub(super) fn has_schedule(&self) -> bool {
        self.version.exports.schedule.is_some()
    }

    /// Says that the fallback was asked for.
    pub(super) fn note_declined(&self) {
        self.version.record.count_declined();
    }

    /// What calls that are about no request are given.
    pub(super) fn timed(host: &dyn equipoise_sdk::Env) -> Ambient<'_> {
        Ambient {
            host: Some(host),
            ..Ambient::default()
        }
    }

    /// What calls about a request and candidates are given.
    pub(super) fn ambient<'call>(
        request: &'call dyn equipoise_sdk::Request,
        host: &'call dyn equipoise_sdk::Env,
    ) -> Ambient<'call> {
        Ambient {
            request: Some(request),
            candidates: None,
            host: Some(host),
        }
    }
}

/// A plugin's words fit for a log line.
pub(super) fn one_line(text: &str) -> String {
    let shown = text.chars().take(300);
    shown
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}
