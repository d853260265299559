//! The interface `health`, implemented by a [`HealthPolicy`].

use super::Instance;
use super::bindings::health::exports::equipoise::balancer::health as contract;
use super::bindings::imports::equipoise::balancer::types::{Entry, MemberConfig as Member};
use super::call_context::CallContext;
use crate::PolicyConfig;
use crate::health::{
    CheckResponse, CheckResult, Failure, HealthPolicy, RequestOutcome, State, Transition,
};

impl<I: Instance<Policy: HealthPolicy>> contract::Guest for I {
    fn configure(settings: Vec<Entry>, members: Vec<Member>) -> Result<(), String> {
        I::with(|policy| policy.configure(&PolicyConfig::received(settings, members)))
    }

    fn on_checks(results: Vec<contract::CheckResult>) -> Vec<contract::Transition> {
        let results: Vec<_> = results.into_iter().map(check_result).collect();
        lower(I::with(|policy| {
            policy.on_checks(&results, &CallContext::default())
        }))
    }

    fn on_requests(outcomes: Vec<contract::RequestOutcome>) -> Vec<contract::Transition> {
        let outcomes: Vec<_> = outcomes.into_iter().map(request_outcome).collect();
        lower(I::with(|policy| {
            policy.on_requests(&outcomes, &CallContext::default())
        }))
    }
}

fn check_result(result: contract::CheckResult) -> CheckResult {
    let response = |response: contract::CheckResponse| CheckResponse {
        status: response.status,
        headers: response
            .headers
            .into_iter()
            .map(|header| (header.key, header.value))
            .collect(),
        body: response.body,
    };
    CheckResult {
        member: result.member,
        at_ms: result.at_ms,
        latency_us: result.latency_us,
        response: result.response.map(response).map_err(failure),
        passed: result.passed,
    }
}

fn request_outcome(outcome: contract::RequestOutcome) -> RequestOutcome {
    RequestOutcome {
        member: outcome.member,
        at_ms: outcome.at_ms,
        latency_us: outcome.latency_us,
        status: outcome.status.map_err(failure),
        bytes_sent: outcome.bytes_sent,
        bytes_received: outcome.bytes_received,
    }
}

fn failure(failure: contract::Failure) -> Failure {
    match failure {
        contract::Failure::Unreachable => Failure::Unreachable,
        contract::Failure::TimedOut => Failure::TimedOut,
        contract::Failure::Reset => Failure::Reset,
        contract::Failure::InvalidResponse => Failure::InvalidResponse,
    }
}

/// The contract's transitions.
fn lower(transitions: Vec<Transition>) -> Vec<contract::Transition> {
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
