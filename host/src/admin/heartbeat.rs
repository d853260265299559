//! A heartbeat by HTTP: the body of a POST is what a datagram would hold.

use http::StatusCode;

use super::Peer;
use super::body::{AdminBody, beginning};
use super::response::{AdminResponse, text};
use crate::background::heartbeat::{Heartbeats, MAX_LENGTH, Malformed, Rejection};

/// Hears a heartbeat. One of an address where no member is gets "OK", too, as in Apache: it is as it should be.
pub(super) async fn receive(heartbeats: &Heartbeats, from: Peer, body: AdminBody) -> AdminResponse {
    let message = match beginning(body, MAX_LENGTH).await {
        Ok(message) => message,
        Err(refusal) => return *refusal,
    };
    match heartbeats.receive(from.ip(), &message) {
        Ok(()) | Err(Rejection::Unknown) => text(StatusCode::OK, "OK"),
        Err(rejection) => text(status(rejection), format!("{rejection}\n")),
    }
}

fn status(rejection: Rejection) -> StatusCode {
    match rejection {
        Rejection::NotAllowed => StatusCode::FORBIDDEN,
        Rejection::Malformed(Malformed::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        Rejection::Malformed(_) => StatusCode::BAD_REQUEST,
        Rejection::Unknown => StatusCode::OK,
    }
}
