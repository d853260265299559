//! Why requests went where they went: `/api/v1/explain`.

use http::request::Parts;
use http::{Response, StatusCode};
use serde::Serialize;

use super::api::json;
use super::text;
use crate::explain::Summary;
use crate::snapshot::Snapshot;

/// The last decisions.
#[derive(Debug, Serialize)]
struct Decisions {
    decisions: Vec<Summary>,
}

/// The answer to `GET /api/v1/explain`, and with `?id=` to one for a decision.
pub(super) fn answer(snapshot: &Snapshot, request: &Parts) -> Response<String> {
    let query = request.uri.query().unwrap_or_default();
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    let id = pairs.find_map(|(key, value)| (key == "id").then_some(value));
    let Some(explain) = &snapshot.explain else {
        let reason = "no decisions are kept: write [explain] with decisions = 1000\n";
        return text(StatusCode::NOT_FOUND, reason);
    };
    match id {
        None => json(&Decisions {
            decisions: explain.list(),
        }),
        Some(id) => match explain.find(&id) {
            Some(story) => json(&story),
            None => text(
                StatusCode::NOT_FOUND,
                "no decision with this id is kept: GET /api/v1/explain lists those that are\n",
            ),
        },
    }
}
