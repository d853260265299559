//! `[explain]`.

use http::HeaderName;

use super::Explain;
use super::name::is_token;
use super::table::Table;
use super::value::{Parsed, integer_in, text_as};

pub(super) const KEYS: &[&str] = &["decisions", "header"];

/// Reads `[explain]` out of the file.
pub(super) fn read_explain(file: &Table<'_>) -> Explain {
    let Some(table) = file.table("explain", KEYS) else {
        return Explain::default();
    };
    let decisions = table.read("decisions", integer_in(0..=100_000));
    Explain {
        decisions: decisions.unwrap_or_default(),
        header: table.read("header", text_as(header)),
    }
}

/// Fields of responses that have another meaning.
const RESERVED: &[&str] = &[
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "etag",
    "keep-alive",
    "location",
    "set-cookie",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

fn header(text: &str) -> Parsed<HeaderName> {
    let form = "must be the name of a header field, such as \"x-equipoise-decision\"";
    let name = text.to_ascii_lowercase();
    if RESERVED.contains(&name.as_str()) {
        return Err(format!("{form}; `{text}` means something else"));
    }
    let is_short = name.len() <= 64;
    let parsed = HeaderName::try_from(name).ok();
    parsed
        .filter(|_| is_short && is_token(text))
        .ok_or_else(|| form.to_owned())
}
