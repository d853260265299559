//! The same decisions by policies that are linked into the program.

use std::hint::black_box;

use anyhow::{Result, bail};
use equipoise_bybusyness::ByBusyness;
use equipoise_byrequests::ByRequests;
use equipoise_bytraffic::ByTraffic;
use equipoise_heartbeat::Heartbeat;
use equipoise_sdk::testing::{FakeCandidate, FakeCandidates, FakeEnv, FakeRequest};
use equipoise_sdk::{Candidates, Env, Request, Selector};

/// The argument by which the benchmark starts itself under the tool that counts.
pub(crate) const FLAG: &str = "--native";

/// The SDK's example of that name.
struct LeastBusy;

impl Selector for LeastBusy {
    fn select(&mut self, _: &dyn Request, all: &dyn Candidates, _: &dyn Env) -> Option<usize> {
        (0..all.len()).min_by_key(|&position| all.busy()[position])
    }
}

/// The SDK's example of that name.
struct HeaderHash;

impl Selector for HeaderHash {
    fn select(
        &mut self,
        request: &dyn Request,
        all: &dyn Candidates,
        _: &dyn Env,
    ) -> Option<usize> {
        Some(request.header_hash("x-user")? as usize % all.len())
    }
}

/// The SDK's example of that name.
struct Nop;

impl Selector for Nop {
    fn select(&mut self, _: &dyn Request, _: &dyn Candidates, _: &dyn Env) -> Option<usize> {
        None
    }
}

/// Makes so many decisions by a policy among so many candidates, as `equipoise plugin bench --calls` does by a component.
///
/// # Errors
/// There is no such policy.
pub(crate) fn decide(name: &str, candidates: u32, calls: u32) -> Result<()> {
    let mut policy: Box<dyn Selector> = match name {
        "byrequests" => Box::new(ByRequests::default()),
        "bytraffic" => Box::new(ByTraffic),
        "bybusyness" => Box::new(ByBusyness::default()),
        "heartbeat" => Box::new(Heartbeat),
        "least_busy" => Box::new(LeastBusy),
        "header_hash" => Box::new(HeaderHash),
        "nop" => Box::new(Nop),
        other => bail!("there is no policy {other}"),
    };
    let request = FakeRequest::get("/shop?page=1")
        .with_header("host", "www.example.com")
        .with_header("user-agent", "bench")
        .with_header("cookie", "theme=dark; SID=a1b2c3.r1")
        .with_header("x-user", "alice");
    let candidate = |id| FakeCandidate {
        busy: (candidates - id) % 97,
        ready_slots: 8,
        busy_slots: 1,
        heartbeat_age_ms: 500,
        ..FakeCandidate::new(id)
    };
    let candidates: FakeCandidates = (0..candidates).map(candidate).collect();
    let host = FakeEnv::default();
    for _ in 0..calls {
        black_box(policy.select(
            black_box(&request),
            black_box(&candidates),
            black_box(&host),
        ));
    }
    Ok(())
}
