//! Decision records as JSON.
//!
//! Times are seconds since 1970 with milliseconds behind the point.

use std::time::{Duration, UNIX_EPOCH};

use equipoise_balancer::PickReason;
use serde::Serialize;

use super::decision_record::{Attempt, DecisionRecord, Outcome, Session, words};

/// A decision in a list.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub(crate) id: String,
    at: f64,
    method: String,
    host: String,
    path: String,
    balancer: Option<String>,
    /// The member that was selected last.
    member: Option<String>,
    attempts: usize,
    status: u16,
    duration_ms: f64,
}

/// A decision.
#[derive(Debug, Serialize)]
pub struct DecisionView {
    id: String,
    at: f64,
    client: String,
    method: String,
    host: String,
    path: String,
    /// The route's host and path; none where no route takes the request.
    route: Option<String>,
    balancer: Option<String>,
    session: SessionView,
    attempts: Vec<AttemptView>,
    /// Tries beyond those told.
    more_attempts: u32,
    status: u16,
    /// From the request's head to the response's.
    duration_ms: f64,
    /// Why the client got no response of a member.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// What was found of a session.
#[derive(Debug, Serialize)]
struct SessionView {
    /// `off`, `none`, `route`, `key` or `fault`.
    kind: &'static str,
    /// The route, the beginning of the key, or the kind of the fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

/// A try.
#[derive(Debug, Serialize)]
struct AttemptView {
    member: Option<MemberName>,
    /// `session`, `redirect`, `key`, `method`, `fallback` or `order`; none where no member was selected.
    by: Option<&'static str>,
    /// The method or plugin that chose.
    #[serde(skip_serializing_if = "Option::is_none")]
    policy: Option<String>,
    because: String,
    /// Every member was in error, and all were let out of it.
    forced_recovery: bool,
    /// Panic mode: health was ignored.
    panics: bool,
    /// Only members already tried were left, so they were eligible again.
    tries_disregarded: bool,
    members: Vec<MemberView>,
    /// Members beyond those told.
    more_members: usize,
    /// The status of the response.
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// Why there was no response.
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
    /// From the decision to the head of the response, or to the error.
    #[serde(skip_serializing_if = "Option::is_none")]
    latency_us: Option<u64>,
}

#[derive(Debug, Serialize)]
struct MemberName {
    id: u32,
    url: String,
}

/// How a member stood.
#[derive(Debug, Serialize)]
struct MemberView {
    id: u32,
    url: String,
    standing: &'static str,
    because: String,
}

impl Summary {
    pub(super) fn of(decision_record: &DecisionRecord, id: String) -> Self {
        let mut attempts = decision_record.attempts.iter().rev();
        let last = attempts.find_map(|attempt| attempt.chosen);
        Self {
            id,
            at: at(decision_record),
            method: decision_record.method.clone(),
            host: decision_record.host.clone(),
            path: decision_record.path.clone(),
            balancer: decision_record.balancer.clone(),
            member: last
                .map(|(position, _)| decision_record.members[position].settings.name.clone()),
            attempts: decision_record.attempts.len() + decision_record.more_attempts as usize,
            status: decision_record.status,
            duration_ms: milliseconds(decision_record.duration),
        }
    }
}

impl DecisionView {
    pub(super) fn of(decision_record: &DecisionRecord, id: String) -> Self {
        let attempts = decision_record.attempts.iter();
        Self {
            id,
            at: at(decision_record),
            client: decision_record.client.clone(),
            method: decision_record.method.clone(),
            host: decision_record.host.clone(),
            path: decision_record.path.clone(),
            route: decision_record.route.clone(),
            balancer: decision_record.balancer.clone(),
            session: SessionView::of(&decision_record.session),
            attempts: attempts
                .map(|attempt| AttemptView::of(attempt, decision_record))
                .collect(),
            more_attempts: decision_record.more_attempts,
            status: decision_record.status,
            duration_ms: milliseconds(decision_record.duration),
            failure: decision_record.failure.clone(),
        }
    }
}

impl SessionView {
    fn of(session: &Session) -> Self {
        let (kind, value) = match session {
            Session::Off => ("off", None),
            Session::None => ("none", None),
            Session::Fault(fault) => ("fault", Some((*fault).to_owned())),
            Session::Route(route) => ("route", Some(route.clone())),
            Session::Key(key) => ("key", Some(key.clone())),
        };
        Self { kind, value }
    }
}

impl AttemptView {
    fn of(attempt: &Attempt, decision_record: &DecisionRecord) -> Self {
        let by = attempt.chosen.map(|(_, by)| by);
        let name = |position: usize| {
            let member = &decision_record.members[position];
            (member.id, member.settings.name.clone())
        };
        let told = attempt.standings.iter().map(|&(position, standing)| {
            let (standing, because) = words(standing, by, attempt.decided);
            let (id, url) = name(position);
            MemberView {
                id,
                url,
                standing,
                because,
            }
        });
        let (status, failure, after) = match &attempt.outcome {
            Outcome::Refused | Outcome::Open => (None, None, None),
            Outcome::Answered { status, after } => (Some(*status), None, Some(*after)),
            Outcome::Failed { failure, after } => (None, Some(failure.clone()), Some(*after)),
        };
        Self {
            member: attempt.chosen.map(|(position, _)| {
                let (id, url) = name(position);
                MemberName { id, url }
            }),
            by: by.map(word),
            policy: attempt.policy.clone(),
            because: attempt.because.clone(),
            forced_recovery: attempt.explanation.recovery_forced,
            panics: attempt.explanation.in_panic_mode,
            tries_disregarded: attempt.explanation.tried_ignored,
            members: told.collect(),
            more_members: decision_record.members.len() - attempt.standings.len(),
            status,
            failure,
            latency_us: after.map(|after| u64::try_from(after.as_micros()).unwrap_or(u64::MAX)),
        }
    }
}

/// The word for how a member was found.
fn word(by: PickReason) -> &'static str {
    match by {
        PickReason::Session => "session",
        PickReason::Redirect => "redirect",
        PickReason::Key => "key",
        PickReason::Method => "method",
        PickReason::Fallback => "fallback",
        PickReason::ConfigurationOrder => "order",
    }
}

fn at(decision_record: &DecisionRecord) -> f64 {
    let since = decision_record
        .at
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    since.as_millis() as f64 / 1000.0
}

fn milliseconds(time: Duration) -> f64 {
    time.as_micros() as f64 / 1000.0
}
