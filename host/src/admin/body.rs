//! The bodies of admin requests, which are short.

use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

use http::StatusCode;
use http_body::Body as _;
use tokio::time::timeout;

use super::PATIENCE;
use super::answer::{Answer, problem};
use crate::server::{BrokenBody, ClientBody};
use crate::wasm;

/// How long and how slow a body may be.
pub(super) struct Bounds {
    /// In bytes.
    longest: usize,
    /// From its first byte to its last.
    time: Duration,
}

impl Bounds {
    /// A change of the configuration.
    pub(super) const CHANGE: Self = Self {
        longest: 1024 * 1024,
        time: PATIENCE,
    };

    /// A plugin.
    pub(super) const UPLOAD: Self = Self {
        longest: wasm::LARGEST as usize,
        time: Duration::from_secs(60),
    };
}

/// A whole body.
///
/// # Errors
/// The answer to one that is too long, breaks off or takes too long.
pub(super) async fn whole(body: ClientBody, bounds: &Bounds) -> Result<Vec<u8>, Box<Answer>> {
    let bytes = read_within(body, bounds.longest, bounds.time).await?;
    if bytes.len() > bounds.longest {
        let detail = format!("the body may have {} bytes", bounds.longest);
        return Err(Box::new(problem(StatusCode::PAYLOAD_TOO_LARGE, detail)));
    }
    Ok(bytes)
}

/// A body, or as much of it as tells that it is longer than `longest` bytes.
///
/// # Errors
/// The answer to one that breaks off or takes too long.
pub(super) async fn beginning(body: ClientBody, longest: usize) -> Result<Vec<u8>, Box<Answer>> {
    read_within(body, longest, PATIENCE).await
}

async fn read_within(
    body: ClientBody,
    longest: usize,
    time: Duration,
) -> Result<Vec<u8>, Box<Answer>> {
    match timeout(time, read(body, longest)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(Box::new(problem(
            StatusCode::BAD_REQUEST,
            error.to_string(),
        ))),
        Err(_) => {
            let detail = format!("the body took longer than {time:?}");
            Err(Box::new(problem(StatusCode::REQUEST_TIMEOUT, detail)))
        }
    }
}

async fn read(mut body: ClientBody, longest: usize) -> Result<Vec<u8>, BrokenBody> {
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
