//! Connecting to a member, without what follows.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream, lookup_host};

use crate::config::Member;
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

/// Connects to a member: to the first of its addresses that takes the connection.
///
/// # Errors
/// The last address's failure.
pub(super) async fn dial(upstream: &Upstream) -> io::Result<Socket> {
    let member = &upstream.config;
    if let Some(path) = &member.socket {
        return Ok(Socket::Unix(UnixStream::connect(path).await?));
    }
    let stream = connect(member).await?;
    stream.set_nodelay(true)?;
    if member.keepalive {
        SockRef::from(&stream).set_keepalive(true)?;
    }
    Ok(Socket::Tcp(stream))
}

async fn connect(member: &Member) -> io::Result<TcpStream> {
    if let Some(address) = member.settings.address {
        return TcpStream::connect(address).await;
    }
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in lookup_host((member.host.as_str(), member.port)).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
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
