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

use std::collections::BTreeMap;

use equipoise_sdk::Env;
use equipoise_sdk::health::{CheckResult, HealthPolicy, RequestOutcome, State, Transition};

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
}

/// The health of a member.
#[derive(Debug, Clone)]
struct HealthVerdict {
    /// The rule's state, and its reason.
    rule: (State, String),
    /// The state in force.
    state: State,
    /// Whether the rule decides.
    is_under_rule: bool,
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
            is_under_rule: plugin.is_none(),
        };
        let members = members.into_iter();
        Self {
            rule,
            plugin,
            verdicts: members.map(|member| (member, verdict.clone())).collect(),
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

    /// Takes over the state of `other`; that of its plugin, too, where it is the `same_plugin`. Another version of it may ignore
    /// the state.
    pub fn inherit(&mut self, other: &mut Self, same_plugin: bool) {
        let _ = self.rule.restore(&other.rule.save());
        for (member, verdict) in &mut self.verdicts {
            if let Some(before) = other.verdicts.get(member) {
                *verdict = before.clone();
            }
        }
        if let (true, Some(plugin), Some(before)) =
            (same_plugin, &mut self.plugin, &mut other.plugin)
        {
            let _ = plugin.restore(&before.save());
        } else {
            self.fall_back_to_rule();
        }
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
        let verdicts = self.verdicts.values_mut();
        verdicts.for_each(|verdict| verdict.is_under_rule = true);
    }

    /// The transitions in force. `by_plugin` is none without a plugin, and holds none where that returned no result.
    fn resolve(
        &mut self,
        by_rule: Vec<Transition>,
        by_plugin: Option<Option<Vec<Transition>>>,
    ) -> Vec<Transition> {
        for transition in by_rule {
            if let Some(verdict) = self.verdicts.get_mut(&transition.member) {
                verdict.rule = (transition.state, transition.reason);
            }
        }
        let mut changes = Vec::new();
        match by_plugin {
            Some(Some(transitions)) => {
                for verdict in self.verdicts.values_mut() {
                    verdict.is_under_rule &= verdict.state == State::Unhealthy;
                }
                for transition in transitions {
                    if let Some(verdict) = self.verdicts.get_mut(&transition.member) {
                        verdict.is_under_rule = false;
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
        for (&member, verdict) in &mut self.verdicts {
            if verdict.is_under_rule {
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
