//! How long a resolution is valid, and the backoff after a failure.

use std::time::Duration;

use equipoise_config::Resolver;

/// The longest backoff after a failure.
const MAX_RETRY_BACKOFF: Duration = Duration::from_secs(30);

/// How long a resolution is valid that lacks one family of addresses because its lookup failed.
const MAX_PARTIAL_TTL: Duration = Duration::from_secs(30);

/// How long a resolution with this TTL is valid.
pub(super) fn clamp_ttl(ttl: Duration, is_partial: bool, settings: &Resolver) -> Duration {
    let ttl = if is_partial {
        ttl.min(MAX_PARTIAL_TTL)
    } else {
        ttl
    };
    ttl.clamp(settings.min_ttl, settings.max_ttl)
}

/// How long to wait after so many failures in a row: `min-ttl`, then twice as long each time, up to 30 seconds.
pub(super) fn retry_after(failures: u32, settings: &Resolver) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let longest = MAX_RETRY_BACKOFF.max(settings.min_ttl);
    settings.min_ttl.saturating_mul(1 << doublings).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn settings(min_ttl: Duration, max_ttl: Duration) -> Resolver {
        Resolver {
            min_ttl,
            max_ttl,
            ..Resolver::default()
        }
    }

    #[test]
    fn answers_count_for_their_ttl_within_bounds() {
        let settings = settings(SECOND, 60 * SECOND);
        for (ttl, is_partial, expected) in [
            (0, false, 1),
            (30, false, 30),
            (86_400, false, 60),
            (0, true, 1),
            (50, true, 30),
        ] {
            let found = clamp_ttl(ttl * SECOND, is_partial, &settings);
            assert_eq!(found, expected * SECOND, "{ttl}");
        }
    }

    #[test]
    fn failures_are_followed_by_longer_and_longer_waits() {
        let waits = |settings: &Resolver| {
            let waits = (1..=8).map(|failures| retry_after(failures, settings).as_millis());
            waits.collect::<Vec<_>>()
        };
        assert_eq!(
            waits(&settings(SECOND, 60 * SECOND)),
            [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]
        );
        assert_eq!(waits(&settings(60 * SECOND, 60 * SECOND)), [60_000; 8]);
        assert_eq!(
            retry_after(u32::MAX, &Resolver::default()),
            MAX_RETRY_BACKOFF
        );
    }
}
