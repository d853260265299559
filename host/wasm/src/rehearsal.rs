//! A call or two that a version must answer well before it may serve.

use std::sync::Arc;

use anyhow::{Result, bail};
use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};
use equipoise_sdk::{MemberConfig, PolicyConfig};

use super::ambient::{self, Ambient, milliseconds};
use super::budget::Budget;
use super::seat::Seat;
use super::version::Version;
use equipoise_balancer::Role;

/// Gives a version the role in a seat of its own and asks it about `GET /` and all members of the setup, idle.
///
/// Answers the bytes of memory it had then.
///
/// # Errors
/// It does not start, refuses its setup, makes a fault, or answers what may not be.
pub(super) fn rehearse(
    version: &Arc<Version>,
    role: Role,
    setup: &Arc<PolicyConfig>,
) -> Result<usize> {
    let mut seat = Seat::new(version, role, setup, Budget::unlimited())?;
    // Its clocks go on from those of `configure`.
    let host = FakeEnv {
        now_ms: milliseconds(ambient::now()),
        unix_ms: milliseconds(ambient::unix()),
        ..FakeEnv::with_random(0)
    };
    let request = FakeRequest::get("/");
    let candidates = candidates(setup);
    let ambient = Ambient {
        candidates: Some(&candidates),
        ..Seat::ambient(&request, &host)
    };
    let count = u32::try_from(candidates.ids.len()).unwrap_or(u32::MAX);
    match role {
        Role::Selector => {
            let answer = seat.rehearse(|instance| instance.select(ambient, count))?;
            if let Some(position) = answer.filter(|&position| position >= count) {
                bail!("in the rehearsal: answered position {position} of {count} candidates");
            }
        }
        Role::Session => {
            seat.rehearse(|instance| instance.read(Seat::ambient(&request, &host)))?;
        }
        Role::Health => {
            seat.rehearse(|instance| instance.on_checks(Seat::timed(&host), &[]))?;
            seat.rehearse(|instance| instance.on_requests(Seat::timed(&host), &[]))?;
        }
    }
    Ok(seat.memory())
}

/// So many members of equal weight, to rehearse with where there are none of a balancer's.
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

fn candidates(setup: &PolicyConfig) -> FakeCandidates {
    let members = setup.members.iter();
    let candidate = |member: &MemberConfig| FakeCandidate {
        weight: member.weight,
        ..FakeCandidate::new(member.id)
    };
    members.map(candidate).collect()
}
