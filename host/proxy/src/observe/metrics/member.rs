//! What is counted of a member.

use std::time::Duration;

use equipoise_balancer::AttemptOutcome;

use equipoise_metrics::{Counter, DURATIONS, Histogram};

/// What members do wrong.
const ERRORS: [&str; 6] = [
    "unreachable",
    "timed_out",
    "broken_off",
    "status",
    "truncated",
    "unasked",
];

/// What is counted of a member.
#[derive(Debug)]
pub struct MemberMetrics {
    /// From the decision to the head of the response.
    pub responses: Histogram,
    errors: [Counter; ERRORS.len()],
    /// Connections that were opened.
    pub opened: Counter,
    /// How often a request found one that was idle.
    pub reused: Counter,
    /// Connections that are idle now, of all workers.
    pub idle: Counter,
}

impl Default for MemberMetrics {
    fn default() -> Self {
        Self {
            responses: Histogram::new(DURATIONS),
            errors: Default::default(),
            opened: Counter::default(),
            reused: Counter::default(),
            idle: Counter::default(),
        }
    }
}

impl MemberMetrics {
    /// What became of a request, so long after the decision.
    #[inline]
    pub(crate) fn count(&self, outcome: AttemptOutcome, after: Duration) {
        match outcome {
            AttemptOutcome::Connected => {}
            AttemptOutcome::Unreachable => self.errors[0].add(1),
            AttemptOutcome::TimedOut => self.errors[1].add(1),
            AttemptOutcome::ResponseFailed => self.errors[2].add(1),
            AttemptOutcome::Responded(status) => {
                self.responses.observe(after);
                if status >= 500 {
                    self.errors[3].add(1);
                }
            }
        }
    }

    /// A response body was truncated.
    pub(crate) fn count_truncated(&self) {
        self.errors[4].add(1);
    }

    /// The member sent data without a request.
    pub(crate) fn count_unasked(&self) {
        self.errors[5].add(1);
    }

    /// Failed requests, by kind.
    pub fn errors_by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ERRORS.into_iter().zip(self.errors.iter().map(Counter::get))
    }

    /// Requests without a response, or with a status of 500 or above.
    pub fn errors(&self) -> u64 {
        self.errors.iter().map(Counter::get).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_no_response_and_statuses_from_500_on() {
        let member = MemberMetrics::default();
        for outcome in [
            AttemptOutcome::Connected,
            AttemptOutcome::Responded(200),
            AttemptOutcome::Responded(499),
            AttemptOutcome::Responded(500),
            AttemptOutcome::Unreachable,
            AttemptOutcome::TimedOut,
            AttemptOutcome::ResponseFailed,
        ] {
            member.count(outcome, Duration::from_millis(1));
        }
        member.count_truncated();
        member.count_unasked();
        assert_eq!(member.errors(), 6);
        assert!(member.errors_by_kind().all(|(_, count)| count == 1));
        assert_eq!(member.responses.count(), 3);
    }
}
