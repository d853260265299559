//! The accept loop.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::select;
use tokio::time::sleep;

use super::connection_limit::ConnectionPermit;
use super::sockets::BACKLOG;

/// How long to wait after a failed `accept` at first; doubles with each further failure.
const MIN_BACKOFF: Duration = Duration::from_millis(10);

/// The same at most.
const MAX_BACKOFF: Duration = Duration::from_secs(1);

/// A listening socket: TCP or Unix.
pub trait Listener {
    /// A connection.
    type Stream;
    /// Where a connection comes from.
    type Address;

    /// Waits for the next connection. Cancel safe.
    #[expect(async_fn_in_trait, reason = "it stays on its thread")]
    async fn accept(&self) -> io::Result<(Self::Stream, Self::Address)>;

    /// A connection that the kernel has queued, or [`io::ErrorKind::WouldBlock`].
    fn accept_now(&self) -> io::Result<(Self::Stream, Self::Address)>;
}

impl Listener for TcpListener {
    type Stream = TcpStream;
    type Address = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        Self::accept(self).await
    }

    fn accept_now(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (socket, address) = SockRef::from(self).accept()?;
        socket.set_nonblocking(true)?;
        let address = address.as_socket().ok_or(io::ErrorKind::InvalidData)?;
        Ok((TcpStream::from_std(socket.into())?, address))
    }
}

impl Listener for UnixListener {
    type Stream = UnixStream;
    type Address = ();

    async fn accept(&self) -> io::Result<(UnixStream, ())> {
        let (stream, _) = Self::accept(self).await?;
        Ok((stream, ()))
    }

    fn accept_now(&self) -> io::Result<(UnixStream, ())> {
        let (socket, _) = SockRef::from(self).accept()?;
        socket.set_nonblocking(true)?;
        Ok((UnixStream::from_std(socket.into())?, ()))
    }
}

/// Accepts connections and hands each to `serve` with its permit, which `acquire` waits for; meanwhile further ones wait in the
/// kernel's queue. When `closing` completes, what the kernel has queued is accepted, and then no more: the socket is closed when
/// this returns.
pub async fn accept<L: Listener>(
    listener: L,
    acquire: impl AsyncFn() -> ConnectionPermit,
    closing: impl Future,
    mut serve: impl FnMut(L::Stream, L::Address, ConnectionPermit),
) {
    let mut closing = pin!(closing);
    let mut backoff = MIN_BACKOFF;
    loop {
        let accepted = select! {
            biased;
            _ = &mut closing => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                backoff = MIN_BACKOFF;
                serve(stream, address, acquire().await);
            }
            Err(error) if is_connection_error(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?backoff, "cannot accept connections");
                select! {
                    _ = &mut closing => break,
                    () = sleep(backoff) => {}
                }
                backoff = (backoff * 2).min(MAX_BACKOFF);
            }
        }
    }
    for _ in 0..BACKLOG {
        match listener.accept_now() {
            Ok((stream, address)) => serve(stream, address, acquire().await),
            Err(error) if is_connection_error(&error) => {}
            Err(_) => return,
        }
    }
}

/// Whether the error concerns only the connection that was to be accepted.
fn is_connection_error(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
