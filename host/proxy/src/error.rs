//! Errors of a request: status, retryability and response text of each, in one table.

mod client;
mod member;

use std::time::Duration;

use equipoise_balancer::NoMember;
use equipoise_http::{Fields, Head, Known, Version, Violation, reason};
use thiserror::Error;

pub(crate) use client::ClientError;
pub use member::ConnectError;
pub(crate) use member::MemberError;

/// Why a request got no response from a member.
#[derive(Debug, Error)]
pub(crate) enum ProxyError {
    /// The request is invalid; its framing is sound.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The request is malformed, so that where it ends is unknown.
    #[error("{0}")]
    Malformed(Violation),
    /// The head of the request did not come within `limits.header-timeout`.
    #[error("request header timed out")]
    HeaderTimeout,
    /// The client stalled while it sent the body or read the response.
    #[error("client timed out")]
    ClientTimeout,
    /// The client aborted; with its HTTP/2 error code, if any.
    #[error("client aborted")]
    ClientAborted(Option<u32>),
    /// `Expect` has something other than `100-continue`.
    #[error("unsupported Expect header")]
    UnknownExpectation,
    /// `Host`, which is preserved for a TLS member, is no valid certificate name.
    #[error("the host is not a valid certificate name")]
    Misdirected,
    /// `OPTIONS *`, which the proxy answers itself.
    #[error("OPTIONS * is for the proxy itself")]
    ServerOptions,
    /// The client is in none of the networks that the route requires.
    #[error("the client's address is not in the route's require")]
    Forbidden,
    /// The body of the request is larger than the route's `max-body`.
    #[error("the body is larger than the route's max-body")]
    BodyTooLarge,
    /// No route matches the host and path.
    #[error("no route matches the host and path")]
    NoRoute,
    /// `Max-Forwards: 0`: the request ends here.
    #[error("Max-Forwards is 0")]
    MaxForwardsReached,
    /// Redirect to this URL: the listener serves https only.
    #[error("redirected to https")]
    HttpsRequired(String),
    /// The client requires an upgrade that the member does not accept.
    #[error("the member rejected the upgrade")]
    UpgradeRejected,
    /// No member is eligible.
    #[error("{refusal}")]
    NoMember {
        refusal: NoMember,
        /// When one may be eligible again, for `Retry-After`.
        retry_after: Duration,
    },
    /// `max` requests were in flight at the member for all of `acquire`.
    #[error("the member is at its concurrency limit (max)")]
    ConcurrencyLimit,
    /// The member could not be reached.
    #[error("connecting to the member failed: {0}")]
    Unreachable(#[from] ConnectError),
    /// The member did not answer a PING or `Expect` within `ping`.
    #[error("no reply from the member within ping ({0:?})")]
    PingTimeout(Duration),
    /// The connection closed before any byte of the request was sent.
    #[error("the connection to the member closed before the request was sent")]
    NotSent,
    /// The connection failed before the head of the response was complete.
    #[error("the member closed the connection before it responded: {0}")]
    Reset(MemberError),
    /// The response is not valid HTTP.
    #[error("invalid response from the member: {0}")]
    InvalidResponse(MemberError),
    /// `request-timeout` passed, over all attempts.
    #[error("no response within request-timeout ({0:?})")]
    RequestTimeout(Duration),
    /// The member did not respond within `timeout`.
    #[error("no response from the member within {0:?}")]
    ResponseTimeout(Duration),
}

/// When a failed request may be retried at another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retryability {
    /// Whatever its method: the member has not seen it.
    Always,
    /// When its method is idempotent.
    IfIdempotent,
    /// When its method is idempotent and `retry-on` names the status the client would get.
    IfConfigured,
    /// Never: it is not the member's fault.
    Never,
}

impl From<ClientError> for ProxyError {
    fn from(fault: ClientError) -> Self {
        match fault {
            ClientError::Aborted(code) => Self::ClientAborted(code),
            ClientError::TimedOut => Self::ClientTimeout,
            ClientError::Malformed(violation) => Self::Malformed(violation),
            ClientError::BodyTooLarge => Self::BodyTooLarge,
        }
    }
}

