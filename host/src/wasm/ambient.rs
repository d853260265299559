//! What the plugin that is being called may ask about.
//!
//! The contract's functions speak of "the request" and "the candidates" without naming them, so the host has to know whose
//! call it is. A call is synchronous and stays on its thread: what it is about is lent to the thread for its duration.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use equipoise_sdk::{Candidates, Host, Request};
use scoped_tls_hkt::scoped_thread_local;

/// What a call is about.
#[derive(Clone, Copy, Default)]
pub(super) struct Ambient<'call> {
    pub(super) request: Option<&'call dyn Request>,
    pub(super) candidates: Option<&'call dyn Candidates>,
    /// Where time and chance come from; the process's own where there is none.
    pub(super) host: Option<&'call dyn Host>,
}

scoped_thread_local!(static AMBIENT: for<'call> &'call Ambient<'call>);

impl Ambient<'_> {
    /// Runs `call`, within which [`ask`] finds this.
    pub(super) fn during<R>(&self, call: impl FnOnce() -> R) -> R {
        AMBIENT.set(self, call)
    }
}

/// Asks what the call at hand is about; nothing outside of calls.
pub(super) fn ask<R>(question: impl FnOnce(&Ambient<'_>) -> R) -> R {
    if AMBIENT.is_set() {
        AMBIENT.with(|ambient| question(ambient))
    } else {
        question(&Ambient::default())
    }
}

/// Monotonic time, of the decision at hand or since the program started.
pub(super) fn now() -> Duration {
    static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);
    ask(|call| match call.host {
        Some(host) => Duration::from_millis(host.now_ms()),
        None => STARTED.elapsed(),
    })
}

/// Time since 1970, of the decision at hand or of the system.
pub(super) fn unix() -> Duration {
    ask(|call| match call.host {
        Some(host) => Duration::from_millis(host.unix_ms()),
        // A clock before 1970 is as wrong as one that says 1970.
        None => SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default(),
    })
}

/// A random number, of the decision at hand or of the process.
pub(super) fn random() -> u32 {
    ask(|call| call.host.map_or_else(|| fastrand::u32(..), Host::random))
}
