//! The error state: what puts a member into it, and how it comes back.
//!
//! A member in error (Apache's `E`) takes nothing for `retry` seconds. Then the next decision that considers it lets it
//! out, and a real request tells whether it is well again. There is no timer: `now` comes with every call.
//!
//! | event | error state |
//! |---|---|
//! | cannot be connected | entered |
//! | answered with a status in `failonstatus` | entered |
//! | broke off its answer, or gave none that can be understood | unchanged |
//! | took too long, with `failontimeout` | entered |
//! | considered later than `retry` after that | left, one more retry |
//! | every member in error, with `forcerecovery` | left by all, one more retry each |
//! | connected | unchanged; the retries so far are forgotten |
//!
//! A member with `I` never enters it; one with `S` is not let out for its own sake.

use std::sync::Arc;
use std::time::Duration;

use crate::{Member, Outcome, Settings};

impl Member {
    /// Whether the member may take requests: enabled and not in error.
    pub fn is_usable(&self) -> bool {
        self.settings.status.is_enabled() && !self.counters.in_error()
    }

    /// Lets the member out of the error state if that has lasted long enough, and tells whether it is usable now.
    #[inline]
    pub(crate) fn recover(&self, now: Duration) -> bool {
        if self.counters.in_error() {
            self.retry(now);
        }
        self.is_usable()
    }

    #[cold]
    fn retry(&self, now: Duration) {
        let Some(since) = self.counters.error_since() else {
            return;
        };
        if !self.settings.status.stopped && self.is_due(since, now) {
            self.counters.retry(since);
        }
    }

    /// Whether an error state entered at `since` is over at `now`.
    fn is_due(&self, since: Duration, now: Duration) -> bool {
        let retry = self.settings.retry;
        self.settings.status.ignore_errors || retry.is_zero() || now > since.saturating_add(retry)
    }
}

/// Before every decision: if nobody is free of errors and cannot be let out either, `forcerecovery` lets everybody out.
pub(crate) fn force_recovery(settings: &Settings, members: &[Arc<Member>], now: Duration) {
    let all_failed = members.iter().all(|member| {
        member.recover(now);
        member.counters.in_error()
    });
    if !(all_failed && settings.forcerecovery) {
        return;
    }
    for member in members {
        if let Some(since) = member.counters.error_since() {
            member.counters.retry(since);
        }
    }
}

/// Draws the consequences of an outcome for the error state.
pub(crate) fn report(settings: &Settings, member: &Member, outcome: Outcome, now: Duration) {
    if outcome != Outcome::Connected {
        let failed = !matches!(outcome, Outcome::Answered(_));
        member.counters.count_failure(failed);
    }
    let failed = match outcome {
        Outcome::Connected => {
            member.counters.forget_retries();
            false
        }
        Outcome::Unreachable => true,
        Outcome::Answered(status) => settings.failonstatus.contains(&status),
        Outcome::BrokenOff => false,
        Outcome::TimedOut => settings.failontimeout,
    };
    if failed && !member.settings.status.ignore_errors {
        member.counters.fail(now);
    }
}
