//! Accepting connections.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::select;
use tokio::time::sleep;

use super::places::Place;
use super::sockets::BACKLOG;

/// How long to wait before accepting again after accepting failed: at first, and at most.
const PAUSE: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// A socket that listens for connections of some kind.
pub trait Listening {
    /// A connection.
    type Stream;
    /// Where a connection comes from.
    type Address;

    /// Waits for the next connection; nothing is lost where the wait is broken off.
    #[expect(async_fn_in_trait, reason = "it stays on its thread")]
    async fn accept(&self) -> io::Result<(Self::Stream, Self::Address)>;

    /// A connection that the kernel has ready, or [`io::ErrorKind::WouldBlock`].
    fn accept_now(&self) -> io::Result<(Self::Stream, Self::Address)>;
}

impl Listening for TcpListener {
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

impl Listening for UnixListener {
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

/// Accepts connections and hands each on with its place, which `admit` waits for. While there is no place for another, they wait
/// in the kernel. When `closing` comes true, those are accepted to which the kernel has said that they are connected, and then
/// no more: the socket is closed when this returns.
pub async fn accept<L: Listening>(
    listener: L,
    admit: impl AsyncFn() -> Place,
    closing: impl Future,
    mut hand_on: impl FnMut(L::Stream, L::Address, Place),
) {
    let mut closing = pin!(closing);
    let mut pause = PAUSE.0;
    loop {
        let accepted = select! {
            biased;
            _ = &mut closing => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, address)) => {
                pause = PAUSE.0;
                hand_on(stream, address, admit().await);
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, ?pause, "accepting connections fails");
                select! {
                    _ = &mut closing => break,
                    () = sleep(pause) => {}
                }
                pause = (pause * 2).min(PAUSE.1);
            }
        }
    }
    for _ in 0..BACKLOG {
        match listener.accept_now() {
            Ok((stream, address)) => hand_on(stream, address, admit().await),
            Err(error) if is_of_one_connection(&error) => {}
            Err(_) => return,
        }
    }
}

/// Whether only the connection that was to be accepted is concerned.
fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
    )
}
