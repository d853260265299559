//! Who started the program and watches over it: systemd, or whoever else speaks its protocol (`sd_notify`).
//!
//! A datagram with `KEY=VALUE` lines to the socket named in `NOTIFY_SOCKET` says how the program fares. Where there is no
//! such socket, nobody wants to know.

use std::env;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// Whom the program tells how it fares.
#[derive(Debug)]
pub(crate) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// Within which time it wants to hear that the program lives.
    watchdog: Option<Duration>,
}

impl Supervisor {
    /// The one that the environment names, if any. One that cannot be reached is complained of in the log, once.
    pub(crate) fn of_process() -> Self {
        let socket = connect().unwrap_or_else(|error| {
            tracing::warn!("nobody is told that the program serves: {error:#}");
            None
        });
        let watchdog = watchdog().filter(|_| socket.is_some());
        Self { socket, watchdog }
    }

    /// How often to say that the program lives: twice in the time within which it must.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|within| within / 2)
    }

    /// Says that the program serves, or does so again after a reload.
    pub(crate) fn ready(&self) {
        self.tell("READY=1");
    }

    /// Says that the program ends.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that the program lives.
    pub(crate) fn alive(&self) {
        self.tell("WATCHDOG=1");
    }

    /// Says that another process is the program from now on.
    pub(crate) fn succeeded_by(&self, process: u32) {
        self.tell(&format!("MAINPID={process}"));
    }

    /// Says that the configuration is read again; [`ready`](Self::ready) says that this is over, whatever came of it.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    fn tell(&self, message: &str) {
        let Some((socket, address)) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, message, "the supervisor cannot be told");
        }
    }
}

fn connect() -> Result<Option<(UnixDatagram, SocketAddr)>> {
    let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
        return Ok(None);
    };
    let context = || format!("NOTIFY_SOCKET={}", name.display());
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&name),
    };
    let address = address.with_context(context)?;
    let socket = UnixDatagram::unbound().with_context(context)?;
    // Whoever does not listen must not hold the program up.
    socket.set_nonblocking(true).with_context(context)?;
    Ok(Some((socket, address)))
}

/// `WATCHDOG_USEC`, if it is for this process.
fn watchdog() -> Option<Duration> {
    let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
    let is_ours = match env::var_os("WATCHDOG_PID") {
        Some(_) => number("WATCHDOG_PID") == Some(std::process::id().into()),
        None => true,
    };
    let microseconds = number("WATCHDOG_USEC").filter(|&count| is_ours && count > 0)?;
    Some(Duration::from_micros(microseconds))
}
