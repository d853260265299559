//! What is counted of a member.

use std::sync::Arc;
use std::time::Duration;

use equipoise_balancer::Outcome;

use super::{BalancerMeters, Count, DURATIONS, Histogram};

/// What members do wrong.
const ERRORS: [&str; 4] = ["unreachable", "timed_out", "broken_off", "status"];

/// What is counted of a member.
#[derive(Debug)]
pub(crate) struct MemberMeters {
    /// Those of its balancer, the same for all its members.
    pub(crate) balancer: Arc<BalancerMeters>,
    /// From the decision to the head of the answer.
    pub(crate) responses: Histogram,
    errors: [Count; ERRORS.len()],
    /// Connections that were opened.
    pub(crate) opened: Count,
    /// How often a request found one that was idle.
    pub(crate) reused: Count,
    /// Connections that are idle now, of all workers.
    pub(crate) idle: Count,
}

impl MemberMeters {
    pub(crate) fn new(balancer: Arc<BalancerMeters>) -> Self {
        Self {
            balancer,
            responses: Histogram::new(DURATIONS),
            errors: Default::default(),
            opened: Count::default(),
            reused: Count::default(),
            idle: Count::default(),
        }
    }

    /// What became of a request, so long after the decision.
    #[inline]
    pub(crate) fn count(&self, outcome: Outcome, after: Duration) {
        match outcome {
            Outcome::Connected => {}
            Outcome::Unreachable => self.errors[0].add(1),
            Outcome::TimedOut => self.errors[1].add(1),
            Outcome::BrokenOff => self.errors[2].add(1),
            Outcome::Answered(status) => {
                self.responses.observe(after);
                if status >= 500 {
                    self.errors[3].add(1);
                }
            }
        }
    }

    pub(crate) fn errors_by_kind(&self) -> impl Iterator<Item = (&'static str, u64)> {
        ERRORS.into_iter().zip(self.errors.iter().map(Count::get))
    }

    /// Requests that brought no answer or one of 500 and above.
    pub(crate) fn errors(&self) -> u64 {
        self.errors.iter().map(Count::get).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_no_answer_and_answers_from_500_on() {
        let member = MemberMeters::new(Arc::default());
        for outcome in [
            Outcome::Connected,
            Outcome::Answered(200),
            Outcome::Answered(499),
            Outcome::Answered(500),
            Outcome::Unreachable,
            Outcome::TimedOut,
            Outcome::BrokenOff,
        ] {
            member.count(outcome, Duration::from_millis(1));
        }
        assert_eq!(member.errors(), 4);
        assert!(member.errors_by_kind().all(|(_, count)| count == 1));
        assert_eq!(member.responses.count(), 3);
    }
}
