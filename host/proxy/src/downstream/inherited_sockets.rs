//! Sockets that the program was started with: by systemd, or by the old program of a hot restart.
//!
//! Both hand them over as systemd does: as file descriptors from 3 on, and their number in `LISTEN_FDS`. A socket of systemd's
//! is for whatever has its address. The old program says what each of its sockets is for.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Socket, Type};

/// The sockets, until they are claimed.
#[derive(Debug, Default)]
pub struct InheritedSockets {
    sockets: Vec<HandoverSocket>,
}

/// A socket that one program hands over to another.
#[derive(Debug)]
pub struct HandoverSocket {
    /// What it is for, see [`SocketRole::label`]; `None`: for whatever has its address.
    label: Option<String>,
    socket: Socket,
    /// Whether it was claimed.
    is_claimed: bool,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketRole {
    /// Clients.
    Listen,
    /// Operators.
    Admin,
    /// Heartbeats.
    Heartbeat,
}

/// Sockets that match a role and an address.
#[derive(Debug, Default)]
pub struct MatchedSockets {
    /// Open, and bound to the address.
    pub sockets: Vec<Socket>,
    /// Whether they are systemd's, which keeps them open when the program ends.
    pub is_activated: bool,
}

impl InheritedSockets {
    /// These sockets.
    pub fn new(sockets: impl IntoIterator<Item = HandoverSocket>) -> Self {
        Self {
            sockets: sockets.into_iter().collect(),
        }
    }

    /// Listening TCP sockets for an address; clones, so that they can be matched again. Those of systemd match where no others
    /// do.
    pub fn tcp_listeners(
        &mut self,
        role: SocketRole,
        address: &SocketAddr,
    ) -> io::Result<MatchedSockets> {
        self.find(Type::STREAM, role, address, |socket| {
            socket.local_addr().ok()?.as_socket()
        })
    }

    /// A listening Unix socket for a path, as [`tcp_listeners`](Self::tcp_listeners).
    pub fn unix_listener(&mut self, role: SocketRole, path: &Path) -> io::Result<MatchedSockets> {
        let named = format!("unix:{}", path.display());
        self.find(Type::STREAM, role, &named, |socket| {
            let address = socket.local_addr().ok()?;
            Some(format!("unix:{}", address.as_pathname()?.display()))
        })
    }

    /// UDP sockets for an address, as [`tcp_listeners`](Self::tcp_listeners).
    pub fn udp_sockets(
        &mut self,
        role: SocketRole,
        address: &SocketAddr,
    ) -> io::Result<MatchedSockets> {
        self.find(Type::DGRAM, role, address, |socket| {
            socket.local_addr().ok()?.as_socket()
        })
    }

    fn find<A: PartialEq + Display>(
        &mut self,
        kind: Type,
        role: SocketRole,
        address: &A,
        bound: impl Fn(&Socket) -> Option<A>,
    ) -> io::Result<MatchedSockets> {
        let label = role.label(address);
        let is_for = |socket: &&mut HandoverSocket| match &socket.label {
            Some(labelled) => *labelled == label,
            None => bound(&socket.socket).as_ref() == Some(address),
        };
        let of_kind =
            |socket: &&mut HandoverSocket| socket.socket.r#type().is_ok_and(|it| it == kind);
        let mut matched = MatchedSockets::default();
        for socket in self.sockets.iter_mut().filter(of_kind).filter(is_for) {
            socket.is_claimed = true;
            matched.is_activated = socket.label.is_none();
            matched.sockets.push(socket.socket.try_clone()?);
        }
        Ok(matched)
    }

    /// Closes what is left of the old program's sockets, once all claims are made. Those of systemd stay, for a configuration to
    /// come; a warning names those that are not claimed.
    pub fn close_unclaimed(&mut self) {
        self.sockets.retain(|socket| socket.label.is_none());
        for socket in self.sockets.iter().filter(|socket| !socket.is_claimed) {
            tracing::warn!(
                "unused socket from systemd: {}; the configuration has no listener for it, so connections there are never accepted",
                socket.address()
            );
        }
    }

    /// Clones of systemd's sockets.
    pub(super) fn activated(&self) -> io::Result<Vec<HandoverSocket>> {
        let activated = self.sockets.iter().filter(|socket| socket.label.is_none());
        activated.map(HandoverSocket::try_clone).collect()
    }
}

impl HandoverSocket {
    /// A socket that is not claimed yet.
    pub fn new(label: Option<String>, socket: Socket) -> Self {
        Self {
            label,
            socket,
            is_claimed: false,
        }
    }

    /// A handle to the same socket.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.label.clone(), self.socket.try_clone()?))
    }

    /// What it is for, and the socket.
    pub fn into_parts(self) -> (Option<String>, Socket) {
        (self.label, self.socket)
    }

    fn address(&self) -> String {
        let Ok(address) = self.socket.local_addr() else {
            return "an unknown address".to_owned();
        };
        match (address.as_socket(), address.as_pathname()) {
            (Some(address), _) => address.to_string(),
            (None, Some(path)) => format!("unix:{}", path.display()),
            (None, None) => "a socket without a name".to_owned(),
        }
    }
}

impl SocketRole {
    /// What tells the new program of a hot restart that a socket is for this.
    pub fn label(self, address: &impl Display) -> String {
        format!("{} {address}", self.word())
    }

    fn word(self) -> &'static str {
        match self {
            Self::Listen => "listen",
            Self::Admin => "admin",
            Self::Heartbeat => "heartbeat",
        }
    }
}
