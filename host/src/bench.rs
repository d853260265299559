//! What benchmarks need of the crate's inside. Not for others.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Builder;
use tokio::task::LocalSet;

use crate::background::check::{self, Target};
use equipoise_config::Config;
use equipoise_proxy::upstream::Endpoint;

/// What checking took.
#[derive(Debug, Clone, Copy)]
pub struct Checked {
    /// Checks that were as expected.
    pub passed: u64,
    /// Checks that were not.
    pub failed: u64,
    /// Time passed.
    pub elapsed: Duration,
    /// Processor time of the thread that checked, and of nothing else.
    pub processor: Duration,
}

/// Checks every member of a configuration on this thread for some time, as the program does.
///
/// # Errors
/// There is no runtime.
pub fn check_members(config: &Config, time: Duration) -> io::Result<Checked> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let (local, permits) = (LocalSet::new(), check::permits());
    let (passed, failed) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(0)));
    let start = Instant::now();
    for balancer in &config.balancers {
        for (id, member) in (0..).zip(&balancer.members) {
            let endpoint = Arc::new(Endpoint::new(member, None, None));
            let Some(target) = Target::new(
                id,
                endpoint,
                false,
                config.limits.message_limits(),
                permits.clone(),
            ) else {
                continue;
            };
            let (passed, failed) = (passed.clone(), failed.clone());
            let report = move |report: check::CheckReport| {
                let count = if report.probe.passed {
                    &passed
                } else {
                    &failed
                };
                count.set(count.get() + 1);
            };
            local.spawn_local(check::run_checks(target, move || start.elapsed(), report));
        }
    }
    let before = processor_time();
    runtime.block_on(local.run_until(async { tokio::time::sleep(time).await }));
    let processor = processor_time().saturating_sub(before);
    Ok(Checked {
        passed: passed.get(),
        failed: failed.get(),
        elapsed: start.elapsed(),
        processor,
    })
}

fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}
