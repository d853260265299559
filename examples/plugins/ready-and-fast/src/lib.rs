//! A health policy: a member is healthy while a field of its check response says so, and while its responses are fast.
//!
//! The response to a check is a JSON document such as `{"status": "up", "queue": 3}`. Settings:
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `field` | `status` | the field of the document that is read |
//! | `value` | `up` | its value for a healthy member; numbers and booleans are compared as they are written |
//! | `p99-ms` | none | the highest 99th percentile of latency of client requests |
//!
//! The 99th percentile is that of the last 200 responses, and there is none with fewer than 100. A member that is too slow is
//! unhealthy until a check passes: without traffic it cannot show that it is faster now, so its latencies are dropped then.

use std::collections::{BTreeMap, VecDeque};

use equipoise_sdk::health::{CheckResult, HealthPolicy, RequestOutcome, State, Transition};
use equipoise_sdk::{Env, PolicyConfig, export_health};
use serde_json::Value;

/// Latencies of a member that its 99th percentile is of.
const MAX_SAMPLES: usize = 200;
const MIN_SAMPLES: usize = 100;

/// The policy.
#[derive(Default)]
pub struct ReadyAndFast {
    field: String,
    value: String,
    /// In microseconds.
    p99: Option<u32>,
    members: BTreeMap<u32, Member>,
}

#[derive(Default)]
struct Member {
    latencies: VecDeque<u32>,
    is_unhealthy: bool,
}

impl HealthPolicy for ReadyAndFast {
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        config.deny_unknown(&["field", "value", "p99-ms"])?;
        self.field = config.setting("field").unwrap_or("status").to_owned();
        self.value = config.setting("value").unwrap_or("up").to_owned();
        self.p99 = config.setting("p99-ms").map(microseconds).transpose()?;
        self.members = config
            .members
            .iter()
            .map(|member| (member.id, Member::default()))
            .collect();
        Ok(())
    }

    fn on_checks(&mut self, results: &[CheckResult], _: &dyn Env) -> Vec<Transition> {
        let mut transitions = Vec::new();
        for result in results {
            let problem = self.problem(result);
            if let Some(member) = self.members.get_mut(&result.member) {
                if problem.is_none() && member.is_unhealthy {
                    member.latencies.clear();
                }
                transitions.extend(member.set_problem(result.member, problem));
            }
        }
        transitions
    }

    fn on_requests(&mut self, outcomes: &[RequestOutcome], _: &dyn Env) -> Vec<Transition> {
        let mut transitions = Vec::new();
        for outcome in outcomes {
            let Some(member) = self.members.get_mut(&outcome.member) else {
                continue;
            };
            if member.latencies.len() == MAX_SAMPLES {
                member.latencies.pop_front();
            }
            member.latencies.push_back(outcome.latency_us);
            if let (Some(bound), Some(p99)) = (self.p99, member.p99())
                && p99 > bound
            {
                let problem = format!("99th percentile of latency is {} ms", p99 / 1000);
                transitions.extend(member.set_problem(outcome.member, Some(problem)));
            }
        }
        transitions
    }
}

impl ReadyAndFast {
    /// What is wrong with the result of a check.
    fn problem(&self, result: &CheckResult) -> Option<String> {
        let Ok(response) = &result.response else {
            return Some("no response".to_owned());
        };
        let Ok(document) = serde_json::from_slice::<Value>(&response.body) else {
            return Some("the response is not JSON".to_owned());
        };
        let value = match document.get(&self.field) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => return Some(format!("the response has no field {}", self.field)),
        };
        (value != self.value).then(|| format!("{} is {value}", self.field))
    }
}

impl Member {
    /// The transition that a problem causes, or the absence of one.
    fn set_problem(&mut self, member: u32, problem: Option<String>) -> Option<Transition> {
        if self.is_unhealthy == problem.is_some() {
            return None;
        }
        self.is_unhealthy = problem.is_some();
        Some(Transition {
            member,
            state: match problem {
                Some(_) => State::Unhealthy,
                None => State::Healthy,
            },
            reason: problem.unwrap_or_else(|| "passed its check".to_owned()),
        })
    }

    /// The 99th percentile of latency, in microseconds.
    fn p99(&self) -> Option<u32> {
        if self.latencies.len() < MIN_SAMPLES {
            return None;
        }
        let mut sorted: Vec<u32> = self.latencies.iter().copied().collect();
        let place = sorted.len() * 99 / 100;
        let (_, p99, _) = sorted.select_nth_unstable(place.min(self.latencies.len() - 1));
        Some(*p99)
    }
}

