//! Who judges the members' health: the built-in rule, or a plugin with the rule beside it.
//!
//! Both are told everything. The plugin's word counts for as long as it answers. When it does not (a fault, or it is out of
//! service), every member is under the rule. When it answers again, a fresh instance of it takes everybody for healthy, so
//! its silence says nothing of a member that is not: that one stays under the rule until either of them lets it out.
//!
//! | what happens | who a member is under | what it is |
//! |---|---|---|
//! | at first | the plugin, if there is one | healthy |
//! | the plugin does not answer | the rule | what the rule says |
//! | the plugin answers and speaks of it | the plugin | what the plugin says |
//! | the plugin answers and does not | the plugin, if it is healthy; else as before | what the one it is under says |

use std::collections::BTreeMap;

use equipoise_sdk::Host;
use equipoise_sdk::health::{Exchange, Judge, Probe, State, Transition};

/// A judge that may fail to answer.
pub trait PluginHealthPolicy: Send {
    /// As [`Judge::judge_probes`]; `None` after a fault or while it is out of service.
    fn judge_probes(&mut self, probes: &[Probe], host: &dyn Host) -> Option<Vec<Transition>>;

    /// As [`Judge::judge_exchanges`]; `None` after a fault or while it is out of service.
    fn judge_exchanges(
        &mut self,
        exchanges: &[Exchange],
        host: &dyn Host,
    ) -> Option<Vec<Transition>>;

    /// As [`Judge::save`].
    fn save(&mut self) -> Vec<u8>;

    /// As [`Judge::restore`].
    ///
    /// # Errors
    /// Why it is of no use.
    fn restore(&mut self, blob: &[u8]) -> Result<(), String>;
}

/// The judge of a balancer's members.
pub struct HealthEvaluator {
    rule: Box<dyn Judge>,
    plugin: Option<Box<dyn PluginHealthPolicy>>,
    /// By the members' ids.
    verdicts: BTreeMap<u32, HealthVerdict>,
}

/// What is said of a member.
#[derive(Debug, Clone)]
struct HealthVerdict {
    /// What the rule says, and why.
    rule: (State, String),
    /// What counts.
    state: State,
    /// Whether the rule's word is what counts.
    is_under_rule: bool,
}

impl HealthEvaluator {
    /// Of these members: by the rule, or by the plugin with the rule in its place when it does not answer. What is said of
    /// others is passed over.
    pub fn new(
        members: impl IntoIterator<Item = u32>,
        rule: Box<dyn Judge>,
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

    /// Checks ended: answers what changes by that.
    pub fn judge_probes(&mut self, probes: &[Probe], host: &dyn Host) -> Vec<Transition> {
        let by_rule = self.rule.judge_probes(probes, host);
        let plugin = self.plugin.as_mut();
        let by_plugin = plugin.map(|plugin| plugin.judge_probes(probes, host));
        self.resolve(by_rule, by_plugin)
    }

    /// Requests ended, or a second has passed without: answers what changes by that.
    pub fn judge_exchanges(&mut self, exchanges: &[Exchange], host: &dyn Host) -> Vec<Transition> {
        let by_rule = self.rule.judge_exchanges(exchanges, host);
        let plugin = self.plugin.as_mut();
        let by_plugin = plugin.map(|plugin| plugin.judge_exchanges(exchanges, host));
        self.resolve(by_rule, by_plugin)
    }

    /// Goes on where `other` is; with its plugin, if that is of the `same_plugin`, whose other version may leave what it gets.
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

    /// Takes a member for healthy until somebody speaks of it again.
    pub fn clear(&mut self, member: u32) {
        if let Some(verdict) = self.verdicts.get_mut(&member) {
            verdict.rule = (State::Healthy, String::new());
            verdict.state = State::Healthy;
        }
    }

    /// Until the plugin speaks of them again, the rule's word counts for all.
    fn fall_back_to_rule(&mut self) {
        let verdicts = self.verdicts.values_mut();
        verdicts.for_each(|verdict| verdict.is_under_rule = true);
    }

    /// What counts of what was transition. `by_plugin` is none without a plugin, and holds none where that did not answer.
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
    /// What changes when the member is in this state from now on.
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
