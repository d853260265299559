//! What can go wrong with a request, whose fault it is, and the only table from failure to answer.

use std::time::Duration;

use equipoise_balancer::Refusal;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use thiserror::Error;

use crate::proxy::body::Body;
use crate::upstream::ConnectError;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
const GRPC_MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Why a request was not answered by a member.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The client sent what no member should see.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The request has more fields than `limits.headers` allows.
    #[error("the request has too many fields")]
    TooManyFields,
    /// The client stalled within its request's body.
    #[error("the request took too long to arrive")]
    ClientStalled,
    /// The client went away within its request's body.
    #[error("the request ended early")]
    ClientGone,
    /// No route is for this host and path.
    #[error("no route is for this host and path")]
    NoRoute,
    /// `Max-Forwards: 0`: the request ends here.
    #[error("the request may not be forwarded")]
    MayNotForward,
    /// The same URL is served by TLS alone: there.
    #[error("it is served by TLS alone")]
    ByTlsAlone(HeaderValue),
    /// The client wishes for a tunnel, and the member makes none of its connection.
    #[error("the member does not take the upgrade")]
    NotUpgraded,
    /// There is nobody to ask.
    #[error("{refusal}")]
    Refused {
        refusal: Refusal,
        /// When somebody may be there again.
        retry_after: Duration,
    },
    /// `max` requests are in flight at the member, and none ended within `acquire`.
    #[error("the member is full")]
    Full,
    /// The member could not be reached.
    #[error("the member could not be reached: {0}")]
    Unreachable(#[from] ConnectError),
    /// The member did not ask for the body within `ping`.
    #[error("the member did not get ready within {0:?}")]
    NotReady(Duration),
    /// The connection broke before anything of the request was sent.
    #[error("the connection to the member was gone")]
    Unsent,
    /// The member broke off before it answered.
    #[error("the member broke off: {0}")]
    BrokenOff(hyper::Error),
    /// What the member answered is not HTTP.
    #[error("the member answered nonsense: {0}")]
    Nonsense(String),
    /// The member did not answer within `timeout`.
    #[error("the member did not answer within {0:?}")]
    TimedOut(Duration),
}

/// When a request that failed may go to another member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Whatever its method is: the member has seen nothing of it.
    Always,
    /// When its method is idempotent.
    IfIdempotent,
    /// When its method is idempotent and `retry-on` names the status the client would get.
    IfConfigured,
    /// Never: it is not the member's fault.
    Never,
}

impl Failure {
    /// The status the client gets.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::BadRequest(_) | Self::ClientGone => StatusCode::BAD_REQUEST,
            Self::TooManyFields => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::ClientStalled => StatusCode::REQUEST_TIMEOUT,
            Self::NoRoute => StatusCode::NOT_FOUND,
            Self::MayNotForward => StatusCode::OK,
            Self::ByTlsAlone(_) => StatusCode::PERMANENT_REDIRECT,
            Self::NotUpgraded => StatusCode::NOT_IMPLEMENTED,
            Self::Refused { .. } | Self::Full | Self::Unreachable(_) | Self::NotReady(_) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Unsent | Self::BrokenOff(_) | Self::Nonsense(_) => StatusCode::BAD_GATEWAY,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// When the request may go to another member.
    pub(crate) fn repeat(&self) -> Repeat {
        match self {
            Self::Full | Self::Unreachable(_) | Self::NotReady(_) | Self::Unsent => Repeat::Always,
            Self::BrokenOff(_) => Repeat::IfIdempotent,
            Self::Nonsense(_) | Self::TimedOut(_) => Repeat::IfConfigured,
            Self::BadRequest(_)
            | Self::TooManyFields
            | Self::ClientStalled
            | Self::ClientGone
            | Self::NoRoute
            | Self::MayNotForward
            | Self::ByTlsAlone(_)
            | Self::NotUpgraded
            | Self::Refused { .. } => Repeat::Never,
        }
    }

    /// The answer for the client: the status and one line of text, with nothing of our inside in it.
    pub(crate) fn into_response(self) -> Response<Body> {
        let status = self.status();
        if status == StatusCode::OK {
            let mut response = Response::new(Body::empty());
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("OPTIONS, TRACE"));
            return response;
        }
        let mut response =
            Response::new(Body::text(format!("{status}: {}\n", self.public_reason())));
        *response.status_mut() = status;
        response.headers_mut().insert(
            CONTENT_TYPE,
            HeaderValue::from_static("text/plain; charset=utf-8"),
        );
        if let Self::Refused { retry_after, .. } = self {
            // Whole seconds, rounded up: a client that comes early has come in vain.
            let seconds = retry_after.as_millis().div_ceil(1000);
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX).max(1);
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        if let Self::ByTlsAlone(place) = &self {
            response.headers_mut().insert(LOCATION, place.clone());
        }
        if matches!(
            self,
            Self::BadRequest(_) | Self::ClientStalled | Self::ClientGone
        ) {
            // Whoever sends this may have more of it.
            response
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The answer for a client that speaks gRPC: no body, and the status where it looks for one.
    pub(crate) fn into_grpc_response(self) -> Response<Body> {
        let (status, reason) = (self.grpc_status(), self.public_reason());
        let mut response = Response::new(Body::empty());
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(GRPC_STATUS, status.into());
        headers.insert(GRPC_MESSAGE, HeaderValue::from_static(reason));
        response
    }

    /// The status for gRPC, by its own table for answers that are not gRPC's, and `UNAVAILABLE` for what may be tried again.
    fn grpc_status(&self) -> u16 {
        const DEADLINE_EXCEEDED: u16 = 4;
        const RESOURCE_EXHAUSTED: u16 = 8;
        const UNIMPLEMENTED: u16 = 12;
        const INTERNAL: u16 = 13;
        const UNAVAILABLE: u16 = 14;
        match self {
            Self::NoRoute | Self::NotUpgraded | Self::MayNotForward => UNIMPLEMENTED,
            Self::BadRequest(_) | Self::ClientGone | Self::ByTlsAlone(_) => INTERNAL,
            Self::TimedOut(_) | Self::ClientStalled => DEADLINE_EXCEEDED,
            Self::TooManyFields => RESOURCE_EXHAUSTED,
            Self::Refused { .. }
            | Self::Full
            | Self::Unreachable(_)
            | Self::NotReady(_)
            | Self::Unsent
            | Self::BrokenOff(_)
            | Self::Nonsense(_) => UNAVAILABLE,
        }
    }

    /// What the client may know: no address and no cause of ours.
    fn public_reason(&self) -> &'static str {
        match self {
            Self::BadRequest(reason) => reason,
            Self::TooManyFields => "the request has too many fields",
            Self::ClientStalled => "the request took too long to arrive",
            Self::ClientGone => "the request ended early",
            Self::NoRoute => "there is nothing here",
            Self::MayNotForward => "",
            Self::ByTlsAlone(_) => "this is served by TLS alone",
            Self::NotUpgraded => "the server does not take the upgrade",
            Self::Refused { .. } | Self::Full | Self::Unreachable(_) | Self::NotReady(_) => {
                "no server can take the request now"
            }
            Self::Unsent | Self::BrokenOff(_) => "the server broke off",
            Self::Nonsense(_) => "the server's answer is not HTTP",
            Self::TimedOut(_) => "the server did not answer in time",
        }
    }
}
