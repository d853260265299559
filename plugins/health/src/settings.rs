//! The settings of the health policy.

use std::ops::RangeInclusive;

use equipoise_sdk::PolicyConfig;

/// The settings of the outlier rule, by the names they have in `PolicyConfig::settings`; times in milliseconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// `consecutive-failures`: so many in a row eject a member. Default 0: the rule does not look at rows.
    pub(crate) consecutive_failures: u32,
    /// `failure-rate`, percent: so large a part of the requests ejects a member. Default 0: it does not look at parts.
    pub(crate) failure_rate: u32,
    /// `min-requests`: with fewer in the window there is no rate. Default 20.
    pub(crate) min_requests: u32,
    /// `window-ms`: what the rate is taken over. Default 10 000.
    pub(crate) window_ms: u64,
    /// `statuses`: status codes that count as failures, such as `500-599` or `500,502-504`. Default `500-599`.
    pub(crate) statuses: Vec<RangeInclusive<u16>>,
    /// `eject-ms`: how long the first ejection is. Default 30 000.
    pub(crate) eject_ms: u64,
    /// `max-eject-ms`: how long the longest is. Default 300 000.
    pub(crate) max_eject_ms: u64,
    /// `max-ejected`, percent of the members: never more at a time. Default 50.
    pub(crate) max_ejected: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            consecutive_failures: 0,
            failure_rate: 0,
            min_requests: 20,
            window_ms: 10_000,
            statuses: vec![500..=599],
            eject_ms: 30_000,
            max_eject_ms: 300_000,
            max_ejected: 50,
        }
    }
}

const KEYS: &[&str] = &[
    "consecutive-failures",
    "failure-rate",
    "min-requests",
    "window-ms",
    "statuses",
    "eject-ms",
    "max-eject-ms",
    "max-ejected",
];

/// A year in milliseconds: no time may be longer.
const YEAR_MS: u64 = 365 * 24 * 60 * 60 * 1000;

impl Settings {
    /// # Errors
    /// A setting that is not known, or whose value is not in its range.
    pub(crate) fn read(config: &PolicyConfig) -> Result<Self, String> {
        config.deny_unknown(KEYS)?;
        let default = Self::default();
        let statuses = config.setting("statuses").map(statuses).transpose()?;
        Ok(Self {
            consecutive_failures: whole(
                config,
                "consecutive-failures",
                0,
                default.consecutive_failures,
            )?,
            failure_rate: percent(config, "failure-rate", default.failure_rate)?,
            min_requests: whole(config, "min-requests", 1, default.min_requests)?,
            window_ms: time(config, "window-ms", default.window_ms)?,
            statuses: statuses.unwrap_or(default.statuses),
            eject_ms: time(config, "eject-ms", default.eject_ms)?,
            max_eject_ms: time(config, "max-eject-ms", default.max_eject_ms)?,
            max_ejected: percent(config, "max-ejected", default.max_ejected)?,
        })
    }

    /// Whether any request can eject a member.
    pub(crate) fn is_on(&self) -> bool {
        self.consecutive_failures > 0 || self.failure_rate > 0
    }

    pub(crate) fn is_failure(&self, status: u16) -> bool {
        self.statuses.iter().any(|range| range.contains(&status))
    }
}

fn whole(config: &PolicyConfig, key: &str, least: u32, default: u32) -> Result<u32, String> {
    let Some(text) = config.setting(key) else {
        return Ok(default);
    };
    let number = text.parse().ok().filter(|&number| number >= least);
    number.ok_or_else(|| format!("`{key}` must be a whole number from {least}, not `{text}`"))
}

fn percent(config: &PolicyConfig, key: &str, default: u32) -> Result<u32, String> {
    let number = whole(config, key, 0, default)?;
    match number {
        0..=100 => Ok(number),
        _ => Err(format!(
            "`{key}` must be a percentage from 0 to 100, not `{number}`"
        )),
    }
}

fn time(config: &PolicyConfig, key: &str, default: u64) -> Result<u64, String> {
    let Some(text) = config.setting(key) else {
        return Ok(default);
    };
    let number = text
        .parse()
        .ok()
        .filter(|number| (1..=YEAR_MS).contains(number));
    number.ok_or_else(|| {
        format!("`{key}` must be a number of milliseconds from 1 to {YEAR_MS}, not `{text}`")
    })
}

/// `500,502-504` and the like.
fn statuses(text: &str) -> Result<Vec<RangeInclusive<u16>>, String> {
    let wrong =
        || format!("`statuses` must be statuses and ranges such as `500,502-504`, not `{text}`");
    let status = |text: &str| text.trim().parse::<u16>().ok();
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (status(first)?, status(last)?);
        (first <= last).then_some(first..=last)
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    ranges.ok_or_else(wrong)
}