fn microseconds(milliseconds: &str) -> Result<u32, String> {
    let parsed = milliseconds.parse::<u32>().ok();
    parsed
        .and_then(|milliseconds| milliseconds.checked_mul(1000))
        .filter(|&time| time > 0)
        .ok_or_else(|| format!("`p99-ms` must be whole milliseconds from 1, not `{milliseconds}`"))
}

export_health!(ReadyAndFast);

#[cfg(test)]
mod tests {
    use equipoise_sdk::MemberConfig;
    use equipoise_sdk::health::{CheckResponse, Failure};
    use equipoise_sdk::testing::FakeEnv;

    use super::*;

    fn policy(settings: &[(&str, &str)]) -> ReadyAndFast {
        let mut policy = ReadyAndFast::default();
        let config = PolicyConfig {
            members: vec![MemberConfig::default()],
            ..PolicyConfig::from_settings(settings.iter().copied())
        };
        policy.configure(&config).unwrap();
        policy
    }

    fn check(policy: &mut ReadyAndFast, response: Result<&str, Failure>) -> Vec<String> {
        let with_body = |body: &str| CheckResponse {
            status: 200,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        let result = CheckResult {
            member: 0,
            at_ms: 0,
            latency_us: 1,
            response: response.map(with_body),
            passed: true,
        };
        words(policy.on_checks(&[result], &FakeEnv::default()))
    }

    fn request(policy: &mut ReadyAndFast, latency_us: u32) -> Vec<String> {
        let outcome = RequestOutcome {
            member: 0,
            at_ms: 0,
            latency_us,
            status: Ok(200),
            bytes_sent: 1,
            bytes_received: 1,
        };
        words(policy.on_requests(&[outcome], &FakeEnv::default()))
    }

    fn words(transitions: Vec<Transition>) -> Vec<String> {
        let word = |it: Transition| format!("{:?}: {}", it.state, it.reason);
        transitions.into_iter().map(word).collect()
    }

    #[test]
    fn field_of_the_response_decides() {
        let mut policy = policy(&[]);
        let table = [
            (Ok("{\"status\": \"up\"}"), None),
            (
                Ok("{\"status\": \"down\"}"),
                Some("Unhealthy: status is down"),
            ),
            (Ok("{}"), None),
            (
                Ok("{\"status\": \"up\"}"),
                Some("Healthy: passed its check"),
            ),
            (Ok("<html>"), Some("Unhealthy: the response is not JSON")),
            (
                Ok("{\"status\": \"up\"}"),
                Some("Healthy: passed its check"),
            ),
            (Err(Failure::TimedOut), Some("Unhealthy: no response")),
        ];
        for (outcome, change) in table {
            let changes = check(&mut policy, outcome);
            assert_eq!(changes.first().map(String::as_str), change, "{outcome:?}");
        }
    }

    #[test]
    fn numbers_and_booleans_are_compared_as_they_are_written() {
        let mut policy = policy(&[("field", "ready"), ("value", "true")]);
        assert_eq!(check(&mut policy, Ok("{\"ready\": true}")), [""; 0]);
        assert_eq!(
            check(&mut policy, Ok("{\"ready\": 1}")),
            ["Unhealthy: ready is 1"]
        );
    }

    #[test]
    fn slow_member_is_left_out_until_its_next_check() {
        let mut policy = policy(&[("p99-ms", "100")]);
        for _ in 0..99 {
            assert_eq!(request(&mut policy, 50_000), [""; 0]);
        }
        assert_eq!(request(&mut policy, 50_000), [""; 0]);
        let changes: Vec<_> = (0..10)
            .flat_map(|_| request(&mut policy, 300_000))
            .collect();
        assert_eq!(changes, ["Unhealthy: 99th percentile of latency is 300 ms"]);
        assert_eq!(
            check(&mut policy, Ok("{\"status\": \"up\"}")),
            ["Healthy: passed its check"]
        );
        assert_eq!(
            request(&mut policy, 300_000),
            [""; 0],
            "latencies before are dropped"
        );
    }

    #[test]
    fn zero_bound_is_refused() {
        let refused =
            ReadyAndFast::default().configure(&PolicyConfig::from_settings([("p99-ms", "0")]));
        assert!(refused.unwrap_err().contains("milliseconds from 1"));
    }
}
