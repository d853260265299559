//! Why requests went where they went: `/api/v1/explain`.

use http::StatusCode;
use http::request::Parts;
use serde::Serialize;

use super::api::Outcome;
use super::response::{json, problem};
use equipoise_proxy::observe::explain::Summary;
use equipoise_proxy::snapshot::Snapshot;

/// The last decisions.
#[derive(Debug, Serialize)]
struct Decisions {
    decisions: Vec<Summary>,
}

/// The answer to `GET /api/v1/explain`, and with `?id=` to one for a decision.
pub(super) fn respond(snapshot: &Snapshot, request: &Parts) -> Outcome {
    let query = request.uri.query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let id = pairs.find_map(|(key, value)| (key == "id").then_some(value));
    let Some(explain) = &snapshot.explain else {
        let reason = "no decisions are kept: write [explain] with decisions = 1000";
        return Err(Box::new(problem(StatusCode::NOT_FOUND, reason)));
    };
    let Some(id) = id else {
        let decisions = explain.list();
        return Ok(json(StatusCode::OK, &Decisions { decisions }));
    };
    match explain.find(&id) {
        Some(story) => Ok(json(StatusCode::OK, &story)),
        None => {
            let reason =
                "no decision with this id is kept: GET /api/v1/explain lists those that are";
            Err(Box::new(problem(StatusCode::NOT_FOUND, reason)))
        }
    }
}
