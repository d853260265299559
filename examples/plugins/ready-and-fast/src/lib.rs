//! A judge: a member is healthy while a field of its health answer says so, and while its answers are fast.
//!
//! The answer to a check is a JSON document such as `{"status": "up", "queue": 3}`. Settings:
//!
//! | setting | default | meaning |
//! |---|---|---|
//! | `field` | `status` | the field of the document that is looked at |
//! | `value` | `up` | what it must say; a number or a switch is compared as it is written |
//! | `p99-ms` | none | the longest that 99 of 100 answers to clients may take |
//!
//! The 99th percentile is that of the last 200 answers, and there is none with fewer than 100. A member that is too slow is
//! left out until a check passes: without traffic it cannot show that it is faster now, so its latencies are forgotten.

use std::collections::{BTreeMap, VecDeque};

use equipoise_sdk::health::{Exchange, Judge, Probe, State, Transition};
use equipoise_sdk::{Host, Setup, export_judge};
use serde_json::Value;

/// How many latencies of a member are looked at, at most and at least.
const MOST: usize = 200;
const LEAST: usize = 100;

/// The judge.
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

impl Judge for ReadyAndFast {
    fn configure(&mut self, setup: &Setup) -> Result<(), String> {
        setup.allow(&["field", "value", "p99-ms"])?;
        self.field = setup.setting("field").unwrap_or("status").to_owned();
        self.value = setup.setting("value").unwrap_or("up").to_owned();
        self.p99 = setup.setting("p99-ms").map(microseconds).transpose()?;
        self.members = setup
            .members
            .iter()
            .map(|peer| (peer.id, Member::default()))
            .collect();
        Ok(())
    }

    fn judge_probes(&mut self, probes: &[Probe], _: &dyn Host) -> Vec<Transition> {
        let mut transitions = Vec::new();
        for probe in probes {
            let complaint = self.complaint(probe);
            if let Some(member) = self.members.get_mut(&probe.member) {
                if complaint.is_none() && member.is_unhealthy {
                    member.latencies.clear();
                }
                transitions.extend(member.told(probe.member, complaint));
            }
        }
        transitions
    }

    fn judge_exchanges(&mut self, exchanges: &[Exchange], _: &dyn Host) -> Vec<Transition> {
        let mut transitions = Vec::new();
        for exchange in exchanges {
            let Some(member) = self.members.get_mut(&exchange.member) else {
                continue;
            };
            if member.latencies.len() == MOST {
                member.latencies.pop_front();
            }
            member.latencies.push_back(exchange.latency_us);
            if let (Some(bound), Some(p99)) = (self.p99, member.p99())
                && p99 > bound
            {
                let complaint = format!("99 of 100 answers take up to {} ms", p99 / 1000);
                transitions.extend(member.told(exchange.member, Some(complaint)));
            }
        }
        transitions
    }
}

impl ReadyAndFast {
    /// What is wrong with the result of a check.
    fn complaint(&self, probe: &Probe) -> Option<String> {
        let Ok(answer) = &probe.outcome else {
            return Some("no answer".to_owned());
        };
        let Ok(document) = serde_json::from_slice::<Value>(&answer.body) else {
            return Some("the answer is no JSON".to_owned());
        };
        let said = match document.get(&self.field) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => return Some(format!("the answer has no field {}", self.field)),
        };
        (said != self.value).then(|| format!("{} is {said}", self.field))
    }
}

impl Member {
    /// What changes by a complaint, or by there being none.
    fn told(&mut self, member: u32, complaint: Option<String>) -> Option<Transition> {
        if self.is_unhealthy == complaint.is_some() {
            return None;
        }
        self.is_unhealthy = complaint.is_some();
        Some(Transition {
            member,
            state: match complaint {
                Some(_) => State::Unhealthy,
                None => State::Healthy,
            },
            reason: complaint.unwrap_or_else(|| "it says that it is ready".to_owned()),
        })
    }

