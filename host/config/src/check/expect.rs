//! `hcexpect`: what an answer must be.

use std::ops::RangeInclusive;

use regex::bytes::RegexBuilder;
use toml::de::DeValue;

use super::value::{MOST_HEADERS, field};
use crate::table::{Table, TextBounds};
use crate::value::{Reading, integer, no_regex, text};
use crate::{Expect, Pattern};

pub(crate) const KEYS: &[&str] = &["status", "header", "body"];

/// The longest regular expression, in bytes.
const LONGEST_PATTERN: usize = 4096;

/// The most memory that a regular expression may take compiled, in bytes; and as much again for its cache.
const LARGEST_PATTERN: usize = 256 * 1024;

/// The most statuses and ranges of them.
const MOST_STATUSES: usize = 64;

/// Reads `hcexpect`; `None` where it is not written, or is no table.
pub(super) fn read_expect(table: &Table<'_>) -> Option<Expect> {
    let table = table.table("hcexpect", KEYS)?;
    let bounds = TextBounds {
        entries: MOST_HEADERS,
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
fn statuses(value: &DeValue<'_>) -> Reading<Vec<RangeInclusive<u16>>> {
    let statuses = match value {
        DeValue::Array(elements) => {
            let elements = elements.iter().map(|element| some(element.get_ref()));
            elements.collect::<Reading<Vec<_>>>()?.concat()
        }
        value => some(value)?,
    };
    if (1..=MOST_STATUSES).contains(&statuses.len()) {
        Ok(statuses)
    } else {
        Err(format!(
            "must have 1 to {MOST_STATUSES} statuses or ranges of them, not {}",
            statuses.len()
        ))
    }
}

fn some(value: &DeValue<'_>) -> Reading<Vec<RangeInclusive<u16>>> {
    let number = integer(value).map(|number| number.to_string());
    let text = number.as_deref().or(value.as_str()).unwrap_or_default();
    text.split(',').map(range).collect()
}

fn range(text: &str) -> Reading<RangeInclusive<u16>> {
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

fn pattern(value: &DeValue<'_>) -> Reading<Pattern> {
    let text = text(value)?;
    if text.len() > LONGEST_PATTERN {
        return Err(format!(
            "must have at most {LONGEST_PATTERN} bytes, not {}",
            text.len()
        ));
    }
    let mut builder = RegexBuilder::new(text);
    builder
        .size_limit(LARGEST_PATTERN)
        .dfa_size_limit(LARGEST_PATTERN);
    let regex = builder.build();
    regex
        .map(Pattern::new)
        .map_err(|error| no_regex(&error, "ok|ready"))
}
