//! The error state: what puts a member into it, and how it recovers.
//!
//! A member in error (Apache's `E`) takes nothing for `retry` seconds. Then the next decision that considers it ends the error
//! state, and a real request is the retry. There is no timer: `now` is a parameter of every call.
//!
//! | event | error state |
//! |---|---|
//! | cannot be connected | entered |
//! | responded with a status in `failonstatus` | entered |
//! | response reset or invalid | unchanged |
//! | response timeout, with `failontimeout` | entered |
//! | considered later than `retry` after that | left, one more retry |
//! | every member in error, with `forcerecovery` | left by all, one more retry each |
//! | connected | unchanged; the count of retries is reset |
//! | passed `hcpasses` checks in a row | left |
//!
//! A member with `I` never enters it; one with `S` is not retried.

use std::sync::Arc;
use std::time::Duration;

use crate::cache_validity::CacheValidity;
use crate::eligible::PickContext;
use crate::explanation::DecisionTrace;
use crate::{AttemptOutcome, BalancerSettings, Eligibility, Member, Observer, StateChange, Status};

impl Member {
    /// Whether the member may take requests: enabled, not in error, and not left out for being unhealthy.
    pub fn is_usable(&self) -> bool {
        self.usable().is_ok()
    }

    /// The same, with the reason why not.
    #[inline]
    fn usable(&self) -> Result<(), Eligibility> {
        let status = self.settings.status;
        if status.stopped {
            Err(Eligibility::Stopped)
        } else if status.disabled {
            Err(Eligibility::Disabled)
        } else if self.counters.in_error() {
            Err(Eligibility::InError(None))
        } else if self.counters.health.is_excluded() {
            Err(Eligibility::Unhealthy)
        } else {
            Ok(())
        }
    }

    /// Ends the error state if it has lasted long enough, and returns whether the member is usable now, or why not.
    #[inline]
    pub(crate) fn recover(
        &self,
        now: Duration,
        observer: &dyn Observer,
    ) -> Result<(), Eligibility> {
        if self.counters.in_error() {
            self.retry(now, observer);
        }
        self.usable()
    }

    #[cold]
    fn retry(&self, now: Duration, observer: &dyn Observer) {
        let Some(since) = self.counters.error_since() else {
            return;
        };
        if !self.settings.status.stopped
            && self.is_due(since, now)
            && self.counters.retry(since, now)
        {
            observer.observe(Some(self), StateChange::Retried);
        }
    }

    /// Whether an error state entered at `since` is over at `now`.
    fn is_due(&self, since: Duration, now: Duration) -> bool {
        let retry = self.settings.retry;
        self.settings.status.ignore_errors || retry.is_zero() || now > since.saturating_add(retry)
    }

    /// The last moment before the error state can end by time; `None` where it does not.
    pub(crate) fn in_error_until(&self) -> Option<Duration> {
        let since = self.counters.error_since()?;
        let Status {
            stopped,
            ignore_errors,
            ..
        } = self.settings.status;
        match self.settings.retry {
            _ if stopped => None,
            retry if ignore_errors || retry.is_zero() => Some(Duration::ZERO),
            retry => Some(since.saturating_add(retry)),
        }
    }

    /// The time until the member is retried; `None` where it is not in error.
    pub(crate) fn retry_in(&self, now: Duration) -> Option<Duration> {
        Some(self.retry_at()?.saturating_sub(now))
    }

    /// When the member is retried; `None` where it is not in error.
    pub(crate) fn retry_at(&self) -> Option<Duration> {
        let since = self.counters.error_since()?;
        Some(since.saturating_add(self.settings.retry))
    }
}

/// Before a decision, unless nothing has changed since the last one: where every member is in error and none is due for a retry,
/// `forcerecovery` ends the error state of all.
pub(crate) fn force_recovery(
    settings: &BalancerSettings,
    members: &[Arc<Member>],
    context: PickContext<'_>,
    trace: &mut impl DecisionTrace,
    cache: &mut CacheValidity,
) {
    let PickContext { now, observer, .. } = context;
    let all_failed = members.iter().all(|member| {
        // Whether it is usable is evaluated later, by the decision.
        let _ = member.recover(now, observer);
        if let Some(until) = member.in_error_until() {
            cache.expire_after(until);
        }
        member.counters.in_error()
    });
    if !(all_failed && settings.forcerecovery) {
        return;
    }
    for member in members {
        if let Some(since) = member.counters.error_since()
            && member.counters.retry(since, now)
        {
            observer.observe(Some(member), StateChange::Forced);
            trace.force_recovery();
        }
    }
}

/// Applies an outcome to the error state.
pub(crate) fn report(
    settings: &BalancerSettings,
    member: &Member,
    outcome: AttemptOutcome,
    now: Duration,
    observer: &dyn Observer,
) {
    if outcome != AttemptOutcome::Connected {
        let failed = !matches!(outcome, AttemptOutcome::Responded(_));
        member.counters.count_failure(failed);
    }
    let failed = match outcome {
        AttemptOutcome::Connected => {
            member.counters.reset_retries();
            false
        }
        AttemptOutcome::Unreachable => true,
        AttemptOutcome::Responded(status) => settings.failonstatus.contains(&status),
        AttemptOutcome::ResponseFailed => false,
        AttemptOutcome::TimedOut => settings.failontimeout,
    };
    if failed && !member.settings.status.ignore_errors && member.counters.enter_error(now) {
        observer.observe(Some(member), StateChange::Failed(outcome));
    }
}
