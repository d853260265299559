//! What decisions of a plugin cost, beside those of a method of the program's own: `equipoise plugin bench`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use equipoise_bybusyness::ByBusyness;
use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};
use equipoise_sdk::{PolicyConfig, Selector, SessionReader};
use equipoise_session::Session;

use super::budget::Budget;
use super::instance_slot::InstanceSlot;
use super::policy::{PluginSelector, PluginSession};
use super::smoke_test::sample_config;
use super::version::Version;
use equipoise_balancer::Role;

/// Timed batches: their median is reported.
const BATCHES: usize = 51;

/// Target duration of a batch.
const BATCH: Duration = Duration::from_millis(4);

/// The median time of one decision.
pub struct Timing {
    /// The role it was asked in.
    pub role: Role,
    /// How many candidates there were; members for a session.
    pub candidates: u32,
    /// Of the plugin.
    pub plugin: Duration,
    /// The built-in bybusyness, or the built-in reader of sessions.
    pub native: Duration,
}

/// Times decisions of a version among so many candidates, in each role that requests ask for.
///
/// The request is `GET /` with `x-user: alice` and a session cookie. The batches of plugin and native alternate, so that both
/// see the same machine.
///
/// # Errors
/// The version cannot take the role.
pub fn time(version: &Arc<Version>, candidates: &[u32]) -> Result<Vec<Timing>> {
    let mut timings = Vec::new();
    for (role, count) in decisions(version, candidates) {
        let (plugin, native) = medians(plugin(version, role, count)?, native(role, count));
        timings.push(Timing {
            role,
            candidates: count,
            plugin,
            native,
        });
    }
    Ok(timings)
}

/// Makes so many decisions of a version among so many candidates, in each of those roles, and nothing else: for tools that count
/// instructions.
///
/// # Errors
/// The version cannot take the role.
pub fn decide(version: &Arc<Version>, candidates: &[u32], calls: u32) -> Result<()> {
    for (role, count) in decisions(version, candidates) {
        let mut decision = plugin(version, role, count)?;
        (0..calls).for_each(|_| decision());
    }
    Ok(())
}

/// The roles in which requests ask a version, each with every number of candidates.
fn decisions(version: &Version, candidates: &[u32]) -> Vec<(Role, u32)> {
    let roles = version.roles().into_iter();
    let asked = roles.filter(|role| *role != Role::Health);
    asked
        .flat_map(|role| candidates.iter().map(move |&count| (role, count)))
        .collect()
}

/// Decides by a version, once each time that it is called.
fn plugin(version: &Arc<Version>, role: Role, count: u32) -> Result<Box<dyn FnMut()>> {
    let slot = slot(version, role, count)?;
    let (request, env, candidates) = (request(), FakeEnv::default(), candidates(count));
    Ok(match role {
        Role::Session => {
            let plugin = PluginSession::new(vec![slot]);
            Box::new(move || {
                black_box(plugin.read(&request, &env));
            })
        }
        _ => {
            let mut plugin = PluginSelector(slot);
            Box::new(move || {
                black_box(plugin.select(&request, &candidates, &env));
            })
        }
    })
}

/// Decides by a method of the program's own, once each time that it is called.
fn native(role: Role, count: u32) -> Box<dyn FnMut()> {
    let (request, env, candidates) = (request(), FakeEnv::default(), candidates(count));
    match role {
        Role::Session => {
            let native = Session {
                cookie: "SID".to_owned(),
                parameter: "sid".to_owned(),
                separator: Some('.'),
                semicolon_ends: false,
                routes: sample_config(count).routes(),
            };
            Box::new(move || {
                black_box(native.read(&request, &env));
            })
        }
        _ => {
            let mut native = ByBusyness::default();
            Box::new(move || {
                black_box(native.select(&request, &candidates, &env));
            })
        }
    }
}

/// An instance slot with so many members.
fn slot(version: &Arc<Version>, role: Role, members: u32) -> Result<InstanceSlot> {
    let config = PolicyConfig {
        settings: version.plugin.settings.clone(),
        ..sample_config(members)
    };
    InstanceSlot::new(version, role, &Arc::new(config), Budget::unlimited())
}

fn request() -> FakeRequest {
    FakeRequest::get("/shop?page=1")
        .with_header("host", "www.example.com")
        .with_header("user-agent", "bench")
        .with_header("cookie", "theme=dark; SID=a1b2c3.r0")
        .with_header("x-user", "alice")
}

/// Members that are busy to different degrees, the last one the least, and send heartbeats.
fn candidates(count: u32) -> FakeCandidates {
    let candidate = |id| FakeCandidate {
        busy: (count - id) % 97,
        ready_slots: 8,
        busy_slots: 1,
        heartbeat_age_ms: 500,
        ..FakeCandidate::new(id)
    };
    (0..count).map(candidate).collect()
}

/// The medians of both over batches that take turns.
fn medians(mut one: impl FnMut(), mut other: impl FnMut()) -> (Duration, Duration) {
    let (one_size, other_size) = (batch_size(&mut one), batch_size(&mut other));
    let mut ones = Vec::with_capacity(BATCHES);
    let mut others = Vec::with_capacity(BATCHES);
    for _ in 0..BATCHES {
        ones.push(run(&mut one, one_size));
        others.push(run(&mut other, other_size));
    }
    (median(ones), median(others))
}

/// How many calls fill a batch.
fn batch_size(call: &mut impl FnMut()) -> u32 {
    let mut size = 1;
    while size < 1 << 24 && run(call, size) * size < BATCH {
        size *= 2;
    }
    size
}

/// The mean time of so many calls.
fn run(call: &mut impl FnMut(), calls: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..calls {
        call();
    }
    start.elapsed() / calls
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
