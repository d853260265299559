//! The head of an answer.

use std::mem::MaybeUninit;

use httparse::{Header, ParserConfig, Response, Status};
use memchr::memchr_iter;

use super::Trouble;
use super::target::Inquiry;
use crate::config::Expect;

/// The most header fields of an answer.
const MOST_FIELDS: usize = 256;

/// How much of what a member says is repeated in words, in characters.
const REPEATED: usize = 60;

/// What a head says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    /// Where the body ends.
    pub(super) framing: Framing,
    /// The fields that judges are handed.
    pub(super) headers: Vec<(String, String)>,
    /// What is not as expected; `None` where all is.
    pub(super) complaint: Option<String>,
}

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Absent,
    /// After so many bytes.
    Length(u64),
    /// With its last chunk.
    Chunked,
    /// With the connection.
    Close,
}

impl Head {
    /// Reads a whole head.
    ///
    /// # Errors
    /// It is no head of an HTTP/1 answer, or contradicts itself about its body.
    pub(super) fn parse(bytes: &[u8], inquiry: &Inquiry) -> Result<Self, Trouble> {
        let mut fields = [const { MaybeUninit::<Header<'_>>::uninit() }; MOST_FIELDS];
        let mut response = Response::new(&mut []);
        let parser = ParserConfig::default();
        let parsed = parser.parse_response_with_uninit_headers(&mut response, bytes, &mut fields);
        match parsed {
            Ok(Status::Complete(_)) => {}
            Ok(Status::Partial) => return Err(Trouble::unintelligible("no answer in HTTP/1")),
            Err(error) => {
                let detail = format!("no answer in HTTP/1: {error}");
                return Err(Trouble::unintelligible(detail));
            }
        }
        let status = response.code.unwrap_or_default();
        Ok(Self {
            status,
            framing: framing(status, response.headers)?,
            headers: reported(&inquiry.report, response.headers),
            complaint: complaint(&inquiry.expect, status, response.headers),
        })
    }

    /// Whether another head follows.
    pub(super) fn is_interim(&self) -> bool {
        (100..200).contains(&self.status) && self.status != 101
    }
}

/// Where the head ends that `bytes` begin with, if no end was among the first `seen` of them.
pub(super) fn end_of_head(bytes: &[u8], seen: usize) -> Option<usize> {
    // A blank line may have begun with the last two of them.
    let from = seen.saturating_sub(2);
    let mut lines = memchr_iter(b'\n', &bytes[from..]).map(|end| from + end + 1);
    lines.find_map(|next| match bytes[next..] {
        [b'\n', ..] => Some(next + 1),
        [b'\r', b'\n', ..] => Some(next + 2),
        _ => None,
    })
}

/// RFC 9112, 6.3, but that two ways to tell the end are refused, as requests through the proxy would be.
fn framing(status: u16, fields: &[Header<'_>]) -> Result<Framing, Trouble> {
    if matches!(status, 100..200 | 204 | 304) {
        return Ok(Framing::Absent);
    }
    let coding = values(fields, "transfer-encoding").last();
    let mut lengths = values(fields, "content-length");
    let length = lengths.next();
    match (coding, length) {
        (Some(_), Some(_)) => Err(Trouble::unintelligible(
            "Content-Length and Transfer-Encoding at once",
        )),
        (Some(coding), None) if is_chunked(coding) => Ok(Framing::Chunked),
        (None, Some(length)) if lengths.all(|other| other == length) => length_of(length),
        (None, Some(_)) => Err(Trouble::unintelligible("more than one Content-Length")),
        (Some(_) | None, None) => Ok(Framing::Close),
    }
}

fn is_chunked(coding: &[u8]) -> bool {
    let last = coding.rsplit(|byte| *byte == b',').next();
    last.is_some_and(|last| last.trim_ascii().eq_ignore_ascii_case(b"chunked"))
}

fn length_of(text: &[u8]) -> Result<Framing, Trouble> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let text = str::from_utf8(text).ok().filter(|_| digits);
    let length = text.and_then(|text| text.parse().ok());
    length
        .map(Framing::Length)
        .ok_or_else(|| Trouble::unintelligible("a Content-Length that is no number"))
}

/// The fields whose names are among `names`, with names in lower case, in the order of the head.
pub(super) fn reported(names: &[String], fields: &[Header<'_>]) -> Vec<(String, String)> {
    let wanted = |field: &Header<'_>| {
        let name = names
            .iter()
            .find(|name| name.eq_ignore_ascii_case(field.name));
        name.map(|name| {
            (
                name.clone(),
                String::from_utf8_lossy(field.value).into_owned(),
            )
        })
    };
    fields.iter().filter_map(wanted).collect()
}

/// What is wrong with status or fields.
pub(super) fn complaint(expect: &Expect, status: u16, fields: &[Header<'_>]) -> Option<String> {
    let statuses = &expect.statuses;
    if !statuses.iter().any(|range| range.contains(&status)) {
        let ranges = statuses
            .iter()
            .map(|range| match (range.start(), range.end()) {
                (from, to) if from == to => from.to_string(),
                (from, to) => format!("{from}-{to}"),
            });
        let ranges: Vec<_> = ranges.collect();
        return Some(format!("{status}, expected {}", ranges.join(",")));
    }
    expect.headers.iter().find_map(|(name, expected)| {
        let mut values = values(fields, name);
        let first = values.clone().next();
        if values.any(|value| value == expected.as_bytes()) {
            return None;
        }
        Some(match first {
            Some(value) => format!("{name} is \"{}\", expected \"{expected}\"", repeat(value)),
            None => format!("{name} is missing, expected \"{expected}\""),
        })
    })
}

/// The values of all fields of this name, without blanks around them.
fn values<'h>(fields: &'h [Header<'h>], name: &str) -> impl Iterator<Item = &'h [u8]> + Clone {
    let same = move |field: &&Header<'_>| field.name.eq_ignore_ascii_case(name);
    fields
        .iter()
        .filter(same)
        .map(|field| field.value.trim_ascii())
}

/// What a member said, of bearable length and without what would disturb a log.
fn repeat(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.chars().take(REPEATED);
    shown
        .map(|character| {
            if character.is_control() {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        })
        .collect()
}
