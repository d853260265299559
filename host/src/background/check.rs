//! Active health checks, off the request path.
//!
//! A [`Target`] is a member as it is checked. [`check_once`] checks it once, and [`run_checks`] again and again. What follows from
//! a [`CheckReport`] is not decided here. Everything stays on the thread that awaits it, and nothing of it is counted as
//! traffic.
//!
//! A check is a connection of its own, closed afterwards: a connection that is kept would go on working where no new one
//! can be made.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use equipoise_http::ajp::PING;
use equipoise_sdk::health::{CheckResponse, CheckResult, Failure};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use equipoise_proxy::upstream::{ConnectError, ConnectOptions, Connected, establish};

mod ajp;
mod expectation;
mod grpc;
mod http1;
mod http2;
mod progress_timeout;
mod scheduling;
mod target;

#[cfg(test)]
mod tests;

pub(crate) use scheduling::permits;
use target::CheckRequest;
pub(crate) use target::Target;

/// How much of a body is kept, and about how much is read, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CheckReport {
    /// For the health evaluator.
    pub(crate) probe: CheckResult,
    /// The same in words, for the log and the operator: `200 in 3 ms`, `503, expected 200-399`, `no connection:
    /// Connection refused`.
    pub(crate) detail: String,
}

/// Why a check got no response.
#[derive(Debug)]
struct CheckError {
    failure: Failure,
    detail: String,
    /// Whether the cause is local, such as a lack of file descriptors, which says nothing about the member.
    is_local: bool,
}

impl CheckError {
    fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self {
            failure,
            detail: detail.into(),
            is_local: false,
        }
    }

    fn reset(detail: impl Into<String>) -> Self {
        Self::new(Failure::Reset, detail)
    }

    fn invalid_response(detail: impl Into<String>) -> Self {
        Self::new(Failure::InvalidResponse, detail)
    }
}

/// A response, and what is not as expected.
struct CheckReply {
    answer: CheckResponse,
    /// How it is described where all is as expected.
    kind: Kind,
    /// What is not as expected; `None` where all is.
    mismatch: Option<String>,
}

/// Kinds of responses.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A connection, and no more.
    Connection,
    /// A container's answer to CPING.
    Pong,
    /// One with a status of HTTP.
    Status,
    /// A service of gRPC that serves.
    Service,
}

/// How far a check has come: what is missing when its time is over.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Connection,
    CheckResponse,
    EndOfResponse,
}

/// One check of a member, right now, within the target's time. `now` is the clock of the finding.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for the manager's button, which is yet to come")
)]
pub(crate) async fn check_once(target: &Target, now: impl Fn() -> Duration) -> CheckReport {
    attempt(target, &now).await.0
}

/// Checks a member again and again until it is dropped, and hands every result to `report`, the first within a second or
/// the interval.
///
/// Checks of a member never overlap. They start at most an interval apart, if they take no longer than that and no more
/// than [`permits`] allows are under way at once. So a member that is dead from some time on has failed `hcfails` checks
/// no later than `hcinterval` × `hcfails` + `hctimeout` after that.
///
/// A check that failed for a local cause is not reported; the first such in a row is logged.
pub(crate) async fn run_checks(
    target: Target,
    now: impl Fn() -> Duration,
    mut report: impl FnMut(CheckReport),
) {
    let (target, mut has_warned) = (&target, false);
    let check = async || attempt(target, &now).await;
    let record = |(finding, is_local): (CheckReport, bool)| {
        if is_local && !has_warned {
            let (member, detail) = (target.url(), &finding.detail);
            tracing::warn!(%member, "health check not possible: {detail}");
        }
        has_warned = is_local;
        if !is_local {
            report(finding);
        }
    };
    scheduling::repeat(target.interval, &target.permits, check, record).await;
}

