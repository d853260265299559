//! A client's stream, with TLS or without.

use std::io;

use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;
use tokio_util::either::Either;

/// Plain (left), or TLS (right).
pub(crate) type ClientStream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// The error that the kernel has for a client's connection, such as that it was reset.
pub(super) fn socket_error(stream: &ClientStream) -> Option<io::Error> {
    let socket = match stream {
        Either::Left(socket) => socket,
        Either::Right(stream) => stream.get_ref().0,
    };
    socket.take_error().unwrap_or_else(Some)
}
