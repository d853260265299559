//! Sockets that the program was started with: by systemd, or by the program that it takes over from.
//!
//! Both hand them over as systemd does: as file descriptors from 3 on, and their number in `LISTEN_FDS`. A socket of systemd's
//! is for whatever has its address. The program before ours says what each of its sockets is for: see
//! the hot restart of the program.

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::Path;

use socket2::{Socket, Type};

/// The sockets, until somebody wants them.
#[derive(Debug, Default)]
pub struct Inherited {
    gifts: Vec<Gift>,
}

/// A socket from one program to another.
#[derive(Debug)]
pub struct Gift {
    /// What it is for, in the words of [`Role::claim`]; `None`: for whatever has its address.
    claim: Option<String>,
    socket: Socket,
    /// Whether somebody wanted it.
    is_used: bool,
}

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Clients.
    Listen,
    /// Those who run the site.
    Admin,
    /// Heartbeats.
    Heartbeat,
}

/// Sockets that were found.
#[derive(Debug, Default)]
pub struct Found {
    /// Open, and bound to that address.
    pub sockets: Vec<Socket>,
    /// Whether they are those of systemd, which keeps them open when we end.
    pub is_activated: bool,
}

impl Inherited {
    /// These sockets.
    pub fn new(gifts: impl IntoIterator<Item = Gift>) -> Self {
        Self {
            gifts: gifts.into_iter().collect(),
        }
    }

    /// Listening TCP sockets for an address; clones, so that they can be found again. Those of systemd are found where no
    /// others are.
    pub fn listening(&mut self, role: Role, address: &SocketAddr) -> io::Result<Found> {
        self.find(Type::STREAM, role, address, |socket| {
            socket.local_addr().ok()?.as_socket()
        })
    }

    /// A listening Unix socket for a path, as [`listening`](Self::listening).
    pub fn listening_at(&mut self, role: Role, path: &Path) -> io::Result<Found> {
        let named = format!("unix:{}", path.display());
        self.find(Type::STREAM, role, &named, |socket| {
            let address = socket.local_addr().ok()?;
            Some(format!("unix:{}", address.as_pathname()?.display()))
        })
    }

    /// A socket for datagrams, as [`listening`](Self::listening).
    pub fn datagrams(&mut self, role: Role, address: &SocketAddr) -> io::Result<Found> {
        self.find(Type::DGRAM, role, address, |socket| {
            socket.local_addr().ok()?.as_socket()
        })
    }

    fn find<A: PartialEq + Display>(
        &mut self,
        kind: Type,
        role: Role,
        address: &A,
        bound: impl Fn(&Socket) -> Option<A>,
    ) -> io::Result<Found> {
        let claim = role.claim(address);
        let is_meant = |gift: &&mut Gift| match &gift.claim {
            Some(claimed) => *claimed == claim,
            None => bound(&gift.socket).as_ref() == Some(address),
        };
        let of_kind = |gift: &&mut Gift| gift.socket.r#type().is_ok_and(|it| it == kind);
        let mut found = Found::default();
        for gift in self.gifts.iter_mut().filter(of_kind).filter(is_meant) {
            gift.is_used = true;
            found.is_activated = gift.claim.is_none();
            found.sockets.push(gift.socket.try_clone()?);
        }
        Ok(found)
    }

    /// Closes what the program before ours had for others than who found it, once everybody has. What systemd handed over
    /// stays, for a configuration to come; what nobody wants of it is told in the log.
    pub fn settle(&mut self) {
        self.gifts.retain(|gift| gift.claim.is_none());
        for gift in self.gifts.iter().filter(|gift| !gift.is_used) {
            tracing::warn!(
                "the program was started with a socket for {}, on which nothing listens in the configuration: who connects there waits in vain",
                gift.address()
            );
        }
    }

    /// What systemd handed over, again.
    pub(super) fn activated(&self) -> io::Result<Vec<Gift>> {
        let activated = self.gifts.iter().filter(|gift| gift.claim.is_none());
        activated.map(Gift::try_clone).collect()
    }
}

impl Gift {
    /// A socket that nothing listens on yet.
    pub fn new(claim: Option<String>, socket: Socket) -> Self {
        Self {
            claim,
            socket,
            is_used: false,
        }
    }

    /// The same socket again.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(Self::new(self.claim.clone(), self.socket.try_clone()?))
    }

    /// What it is for, and the socket.
    pub fn into_parts(self) -> (Option<String>, Socket) {
        (self.claim, self.socket)
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

impl Role {
    /// The words by which a socket for this is known to the next program.
    pub fn claim(self, address: &impl Display) -> String {
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
