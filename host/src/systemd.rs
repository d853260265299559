//! Notifications for systemd, or another supervisor with its protocol (`sd_notify`).
//!
//! They are datagrams of `KEY=VALUE` lines to the socket named in `NOTIFY_SOCKET`. Without it, none are sent.

use std::env;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::time::{ClockId, clock_gettime};

/// Sends the notifications.
#[derive(Debug)]
pub(crate) struct Notifier {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The longest time between two signs of life.
    watchdog: Option<Duration>,
}

impl Notifier {
    /// To the socket that the environment names, if any. One that cannot be used is logged.
    pub(crate) fn from_env() -> Self {
        let socket = connect().unwrap_or_else(|error| {
            tracing::warn!("systemd notifications are off: {error:#}");
            None
        });
        let watchdog = watchdog().filter(|_| socket.is_some());
        Self { socket, watchdog }
    }

    /// The interval of [`alive`](Self::alive): half of the watchdog's time. None without a watchdog.
    pub(crate) fn interval(&self) -> Option<Duration> {
        self.watchdog.map(|within| within / 2)
    }

    /// The program serves, or a reload is over.
    pub(crate) fn ready(&self) {
        self.notify("READY=1");
    }

    /// The program ends.
    pub(crate) fn stopping(&self) {
        self.notify("STOPPING=1");
    }

    /// A sign of life, for the watchdog.
    pub(crate) fn alive(&self) {
        self.notify("WATCHDOG=1");
    }

    /// Another process takes over.
    pub(crate) fn main_pid(&self, process: u32) {
        self.notify(&format!("MAINPID={process}"));
    }

    /// The configuration is being reloaded; [`ready`](Self::ready) ends that, whatever the result.
    pub(crate) fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1000;
        self.notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    fn notify(&self, message: &str) {
        let Some((socket, address)) = &self.socket else {
            return;
        };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, message, "systemd notification failed");
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
    // A supervisor that does not read must not block the program.
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
