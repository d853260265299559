//! The smoke test of a version: sample calls before it may serve.

use std::sync::Arc;

use anyhow::{Result, bail};
use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};
use equipoise_sdk::{MemberConfig, PolicyConfig};

use super::budget::Budget;
use super::call_context::{self, CallContext, milliseconds};
use super::instance_slot::InstanceSlot;
use super::version::Version;
use equipoise_balancer::Role;

/// Instantiates a version in the role, and calls it with `GET /` and all members of the configuration, idle.
///
/// Returns its memory in bytes.
///
/// # Errors
/// It does not start, refuses its configuration, faults, or returns an invalid result.
pub(super) fn smoke_test(
    version: &Arc<Version>,
    role: Role,
    config: &Arc<PolicyConfig>,
) -> Result<usize> {
    let mut slot = InstanceSlot::new(version, role, config, Budget::unlimited())?;
    // Its clocks go on from those of `configure`.
    let env = FakeEnv {
        now_ms: milliseconds(call_context::now()),
        unix_ms: milliseconds(call_context::unix()),
        ..FakeEnv::with_random(0)
    };
    let request = FakeRequest::get("/");
    let candidates = candidates(config);
    let context = CallContext {
        candidates: Some(&candidates),
        ..InstanceSlot::request_context(&request, &env)
    };
    let count = u32::try_from(candidates.ids.len()).unwrap_or(u32::MAX);
    match role {
        Role::Selector => {
            let selection = slot.smoke_test(|instance| instance.select(context, count))?;
            if let Some(position) = selection.filter(|&position| position >= count) {
                bail!("in the smoke test: position {position} of {count} candidates");
            }
        }
        Role::Session => {
            slot.smoke_test(|instance| {
                instance.read(InstanceSlot::request_context(&request, &env))
            })?;
        }
        Role::Health => {
            slot.smoke_test(|instance| instance.on_checks(InstanceSlot::env_context(&env), &[]))?;
            slot.smoke_test(|instance| instance.on_requests(InstanceSlot::env_context(&env), &[]))?;
        }
    }
    Ok(slot.memory())
}

/// Sample members of equal weight, for smoke tests without a balancer.
pub(super) fn sample_config(members: u32) -> PolicyConfig {
    let member = |id| MemberConfig {
        id,
        url: format!("http://192.0.2.1:{}", 9001 + id),
        weight: 100,
        passes: 1,
        fails: 1,
        route: Some(format!("r{id}")),
        ..MemberConfig::default()
    };
    PolicyConfig {
        members: (0..members).map(member).collect(),
        ..PolicyConfig::default()
    }
}

fn candidates(config: &PolicyConfig) -> FakeCandidates {
    let members = config.members.iter();
    let candidate = |member: &MemberConfig| FakeCandidate {
        weight: member.weight,
        ..FakeCandidate::new(member.id)
    };
    members.map(candidate).collect()
}
