//! The bodies of admin requests, which are short.

use std::future::poll_fn;
use std::pin::Pin;

use http::{Response, StatusCode};
use http_body::Body as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{PATIENCE, text};

/// A body, or as much of it as tells that it is longer than `longest` bytes.
///
/// # Errors
/// The answer to one that breaks off or takes too long.
pub(super) async fn beginning(
    body: Incoming,
    longest: usize,
) -> Result<Vec<u8>, Box<Response<String>>> {
    let refuse = |status, reason: String| Err(Box::new(text(status, reason)));
    match timeout(PATIENCE, read(body, longest)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => refuse(StatusCode::BAD_REQUEST, format!("{error}\n")),
        Err(_) => refuse(
            StatusCode::REQUEST_TIMEOUT,
            "the body took too long\n".to_owned(),
        ),
    }
}

async fn read(mut body: Incoming, longest: usize) -> Result<Vec<u8>, hyper::Error> {
    let mut beginning = Vec::new();
    while beginning.len() <= longest {
        let frame = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await;
        let Some(frame) = frame.transpose()? else {
            break;
        };
        if let Some(data) = frame.data_ref() {
            let room = longest + 1 - beginning.len();
            beginning.extend_from_slice(&data[..data.len().min(room)]);
        }
    }
    Ok(beginning)
}
