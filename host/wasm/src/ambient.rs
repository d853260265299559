//! What the plugin that is being called may ask about.
//!
//! The contract's functions speak of "the request" and "the candidates" without naming them, so the host has to know whose
//! call it is. A call is synchronous and stays on its thread: what it is about is lent to the thread for its duration, and
//! the clocks stand still meanwhile.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use equipoise_sdk::{Candidates, Env, Request};
use scoped_tls_hkt::scoped_thread_local;

use equipoise_metrics::clock;

/// What a call is about.
#[derive(Clone, Copy, Default)]
pub(super) struct Ambient<'call> {
    pub(super) request: Option<&'call dyn Request>,
    pub(super) candidates: Option<&'call dyn Candidates>,
    /// Where time and chance come from; the process's own where there is none.
    pub(super) host: Option<&'call dyn Env>,
}

/// A call that is under way. Its times are set when they are asked for first.
#[derive(Default)]
struct Call<'call> {
    about: Ambient<'call>,
    now: OnceCell<Duration>,
    unix: OnceCell<Duration>,
}

scoped_thread_local!(static CALL: for<'call> &'call Call<'call>);

impl Ambient<'_> {
    /// Runs `call`, within which [`ask`] finds this.
    pub(super) fn during<R>(self, call: impl FnOnce() -> R) -> R {
        let about = Call {
            about: self,
            ..Call::default()
        };
        CALL.set(&about, call)
    }

    /// A random number, of the decision or of the process.
    pub(super) fn random(&self) -> u32 {
        self.host
            .map_or_else(|| fastrand::u32(..), |host| host.random())
    }
}

/// Asks the call at hand; outside of calls, one that is about nothing.
fn ask_call<R>(question: impl FnOnce(&Call<'_>) -> R) -> R {
    if CALL.is_set() {
        CALL.with(|call| question(call))
    } else {
        question(&Call::default())
    }
}

/// Asks what the call at hand is about; nothing outside of calls.
pub(super) fn ask<R>(question: impl FnOnce(&Ambient<'_>) -> R) -> R {
    ask_call(|call| question(&call.about))
}

/// Monotonic time on the clock of decisions: that of the one at hand, or of the call.
pub(super) fn now() -> Duration {
    ask_call(|call| {
        *call.now.get_or_init(|| match call.about.host {
            Some(host) => Duration::from_millis(host.now_ms()),
            None => clock::origin().elapsed(),
        })
    })
}

/// Time since 1970, of the decision at hand or of the call.
pub(super) fn unix() -> Duration {
    ask_call(|call| {
        *call.unix.get_or_init(|| match call.about.host {
            Some(host) => Duration::from_millis(host.unix_ms()),
            // A clock before 1970 is as wrong as one that says 1970.
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        })
    })
}

/// A time as the contract tells it.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A random number, of the decision at hand or of the process.
pub(super) fn random() -> u32 {
    ask(|call| call.random())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Waits until both clocks have moved.
    fn wait_a_little() {
        let (monotonic, wall) = (clock::origin().elapsed(), SystemTime::now());
        while clock::origin().elapsed() == monotonic || SystemTime::now() == wall {}
    }

    #[test]
    fn clocks_stand_still_within_a_call_that_is_about_no_decision() {
        let times = || (now(), unix());
        let (first, last) = Ambient::default().during(|| {
            let first = times();
            wait_a_little();
            (first, times())
        });
        assert_eq!(first, last);
        wait_a_little();
        assert!(Ambient::default().during(now) > first.0);
    }
}
