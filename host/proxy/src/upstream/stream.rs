//! A member's stream, with TLS or without.

use tokio_rustls::client::TlsStream;
use tokio_util::either::Either;

use super::dial::Socket;

/// What bytes to and from a member go by: as they are (left), or by TLS (right).
pub type MemberStream = Either<Socket, Box<TlsStream<Socket>>>;
