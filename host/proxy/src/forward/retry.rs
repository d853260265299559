//! Retry state of one request: attempts left, and members already tried.

use equipoise_balancer::Selection;
use smallvec::SmallVec;

use crate::error::ProxyError;

/// The attempts of one request.
#[derive(Debug)]
pub(crate) struct RetryState {
    /// Members that had their chance.
    tried: SmallVec<[u32; 4]>,
    /// How many tries there were.
    count: u32,
    /// How many more tries `maxattempts` leaves.
    left: usize,
    /// Whether a kept connection turned out to be gone, so that no other kept one is trusted.
    needs_fresh_connection: bool,
    /// Whether a new connection was reset before a response.
    has_reset: bool,
}

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RetryDecision {
    /// Nothing: no try is left.
    None,
    /// Another try, since the connection was gone before the member could fail.
    Free,
    /// A retry.
    Retry,
}

impl RetryState {
    /// A request that may be tried `max_attempts` times after its first try.
    pub(super) fn new(max_attempts: usize) -> Self {
        Self {
            tried: SmallVec::new(),
            count: 0,
            left: max_attempts,
            needs_fresh_connection: false,
            has_reset: false,
        }
    }

    /// The ids of the members that should not be chosen again while another is eligible.
    pub(crate) fn tried(&self) -> &[u32] {
        &self.tried
    }

    /// The number of the next try, from 1.
    pub(crate) fn next_attempt(&self) -> u32 {
        self.count + 1
    }

    /// Whether the next try must not use a kept connection.
    pub(crate) fn needs_fresh_connection(&self) -> bool {
        self.needs_fresh_connection
    }

    /// What follows a response whose status `retry-on` names.
    pub(crate) fn after_response(&mut self, choice: &Selection) -> RetryDecision {
        self.count += 1;
        self.next(choice)
    }

    /// What follows a error.
    ///
    /// A kept connection may be gone by no fault of the member: that takes no try away, and a session stays where it is. A
    /// member that breaks off on a new connection may do so because of the request, so that one other is asked at most.
    pub(crate) fn after_error(
        &mut self,
        choice: &Selection,
        error: &ProxyError,
        was_reused: bool,
    ) -> RetryDecision {
        self.count += 1;
        let has_reset = matches!(error, ProxyError::Reset(_));
        if was_reused && (has_reset || matches!(error, ProxyError::NotSent)) {
            self.needs_fresh_connection = true;
            if !choice.sticky {
                self.tried.push(choice.lease.member().id);
            }
            return RetryDecision::Free;
        }
        if has_reset && std::mem::replace(&mut self.has_reset, true) {
            return RetryDecision::None;
        }
        self.next(choice)
    }

    fn next(&mut self, choice: &Selection) -> RetryDecision {
        let Some(left) = self.left.checked_sub(1) else {
            return RetryDecision::None;
        };
        self.left = left;
        self.tried.push(choice.lease.member().id);
        RetryDecision::Retry
    }
}
