//! `hcexpect`: what a response must be.

use std::ops::RangeInclusive;

use regex::bytes::RegexBuilder;
use toml::de::DeValue;

use super::value::{MAX_HEADERS, field};
use crate::table::{Table, TextBounds};
use crate::value::{Parsed, integer, no_regex, text};
use crate::{Expect, Pattern};

pub(crate) const KEYS: &[&str] = &["status", "header", "body"];

/// The longest regular expression, in bytes.
const MAX_PATTERN_LENGTH: usize = 4096;

/// The most memory that a regular expression may take compiled, in bytes; and as much again for its cache.
const MAX_PATTERN_MEMORY: usize = 256 * 1024;

/// The most statuses and ranges of them.
const MAX_STATUSES: usize = 64;

/// Reads `hcexpect`; `None` where it is not written, or is no table.
pub(super) fn read_expect(table: &Table<'_>) -> Option<Expect> {
    let table = table.table("hcexpect", KEYS)?;
    let bounds = TextBounds {
        entries: MAX_HEADERS,
        value: 1024,
    };
    let headers = table.checked_texts("header", "{ x-ready = \"yes\" }", &bounds, field);
    let default = Expect::default();
    Some(Expect {
        statuses: table.read("status", statuses).unwrap_or(default.statuses),
        headers: headers
            .into_iter()
            .map(|(name, value)| (name, value.trim().to_owned()))
            .collect(),
        body: table.read("body", pattern),
    })
}

/// A number, a text of numbers and ranges between commas, or a list of both.
fn statuses(value: &DeValue<'_>) -> Parsed<Vec<RangeInclusive<u16>>> {
    let statuses = match value {
        DeValue::Array(elements) => {
            let elements = elements
                .iter()
                .map(|element| status_ranges(element.get_ref()));
            elements.collect::<Parsed<Vec<_>>>()?.concat()
        }
        value => status_ranges(value)?,
    };
    if (1..=MAX_STATUSES).contains(&statuses.len()) {
        Ok(statuses)
    } else {
        Err(format!(
            "must have 1 to {MAX_STATUSES} statuses or ranges of them, not {}",
            statuses.len()
        ))
    }
}

fn status_ranges(value: &DeValue<'_>) -> Parsed<Vec<RangeInclusive<u16>>> {
    let number = integer(value).map(|number| number.to_string());
    let text = number.as_deref().or(value.as_str()).unwrap_or_default();
    text.split(',').map(range).collect()
}

fn range(text: &str) -> Parsed<RangeInclusive<u16>> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let status = |text: &str| {
        let status = text.trim().parse().ok();
        status.filter(|status| (100..=599).contains(status))
    };
    let range = status(from).zip(status(to));
    range
        .filter(|(from, to)| from <= to)
        .map(|(from, to)| from..=to)
        .ok_or_else(|| {
            "must be statuses from 100 to 599 or ranges of them, such as 200 or \"200,204,300-399\""
                .to_owned()
        })
}

fn pattern(value: &DeValue<'_>) -> Parsed<Pattern> {
    let text = text(value)?;
    if text.len() > MAX_PATTERN_LENGTH {
        return Err(format!(
            "must have at most {MAX_PATTERN_LENGTH} bytes, not {}",
            text.len()
        ));
    }
    let mut builder = RegexBuilder::new(text);
    builder
        .size_limit(MAX_PATTERN_MEMORY)
        .dfa_size_limit(MAX_PATTERN_MEMORY);
    let regex = builder.build();
    regex
        .map(Pattern::new)
        .map_err(|error| no_regex(&error, "ok|ready"))
}
