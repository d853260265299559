//! A heartbeat by HTTP: the body of a POST is what a datagram would hold.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;

use http::{Response, StatusCode};
use http_body::Body;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{PATIENCE, text};
use crate::heartbeat::{Heartbeats, LONGEST, Malformed, Rejection};

/// Hears a heartbeat. One of an address where no member is gets "OK", too, as in Apache: it is as it should be.
pub(super) async fn hear(
    heartbeats: &Heartbeats,
    from: SocketAddr,
    body: Incoming,
) -> Response<String> {
    let message = match timeout(PATIENCE, beginning(body)).await {
        Ok(Ok(message)) => message,
        Ok(Err(error)) => return text(StatusCode::BAD_REQUEST, format!("{error}\n")),
        Err(_) => return text(StatusCode::REQUEST_TIMEOUT, "the body took too long\n"),
    };
    match heartbeats.hear(from.ip(), &message) {
        Ok(()) | Err(Rejection::Unknown) => text(StatusCode::OK, "OK"),
        Err(rejection) => text(status(rejection), format!("{rejection}\n")),
    }
}

fn status(rejection: Rejection) -> StatusCode {
    match rejection {
        Rejection::Foreign => StatusCode::FORBIDDEN,
        Rejection::Malformed(Malformed::TooLong) => StatusCode::PAYLOAD_TOO_LARGE,
        Rejection::Malformed(_) => StatusCode::BAD_REQUEST,
        Rejection::Unknown => StatusCode::OK,
    }
}

/// The body, or as much of it as tells that it is too long.
async fn beginning(mut body: Incoming) -> Result<Vec<u8>, hyper::Error> {
    let mut beginning = Vec::new();
    while beginning.len() <= LONGEST {
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame.transpose()? else {
            break;
        };
        if let Some(data) = frame.data_ref() {
            let room = LONGEST + 1 - beginning.len();
            beginning.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(beginning)
}