impl ProxyError {
    /// The status of the response. 499 where the client is gone, for the access log, as nginx has it.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::MaxForwardsReached | Self::ServerOptions => 200,
            Self::HttpsRequired(_) => 308,
            Self::BadRequest(_) => 400,
            Self::Malformed(violation) => violation.status(),
            Self::Forbidden => 403,
            Self::NoRoute => 404,
            Self::BodyTooLarge => 413,
            Self::HeaderTimeout | Self::ClientTimeout => 408,
            Self::UnknownExpectation => 417,
            Self::Misdirected => 421,
            Self::ClientAborted(_) => 499,
            Self::UpgradeRejected => 501,
            Self::NotSent | Self::Reset(_) | Self::InvalidResponse(_) => 502,
            Self::NoMember { .. }
            | Self::ConcurrencyLimit
            | Self::Unreachable(_)
            | Self::PingTimeout(_) => 503,
            Self::ResponseTimeout(_) | Self::RequestTimeout(_) => 504,
        }
    }

    /// When the request may be retried at another member.
    pub(crate) fn retryability(&self) -> Retryability {
        match self {
            Self::ConcurrencyLimit
            | Self::Unreachable(_)
            | Self::PingTimeout(_)
            | Self::NotSent => Retryability::Always,
            Self::Reset(_) => Retryability::IfIdempotent,
            Self::InvalidResponse(_) | Self::ResponseTimeout(_) => Retryability::IfConfigured,
            Self::BadRequest(_)
            | Self::Malformed(_)
            | Self::HeaderTimeout
            | Self::ClientTimeout
            | Self::ClientAborted(_)
            | Self::UnknownExpectation
            | Self::Misdirected
            | Self::ServerOptions
            | Self::Forbidden
            | Self::BodyTooLarge
            | Self::NoRoute
            | Self::MaxForwardsReached
            | Self::HttpsRequired(_)
            | Self::UpgradeRejected
            | Self::RequestTimeout(_)
            | Self::NoMember { .. } => Retryability::Never,
        }
    }

    /// Why the request was refused, as a metric label; `None` where the client is not at fault.
    pub(crate) fn refusal_reason(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(violation) => Some(violation.name()),
            Self::BadRequest(_) => Some("bad-request"),
            Self::HeaderTimeout => Some("head-timeout"),
            Self::ClientTimeout => Some("client-timeout"),
            Self::UnknownExpectation => Some("expectation"),
            Self::Misdirected => Some("misdirected"),
            Self::Forbidden => Some("forbidden"),
            Self::BodyTooLarge => Some("body-too-large"),
            _ => None,
        }
    }

    /// Whether the client's connection is closed after the response: it cannot be read any further.
    pub(crate) fn closes_connection(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(_)
                | Self::Malformed(_)
                | Self::HeaderTimeout
                | Self::ClientTimeout
                | Self::BodyTooLarge
        )
    }

    /// Builds the response for the client, and returns its body: one line of text that reveals no internals.
    pub(crate) fn respond(&self, head: &mut Head) -> String {
        let status = self.status();
        // Three digits, and a phrase without control bytes.
        let _ = head.begin_response(status, reason(status), Version::Http11);
        let text = match self {
            Self::MaxForwardsReached => String::new(),
            Self::ServerOptions => String::new(),
            _ => format!("{status} {}: {}\n", reason(status), self.public_reason()),
        };
        match self {
            Self::MaxForwardsReached => push(head, Known::Allow, "OPTIONS, TRACE"),
            Self::ServerOptions => push(head, Known::Allow, METHODS),
            _ => push(head, Known::ContentType, "text/plain; charset=utf-8"),
        }
        if let Self::NoMember { retry_after, .. } = self {
            // Whole seconds, rounded up: an early retry is in vain.
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            push(head, Known::RetryAfter, &seconds.to_string());
        }
        if let Self::HttpsRequired(location) = self {
            push(head, Known::Location, location);
        }
        text
    }

    /// The same for a gRPC client: no body, the status in `grpc-status`.
    pub(crate) fn respond_grpc(&self, head: &mut Head) {
        let _ = head.begin_response(200, "OK", Version::Http2);
        push(head, Known::ContentType, "application/grpc");
        push(head, Known::GrpcStatus, &self.grpc_status().to_string());
        push(head, Known::GrpcMessage, self.public_reason());
    }

    /// The gRPC status, by its mapping of HTTP statuses, and `UNAVAILABLE` for what may be retried.
    fn grpc_status(&self) -> u16 {
        const DEADLINE_EXCEEDED: u16 = 4;
        const PERMISSION_DENIED: u16 = 7;
        const RESOURCE_EXHAUSTED: u16 = 8;
        const UNIMPLEMENTED: u16 = 12;
        const INTERNAL: u16 = 13;
        const UNAVAILABLE: u16 = 14;
        match self {
            Self::NoRoute
            | Self::UpgradeRejected
            | Self::MaxForwardsReached
            | Self::ServerOptions
            | Self::Misdirected
            | Self::UnknownExpectation => UNIMPLEMENTED,
            Self::Malformed(violation) if violation.status() == 431 => RESOURCE_EXHAUSTED,
            Self::BodyTooLarge => RESOURCE_EXHAUSTED,
            Self::Forbidden => PERMISSION_DENIED,
            Self::BadRequest(_)
            | Self::Malformed(_)
            | Self::ClientAborted(_)
            | Self::HttpsRequired(_) => INTERNAL,
            Self::ResponseTimeout(_)
            | Self::RequestTimeout(_)
            | Self::HeaderTimeout
            | Self::ClientTimeout => DEADLINE_EXCEEDED,
            Self::NoMember { .. }
            | Self::ConcurrencyLimit
            | Self::Unreachable(_)
            | Self::PingTimeout(_)
            | Self::NotSent
            | Self::Reset(_)
            | Self::InvalidResponse(_) => UNAVAILABLE,
        }
    }

    /// The reason as the client may know it: without addresses and internal causes.
    fn public_reason(&self) -> &'static str {
        match self {
            Self::BadRequest(reason) => reason,
            Self::Malformed(violation) => malformed_reason(*violation),
            Self::HeaderTimeout | Self::ClientTimeout => "the request took too long to arrive",
            Self::ClientAborted(_) => "the request ended early",
            Self::UnknownExpectation => "unsupported Expect header",
            Self::Misdirected => "the host is not a valid certificate name",
            Self::Forbidden => "not from this address",
            Self::BodyTooLarge => "the request body is too large",
            Self::NoRoute => "no route matches the URL",
            Self::MaxForwardsReached | Self::ServerOptions => "",
            Self::HttpsRequired(_) => "served over https only",
            Self::UpgradeRejected => "the server rejected the upgrade",
            Self::NoMember { .. }
            | Self::ConcurrencyLimit
            | Self::Unreachable(_)
            | Self::PingTimeout(_) => "no server is available",
            Self::NotSent | Self::Reset(_) => "the server closed the connection",
            Self::InvalidResponse(_) => "invalid response from the server",
            Self::ResponseTimeout(_) | Self::RequestTimeout(_) => {
                "the server did not respond in time"
            }
        }
    }
}

/// `Allow` for `OPTIONS *`.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH";

fn push(fields: &mut Fields, name: Known, value: &str) {
    // Known names are tokens, and these values have no control bytes.
    let _ = fields.push(name.name().as_bytes(), value.as_bytes());
}

/// The reason for a malformed request as the client may know it.
fn malformed_reason(violation: Violation) -> &'static str {
    match violation.status() {
        414 => "the request target is too long",
        431 => "the request's fields are too large or too many",
        501 => "the transfer coding is not known",
        505 => "the version is not HTTP/1.0 or HTTP/1.1",
        _ => "the request is malformed",
    }
}
