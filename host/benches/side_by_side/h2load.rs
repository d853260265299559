//! Requests by HTTP/2 over TLS, sent by h2load.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Connections, and requests under way on each of them: as many as the first table has in all.
pub(crate) const CONNECTIONS: usize = 4;
/// See [`CONNECTIONS`].
pub(crate) const STREAMS: usize = 8;

/// When a run ends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// After this time, in whole seconds, at least one.
    Lasting(Duration),
    /// After so many requests.
    Of(u32),
}

/// What a run showed.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: u32,
    /// Requests a second.
    pub(crate) throughput: f64,
}

/// Whether it is here.
pub(crate) fn is_here() -> bool {
    Command::new("h2load").arg("--version").output().is_ok()
}

/// Sends requests. There is no warm-up: what connections cost is in it.
///
/// # Errors
/// A request that was not answered with 200, or HTTP/2 was not what they agreed on.
pub(crate) fn run(address: SocketAddr, load: Load) -> Result<Outcome> {
    let load = match load {
        Load::Lasting(time) => format!("--duration={}", time.as_secs().max(1)),
        Load::Of(requests) => format!("--requests={requests}"),
    };
    let output = Command::new("timeout")
        .args(["300", "h2load", "--threads=1"])
        .arg(format!("--clients={CONNECTIONS}"))
        .arg(format!("--max-concurrent-streams={STREAMS}"))
        .arg(load)
        .arg(format!("https://{address}/"))
        .output()
        .context("starting h2load")?;
    let said = String::from_utf8_lossy(&output.stdout);
    ensure!(
        said.contains("Application protocol: h2"),
        "no HTTP/2: {said}"
    );
    let requests = number_before(&said, " succeeded").context("h2load counts")?;
    let failed = number_before(&said, " failed").context("h2load counts")?;
    let good = number_before(&said, " 2xx").context("h2load counts")?;
    ensure!(failed == 0 && requests > 0 && good >= requests, "{said}");
    let throughput = said.split(" req/s").next();
    let throughput = throughput.and_then(|said| said.rsplit(' ').next()?.parse().ok());
    Ok(Outcome {
        requests,
        throughput: throughput.context("h2load tells requests a second")?,
    })
}

/// The number that stands before these words for the first time.
fn number_before(said: &str, words: &str) -> Option<u32> {
    let (before, _) = said.split_once(words)?;
    before.rsplit([' ', '\n']).next()?.parse().ok()
}
