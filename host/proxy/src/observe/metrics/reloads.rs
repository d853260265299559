//! Configurations that are put in force while the program runs.

use std::time::SystemTime;

use super::unix_ms;
use equipoise_metrics::Counter;

/// What became of configurations that were to be put in force while the program runs.
#[derive(Debug, Default)]
pub struct Reloads {
    applied: Counter,
    refused: Counter,
    /// Milliseconds since 1970; 0 for never.
    last_applied: Counter,
    /// Whether the last one was refused.
    is_stale: Counter,
}

impl Reloads {
    /// A configuration is in force from now on.
    pub fn record_applied(&self) {
        self.applied.add(1);
        self.last_applied.set(unix_ms(SystemTime::now()));
        self.is_stale.set(0);
    }

    /// A configuration was refused, and the one before serves on.
    pub fn record_refused(&self) {
        self.refused.add(1);
        self.is_stale.set(1);
    }

    /// Those that came into force.
    pub fn applied(&self) -> u64 {
        self.applied.get()
    }

    /// Those that were refused.
    pub fn refused(&self) -> u64 {
        self.refused.get()
    }

    /// Whether the last configuration that was to be is in force.
    pub fn is_fresh(&self) -> bool {
        self.is_stale.get() == 0
    }

    /// When a configuration was put in force last, in seconds since 1970; none since the start.
    pub fn last_applied(&self) -> Option<f64> {
        let milliseconds = self.last_applied.get();
        (milliseconds > 0).then(|| milliseconds as f64 / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reloads_are_fresh_until_one_is_refused() {
        let reloads = Reloads::default();
        assert!(reloads.is_fresh() && reloads.last_applied().is_none());
        reloads.record_refused();
        assert!(!reloads.is_fresh());
        reloads.record_applied();
        assert!(reloads.is_fresh() && reloads.last_applied() > Some(1.0));
        assert_eq!((reloads.applied(), reloads.refused()), (1, 1));
    }
}
