//! A client's stream, with TLS or without.

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

use super::rewound::Rewound;

/// What a client's bytes come by: as they are (left), or by TLS (right).
pub(crate) type ClientStream = Either<Rewound<TcpStream>, Box<TlsStream<Rewound<TcpStream>>>>;
