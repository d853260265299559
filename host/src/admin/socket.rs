//! The socket of the admin listener: TCP, or a file.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use socket2::{Domain, SockAddr, Socket, Type};

use equipoise_config::AdminAddress;
use equipoise_proxy::downstream::{HandoverSocket, InheritedSockets, SocketRole};

/// Who may connect to a socket file: who owns it.
const MODE: u32 = 0o600;

/// Connections that may wait.
const BACKLOG: i32 = 128;

/// The bound socket.
pub(crate) enum Listener {
    /// An address of this machine.
    Tcp(TcpListener),
    /// A file.
    Unix(UnixListener),
}

/// The socket's file. Removed when this is dropped.
#[derive(Debug)]
pub(crate) struct SocketFile(PathBuf);

/// The socket, and what is to be done with it at the end.
pub(crate) struct Bound {
    pub(crate) listener: Listener,
    /// The file to be removed at the end. Not yet there for one that was taken over: it is another program's until it is served.
    pub(crate) file: Option<SocketFile>,
    /// The path of a file that was taken over and is ours from when it is served.
    pub(crate) taken_over: Option<PathBuf>,
    /// The socket again, to be handed over in a hot restart; none where systemd has it.
    pub(crate) handover: Option<HandoverSocket>,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Peer {
    /// Over TCP, from here.
    Tcp(SocketAddr),
    /// A program of this machine that may open the socket's file.
    Unix,
}

impl Listener {
    /// Where it is, with the real port, for people to read.
    pub(crate) fn address(&self) -> String {
        let address = match self {
            Self::Tcp(listener) => listener.local_addr().map(|address| address.to_string()),
            Self::Unix(listener) => {
                listener
                    .local_addr()
                    .map(|address| match address.as_pathname() {
                        Some(path) => format!("unix:{}", path.display()),
                        None => "unix:".to_owned(),
                    })
            }
        };
        address.unwrap_or_else(|error| error.to_string())
    }
}

impl Peer {
    /// Where it is: this machine for a socket file.
    pub(crate) fn ip(self) -> IpAddr {
        match self {
            Self::Tcp(address) => address.ip(),
            Self::Unix => Ipv4Addr::LOCALHOST.into(),
        }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.ip().fmt(f),
            Self::Unix => f.write_str("the admin socket"),
        }
    }
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self::Tcp(address)
    }
}

impl From<()> for Peer {
    fn from((): ()) -> Self {
        Self::Unix
    }
}

/// Binds the admin listener, or takes an inherited socket.
///
/// # Errors
/// Its address cannot be bound; the message names it.
pub(crate) fn bind(address: &AdminAddress, inherited: &mut InheritedSockets) -> Result<Bound> {
    let bound = match address {
        AdminAddress::Tcp(tcp) => bind_tcp(*tcp, inherited).map_err(Into::into),
        AdminAddress::Unix(path) => bind_unix(path, inherited),
    };
    let (mut bound, is_activated) =
        bound.with_context(|| format!("cannot listen for admin requests on {address}"))?;
    if !is_activated {
        let socket = match &bound.listener {
            Listener::Tcp(listener) => listener.try_clone()?.into(),
            Listener::Unix(listener) => listener.try_clone()?.into(),
        };
        bound.handover = Some(HandoverSocket::new(
            Some(SocketRole::Admin.label(address)),
            socket,
        ));
    }
    Ok(bound)
}

fn bind_tcp(address: SocketAddr, inherited: &mut InheritedSockets) -> io::Result<(Bound, bool)> {
    let mut matched = inherited.tcp_listeners(SocketRole::Admin, &address)?;
    let listener = match matched.sockets.pop() {
        Some(socket) => socket.into(),
        None => TcpListener::bind(address)?,
    };
    listener.set_nonblocking(true)?;
    let bound = Bound {
        listener: Listener::Tcp(listener),
        file: None,
        taken_over: None,
        handover: None,
    };
    Ok((bound, matched.is_activated))
}

fn bind_unix(path: &Path, inherited: &mut InheritedSockets) -> Result<(Bound, bool)> {
    let mut matched = inherited.unix_listener(SocketRole::Admin, path)?;
    let (listener, file) = match matched.sockets.pop() {
        Some(socket) => (UnixListener::from(socket), None),
        None => (bind_file(path)?, Some(SocketFile(path.to_owned()))),
    };
    listener.set_nonblocking(true)?;
    let is_taken_over = file.is_none() && !matched.is_activated;
    let bound = Bound {
        listener: Listener::Unix(listener),
        file,
        taken_over: is_taken_over.then(|| path.to_owned()),
        handover: None,
    };
    Ok((bound, matched.is_activated))
}

/// A socket with a new file, which only its owner may open, whatever the umask: no client can connect before its mode is set.
fn bind_file(path: &Path) -> Result<UnixListener> {
    clear(path)?;
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    socket.bind(&SockAddr::unix(path)?)?;
    let file = SocketFile(path.to_owned());
    fs::set_permissions(path, Permissions::from_mode(MODE)).context("setting its mode")?;
    socket.listen(BACKLOG)?;
    file.keep();
    Ok(socket.into())
}

/// Removes the socket file of a program that is gone.
fn clear(path: &Path) -> Result<()> {
    let metadata = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    if !metadata.file_type().is_socket() {
        bail!("something else than a socket is there");
    }
    match UnixStream::connect(path) {
        Ok(_) => bail!("another program listens there"),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).context("removing what a program left that is gone")
        }
        Err(error) => Err(error).context("looking whether another program listens there"),
    }
}

impl SocketFile {
    /// The file of a socket that was taken over.
    pub(crate) fn of(path: PathBuf) -> Self {
        Self(path)
    }

    /// Leaves the file to another.
    pub(crate) fn keep(mut self) {
        self.0 = PathBuf::new();
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if self.0.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(%error, path = %self.0.display(), "the admin socket's file stays");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(path: &Path) -> Result<Bound> {
        super::bind(
            &AdminAddress::Unix(path.to_owned()),
            &mut InheritedSockets::default(),
        )
    }

    #[test]
    fn only_the_owner_may_open_the_file_which_goes_with_its_program() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let bound = bind(&path).unwrap();
        let mode = fs::symlink_metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        UnixStream::connect(&path).unwrap();
        drop(bound);
        assert!(!path.exists());
    }

    #[test]
    fn a_file_that_a_dead_program_left_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        drop(UnixListener::bind(&path).unwrap());
        assert!(path.exists());
        let _bound = bind(&path).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn what_is_not_ours_to_replace_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("admin.sock");
        let refused = |why: &str| {
            let Err(error) = bind(&path) else {
                panic!("bound: {why}");
            };
            let path = path.display();
            let expected = format!("cannot listen for admin requests on unix:{path}: {why}");
            assert_eq!(format!("{error:#}"), expected);
        };
        let listener = UnixListener::bind(&path).unwrap();
        refused("another program listens there");
        drop(listener);
        fs::remove_file(&path).unwrap();
        fs::write(&path, "precious").unwrap();
        refused("something else than a socket is there");
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }
}
