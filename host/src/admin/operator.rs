//! What an operator changes while the program runs: a member's status, by `PATCH /api/v1/balancers/NAME/members/ID`.

use std::time::Duration;

use equipoise_balancer::{Member, MemberSettings};
use http::header::{CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::{Response, StatusCode};
use serde::Deserialize;

use super::{Peer, api, text};
use crate::config::parse_duration;
use crate::live::Live;
use crate::snapshot::Snapshot;

/// The longest body, in bytes.
pub(super) const LONGEST: usize = 16 * 1024;

/// Where a member is: balancer and id, out of a path.
pub(super) struct Place<'path> {
    balancer: &'path str,
    member: &'path str,
}

/// A change of a member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Change {
    /// Flags to set and to clear: `+N`, `-D`.
    status: String,
    /// How long a draining member keeps its sticky sessions; without it, for as long as it drains.
    #[serde(rename = "drain-timeout")]
    drain_timeout: Option<String>,
}

/// The place that a path names.
pub(super) fn place(path: &str) -> Option<Place<'_>> {
    let rest = path.strip_prefix("/api/v1/balancers/")?;
    let (balancer, member) = rest.split_once("/members/")?;
    Some(Place { balancer, member })
}

/// Why a request may not change anything; none where it may. A page of somebody else's can send neither of the two.
pub(super) fn refusal(parts: &Parts) -> Option<Response<String>> {
    let headers = &parts.headers;
    let is_json = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| {
            let kind = value.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/json")
        });
    if !is_json {
        let reason = "send JSON, and say so: `Content-Type: application/json`\n";
        return Some(text(StatusCode::UNSUPPORTED_MEDIA_TYPE, reason));
    }
    let origin = headers.get(ORIGIN).and_then(|value| value.to_str().ok())?;
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let is_ours = origin
        .split_once("://")
        .is_some_and(|(_, authority)| Some(authority) == host);
    (!is_ours).then(|| text(StatusCode::FORBIDDEN, "this comes from another site\n"))
}

/// Changes a member as the body says, and answers what it is then.
pub(super) fn change(live: &Live, place: &Place<'_>, from: Peer, body: &[u8]) -> Response<String> {
    if body.len() > LONGEST {
        let reason = format!("a change has {LONGEST} bytes at most\n");
        return text(StatusCode::PAYLOAD_TOO_LARGE, reason);
    }
    let change: Change = match serde_json::from_slice(body) {
        Ok(change) => change,
        Err(error) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
    };
    let changed: Result<(), Box<Response<String>>> = live.update(|snapshot| {
        let (balancer, member) = find(snapshot, place)?;
        let settings = changed_settings(member, &change, snapshot.now())?;
        let (before, after) = (member.settings.status, settings.status);
        let changed = snapshot.with_member(balancer, member.id, settings);
        let changed = changed.ok_or_else(|| nobody(place))?;
        let url = &member.settings.name;
        let name = place.balancer;
        tracing::info!(
            "balancer {name}: member {url} has status {after} from now on, and had {before}: by the operator at {from}"
        );
        Ok(changed)
    });
    match changed {
        Ok(()) => {
            let snapshot = live.view().pin();
            match find(&snapshot, place) {
                Ok((balancer, member)) => api::member(&snapshot.clusters[balancer], member),
                Err(refusal) => *refusal,
            }
        }
        Err(refusal) => *refusal,
    }
}

/// The balancer's place among all, and the member.
fn find<'snapshot>(
    snapshot: &'snapshot Snapshot,
    place: &Place<'_>,
) -> Result<(usize, &'snapshot Member), Box<Response<String>>> {
    let mut balancers = snapshot.clusters.iter();
    let number = balancers
        .position(|cluster| cluster.balancer.settings().name == place.balancer)
        .ok_or_else(|| nobody(place))?;
    let id: Option<u32> = place.member.parse().ok();
    let mut members = snapshot.clusters[number].balancer.members().iter();
    let member = members.find(|member| Some(member.id) == id);
    Ok((number, member.ok_or_else(|| nobody(place))?))
}

fn nobody(place: &Place<'_>) -> Box<Response<String>> {
    let reason = format!(
        "there is no balancer {} with a member {}: GET /api/v1/balancers lists them\n",
        place.balancer, place.member
    );
    Box::new(text(StatusCode::NOT_FOUND, reason))
}

fn changed_settings(
    member: &Member,
    change: &Change,
    now: Duration,
) -> Result<MemberSettings, Box<Response<String>>> {
    let refuse = |reason: String| Box::new(text(StatusCode::BAD_REQUEST, reason));
    let before = member.settings.status;
    let status = before
        .changed(&change.status)
        .map_err(|error| refuse(format!("status: {error}\n")))?;
    let drain_timeout = change.drain_timeout.as_deref();
    let drain_timeout = drain_timeout
        .map(|text| {
            parse_duration(text).map_err(|remedy| refuse(format!("drain-timeout {remedy}\n")))
        })
        .transpose()?;
    Ok(MemberSettings {
        status,
        drain_until: drain_timeout.map(|timeout| now.saturating_add(timeout)),
        ..member.settings.clone()
    })
}
