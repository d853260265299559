//! Errors of the member's side: connecting to it, and its response.

use std::io;
use std::time::Duration;

use equipoise_http::Violation;
use equipoise_http::http2::{ConnectionError, ErrorCode};
use rustix::io::Errno;
use thiserror::Error;

use equipoise_tls::UnusableName;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The name did not resolve, or no address of it took the connection.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The TLS handshake failed: the member's certificate is not valid, or it rejects the proxy.
    #[error("TLS: {0}")]
    Tls(io::Error),
    /// The host that is sent to the member is not a valid TLS server name. The client's fault, not the member's.
    #[error("{0}")]
    Name(#[from] UnusableName),
    /// The deadline passed.
    #[error("no connection within {0:?}")]
    TimedOut(Duration),
}

impl ConnectError {
    /// Whether it says something about the member. Else it is the client's fault, or something of ours has run out, such as
    /// file descriptors.
    pub fn is_member_error(&self) -> bool {
        let ours = [
            Errno::MFILE,
            Errno::NFILE,
            Errno::NOBUFS,
            Errno::NOMEM,
            Errno::ADDRNOTAVAIL,
        ];
        match self {
            Self::Io(error) => !Errno::from_io_error(error).is_some_and(|it| ours.contains(&it)),
            Self::Tls(_) | Self::TimedOut(_) => true,
            Self::Name(_) => false,
        }
    }
}

/// Why a member's connection brought no response, or not all of it.
#[derive(Debug, Error)]
pub(crate) enum MemberError {
    /// It was closed before the end.
    #[error("the connection was closed")]
    Closed,
    /// It broke.
    #[error("{0}")]
    Io(io::Error),
    /// What came must not pass.
    #[error("{0}")]
    Violation(Violation),
    /// The same, of more than a head or a body says.
    #[error("{0}")]
    Invalid(&'static str),
    /// The member has reset the request's stream.
    #[error("the stream was reset: {0}")]
    Reset(ErrorCode),
    /// It broke the rules of the connection, on which there may be other requests.
    #[error("{0}")]
    Connection(ConnectionError),
}

impl MemberError {
    /// Whether the member has certainly not looked at the request (RFC 9113, 8.7): it said so, by RST_STREAM or GOAWAY.
    pub(crate) fn is_unseen(&self) -> bool {
        matches!(self, Self::Reset(ErrorCode::REFUSED_STREAM))
    }
}
