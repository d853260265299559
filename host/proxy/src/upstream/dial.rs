//! TCP and Unix socket connections to a member.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use socket2::SockRef;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout_at};
use tokio_util::either::Either;

use crate::upstream::Endpoint;
use equipoise_dns::{Address, Addresses};

/// A connected socket of a member: TCP (left), or a socket file's (right).
pub(crate) type Socket = Either<TcpStream, UnixStream>;

/// Our end of a socket, as an address; none in particular for a socket file.
pub(super) fn local_address(socket: &Socket) -> SocketAddr {
    let address = match socket {
        Either::Left(stream) => stream.local_addr().ok(),
        Either::Right(_) => None,
    };
    address.unwrap_or_else(|| (Ipv4Addr::UNSPECIFIED, 0).into())
}

/// A connected socket, and which of a name's addresses it goes to.
pub(crate) struct Dialled {
    pub(crate) socket: Socket,
    /// None where the member is given by an address or a socket file.
    pub(crate) address: Option<Arc<Address>>,
}

/// Connects to a member: to the first of its addresses that takes the connection, at another `port` if there is one.
///
/// The caller gives up at `deadline` or later; it is needed here so that one address that says nothing leaves time for the others.
///
/// # Errors
/// The last address's failure, or why the name has no address.
pub(super) async fn dial(
    endpoint: &Endpoint,
    port: Option<u16>,
    deadline: Instant,
) -> io::Result<Dialled> {
    let at =
        |address: SocketAddr| SocketAddr::new(address.ip(), port.unwrap_or_else(|| address.port()));
    let member = &endpoint.config;
    if let Some(path) = &member.socket {
        return Ok(Dialled {
            socket: Socket::Right(UnixStream::connect(path).await?),
            address: None,
        });
    }
    let (stream, address) = match (&endpoint.addresses, member.settings.address) {
        (Some(addresses), _) => {
            let (stream, address) = dial_by_name(addresses, at, deadline).await?;
            (stream, Some(address))
        }
        (None, Some(address)) => (TcpStream::connect(at(address)).await?, None),
        (None, None) => return Err(no_address()),
    };
    stream.set_nodelay(true)?;
    if member.keepalive {
        SockRef::from(&stream).set_keepalive(true)?;
    }
    Ok(Dialled {
        socket: Socket::Left(stream),
        address,
    })
}

/// Tries one address after the other. Each but the last may take half of the time that is left.
async fn dial_by_name(
    addresses: &Addresses,
    at: impl Fn(SocketAddr) -> SocketAddr,
    deadline: Instant,
) -> io::Result<(TcpStream, Arc<Address>)> {
    let order = addresses.get().await?;
    let (last, mut failure) = (order.len().saturating_sub(1), no_address());
    for (place, address) in order.into_iter().enumerate() {
        let left = deadline.saturating_duration_since(Instant::now());
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

fn no_address() -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, "the member has no address")
}
