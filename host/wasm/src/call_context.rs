//! The context of the current call: request, candidates and environment.
//!
//! The contract's functions refer to "the request" and "the candidates" implicitly. A call is synchronous and stays on its
//! thread, so its context is in a thread-local for its duration, and the clocks stand still meanwhile.

use std::cell::OnceCell;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use equipoise_sdk::{Candidates, Env, Request};
use scoped_tls_hkt::scoped_thread_local;

use equipoise_metrics::clock;

/// The inputs of a call.
#[derive(Clone, Copy, Default)]
pub(super) struct CallContext<'call> {
    pub(super) request: Option<&'call dyn Request>,
    pub(super) candidates: Option<&'call dyn Candidates>,
    /// Clocks and random numbers; the process's own where there is none.
    pub(super) env: Option<&'call dyn Env>,
}

/// The current call. Its times are read once, when they are first asked for.
#[derive(Default)]
struct Call<'call> {
    about: CallContext<'call>,
    now: OnceCell<Duration>,
    unix: OnceCell<Duration>,
}

scoped_thread_local!(static CALL: for<'call> &'call Call<'call>);

impl CallContext<'_> {
    /// Runs `call`, within which [`with_context`] finds this.
    pub(super) fn during<R>(self, call: impl FnOnce() -> R) -> R {
        let about = Call {
            about: self,
            ..Call::default()
        };
        CALL.set(&about, call)
    }

    /// A random number, of the decision or of the process.
    pub(super) fn random(&self) -> u32 {
        self.env
            .map_or_else(|| fastrand::u32(..), |env| env.random())
    }
}

/// Reads the current call; an empty one outside of calls.
fn with_call<R>(read: impl FnOnce(&Call<'_>) -> R) -> R {
    if CALL.is_set() {
        CALL.with(|call| read(call))
    } else {
        read(&Call::default())
    }
}

/// Reads the context of the current call; an empty one outside of calls.
pub(super) fn with_context<R>(read: impl FnOnce(&CallContext<'_>) -> R) -> R {
    with_call(|call| read(&call.about))
}

/// Monotonic time on the clock of decisions: of the current one, or of the call.
pub(super) fn now() -> Duration {
    with_call(|call| {
        *call.now.get_or_init(|| match call.about.env {
            Some(env) => Duration::from_millis(env.now_ms()),
            None => clock::origin().elapsed(),
        })
    })
}

/// Time since 1970, of the current decision or of the call.
pub(super) fn unix() -> Duration {
    with_call(|call| {
        *call.unix.get_or_init(|| match call.about.env {
            Some(env) => Duration::from_millis(env.unix_ms()),
            // A clock before 1970 is as wrong as one that says 1970.
            None => SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap_or_default(),
        })
    })
}

/// A time in milliseconds, as in the contract.
pub(super) fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A random number, of the current decision or of the process.
pub(super) fn random() -> u32 {
    with_context(|call| call.random())
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
        let (first, last) = CallContext::default().during(|| {
            let first = times();
            wait_a_little();
            (first, times())
        });
        assert_eq!(first, last);
        wait_a_little();
        assert!(CallContext::default().during(now) > first.0);
    }
}
