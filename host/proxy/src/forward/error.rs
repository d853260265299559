//! What can go wrong with a request, whose fault it is, and the only table from failure to answer.

use std::time::Duration;

use equipoise_balancer::Refusal;
use equipoise_http::{Fields, Head, Known, Version, Violation, reason};
use thiserror::Error;

use crate::forward::downstream::ClientFault;
use crate::upstream::{ConnectError, MemberFault};

/// Why a request was not answered by a member.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The client sent what no member should see.
    #[error("{0}")]
    BadRequest(&'static str),
    /// The same, and the client's next byte cannot be told from it.
    #[error("{0}")]
    Malformed(Violation),
    /// The head of the request did not come within `limits.header-timeout`.
    #[error("the head took too long to arrive")]
    HeadTimedOut,
    /// The client stalled within its request's body, or while it should take the response.
    #[error("client timed out")]
    ClientTimedOut,
    /// The client went away; with its code where HTTP/2 says one.
    #[error("client aborted")]
    ClientAborted(Option<u32>),
    /// `Expect` has something other than `100-continue`.
    #[error("the expectation is not known")]
    UnknownExpectation,
    /// The host that is preserved for a member by TLS is none that a certificate could be for.
    #[error("no certificate could be for the host")]
    Misdirected,
    /// `OPTIONS *`, which is about us.
    #[error("the server as a whole is asked for its options")]
    ServerOptions,
    /// No route is for this host and path.
    #[error("no route is for this host and path")]
    NoRoute,
    /// `Max-Forwards: 0`: the request ends here.
    #[error("the request may not be forwarded")]
    MayNotForward,
    /// The same URL is served by TLS alone: there.
    #[error("it is served by TLS alone")]
    ByTlsAlone(String),
    /// The client wishes for a tunnel, and the member makes none of its connection.
    #[error("the member does not take the upgrade")]
    NotUpgraded,
    /// No member is eligible.
    #[error("{refusal}")]
    Refused {
        refusal: Refusal,
        /// When one may be eligible again.
        retry_after: Duration,
    },
    /// `max` requests are in flight at the member, and none ended within `acquire`.
    #[error("the member is full")]
    Full,
    /// The member could not be reached.
    #[error("the member could not be reached: {0}")]
    Unreachable(#[from] ConnectError),
    /// The member did not show within `ping` that it is ready.
    #[error("the member did not get ready within {0:?}")]
    NotReady(Duration),
    /// The connection broke before anything of the request was sent.
    #[error("the connection to the member was gone")]
    Unsent,
    /// The member broke off before it answered.
    #[error("the member broke off: {0}")]
    BrokenOff(MemberFault),
    /// What the member answered is not HTTP.
    #[error("the member answered nonsense: {0}")]
    Nonsense(MemberFault),
    /// `request-timeout` passed, over all tries.
    #[error("no answer within {0:?}, over all tries")]
    RequestTimedOut(Duration),
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

impl From<ClientFault> for Failure {
    fn from(fault: ClientFault) -> Self {
        match fault {
            ClientFault::Aborted(code) => Self::ClientAborted(code),
            ClientFault::TimedOut => Self::ClientTimedOut,
            ClientFault::Malformed(violation) => Self::Malformed(violation),
        }
    }
}

impl Failure {
    /// The status the client gets. For one that is gone, what the access log has for it, as nginx does.
    pub(crate) fn status(&self) -> u16 {
        match self {
            Self::MayNotForward | Self::ServerOptions => 200,
            Self::ByTlsAlone(_) => 308,
            Self::BadRequest(_) => 400,
            Self::Malformed(violation) => violation.status(),
            Self::NoRoute => 404,
            Self::HeadTimedOut | Self::ClientTimedOut => 408,
            Self::UnknownExpectation => 417,
            Self::Misdirected => 421,
            Self::ClientAborted(_) => 499,
            Self::NotUpgraded => 501,
            Self::Unsent | Self::BrokenOff(_) | Self::Nonsense(_) => 502,
            Self::Refused { .. } | Self::Full | Self::Unreachable(_) | Self::NotReady(_) => 503,
            Self::TimedOut(_) | Self::RequestTimedOut(_) => 504,
        }
    }

    /// When the request may go to another member.
    pub(crate) fn repeat(&self) -> Repeat {
        match self {
            Self::Full | Self::Unreachable(_) | Self::NotReady(_) | Self::Unsent => Repeat::Always,
            Self::BrokenOff(_) => Repeat::IfIdempotent,
            Self::Nonsense(_) | Self::TimedOut(_) => Repeat::IfConfigured,
            Self::BadRequest(_)
            | Self::Malformed(_)
            | Self::HeadTimedOut
            | Self::ClientTimedOut
            | Self::ClientAborted(_)
            | Self::UnknownExpectation
            | Self::Misdirected
            | Self::ServerOptions
            | Self::NoRoute
            | Self::MayNotForward
            | Self::ByTlsAlone(_)
            | Self::NotUpgraded
            | Self::RequestTimedOut(_)
            | Self::Refused { .. } => Repeat::Never,
        }
    }

    /// Why the request was refused, as metrics call it; `None` where it was not for what the client did.
    pub(crate) fn refusal(&self) -> Option<&'static str> {
        match self {
            Self::Malformed(violation) => Some(violation.name()),
            Self::BadRequest(_) => Some("bad-request"),
            Self::HeadTimedOut => Some("head-timeout"),
            Self::ClientTimedOut => Some("client-timeout"),
            Self::UnknownExpectation => Some("expectation"),
            Self::Misdirected => Some("misdirected"),
            _ => None,
        }
    }

    /// Whether nothing can be read behind it of what the client sends.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::BadRequest(_) | Self::Malformed(_) | Self::HeadTimedOut | Self::ClientTimedOut
        )
    }

    /// Makes the response for the client: the status and one line of text, which is returned, with nothing of our inside in it.
    pub(crate) fn respond(&self, head: &mut Head) -> String {
        let status = self.status();
        // Three digits, and a phrase without control bytes.
        let _ = head.begin_response(status, reason(status), Version::Http11);
        let text = match self {
            Self::MayNotForward => String::new(),
            Self::ServerOptions => String::new(),
            _ => format!("{status} {}: {}\n", reason(status), self.public_reason()),
        };
        match self {
            Self::MayNotForward => push(head, Known::Allow, "OPTIONS, TRACE"),
            Self::ServerOptions => push(head, Known::Allow, METHODS),
            _ => push(head, Known::ContentType, "text/plain; charset=utf-8"),
        }
        if let Self::Refused { retry_after, .. } = self {
            // Whole seconds, rounded up: a client that comes early has come in vain.
            let seconds = retry_after.as_millis().div_ceil(1000).max(1);
            push(head, Known::RetryAfter, &seconds.to_string());
        }
        if let Self::ByTlsAlone(place) = self {
            push(head, Known::Location, place);
        }
        text
    }

    /// The same for a client that speaks gRPC: no body, and the status where it looks for one.
    pub(crate) fn respond_grpc(&self, head: &mut Head) {
        let _ = head.begin_response(200, "OK", Version::Http2);
        push(head, Known::ContentType, "application/grpc");
        push(head, Known::GrpcStatus, &self.grpc_status().to_string());
        push(head, Known::GrpcMessage, self.public_reason());
    }

    /// The status for gRPC, by its own table for answers that are not gRPC's, and `UNAVAILABLE` for what may be tried again.
    fn grpc_status(&self) -> u16 {
        const DEADLINE_EXCEEDED: u16 = 4;
        const RESOURCE_EXHAUSTED: u16 = 8;
        const UNIMPLEMENTED: u16 = 12;
        const INTERNAL: u16 = 13;
        const UNAVAILABLE: u16 = 14;
        match self {
            Self::NoRoute
            | Self::NotUpgraded
            | Self::MayNotForward
            | Self::ServerOptions
            | Self::Misdirected
            | Self::UnknownExpectation => UNIMPLEMENTED,
            Self::Malformed(violation) if violation.status() == 431 => RESOURCE_EXHAUSTED,
            Self::BadRequest(_)
            | Self::Malformed(_)
            | Self::ClientAborted(_)
            | Self::ByTlsAlone(_) => INTERNAL,
            Self::TimedOut(_)
            | Self::RequestTimedOut(_)
            | Self::HeadTimedOut
            | Self::ClientTimedOut => DEADLINE_EXCEEDED,
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
            Self::Malformed(violation) => refused(*violation),
            Self::HeadTimedOut | Self::ClientTimedOut => "the request took too long to arrive",
            Self::ClientAborted(_) => "the request ended early",
            Self::UnknownExpectation => "the expectation is not known",
            Self::Misdirected => "no certificate could be for this host",
            Self::NoRoute => "there is nothing here",
            Self::MayNotForward | Self::ServerOptions => "",
            Self::ByTlsAlone(_) => "this is served by TLS alone",
            Self::NotUpgraded => "the server does not take the upgrade",
            Self::Refused { .. } | Self::Full | Self::Unreachable(_) | Self::NotReady(_) => {
                "no server can take the request now"
            }
            Self::Unsent | Self::BrokenOff(_) => "the server broke off",
            Self::Nonsense(_) => "the server's answer is not HTTP",
            Self::TimedOut(_) | Self::RequestTimedOut(_) => "the server did not answer in time",
        }
    }
}

/// What the server as a whole takes.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS, TRACE, PATCH";

fn push(fields: &mut Fields, name: Known, value: &str) {
    // Names that are known are tokens, and values of ours have no control bytes.
    let _ = fields.push(name.name().as_bytes(), value.as_bytes());
}

/// What a client is told of what was wrong with its request.
fn refused(violation: Violation) -> &'static str {
    match violation.status() {
        414 => "the request target is too long",
        431 => "the request's fields are too large or too many",
        501 => "the transfer coding is not known",
        505 => "the version is not HTTP/1.0 or HTTP/1.1",
        _ => "the request is malformed",
    }
}
