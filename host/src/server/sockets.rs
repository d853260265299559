//! Listening sockets: one for each listener and worker, so that the kernel spreads connections over the workers.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;

use anyhow::{Context as _, Result};
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::Listener;

/// Connections the kernel holds for us until they are accepted.
const BACKLOG: i32 = 4096;

/// The bound sockets of all listeners.
pub(super) struct Sockets {
    addresses: Vec<SocketAddr>,
    /// For each worker, a socket of each listener.
    shares: Vec<Vec<TcpListener>>,
}

impl Sockets {
    /// Binds every listener once per worker.
    ///
    /// # Errors
    /// An address cannot be bound; the message names it.
    pub(super) fn bind(listeners: &[Listener], workers: NonZeroUsize) -> Result<Self> {
        let mut addresses = Vec::new();
        let mut shares: Vec<Vec<TcpListener>> = (0..workers.get()).map(|_| Vec::new()).collect();
        for listener in listeners {
            let context = || format!("cannot listen on {}", listener.address);
            let address = free_address(listener.address).with_context(context)?;
            addresses.push(address);
            for share in &mut shares {
                share.push(bind(address).with_context(context)?);
            }
        }
        Ok(Self { addresses, shares })
    }

    /// The addresses, with real ports.
    pub(super) fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The sockets for one worker after another.
    pub(super) fn into_shares(self) -> impl Iterator<Item = Vec<TcpListener>> {
        self.shares.into_iter()
    }
}

/// The address with a port that nobody listens on. Sockets that share a port would share another program's, too, and take
/// half of its connections; so one that does not share asks first.
fn free_address(address: SocketAddr) -> io::Result<SocketAddr> {
    let probe = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    probe.set_reuse_address(true)?;
    probe.bind(&address.into())?;
    probe.listen(1)?;
    probe
        .local_addr()?
        .as_socket()
        .ok_or_else(|| io::ErrorKind::AddrNotAvailable.into())
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}
