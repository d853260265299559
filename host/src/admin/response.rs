//! Admin responses: texts, JSON, and problems (RFC 9457).

use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, LOCATION};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::control::Refusal;
use equipoise_config::Diagnostics;
use equipoise_text::bounded;

/// A response with its whole body.
pub(super) type AdminResponse = Response<String>;

/// A response of one text.
pub(super) fn text(status: StatusCode, text: impl Into<String>) -> AdminResponse {
    of_kind(status, "text/plain; charset=utf-8", text.into())
}

/// A response in JSON, which is not to be cached.
pub(super) fn json(status: StatusCode, view: &impl Serialize) -> AdminResponse {
    written(status, "application/json", view)
}

/// The same response with the entity tag of what it shows.
pub(super) fn tagged(mut response: AdminResponse, tag: Option<String>) -> AdminResponse {
    let tag = tag.and_then(|tag| HeaderValue::try_from(format!("\"{tag}\"")).ok());
    if let Some(tag) = tag {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

/// The same response as 201, with this path as its location.
pub(super) fn made(mut response: AdminResponse, path: &str) -> AdminResponse {
    *response.status_mut() = StatusCode::CREATED;
    if let Ok(path) = HeaderValue::try_from(path) {
        response.headers_mut().insert(LOCATION, path);
    }
    response
}

/// 204.
pub(super) fn nothing() -> AdminResponse {
    let mut response = Response::new(String::new());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 405 for a method that is not among those `allowed`.
pub(super) fn not_allowed(allowed: &'static str) -> AdminResponse {
    let status = StatusCode::METHOD_NOT_ALLOWED;
    let mut response = problem(status, format!("the method here is {allowed}"));
    let allowed = HeaderValue::from_static(allowed);
    response.headers_mut().insert(ALLOW, allowed);
    response
}

/// A text of this kind that does not change.
pub(super) fn document(kind: &'static str, text: &str) -> AdminResponse {
    of_kind(StatusCode::OK, kind, text.to_owned())
}

/// A problem with this detail.
pub(super) fn problem(status: StatusCode, detail: impl Into<String>) -> AdminResponse {
    Problem::new(status, detail.into()).respond()
}

/// A problem of a command that control refused.
pub(super) fn refused(refusal: &Refusal) -> AdminResponse {
    Problem::of(refusal).respond()
}

/// What RFC 9457 calls problem details.
#[derive(Debug, Serialize)]
pub(super) struct Problem {
    status: u16,
    title: &'static str,
    detail: String,
    /// What is wrong with the configuration that was asked for; up to 100 mistakes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    mistakes: Vec<MistakeView>,
    /// How many mistakes there are beyond those.
    #[serde(skip_serializing_if = "is_zero")]
    more_mistakes: usize,
}

/// A mistake in a configuration.
#[derive(Debug, Serialize)]
struct MistakeView {
    /// Line and column, from 1, in the text that would have been in force.
    line: usize,
    column: usize,
    key: Option<String>,
    value: Option<String>,
    remedy: String,
}

impl Problem {
    fn new(status: StatusCode, detail: String) -> Self {
        Self {
            status: status.as_u16(),
            title: status.canonical_reason().unwrap_or_default(),
            detail: bounded::message(&detail).into_owned(),
            mistakes: Vec::new(),
            more_mistakes: 0,
        }
    }

    /// Why control refused something.
    pub(super) fn of(refusal: &Refusal) -> Self {
        let status = match refusal {
            Refusal::Refused(reason) => return Self::of(reason),
            Refusal::Mistaken(_) | Refusal::Unfit(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Refusal::Unknown(_) => StatusCode::NOT_FOUND,
            Refusal::Conflict(_) => StatusCode::CONFLICT,
            Refusal::Stale => StatusCode::PRECONDITION_FAILED,
            Refusal::Failed(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Refusal::Busy => StatusCode::SERVICE_UNAVAILABLE,
        };
        let mut problem = Self::new(status, refusal.to_string());
        if let Refusal::Mistaken(mistakes) = refusal {
            problem.mistakes = views(mistakes);
            problem.more_mistakes = mistakes.more();
        }
        problem
    }

    fn respond(&self) -> AdminResponse {
        let status = StatusCode::from_u16(self.status);
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        written(status, "application/problem+json", self)
    }
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

fn views(mistakes: &Diagnostics) -> Vec<MistakeView> {
    let view = |mistake: &equipoise_config::Diagnostic| MistakeView {
        line: mistake.line,
        column: mistake.column,
        key: mistake.key.clone(),
        value: mistake.value.clone(),
        remedy: mistake.remedy.clone(),
    };
    mistakes.iter().map(view).collect()
}

fn written(status: StatusCode, kind: &'static str, view: &impl Serialize) -> AdminResponse {
    match serde_json::to_string(view) {
        Ok(json) => of_kind(status, kind, json),
        // They have no map with keys other than text, which is all that can go wrong.
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

fn of_kind(status: StatusCode, kind: &'static str, body: String) -> AdminResponse {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
