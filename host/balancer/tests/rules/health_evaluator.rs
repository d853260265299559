//! Which decides on health: the plugin, or the rule as its fallback.

use std::sync::{Arc, Mutex};

use equipoise_balancer::{HealthEvaluator, PluginHealthPolicy};
use equipoise_sdk::health::{CheckResult, HealthPolicy, RequestOutcome, State, Transition};
use equipoise_sdk::testing::FakeEnv;
use equipoise_sdk::{Env, PolicyConfig};

/// What a policy returns next; none for a fault.
type Script = Arc<Mutex<Option<Vec<Transition>>>>;

struct Scripted(Script);

impl Scripted {
    fn result(&self) -> Option<Vec<Transition>> {
        self.0.lock().unwrap().replace(Vec::new())
    }
}

impl HealthPolicy for Scripted {
    fn on_checks(&mut self, _: &[CheckResult], _: &dyn Env) -> Vec<Transition> {
        self.result().unwrap_or_default()
    }

    fn on_requests(&mut self, _: &[RequestOutcome], _: &dyn Env) -> Vec<Transition> {
        self.result().unwrap_or_default()
    }
}

struct ScriptedPlugin(Scripted);

impl PluginHealthPolicy for ScriptedPlugin {
    fn on_checks(&mut self, _: &[CheckResult], _: &dyn Env) -> Option<Vec<Transition>> {
        self.0.result()
    }

    fn on_requests(&mut self, _: &[RequestOutcome], _: &dyn Env) -> Option<Vec<Transition>> {
        self.0.result()
    }

    fn save(&mut self) -> Vec<u8> {
        Vec::new()
    }

    fn restore(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }
}

/// Transitions from words such as `-1 +2`: member 1 is unhealthy, 2 healthy.
fn transitions(words: &str) -> Vec<Transition> {
    let transition = |word: &str| Transition {
        member: word[1..].parse().unwrap(),
        state: match &word[..1] {
            "+" => State::Healthy,
            _ => State::Unhealthy,
        },
        reason: String::new(),
    };
    words.split_whitespace().map(transition).collect()
}

fn words(transitions: &[Transition]) -> String {
    let word = |transition: &Transition| match transition.state {
        State::Healthy => format!("+{}", transition.member),
        State::Unhealthy => format!("-{}", transition.member),
    };
    transitions.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// An evaluator of members 0 to 2, and one round after the other: what rule and plugin return (`fault` for no result), and
/// what changes.
fn evaluate(has_plugin: bool, rounds: &[(&str, &str, &str)]) {
    let (rule, plugin) = (Script::default(), Script::default());
    let by_plugin: Box<dyn PluginHealthPolicy> = Box::new(ScriptedPlugin(Scripted(plugin.clone())));
    let by_rule = Box::new(Scripted(rule.clone()));
    let mut evaluator = HealthEvaluator::new(0..3, by_rule, has_plugin.then_some(by_plugin));
    for (round, (by_rule, by_plugin, changes)) in rounds.iter().enumerate() {
        *rule.lock().unwrap() = Some(transitions(by_rule));
        *plugin.lock().unwrap() = (*by_plugin != "fault").then(|| transitions(by_plugin));
        let transitions = evaluator.on_requests(&[], &FakeEnv::default());
        assert_eq!(words(&transitions), *changes, "round {round}");
    }
}

/// Of a member that the rule has no transition of: it is looked at all the same.
#[test]
fn the_state_of_a_plugin_that_is_gone_is_the_rules_again() {
    let (rule, plugin) = (Script::default(), Script::default());
    let by_plugin: Box<dyn PluginHealthPolicy> = Box::new(ScriptedPlugin(Scripted(plugin.clone())));
    let scripted = || Box::new(Scripted(rule.clone()));
    let mut before = HealthEvaluator::new(0..3, scripted(), Some(by_plugin));
    let evaluate = |evaluator: &mut HealthEvaluator, by_rule: &str, by_plugin: &str| {
        *rule.lock().unwrap() = Some(transitions(by_rule));
        *plugin.lock().unwrap() = Some(transitions(by_plugin));
        words(&evaluator.on_requests(&[], &FakeEnv::default()))
    };
    assert_eq!(evaluate(&mut before, "-0 -2", "-1"), "-1");
    let mut after = HealthEvaluator::new(0..2, scripted(), None);
    after.inherit(&mut before, &PolicyConfig::default(), false);
    assert_eq!(evaluate(&mut after, "", ""), "-0 +1");
    assert_eq!(evaluate(&mut after, "", ""), "");
}

#[test]
fn without_a_plugin_the_rule_decides() {
    evaluate(
        false,
        &[("-1", "", "-1"), ("", "", ""), ("+1 -2", "", "+1 -2")],
    );
}

#[test]
fn plugin_that_returns_results_decides_alone() {
    evaluate(
        true,
        &[("-1", "", ""), ("", "-2", "-2"), ("+1", "+2", "+2")],
    );
}

#[test]
fn repeated_transition_changes_nothing() {
    evaluate(
        true,
        &[("", "-1", "-1"), ("", "-1", ""), ("", "+1 -1", "+1 -1")],
    );
}

#[test]
fn rule_decides_where_the_plugin_returns_no_result() {
    evaluate(
        true,
        &[
            ("-1", "-2", "-2"),
            // The rule has 1 unhealthy, which the plugin did not, and 2 healthy.
            ("", "fault", "-1 +2"),
            ("+1 -0", "fault", "-0 +1"),
        ],
    );
}

#[test]
fn unhealthy_members_stay_under_the_rule_until_either_calls_them_healthy() {
    evaluate(
        true,
        &[
            ("-0 -1", "fault", "-0 -1"),
            // Its fresh instance takes both for healthy, and returns no transition of 0.
            ("", "-1", ""),
            ("+0 +1", "", "+0"),
            ("", "+1", "+1"),
            ("-0 -1", "", ""),
        ],
    );
}

#[test]
fn unknown_members_are_ignored() {
    evaluate(true, &[("-7", "-3 -4294967295", ""), ("", "fault", "")]);
}
