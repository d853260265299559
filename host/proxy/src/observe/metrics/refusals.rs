//! What is counted of requests that were refused, or whose clients left.

use equipoise_http::Violation;

use crate::error::ProxyError;
use equipoise_metrics::Counter;

/// Reasons that are no [`Violation`]; see [`ProxyError::refusal_reason`].
const OTHERS: [&str; 7] = [
    "bad-request",
    "head-timeout",
    "client-timeout",
    "expectation",
    "misdirected",
    "forbidden",
    "body-too-large",
];

/// What is counted of requests that were refused, or whose clients left.
#[derive(Debug)]
pub struct Refusals {
    violations: [Counter; Violation::ALL.len()],
    others: [Counter; OTHERS.len()],
    /// Clients that closed or reset their connection or stream before their response was over.
    pub aborts: Counter,
}

impl Default for Refusals {
    fn default() -> Self {
        Self {
            violations: [const { Counter::new() }; Violation::ALL.len()],
            others: Default::default(),
            aborts: Counter::default(),
        }
    }
}

impl Refusals {
    /// A request failed; what is not the client's doing counts elsewhere.
    #[cold]
    pub(crate) fn count(&self, error: &ProxyError) {
        if let ProxyError::ClientAborted(_) = error {
            return self.aborts.add(1);
        }
        let Some(reason) = error.refusal_reason() else {
            return;
        };
        let mut all = self.counts();
        if let Some((_, count)) = all.find(|(name, _)| *name == reason) {
            count.add(1);
        }
    }

    /// How many there were of each reason.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.counts().map(|(name, count)| (name, count.get()))
    }

    fn counts(&self) -> impl Iterator<Item = (&'static str, &Counter)> {
        let violations = Violation::ALL.iter().map(|it| it.name());
        let others = OTHERS.into_iter().zip(&self.others);
        violations.zip(&self.violations).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_request_counts_under_its_reason() {
        let refusals = Refusals::default();
        for error in [
            ProxyError::Malformed(Violation::BareLf),
            ProxyError::BadRequest("bad"),
            ProxyError::HeaderTimeout,
            ProxyError::ClientTimeout,
            ProxyError::UnknownExpectation,
            ProxyError::Misdirected,
            ProxyError::Forbidden,
            ProxyError::BodyTooLarge,
            ProxyError::NoRoute,
            ProxyError::ClientAborted(None),
        ] {
            refusals.count(&error);
        }
        let counted = refusals.by_reason().filter(|(_, count)| *count > 0);
        let expected = ["bare-lf"].into_iter().chain(OTHERS);
        assert!(counted.eq(expected.map(|name| (name, 1))));
        assert_eq!(refusals.aborts.get(), 1);
    }
}
