//! `outlier = { … }` of a balancer: when members whose live requests fail are left out for a while.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::Outlier;
use super::table::Table;
use super::value::{DAY, Parsed, duration_within, integer_in, percent, text_as};

pub(super) const KEYS: &[&str] = &[
    "consecutive-failures",
    "failure-rate",
    "min-requests",
    "window",
    "statuses",
    "eject",
    "max-eject",
    "max-ejected",
];

/// What the times may be.
const TIME: RangeInclusive<Duration> = Duration::from_millis(100)..=DAY;

impl Default for Outlier {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            failure_rate: 50,
            min_requests: 20,
            window: Duration::from_secs(10),
            statuses: vec![500..=599],
            eject: Duration::from_secs(30),
            max_eject: Duration::from_secs(300),
            max_ejected: 50,
        }
    }
}

impl Outlier {
    /// The settings that the health rule is given.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let milliseconds = |time: Duration| time.as_millis().to_string();
        let statuses = self.statuses.iter();
        let statuses: Vec<_> = statuses
            .map(|range| format!("{}-{}", range.start(), range.end()))
            .collect();
        let settings = [
            (
                "consecutive-failures",
                self.consecutive_failures.to_string(),
            ),
            ("failure-rate", self.failure_rate.to_string()),
            ("min-requests", self.min_requests.to_string()),
            ("window-ms", milliseconds(self.window)),
            ("statuses", statuses.join(",")),
            ("eject-ms", milliseconds(self.eject)),
            ("max-eject-ms", milliseconds(self.max_eject)),
            ("max-ejected", self.max_ejected.to_string()),
        ];
        let settings = settings.into_iter();
        settings
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    }
}

/// Reads `outlier`; `None` where it is not there.
pub(super) fn read_outlier(balancer: &Table<'_>) -> Option<Outlier> {
    let table = balancer.table("outlier", KEYS)?;
    let default = Outlier::default();
    let consecutive_failures = table.read("consecutive-failures", integer_in(0..=10_000));
    let failure_rate = table.read("failure-rate", percent);
    let min_requests = table.read("min-requests", integer_in(1..=1_000_000));
    let window = table.read("window", duration_within(TIME, "s"));
    let statuses = table.read("statuses", text_as(statuses));
    let eject = table.read("eject", duration_within(TIME, "s"));
    let max_eject = table.read("max-eject", duration_within(TIME, "s"));
    let max_ejected = table.read("max-ejected", percent);
    let outlier = Outlier {
        consecutive_failures: consecutive_failures.unwrap_or(default.consecutive_failures),
        failure_rate: failure_rate.unwrap_or(default.failure_rate),
        min_requests: min_requests.unwrap_or(default.min_requests),
        window: window.unwrap_or(default.window),
        statuses: statuses.unwrap_or(default.statuses),
        eject: eject.unwrap_or(default.eject),
        max_eject: max_eject.unwrap_or_else(|| default.max_eject.max(eject.unwrap_or_default())),
        max_ejected: max_ejected.unwrap_or(default.max_ejected),
    };
    if outlier.max_eject < outlier.eject {
        table.refuse("max-eject", "must be no shorter than `eject`");
    }
    if outlier.consecutive_failures == 0 && outlier.failure_rate == 0 {
        let remedy = "detects nothing with both consecutive-failures and failure-rate off: set one, or leave `outlier` out";
        table.refuse_whole(remedy);
    }
    Some(outlier)
}

/// Statuses and ranges of them between commas.
pub(super) fn statuses(text: &str) -> Parsed<Vec<RangeInclusive<u16>>> {
    let status = |text: &str| {
        let status = text.trim().parse().ok()?;
        (100..=599).contains(&status).then_some(status)
    };
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (status(first)?, status(last)?);
        (first <= last).then_some(first..=last)
    };
    let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
    ranges.ok_or_else(|| {
        "must be statuses and ranges from 100 to 599, such as \"500-599\" or \"429,502-504\""
            .to_owned()
    })
}
