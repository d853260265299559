//! Errors of the client's side of a request.

use equipoise_http::Violation;
use thiserror::Error;

/// Why a client's request cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum ClientError {
    /// It has closed or reset its connection or its stream; with the code of HTTP/2 where it said one.
    #[error("client aborted")]
    Aborted(Option<u32>),
    /// It has sent or taken nothing for too long, or too little.
    #[error("client timed out")]
    TimedOut,
    /// Its body must not pass.
    #[error("{0}")]
    Malformed(Violation),
    /// Its body is larger than the route's `max-body`.
    #[error("the body is larger than the route's max-body")]
    BodyTooLarge,
}
