//! Outlier detection: ejects members whose live requests fail.

use equipoise_sdk::health::RequestOutcome;

use crate::settings::Settings;

/// Parts that the window of the failure rate is made of: it moves by one of them at a time.
const PARTS: u64 = 10;

/// The rule.
#[derive(Debug, Default)]
pub(crate) struct Outliers {
    settings: Settings,
}

/// The live requests of one member.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    failures_in_a_row: u32,
    /// Requests and failures of the window's parts that are not over yet, oldest first.
    window: Vec<Part>,
    /// How often it was ejected, as far as that is not forgiven.
    ejections: u32,
    /// Until when it is ejected; 0 for never yet.
    ejected_until: u64,
    /// How long the last ejection was.
    last_ejection: u64,
    /// Why it is ejected.
    reason: String,
}

/// A part of the window.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Number of the part since the clock's origin.
    number: u64,
    requests: u32,
    failures: u32,
}

impl Outliers {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    /// Counts a request.
    pub(crate) fn count(&self, traffic: &mut Traffic, outcome: &RequestOutcome) {
        if !self.settings.is_on() || traffic.is_ejected(outcome.at_ms) {
            // Requests that end during an ejection began before it.
            return;
        }
        let failed = match outcome.status {
            Ok(status) => self.settings.is_failure(status),
            Err(_) => true,
        };
        traffic.failures_in_a_row = match failed {
            true => traffic.failures_in_a_row.saturating_add(1),
            false => 0,
        };
        if self.settings.failure_rate > 0 {
            self.count_in_window(traffic, outcome.at_ms, failed);
        }
    }

    fn count_in_window(&self, traffic: &mut Traffic, at: u64, failed: bool) {
        let number = at / (self.settings.window_ms / PARTS).max(1);
        traffic.window.retain(|part| part.number + PARTS > number);
        let failures = u32::from(failed);
        match traffic.window.last_mut() {
            // Requests of several threads may come a little out of order.
            Some(part) if part.number >= number => {
                part.requests += 1;
                part.failures += failures;
            }
            _ => traffic.window.push(Part {
                number,
                requests: 1,
                failures,
            }),
        }
    }

    /// Whether so many of the members may be ejected at a time.
    pub(crate) fn allows(&self, ejected: usize, members: usize) -> bool {
        ejected * 100 <= members * self.settings.max_ejected as usize
    }

    /// Ejects a member, for this reason.
    pub(crate) fn eject(&self, traffic: &mut Traffic, reason: &str, now: u64) {
        let settings = &self.settings;
        let doublings = traffic.ejections.min(32);
        let time = (settings.eject_ms.saturating_mul(1 << doublings)).min(settings.max_eject_ms);
        *traffic = Traffic {
            ejections: traffic.ejections.saturating_add(1),
            ejected_until: now + time,
            last_ejection: time,
            reason: format!("{reason}: ejected for {} s", Seconds(time)),
            ..Traffic::default()
        };
    }

    /// Why a member is to be ejected, if it is.
    pub(crate) fn reason(&self, traffic: &Traffic, now: u64) -> Option<String> {
        if traffic.is_ejected(now) {
            return None;
        }
        let settings = &self.settings;
        let row = traffic.failures_in_a_row;
        if settings.consecutive_failures > 0 && row >= settings.consecutive_failures {
            return Some(format!("{row} requests in a row failed"));
        }
        let (mut requests, mut failures) = (0, 0);
        for part in &traffic.window {
            requests += u64::from(part.requests);
            failures += u64::from(part.failures);
        }
        let is_due = settings.failure_rate > 0
            && requests >= u64::from(settings.min_requests)
            && failures * 100 >= requests * u64::from(settings.failure_rate);
        is_due.then(|| format!("{failures} of {requests} requests failed"))
    }

    /// Takes an ejection off the count of a member that has served for as long as it was ejected.
    pub(crate) fn forgive(&self, traffic: &mut Traffic, now: u64) {
        let served_well = now.saturating_sub(traffic.ejected_until);
        if traffic.ejections > 0 && served_well >= traffic.last_ejection {
            traffic.ejections -= 1;
            traffic.last_ejection /= 2;
            traffic.ejected_until = now;
        }
    }
}

impl Traffic {
    pub(crate) fn is_ejected(&self, now: u64) -> bool {
        now < self.ejected_until
    }

    /// Whether time changes nothing: it is not ejected, and every ejection is forgiven.
    pub(crate) fn is_settled(&self, now: u64) -> bool {
        !self.is_ejected(now) && self.ejections == 0
    }

    /// Why it is ejected.
    pub(crate) fn reason(&self) -> String {
        self.reason.clone()
    }

    /// Failures in a row, ejections, until when the last one is, and how long it was.
    pub(crate) fn save(&self) -> String {
        format!(
            "{} {} {} {}",
            self.failures_in_a_row, self.ejections, self.ejected_until, self.last_ejection
        )
    }

    pub(crate) fn restored(words: &[u64]) -> Option<Self> {
        let [failures, ejections, ejected_until, last_ejection] = words else {
            return None;
        };
        Some(Self {
            failures_in_a_row: u32::try_from(*failures).ok()?,
            ejections: u32::try_from(*ejections).ok()?,
            ejected_until: *ejected_until,
            last_ejection: *last_ejection,
            ..Self::default()
        })
    }
}

/// Milliseconds, to be shown as seconds: `30`, `0.5`.
struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(milliseconds) = *self;
        match milliseconds % 1000 {
            0 => write!(f, "{}", milliseconds / 1000),
            rest => {
                let rest = format!("{rest:03}");
                write!(f, "{}.{}", milliseconds / 1000, rest.trim_end_matches('0'))
            }
        }
    }
}
