//! Checks of a member: how many in a row it passed or failed.

use equipoise_sdk::health::{CheckResult, Failure};

/// The checks of one member.
#[derive(Debug)]
pub(crate) struct Checks {
    /// Thresholds: passed checks in a row, failed checks in a row.
    passes: u32,
    fails: u32,
    /// Length of the last row of equal results.
    row: u32,
    /// Whether those passed.
    row_passed: bool,
    are_failed: bool,
    /// Whether the last change was for the better.
    have_recovered: bool,
    /// The last failure.
    last_failure: String,
}

impl Default for Checks {
    fn default() -> Self {
        Self {
            passes: 1,
            fails: 1,
            row: 0,
            row_passed: true,
            are_failed: false,
            have_recovered: false,
            last_failure: String::new(),
        }
    }
}

impl Checks {
    pub(crate) fn configure(&mut self, passes: u32, fails: u32) {
        self.passes = passes.max(1);
        self.fails = fails.max(1);
    }

    pub(crate) fn count(&mut self, result: &CheckResult) {
        let passed = result.passed;
        self.row = match passed == self.row_passed {
            true => self.row.saturating_add(1),
            false => 1,
        };
        self.row_passed = passed;
        if !passed {
            self.last_failure = describe(result);
        }
        self.have_recovered = false;
        if self.are_failed && passed && self.row >= self.passes {
            self.are_failed = false;
            self.have_recovered = true;
        } else if !passed && self.row >= self.fails {
            self.are_failed = true;
        }
    }

    pub(crate) fn are_failed(&self) -> bool {
        self.are_failed
    }

    /// Whether the last check made it healthy.
    pub(crate) fn have_recovered(&self) -> bool {
        self.have_recovered
    }

    /// Why it is unhealthy.
    pub(crate) fn failure(&self) -> String {
        let (count, last) = (self.fails, &self.last_failure);
        match count {
            1 => format!("failed a check: {last}"),
            _ => format!("failed {count} checks in a row: {last}"),
        }
    }

    /// Why it is healthy.
    pub(crate) fn recovery(&self) -> String {
        match self.passes {
            1 => "passed a check".to_owned(),
            count => format!("passed {count} checks in a row"),
        }
    }

    /// Row, whether it passed, and whether the member is unhealthy.
    pub(crate) fn save(&self) -> String {
        let (passed, failed) = (u8::from(self.row_passed), u8::from(self.are_failed));
        format!("{} {passed} {failed}", self.row)
    }

    pub(crate) fn restored(words: &[u64]) -> Option<Self> {
        let [row, passed, failed] = words else {
            return None;
        };
        Some(Self {
            row: u32::try_from(*row).ok()?,
            row_passed: *passed != 0,
            are_failed: *failed != 0,
            ..Self::default()
        })
    }

    /// Takes over the state of `other`, with its own thresholds.
    pub(crate) fn take_over(&mut self, other: &Self) {
        self.row = other.row;
        self.row_passed = other.row_passed;
        self.are_failed = other.are_failed;
    }
}

fn describe(result: &CheckResult) -> String {
    match &result.response {
        Ok(response) => format!("unexpected status {}", response.status),
        Err(Failure::Unreachable) => "no connection".to_owned(),
        Err(Failure::TimedOut) => "timed out".to_owned(),
        Err(Failure::Reset) => "connection reset".to_owned(),
        Err(Failure::InvalidResponse) => "invalid response".to_owned(),
    }
}
