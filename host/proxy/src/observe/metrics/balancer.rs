//! What is counted of a balancer.

use equipoise_balancer::{PickReason, Selection};
use equipoise_sdk::Affinity;

use crate::error::ProxyError;
use equipoise_config::Method;
use equipoise_metrics::{Counter, DURATIONS, Histogram};

/// Who decides, as decisions are counted.
const POLICIES: [&str; 8] = [
    "session", "redirect", "key", "method", "plugin", "fallback", "order", "nobody",
];

/// Who found a member, in a word.
pub(crate) fn policy(by: PickReason, method: Method) -> &'static str {
    POLICIES[place(by, method)]
}

/// The place of that word among [`POLICIES`].
fn place(by: PickReason, method: Method) -> usize {
    match (by, method) {
        (PickReason::Session, _) => 0,
        (PickReason::Redirect, _) => 1,
        (PickReason::Key, _) => 2,
        (PickReason::Method, Method::Builtin(_)) => 3,
        (PickReason::Method, Method::Plugin { .. }) => 4,
        (PickReason::Fallback, _) => 5,
        (PickReason::ConfigurationOrder, _) => 6,
    }
}

/// What became of requests with a session.
const SESSIONS: [&str; 2] = ["stuck", "moved"];

/// Why requests are tried again.
const RETRIES: [&str; 8] = [
    "full",
    "unreachable",
    "not_ready",
    "unsent",
    "broken_off",
    "nonsense",
    "timed_out",
    "status",
];

/// The index of the last of them: a status that `retry-on` names.
const STATUS: usize = RETRIES.len() - 1;

/// What went wrong with a try, in a word.
pub(crate) fn word(error: &ProxyError) -> &'static str {
    reason(error).map_or("client", |reason| RETRIES[reason])
}

/// The place among [`RETRIES`] of what went wrong with a try; none where it was the client.
fn reason(error: &ProxyError) -> Option<usize> {
    Some(match error {
        ProxyError::ConcurrencyLimit => 0,
        ProxyError::Unreachable(_) => 1,
        ProxyError::PingTimeout(_) => 2,
        ProxyError::NotSent => 3,
        ProxyError::Reset(_) => 4,
        ProxyError::InvalidResponse(_) => 5,
        ProxyError::ResponseTimeout(_) => 6,
        // Others are not a member's, and the request is not tried again.
        _ => return None,
    })
}

/// What is counted of a balancer.
#[derive(Debug)]
pub struct BalancerMetrics {
    /// From a request's head to the end of its response.
    pub durations: Histogram,
    decisions: [Counter; POLICIES.len()],
    sessions: [Counter; SESSIONS.len()],
    retries: [Counter; RETRIES.len()],
}

impl Default for BalancerMetrics {
    fn default() -> Self {
        Self {
            durations: Histogram::new(DURATIONS),
            decisions: Default::default(),
            sessions: Default::default(),
            retries: Default::default(),
        }
    }
}

impl BalancerMetrics {
    /// A member was chosen.
    #[inline]
    pub(crate) fn count_choice(
        &self,
        choice: &Selection,
        method: Method,
        session: Option<&Affinity>,
    ) {
        self.decisions[place(choice.reason, method)].add(1);
        if session.is_some() {
            self.sessions[usize::from(choice.route_changed)].add(1);
        }
    }

    /// No member was eligible.
    pub(crate) fn count_refusal(&self) {
        self.decisions[POLICIES.len() - 1].add(1);
    }

    /// A request is tried again after this error; none for an answer that is not good enough.
    pub(crate) fn count_retry(&self, error: Option<&ProxyError>) {
        self.retries[error.and_then(reason).unwrap_or(STATUS)].add(1);
    }

    /// How often a member was found in each way, and how often none was.
    pub fn decisions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        POLICIES
            .into_iter()
            .zip(self.decisions.iter().map(Counter::get))
    }

    /// What became of requests with a session.
    pub fn sessions(&self) -> impl Iterator<Item = (&'static str, u64)> {
        SESSIONS
            .into_iter()
            .zip(self.sessions.iter().map(Counter::get))
    }

    /// Why requests were tried again, and how often.
    pub fn retries(&self) -> impl Iterator<Item = (&'static str, u64)> {
        RETRIES
            .into_iter()
            .zip(self.retries.iter().map(Counter::get))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use equipoise_config::BuiltinMethod;

    #[test]
    fn every_way_to_find_a_member_has_its_word() {
        let builtin = Method::Builtin(BuiltinMethod::Byrequests);
        let (plugin, fallback) = (0, BuiltinMethod::Byrequests);
        let plugin = Method::Plugin { plugin, fallback };
        let words = PickReason::ALL.map(|by| policy(by, builtin));
        let expected = ["session", "redirect", "key", "method", "fallback", "order"];
        assert_eq!(words, expected);
        assert_eq!(policy(PickReason::Method, plugin), "plugin");
    }
}
