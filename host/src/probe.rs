//! Active checks: asks members whether they are well, off the way of requests.
//!
//! A [`Target`] is a member as it is checked. [`probe`] checks it once, and [`watch`] again and again. What follows from
//! a [`Finding`] is not decided here. Everything stays on the thread that awaits it, and nothing of it is counted as
//! traffic.
//!
//! A check is a connection of its own, closed afterwards: a connection that is kept would go on working where no new one
//! can be made.

use std::cell::Cell;
use std::io;
use std::time::Duration;

use equipoise_sdk::health::{CheckResponse, CheckResult, Failure};
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use equipoise_proxy::upstream::{ConnectError, ConnectOptions, Connected, establish};

mod answer;
mod expectation;
mod grpc;
mod http2;
mod pace;
mod patience;
mod target;

#[cfg(test)]
mod tests;

pub(crate) use pace::permits;
use target::Question;
pub(crate) use target::Target;

/// How much of a body is kept, and about how much is read, in bytes.
const MOST_BODY: usize = 64 * 1024;

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// For those who judge.
    pub(crate) probe: CheckResult,
    /// The same in words, for the log and the operator: `200 in 3 ms`, `503, expected 200-399`, `no connection:
    /// Connection refused`.
    pub(crate) detail: String,
}

/// Why there is no answer.
#[derive(Debug)]
struct Trouble {
    failure: Failure,
    detail: String,
    /// Whether it is for want of something of ours, such as file descriptors, which says nothing about the member.
    is_ours: bool,
}

impl Trouble {
    fn new(failure: Failure, detail: impl Into<String>) -> Self {
        Self {
            failure,
            detail: detail.into(),
            is_ours: false,
        }
    }

    fn broken_off(detail: impl Into<String>) -> Self {
        Self::new(Failure::Reset, detail)
    }

    fn unintelligible(detail: impl Into<String>) -> Self {
        Self::new(Failure::InvalidResponse, detail)
    }
}

/// An answer, and what is wrong with it.
struct Reply {
    answer: CheckResponse,
    /// What it is called where all is as expected.
    kind: Kind,
    /// What is not as expected; `None` where all is.
    complaint: Option<String>,
}

/// Kinds of answers.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// A connection, and no more.
    Connection,
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
    EndOfAnswer,
}

/// One check of a member, right now, within the target's time. `now` is the clock of the finding.
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "for the manager's button, which is yet to come")
)]
pub(crate) async fn probe(target: &Target, now: impl Fn() -> Duration) -> Finding {
    attempt(target, &now).await.0
}

/// Checks a member again and again until it is dropped, and hands every result to `report`, the first within a second or
/// the interval.
///
/// Checks of a member never overlap. They start at most an interval apart, if they take no longer than that and no more
/// than [`permits`] allows are under way at once. So a member that is dead from some time on has failed `hcfails` checks
/// no later than `hcinterval` × `hcfails` + `hctimeout` after that.
///
/// A check that could not be made for want of something of ours is not reported; the first such in a row is logged.
pub(crate) async fn watch(
    target: Target,
    now: impl Fn() -> Duration,
    mut report: impl FnMut(Finding),
) {
    let (target, mut is_told) = (&target, false);
    let check = async || attempt(target, &now).await;
    let judge = |(finding, is_ours): (Finding, bool)| {
        if is_ours && !is_told {
            let (member, detail) = (target.url(), &finding.detail);
            tracing::warn!(%member, "could not be checked: {detail}");
        }
        is_told = is_ours;
        if !is_ours {
            report(finding);
        }
    };
    pace::repeat(target.interval, &target.permits, check, judge).await;
}