/// One check, and whether it failed for a local cause.
async fn attempt(target: &Target, now: &impl Fn() -> Duration) -> (CheckReport, bool) {
    let start = Instant::now();
    let stage = Cell::new(Stage::Connection);
    let result = progress_timeout::within(target.timeout, ask(target, &stage)).await;
    let result = result.unwrap_or_else(|| Err(timed_out(stage.get(), target.timeout)));
    let latency = start.elapsed();
    let is_local = matches!(&result, Err(error) if error.is_local);
    let detail = match &result {
        Ok(reply) => reply.describe(latency),
        Err(error) => error.detail.clone(),
    };
    let passed = matches!(&result, Ok(reply) if reply.mismatch.is_none());
    let probe = CheckResult {
        member: target.id,
        at_ms: u64::try_from(now().as_millis()).unwrap_or(u64::MAX),
        latency_us: u32::try_from(latency.as_micros()).unwrap_or(u32::MAX),
        response: result
            .map(|reply| reply.answer)
            .map_err(|error| error.failure),
        passed,
    };
    (CheckReport { probe, detail }, is_local)
}

/// A check without a bound on its time.
async fn ask(target: &Target, stage: &Cell<Stage>) -> Result<CheckReply, CheckError> {
    let request = &target.request;
    let options = ConnectOptions {
        port: target.port,
        only_http1: request.is_http1(),
        ..ConnectOptions::default()
    };
    let deadline = Instant::now() + target.timeout;
    let connected = establish(&target.endpoint, options, deadline).await;
    let Connected {
        mut stream,
        speaks_http2,
        ..
    } = connected.map_err(no_connection)?;
    stage.set(Stage::CheckResponse);
    let broken =
        |error: io::Error| CheckError::reset(format!("connection lost: {}", plain(&error)));
    match request {
        CheckRequest::Connection => Ok(CheckReply::of_connection()),
        CheckRequest::Http1(request, expectation) => {
            stream.write_all(request).await.map_err(broken)?;
            http1::read(&mut stream, expectation, target.limits, stage).await
        }
        &CheckRequest::Cping(max_packet) => {
            stream.write_all(&PING).await.map_err(broken)?;
            ajp::read_pong(&mut stream, target.limits, max_packet).await
        }
        CheckRequest::Http2(request, expectation) => {
            http2::check(stream, target, request, expectation, stage).await
        }
        CheckRequest::Grpc(request, body) if speaks_http2 => {
            http2::check_grpc(stream, target, request, body, stage).await
        }
        CheckRequest::Grpc(..) => Err(CheckError::invalid_response(
            "the member negotiated HTTP/1.1, and gRPC needs HTTP/2",
        )),
    }
}

fn no_connection(error: ConnectError) -> CheckError {
    let detail = match &error {
        ConnectError::Io(error) => format!("no connection: {}", plain(error)),
        error => format!("no connection: {error}"),
    };
    CheckError {
        is_local: !error.is_member_error(),
        ..CheckError::new(Failure::Unreachable, detail)
    }
}

fn timed_out(stage: Stage, time: Duration) -> CheckError {
    let missing = match stage {
        Stage::Connection => "no connection",
        Stage::CheckResponse => "no response",
        Stage::EndOfResponse => "no end of the response",
    };
    CheckError::new(Failure::TimedOut, format!("{missing} within {time:?}"))
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

impl CheckReply {
    /// A response of HTTP.
    fn of(answer: CheckResponse, mismatch: Option<String>) -> Self {
        Self {
            answer,
            kind: Kind::Status,
            mismatch,
        }
    }

    /// A connection was all that was checked.
    fn of_connection() -> Self {
        Self {
            kind: Kind::Connection,
            ..Self::of(status_only(0), None)
        }
    }

    /// A container has answered CPING.
    fn of_pong() -> Self {
        Self {
            kind: Kind::Pong,
            ..Self::of(status_only(0), None)
        }
    }

    /// A response of gRPC.
    fn of_service(status: u16, mismatch: Option<String>) -> Self {
        Self {
            kind: Kind::Service,
            ..Self::of(status_only(status), mismatch)
        }
    }

    fn describe(&self, latency: Duration) -> String {
        let time = latency.as_millis();
        match (&self.mismatch, self.kind) {
            (Some(mismatch), _) => mismatch.clone(),
            (None, Kind::Connection) => format!("connected in {time} ms"),
            (None, Kind::Pong) => format!("CPONG in {time} ms"),
            (None, Kind::Status) => format!("{} in {time} ms", self.answer.status),
            (None, Kind::Service) => format!("SERVING in {time} ms"),
        }
    }
}

/// A response with its status alone.
fn status_only(status: u16) -> CheckResponse {
    CheckResponse {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}
