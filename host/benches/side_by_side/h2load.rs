//! Requests by HTTP/2, sent by h2load.

use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::load::{Run, Until};

/// Connections, and requests under way on each of them: as many as by HTTP/1.1 in all.
const CONNECTIONS: usize = 4;
/// See [`CONNECTIONS`].
const STREAMS: usize = 8;

/// Whether it is here.
pub(crate) fn is_here() -> bool {
    Command::new("h2load").arg("--version").output().is_ok()
}

/// Sends requests, for whole seconds, at least one, where a time is given. Over new connections, which are a part of what the
/// run costs.
///
/// # Errors
/// A request that was not answered with 200, or HTTP/2 was not what they agreed on.
pub(crate) fn run(url: &str, until: &Until) -> Result<Run> {
    let length = match until {
        Until::Deadline(deadline) => {
            let time = deadline.saturating_duration_since(Instant::now());
            format!("--duration={:.0}", time.as_secs_f64().max(1.0))
        }
        Until::Requests(count) => format!("--requests={}", count.swap(0, Ordering::Relaxed)),
    };
    let output = Command::new("timeout")
        .args(["300", "h2load", "--threads=1"])
        .arg(format!("--clients={CONNECTIONS}"))
        .arg(format!("--max-concurrent-streams={STREAMS}"))
        .args([&length, url])
        .output()
        .context("starting h2load")?;
    read(&String::from_utf8_lossy(&output.stdout))
}

/// Reads what h2load says in the end.
fn read(said: &str) -> Result<Run> {
    ensure!(
        said.contains("Application protocol: h2"),
        "no HTTP/2: {said}"
    );
    let requests = number_before(said, " succeeded").context("h2load counts")?;
    let failed = number_before(said, " failed").context("h2load counts")?;
    let good = number_before(said, " 2xx").context("h2load counts")?;
    ensure!(failed == 0 && requests > 0 && good >= requests, "{said}");
    let throughput = said.split(" req/s").next();
    let throughput = throughput.and_then(|said| said.rsplit(' ').next()?.parse().ok());
    Ok(Run {
        requests,
        throughput: throughput.context("h2load tells requests a second")?,
        latencies: Vec::new(),
    })
}

/// The number that stands before these words for the first time.
fn number_before(said: &str, words: &str) -> Option<u32> {
    let (before, _) = said.split_once(words)?;
    before.rsplit([' ', '\n']).next()?.parse().ok()
}