/// One check, and whether it came to nothing for a reason of ours.
async fn attempt(target: &Target, now: &impl Fn() -> Duration) -> (Finding, bool) {
    let start = Instant::now();
    let stage = Cell::new(Stage::Connection);
    let result = patience::within(target.timeout, ask(target, &stage)).await;
    let result = result.unwrap_or_else(|| Err(too_late(stage.get(), target.timeout)));
    let latency = start.elapsed();
    let is_ours = matches!(&result, Err(trouble) if trouble.is_ours);
    let detail = match &result {
        Ok(reply) => reply.in_words(latency),
        Err(trouble) => trouble.detail.clone(),
    };
    let passed = matches!(&result, Ok(reply) if reply.complaint.is_none());
    let probe = CheckResult {
        member: target.id,
        at_ms: u64::try_from(now().as_millis()).unwrap_or(u64::MAX),
        latency_us: u32::try_from(latency.as_micros()).unwrap_or(u32::MAX),
        response: result
            .map(|reply| reply.answer)
            .map_err(|trouble| trouble.failure),
        passed,
    };
    (Finding { probe, detail }, is_ours)
}

/// A check without a bound on its time.
async fn ask(target: &Target, stage: &Cell<Stage>) -> Result<Reply, Trouble> {
    let question = &target.question;
    let options = ConnectOptions {
        port: target.port,
        only_http1: question.is_http1(),
        ..ConnectOptions::default()
    };
    let deadline = Instant::now() + target.timeout;
    let connected = establish(&target.upstream, options, deadline).await;
    let Connected {
        mut stream,
        speaks_http2,
        ..
    } = connected.map_err(no_connection)?;
    stage.set(Stage::CheckResponse);
    let broken = |error: io::Error| Trouble::broken_off(format!("broke off: {}", plain(&error)));
    match question {
        Question::Connection => Ok(Reply::of_connection()),
        Question::Http1(request, inquiry) => {
            stream.write_all(request).await.map_err(broken)?;
            answer::read(&mut stream, inquiry, target.limits, stage).await
        }
        Question::Http2(request, inquiry) => {
            http2::ask(stream, target, request, inquiry, stage).await
        }
        Question::Grpc(request, question) if speaks_http2 => {
            http2::ask_grpc(stream, target, request, question, stage).await
        }
        Question::Grpc(..) => Err(Trouble::unintelligible(
            "it chose HTTP/1.1, and gRPC needs HTTP/2",
        )),
    }
}

fn no_connection(error: ConnectError) -> Trouble {
    let detail = match &error {
        ConnectError::Io(error) => format!("no connection: {}", plain(error)),
        error => format!("no connection: {error}"),
    };
    Trouble {
        is_ours: !error.is_the_members(),
        ..Trouble::new(Failure::Unreachable, detail)
    }
}

fn too_late(stage: Stage, time: Duration) -> Trouble {
    let missing = match stage {
        Stage::Connection => "no connection",
        Stage::CheckResponse => "no answer",
        Stage::EndOfAnswer => "no end of the answer",
    };
    Trouble::new(Failure::TimedOut, format!("{missing} within {time:?}"))
}

/// An error of the system without its number.
fn plain(error: &io::Error) -> String {
    let text = error.to_string();
    let end = text.find(" (os error").unwrap_or(text.len());
    text[..end].to_owned()
}

impl Reply {
    /// An answer of HTTP.
    fn of(answer: CheckResponse, complaint: Option<String>) -> Self {
        Self {
            answer,
            kind: Kind::Status,
            complaint,
        }
    }

    /// A connection was all that was asked for.
    fn of_connection() -> Self {
        Self {
            kind: Kind::Connection,
            ..Self::of(answer_of(0), None)
        }
    }

    /// An answer of gRPC.
    fn of_service(status: u16, complaint: Option<String>) -> Self {
        Self {
            kind: Kind::Service,
            ..Self::of(answer_of(status), complaint)
        }
    }

    fn in_words(&self, latency: Duration) -> String {
        let time = latency.as_millis();
        match (&self.complaint, self.kind) {
            (Some(complaint), _) => complaint.clone(),
            (None, Kind::Connection) => format!("connected in {time} ms"),
            (None, Kind::Status) => format!("{} in {time} ms", self.answer.status),
            (None, Kind::Service) => format!("SERVING in {time} ms"),
        }
    }
}

/// One of which nobody is told more than its status.
fn answer_of(status: u16) -> CheckResponse {
    CheckResponse {
        status,
        headers: Vec::new(),
        body: Vec::new(),
    }
}
