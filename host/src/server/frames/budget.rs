//! What a client may cost.

use std::time::Duration;

use tokio::time::Instant;

/// What a budget holds at most, and begins with: five hundred requests that are reset before their answer, of which the half
/// is what Envoy takes for an attack; or a hundred SETTINGS, or two thousand PINGs, in no time.
pub(super) const MOST: u32 = 2_000;

/// What is added each second: fifty such requests, or two hundred PINGs.
pub(super) const A_SECOND: u32 = 200;

/// A bucket of tokens that fills by and by.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: u32,
    /// Up to when it was filled.
    filled: Instant,
}

impl Budget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            tokens: MOST,
            filled: now,
        }
    }

    /// Adds what was earned.
    pub(super) fn earn(&mut self, tokens: u32, now: Instant) {
        self.fill(now);
        self.tokens = self.tokens.saturating_add(tokens).min(MOST);
    }

    /// Takes a cost, if the budget has it; says whether it had.
    pub(super) fn spend(&mut self, tokens: u32, now: Instant) -> bool {
        self.fill(now);
        let left = self.tokens.checked_sub(tokens);
        self.tokens = left.unwrap_or(self.tokens);
        left.is_some()
    }

    fn fill(&mut self, now: Instant) {
        const STEP: Duration = Duration::from_millis(1_000 / A_SECOND as u64);
        let elapsed = now.saturating_duration_since(self.filled);
        let steps = elapsed.as_nanos() / STEP.as_nanos();
        let tokens = u32::try_from(steps).unwrap_or(MOST).min(MOST);
        if tokens == MOST {
            (self.tokens, self.filled) = (MOST, now);
        } else if tokens > 0 {
            self.tokens = (self.tokens + tokens).min(MOST);
            self.filled += STEP * tokens;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_is_spent_and_fills_again() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        assert!(budget.spend(MOST, start));
        assert!(!budget.spend(1, start));
        let later = start + Duration::from_secs(1);
        assert!(budget.spend(A_SECOND, later));
        assert!(!budget.spend(1, later));
        budget.earn(3, later);
        assert!(!budget.spend(4, later));
        assert!(budget.spend(3, later));
    }

    #[test]
    fn a_budget_holds_no_more_than_it_began_with() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        budget.earn(u32::MAX, start);
        let later = start + Duration::from_secs(1_000_000_000);
        assert!(budget.spend(MOST, later));
        assert!(!budget.spend(1, later));
    }

    #[test]
    fn filling_often_fills_as_much() {
        let mut now = Instant::now();
        let mut budget = Budget::new(now);
        assert!(budget.spend(MOST, now));
        for _ in 0..1_000 {
            now += Duration::from_millis(1);
            budget.earn(0, now);
        }
        assert!(budget.spend(A_SECOND, now));
        assert!(!budget.spend(1, now));
    }
}
