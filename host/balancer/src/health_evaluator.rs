//! Evaluates members' health: by the built-in rule, or by a plugin with the rule as its fallback.
//!
//! Both get every check and outcome. The plugin decides for as long as it returns results. When it does not (a fault, or it is
//! out of service), the rule decides for every member. When it does again, its fresh instance takes all members for healthy, so
//! no transition of an unhealthy member means nothing: the rule goes on deciding for that one until either calls it healthy.
//!
//! | event | decided by | its state |
//! |---|---|---|
//! | at first | the plugin, if there is one | healthy |
//! | the plugin returns no result | the rule | the rule's |
//! | the plugin returns a transition of the member | the plugin | the plugin's |
//! | the plugin returns none of it | the plugin, if the member is healthy; else as before | as decided |

use std::collections::{BTreeMap, BTreeSet};

use equipoise_sdk::health::{CheckResult, HealthPolicy, RequestOutcome, State, Transition};
use equipoise_sdk::{Env, PolicyConfig};

/// A health policy that may fail to return a result.
pub trait PluginHealthPolicy: Send {
    /// As [`HealthPolicy::on_checks`]; `None` after a fault or while it is out of service.
    fn on_checks(&mut self, probes: &[CheckResult], host: &dyn Env) -> Option<Vec<Transition>>;

    /// As [`HealthPolicy::on_requests`]; `None` after a fault or while it is out of service.
    fn on_requests(
        &mut self,
        exchanges: &[RequestOutcome],
        host: &dyn Env,
    ) -> Option<Vec<Transition>>;

    /// As [`HealthPolicy::save`].
    fn save(&mut self) -> Vec<u8>;

    /// As [`HealthPolicy::restore`].
    ///
    /// # Errors
    /// Why the state cannot be restored.
    fn restore(&mut self, blob: &[u8]) -> Result<(), String>;
}

/// Evaluates the health of a balancer's members.
pub struct HealthEvaluator {
    rule: Box<dyn HealthPolicy>,
    plugin: Option<Box<dyn PluginHealthPolicy>>,
    /// By the members' ids.
    verdicts: BTreeMap<u32, HealthVerdict>,
    /// The members for which the rule decides.
    under_rule: BTreeSet<u32>,
    /// The members whose state by the rule may be new since the last transitions.
    due: BTreeSet<u32>,
}

/// The health of a member.
#[derive(Debug, Clone)]
struct HealthVerdict {
    /// The rule's state, and its reason.
    rule: (State, String),
    /// The state in force.
    state: State,
}

impl HealthEvaluator {
    /// Of these members: by the rule, or by the plugin with the rule as its fallback. Transitions of others are ignored.
    pub fn new(
        members: impl IntoIterator<Item = u32>,
        rule: Box<dyn HealthPolicy>,
        plugin: Option<Box<dyn PluginHealthPolicy>>,
    ) -> Self {
        let verdict = HealthVerdict {
            rule: (State::Healthy, String::new()),
            state: State::Healthy,
        };
        let members = members.into_iter();
        let verdicts: BTreeMap<_, _> = members.map(|member| (member, verdict.clone())).collect();
        let under_rule = match &plugin {
            Some(_) => BTreeSet::new(),
            None => verdicts.keys().copied().collect(),
        };
        Self {
            rule,
            plugin,
            verdicts,
            under_rule,
            due: BTreeSet::new(),
        }
    }

    /// Checks ended: returns the transitions in force.
    pub fn on_checks(&mut self, probes: &[CheckResult], host: &dyn Env) -> Vec<Transition> {
        let by_rule = self.rule.on_checks(probes, host);
        let plugin = self.plugin.as_mut();
        let by_plugin = plugin.map(|plugin| plugin.on_checks(probes, host));
        self.resolve(by_rule, by_plugin)
    }

    /// Requests ended, or a second has passed without: returns the transitions in force.
    pub fn on_requests(&mut self, exchanges: &[RequestOutcome], host: &dyn Env) -> Vec<Transition> {
        let by_rule = self.rule.on_requests(exchanges, host);
        let plugin = self.plugin.as_mut();
        let by_plugin = plugin.map(|plugin| plugin.on_requests(exchanges, host));
        self.resolve(by_rule, by_plugin)
    }

    /// Takes over the state of `other`, which is not used any more: its rule, which is configured anew with `setup`, and the state of its
    /// plugin, where it is the `same_plugin`. Another version of it may ignore the state.
    pub fn inherit(&mut self, other: &mut Self, setup: &PolicyConfig, same_plugin: bool) {
        std::mem::swap(&mut self.rule, &mut other.rule);
        // The one that was swapped for it was configured with the same.
        let _ = self.rule.configure(setup);
        for (member, verdict) in &mut self.verdicts {
            if let Some(before) = other.verdicts.get(member) {
                *verdict = before.clone();
            }
            if other.under_rule.contains(member) {
                self.under_rule.insert(*member);
            }
        }
        if let (true, Some(plugin), Some(before)) =
            (same_plugin, &mut self.plugin, &mut other.plugin)
        {
            let _ = plugin.restore(&before.save());
        } else {
            self.fall_back_to_rule();
        }
        self.due.extend(self.verdicts.keys());
    }

    /// Makes a member healthy until its next transition.
    pub fn clear(&mut self, member: u32) {
        if let Some(verdict) = self.verdicts.get_mut(&member) {
            verdict.rule = (State::Healthy, String::new());
            verdict.state = State::Healthy;
        }
    }

    /// The rule decides for all members until the plugin returns transitions of them again.
    fn fall_back_to_rule(&mut self) {
        if self.under_rule.len() < self.verdicts.len() {
            self.under_rule.extend(self.verdicts.keys());
            self.due.extend(self.verdicts.keys());
        }
    }

    /// The transitions in force. `by_plugin` is none without a plugin, and holds none where that returned no result. The cost does not
    /// depend on the number of members without a transition.
    fn resolve(
        &mut self,
        by_rule: Vec<Transition>,
        by_plugin: Option<Option<Vec<Transition>>>,
    ) -> Vec<Transition> {
        for transition in by_rule {
            if let Some(verdict) = self.verdicts.get_mut(&transition.member) {
                verdict.rule = (transition.state, transition.reason);
                self.due.insert(transition.member);
            }
        }
        let mut changes = Vec::new();
        match by_plugin {
            Some(Some(transitions)) => {
                let verdicts = &mut self.verdicts;
                let is_unhealthy = |it: &HealthVerdict| it.state == State::Unhealthy;
                self.under_rule
                    .retain(|member| verdicts.get(member).is_some_and(is_unhealthy));
                for transition in transitions {
                    if let Some(verdict) = verdicts.get_mut(&transition.member) {
                        self.under_rule.remove(&transition.member);
                        changes.extend(verdict.set_state(
                            transition.member,
                            transition.state,
                            &transition.reason,
                        ));
                    }
                }
            }
            Some(None) | None => self.fall_back_to_rule(),
        }
        for member in std::mem::take(&mut self.due) {
            if self.under_rule.contains(&member)
                && let Some(verdict) = self.verdicts.get_mut(&member)
            {
                let (state, reason) = verdict.rule.clone();
                changes.extend(verdict.set_state(member, state, &reason));
            }
        }
        changes
    }
}

impl HealthVerdict {
    /// Sets the member's state; returns the transition if it is new.
    fn set_state(&mut self, member: u32, state: State, reason: &str) -> Option<Transition> {
        let is_new = self.state != state;
        self.state = state;
        is_new.then(|| Transition {
            member,
            state,
            reason: reason.to_owned(),
        })
    }
}
