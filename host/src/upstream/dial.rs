//! Connecting to a member, without what follows.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};

use crate::names::{Address, Addresses};
use crate::upstream::Upstream;

/// A connected socket of a member.
pub(crate) enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Our end of it, as an address; none in particular for a socket file.
    pub(super) fn local_address(&self) -> SocketAddr {
        let address = match self {
            Self::Tcp(stream) => stream.local_addr().ok(),
            Self::Unix(_) => None,
        };
        address.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
    }
}

/// A connected socket, and which of a name's addresses it goes to.
pub(crate) struct Dialled {
    pub(crate) socket: Socket,
    /// None where the member is given by an address or a socket file.
    pub(crate) address: Option<Arc<Address>>,
}

/// Connects to a member for requests, as its configuration says.
///
/// # Errors
/// As [`connect`].
pub(super) async fn dial(upstream: &Upstream) -> io::Result<Dialled> {
    let member = &upstream.config;
    let dialled = connect(upstream, None, member.connection_timeout).await?;
    if member.keepalive
        && let Socket::Tcp(stream) = &dialled.socket
    {
        SockRef::from(stream).set_keepalive(true)?;
    }
    Ok(dialled)
}

/// Connects to a member: to the first of its addresses that takes the connection, at another `port` if there is one.
///
/// Whoever calls bounds the time; `patience` says by how much, so that one address that says nothing leaves time for the
/// others.
///
/// # Errors
/// The last address's failure, or why the name has no address.
pub(super) async fn connect(
    upstream: &Upstream,
    port: Option<u16>,
    patience: Duration,
) -> io::Result<Dialled> {
    let at =
        |address: SocketAddr| SocketAddr::new(address.ip(), port.unwrap_or_else(|| address.port()));
    let member = &upstream.config;
    if let Some(path) = &member.socket {
        return Ok(Dialled {
            socket: Socket::Unix(UnixStream::connect(path).await?),
            address: None,
        });
    }
    let (stream, address) = match (&upstream.addresses, member.settings.address) {
        (Some(addresses), _) => {
            let (stream, address) = connect_by_name(addresses, at, patience).await?;
            (stream, Some(address))
        }
        (None, Some(address)) => (TcpStream::connect(at(address)).await?, None),
        (None, None) => return Err(nowhere()),
    };
    stream.set_nodelay(true)?;
    Ok(Dialled {
        socket: Socket::Tcp(stream),
        address,
    })
}

/// Tries one address after the other. Each but the last may take half of the time that is left.
async fn connect_by_name(
    addresses: &Addresses,
    at: impl Fn(SocketAddr) -> SocketAddr,
    patience: Duration,
) -> io::Result<(TcpStream, Arc<Address>)> {
    let end = Instant::now() + patience;
    let order = addresses.get().await?;
    let (last, mut failure) = (order.len().saturating_sub(1), nowhere());
    for (place, address) in order.into_iter().enumerate() {
        let left = end.saturating_duration_since(Instant::now());
        let share = if place == last { left } else { left / 2 };
        let connecting = TcpStream::connect(at(address.address));
        failure = match timeout_at(Instant::now() + share, connecting).await {
            Ok(Ok(stream)) => {
                return Ok((stream, address));
            }
            Ok(Err(error)) => error,
            Err(_) => io::ErrorKind::TimedOut.into(),
        };
    }
    Err(failure)
}

fn nowhere() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the member has no address")
}

/// Does the same with whichever socket it is.
macro_rules! either {
    ($self:ident, $stream:ident => $what:expr) => {
        match $self.get_mut() {
            Self::Tcp($stream) => $what,
            Self::Unix($stream) => $what,
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_read(context, buffer))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write(context, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => Pin::new(stream).poll_write_vectored(context, slices))
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Unix(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => Pin::new(stream).poll_shutdown(context))
    }
}
