//! Reports the outcome of an attempt to the balancer and to health evaluation.

use equipoise_balancer::{AttemptOutcome, Selection};
use equipoise_sdk::health;

use super::ForwardedRequest;
use crate::observe::{OutcomeContext, PendingOutcome};

impl ForwardedRequest<'_> {
    /// Reports an attempt without a response.
    #[cold]
    pub(super) fn report_failure(&self, choice: &Selection, outcome: AttemptOutcome) {
        self.report(choice, outcome);
    }

    /// Reports the outcome of an attempt.
    #[inline(always)]
    pub(super) fn report(&self, choice: &Selection, outcome: AttemptOutcome) {
        let now = self.time();
        if let AttemptOutcome::Responded(_) = outcome {
            choice.lease.record_response(now);
        }
        let member = choice.lease.member();
        let after = now.saturating_sub(choice.lease.since());
        self.endpoint(choice).metrics.count(outcome, after);
        self.cluster.balancer.report(member, outcome, now);
        if let Some(outcomes) = &self.cluster.outcomes
            && let Some(failure) = failure(outcome)
        {
            outcomes.push(self.outcome_context(choice).failed(failure));
        }
    }

    /// The outcome to report once the response has been forwarded; none where health does not depend on requests.
    #[inline]
    pub(super) fn pending_outcome(
        &self,
        choice: &Selection,
        status: u16,
    ) -> Option<Box<PendingOutcome>> {
        let outcomes = self.cluster.outcomes.as_ref()?;
        let latency = self.time().saturating_sub(choice.lease.since());
        Some(Box::new(PendingOutcome {
            outcomes: outcomes.clone(),
            context: self.outcome_context(choice),
            status,
            latency,
        }))
    }

    fn outcome_context(&self, choice: &Selection) -> OutcomeContext {
        OutcomeContext {
            member: choice.lease.member().id,
            origin: self.snapshot.started(),
            chosen: choice.lease.since(),
        }
    }
}

/// The failure of an attempt without a response, as health has it.
fn failure(outcome: AttemptOutcome) -> Option<health::Failure> {
    match outcome {
        AttemptOutcome::Connected | AttemptOutcome::Responded(_) => None,
        AttemptOutcome::Unreachable => Some(health::Failure::Unreachable),
        AttemptOutcome::TimedOut => Some(health::Failure::TimedOut),
        AttemptOutcome::ResponseFailed => Some(health::Failure::Reset),
    }
}
