//! Heartbeats as UDP datagrams, to a multicast group or to an address of this machine.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::time::sleep;

use super::{Heartbeats, MAX_LENGTH};

/// How long to wait before receiving again after receiving failed.
const RETRY_BACKOFF: Duration = Duration::from_secs(1);

/// Binds a socket for heartbeats.
///
/// A group may be listened to by several programs at once; each of them hears everything. An address that is no group is
/// ours alone.
///
/// # Errors
/// The address cannot be bound, or the group not be joined; the message names it.
pub(crate) fn bind(address: SocketAddr) -> Result<std::net::UdpSocket> {
    open(address).with_context(|| format!("cannot listen for heartbeats on {address}"))
}

fn open(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    socket.set_nonblocking(true)?;
    socket.set_reuse_address(address.ip().is_multicast())?;
    // Bound to the group itself, so that on Linux nothing else comes to the port.
    socket.bind(&address.into())?;
    match address {
        SocketAddr::V4(group) if group.ip().is_multicast() => {
            socket.join_multicast_v4(group.ip(), &Ipv4Addr::UNSPECIFIED)?;
            socket.set_multicast_loop_v4(true)?;
        }
        SocketAddr::V6(group) if group.ip().is_multicast() => {
            socket.join_multicast_v6(group.ip(), group.scope_id())?;
            socket.set_multicast_loop_v6(true)?;
        }
        _ => {}
    }
    Ok(socket.into())
}

/// Receives one heartbeat after the other, for ever.
pub(crate) async fn listen(socket: UdpSocket, heartbeats: Rc<Heartbeats>) {
    // One more than may come, to tell what is longer.
    let mut message = [0; MAX_LENGTH + 1];
    loop {
        match socket.recv_from(&mut message).await {
            Ok((length, from)) => receive(&heartbeats, from.ip(), &message[..length]),
            Err(error) => {
                tracing::warn!(%error, "cannot receive heartbeats");
                sleep(RETRY_BACKOFF).await;
            }
        }
    }
}

/// A datagram gets no response; a rejection is logged.
fn receive(heartbeats: &Heartbeats, from: IpAddr, message: &[u8]) {
    let _ = heartbeats.receive(from, message);
}
