//! What decisions of a plugin cost, beside those of a method of the program's own: `equipoise plugin bench`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use equipoise_bybusyness::ByBusyness;
use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeHost, FakeRequest};
use equipoise_sdk::{Selector, SessionReader, Setup};
use equipoise_session::Session;

use super::budget::Budget;
use super::policy::{PluginSelector, PluginSession};
use super::rehearsal::sample_setup;
use super::seat::Seat;
use super::version::{Role, Version};

/// How many batches are timed. The median of them is told.
const BATCHES: usize = 51;

/// How long a batch should take.
const BATCH: Duration = Duration::from_millis(4);

/// The median time of one decision.
pub(crate) struct Timing {
    pub(crate) role: Role,
    /// How many candidates there were; members for a session.
    pub(crate) candidates: u32,
    pub(crate) plugin: Duration,
    /// The built-in bybusyness, or the built-in reader of sessions.
    pub(crate) native: Duration,
}

/// Times decisions of a version among so many candidates, in each role that requests ask for.
///
/// The request is `GET /` with `x-user: alice` and a session cookie. The batches of plugin and native alternate, so that both
/// see the same machine.
///
/// # Errors
/// The version cannot take the role.
pub(crate) fn time(version: &Arc<Version>, candidates: &[u32]) -> Result<Vec<Timing>> {
    let mut timings = Vec::new();
    for role in version.roles() {
        for &count in candidates {
            match role {
                Role::Selector => timings.push(time_selector(version, count)?),
                Role::Session => timings.push(time_session(version, count)?),
                Role::Health => {}
            }
        }
    }
    Ok(timings)
}

fn time_selector(version: &Arc<Version>, count: u32) -> Result<Timing> {
    let seat = seat(version, Role::Selector, count)?;
    let mut plugin = PluginSelector(seat);
    let mut native = ByBusyness::default();
    let (request, host) = (request(), FakeHost::default());
    let candidates = candidates(count);
    let (plugin, native) = medians(
        || {
            black_box(plugin.select(&request, &candidates, &host));
        },
        || {
            black_box(native.select(&request, &candidates, &host));
        },
    );
    Ok(Timing {
        role: Role::Selector,
        candidates: count,
        plugin,
        native,
    })
}

fn time_session(version: &Arc<Version>, count: u32) -> Result<Timing> {
    let seat = seat(version, Role::Session, count)?;
    let plugin = PluginSession::new(vec![seat]);
    let native = Session {
        cookie: "SID".to_owned(),
        parameter: "sid".to_owned(),
        separator: Some('.'),
        semicolon_ends: false,
        routes: sample_setup(count).routes(),
    };
    let (request, host) = (request(), FakeHost::default());
    let (plugin, native) = medians(
        || {
            black_box(plugin.read(&request, &host));
        },
        || {
            black_box(native.read(&request, &host));
        },
    );
    Ok(Timing {
        role: Role::Session,
        candidates: count,
        plugin,
        native,
    })
}

/// A seat with so many members, called again and again.
fn seat(version: &Arc<Version>, role: Role, members: u32) -> Result<Seat> {
    let setup = Setup {
        settings: version.plugin.settings.clone(),
        ..sample_setup(members)
    };
    Seat::new(version, role, &Arc::new(setup), Budget::unlimited())
}

fn request() -> FakeRequest {
    FakeRequest::get("/shop?page=1")
        .with_header("host", "www.example.com")
        .with_header("user-agent", "bench")
        .with_header("cookie", "theme=dark; SID=a1b2c3.r0")
        .with_header("x-user", "alice")
}

/// Members that are busy to different degrees, the last one the least.
fn candidates(count: u32) -> FakeCandidates {
    let candidate = |id| FakeCandidate {
        busy: (count - id) % 97,
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
