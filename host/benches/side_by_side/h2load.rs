//! Requests by HTTP/2, sent by h2load.

use std::io::Write;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use tempfile::NamedTempFile;

use crate::grpc;
use crate::load::{Run, Until};
use crate::origin::Answer;
use crate::requests::SMALL;

/// Connections, and requests under way on each of them: as many as by HTTP/1.1 in all.
const CONNECTIONS: usize = 4;
/// See [`CONNECTIONS`].
const STREAMS: usize = 8;

/// Whether it is here.
pub(crate) fn is_here() -> bool {
    Command::new("h2load").arg("--version").output().is_ok()
}

/// What is sent, again and again.
#[derive(Debug)]
pub(crate) struct Sent {
    url: String,
    /// What is called with, where it is a gRPC call.
    message: Option<NamedTempFile>,
    /// Length of every answer's body.
    answer_bytes: usize,
}

impl Sent {
    /// Requests without a body.
    pub(crate) fn requests(scheme: &str, address: SocketAddr) -> Self {
        Self {
            url: format!("{scheme}://{address}{SMALL}"),
            message: None,
            answer_bytes: Answer::Small.body_bytes(),
        }
    }

    /// Unary gRPC calls.
    pub(crate) fn calls(address: SocketAddr) -> Result<Self> {
        let mut message = NamedTempFile::new()?;
        message.write_all(&grpc::body(b'q'))?;
        Ok(Self {
            url: format!("http://{address}{}", grpc::PATH),
            message: Some(message),
            answer_bytes: grpc::BODY_BYTES,
        })
    }

    /// The words that tell h2load of it.
    fn add_to(&self, command: &mut Command) {
        if let Some(message) = &self.message {
            command.arg("--data").arg(message.path());
            for field in grpc::FIELDS {
                command.args(["--header", field]);
            }
        }
        command.arg(&self.url);
    }
}

/// Sends requests, for whole seconds, at least one, where a time is given. Over new connections, which are a part of what the
/// run costs.
///
/// # Errors
/// A request that was not answered with 200 and the origin's length (a gRPC call that fails has 200, too), or HTTP/2 was not what
/// they agreed on.
pub(crate) fn run(sent: &Sent, until: &Until) -> Result<Run> {
    let length = match until {
        Until::Deadline(deadline) => {
            let time = deadline.saturating_duration_since(Instant::now());
            format!("--duration={:.0}", time.as_secs_f64().max(1.0))
        }
        Until::Requests(count) => format!("--requests={}", count.swap(0, Ordering::Relaxed)),
    };
    let mut command = Command::new("timeout");
    command
        .args(["300", "h2load", "--threads=1"])
        .arg(format!("--clients={CONNECTIONS}"))
        .arg(format!("--max-concurrent-streams={STREAMS}"))
        .arg(&length);
    sent.add_to(&mut command);
    let output = command.output().context("starting h2load")?;
    read(&String::from_utf8_lossy(&output.stdout), sent.answer_bytes)
}

/// Reads what h2load says in the end.
fn read(said: &str, answer_bytes: usize) -> Result<Run> {
    ensure!(
        said.contains("Application protocol: h2"),
        "no HTTP/2: {said}"
    );
    let requests = number_before(said, " succeeded").context("h2load counts")?;
    let failed = number_before(said, " failed").context("h2load counts")?;
    let good = number_before(said, " 2xx").context("h2load counts")?;
    ensure!(failed == 0 && requests > 0 && good >= requests, "{said}");
    // Of requests that were under way in the end of a given time, something may have come.
    let bytes = number_before(said, ") data").context("h2load counts")?;
    ensure!(bytes as usize >= requests as usize * answer_bytes, "{said}");
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
    before.rsplit([' ', '(', '\n']).next()?.parse().ok()
}