    /// The latency that 99 of 100 answers do not exceed.
    fn p99(&self) -> Option<u32> {
        if self.latencies.len() < LEAST {
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

export_judge!(ReadyAndFast);

#[cfg(test)]
mod tests {
    use equipoise_sdk::Peer;
    use equipoise_sdk::health::{Answer, Failure};
    use equipoise_sdk::testing::FakeHost;

    use super::*;

    fn judge(settings: &[(&str, &str)]) -> ReadyAndFast {
        let mut judge = ReadyAndFast::default();
        let setup = Setup {
            members: vec![Peer::default()],
            ..Setup::of(settings.iter().copied())
        };
        judge.configure(&setup).unwrap();
        judge
    }

    fn check(judge: &mut ReadyAndFast, outcome: Result<&str, Failure>) -> Vec<String> {
        let answer = |body: &str| Answer {
            status: 200,
            headers: Vec::new(),
            body: body.as_bytes().to_vec(),
        };
        let probe = Probe {
            member: 0,
            at_ms: 0,
            latency_us: 1,
            outcome: outcome.map(answer),
            expected: true,
        };
        words(judge.judge_probes(&[probe], &FakeHost::default()))
    }

    fn request(judge: &mut ReadyAndFast, latency_us: u32) -> Vec<String> {
        let exchange = Exchange {
            member: 0,
            at_ms: 0,
            latency_us,
            outcome: Ok(200),
            transferred: 1,
            read: 1,
        };
        words(judge.judge_exchanges(&[exchange], &FakeHost::default()))
    }

    fn words(transitions: Vec<Transition>) -> Vec<String> {
        let word = |it: Transition| format!("{:?}: {}", it.state, it.reason);
        transitions.into_iter().map(word).collect()
    }

    #[test]
    fn field_of_the_answer_decides() {
        let mut judge = judge(&[]);
        let table = [
            (Ok("{\"status\": \"up\"}"), None),
            (
                Ok("{\"status\": \"down\"}"),
                Some("Unhealthy: status is down"),
            ),
            (Ok("{}"), None),
            (
                Ok("{\"status\": \"up\"}"),
                Some("Healthy: it says that it is ready"),
            ),
            (Ok("<html>"), Some("Unhealthy: the answer is no JSON")),
            (
                Ok("{\"status\": \"up\"}"),
                Some("Healthy: it says that it is ready"),
            ),
            (Err(Failure::TimedOut), Some("Unhealthy: no answer")),
        ];
        for (outcome, change) in table {
            let told = check(&mut judge, outcome);
            assert_eq!(told.first().map(String::as_str), change, "{outcome:?}");
        }
    }

    #[test]
    fn numbers_and_switches_are_compared_as_they_are_written() {
        let mut judge = judge(&[("field", "ready"), ("value", "true")]);
        assert_eq!(check(&mut judge, Ok("{\"ready\": true}")), [""; 0]);
        assert_eq!(
            check(&mut judge, Ok("{\"ready\": 1}")),
            ["Unhealthy: ready is 1"]
        );
    }

    #[test]
    fn slow_member_is_left_out_until_its_next_check() {
        let mut judge = judge(&[("p99-ms", "100")]);
        for _ in 0..99 {
            assert_eq!(request(&mut judge, 50_000), [""; 0]);
        }
        assert_eq!(request(&mut judge, 50_000), [""; 0]);
        let told: Vec<_> = (0..10).flat_map(|_| request(&mut judge, 300_000)).collect();
        assert_eq!(told, ["Unhealthy: 99 of 100 answers take up to 300 ms"]);
        assert_eq!(
            check(&mut judge, Ok("{\"status\": \"up\"}")),
            ["Healthy: it says that it is ready"]
        );
        assert_eq!(
            request(&mut judge, 300_000),
            [""; 0],
            "the old ones are forgotten"
        );
    }

    #[test]
    fn bound_that_is_none_is_refused() {
        let refused = ReadyAndFast::default().configure(&Setup::of([("p99-ms", "0")]));
        assert!(refused.unwrap_err().contains("milliseconds from 1"));
    }
}
