//! The interface `health`, answered by a [`Judge`].

use super::Instance;
use super::ambient::Ambient;
use super::bindings::health::exports::equipoise::balancer::health as contract;
use super::bindings::imports::equipoise::balancer::types::{Entry, Member};
use crate::Setup;
use crate::health::{Answer, Exchange, Failure, Judge, Probe, State, Transition};

impl<I: Instance<Policy: Judge>> contract::Guest for I {
    fn configure(settings: Vec<Entry>, members: Vec<Member>) -> Result<(), String> {
        I::with(|policy| policy.configure(&Setup::received(settings, members)))
    }

    fn judge_probes(probes: Vec<contract::Probe>) -> Vec<contract::Transition> {
        let probes: Vec<_> = probes.into_iter().map(probe).collect();
        answer(I::with(|policy| {
            policy.judge_probes(&probes, &Ambient::default())
        }))
    }

    fn judge_exchanges(exchanges: Vec<contract::Exchange>) -> Vec<contract::Transition> {
        let exchanges: Vec<_> = exchanges.into_iter().map(exchange).collect();
        answer(I::with(|policy| {
            policy.judge_exchanges(&exchanges, &Ambient::default())
        }))
    }
}

fn probe(probe: contract::Probe) -> Probe {
    let answer = |answer: contract::Answer| Answer {
        status: answer.status,
        headers: answer
            .headers
            .into_iter()
            .map(|header| (header.key, header.value))
            .collect(),
        body: answer.body,
    };
    Probe {
        member: probe.member,
        at_ms: probe.at_ms,
        latency_us: probe.latency_us,
        outcome: probe.outcome.map(answer).map_err(failure),
        expected: probe.expected,
    }
}

fn exchange(exchange: contract::Exchange) -> Exchange {
    Exchange {
        member: exchange.member,
        at_ms: exchange.at_ms,
        latency_us: exchange.latency_us,
        outcome: exchange.outcome.map_err(failure),
        transferred: exchange.transferred,
        read: exchange.read,
    }
}

fn failure(failure: contract::Failure) -> Failure {
    match failure {
        contract::Failure::Unreachable => Failure::Unreachable,
        contract::Failure::TimedOut => Failure::TimedOut,
        contract::Failure::BrokenOff => Failure::BrokenOff,
        contract::Failure::Unintelligible => Failure::Unintelligible,
    }
}

fn answer(transitions: Vec<Transition>) -> Vec<contract::Transition> {
    let transition = |transition: Transition| contract::Transition {
        member: transition.member,
        state: match transition.state {
            State::Healthy => contract::State::Healthy,
            State::Unhealthy => contract::State::Unhealthy,
        },
        reason: transition.reason,
    };
    transitions.into_iter().map(transition).collect()
}
