//! `hcmethod`.

use http::Version;

use crate::CheckMethod;
use crate::table::Table;
use crate::value::{Parsed, nearest, text_as};

/// The value of `hcmethod`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum HcMethod {
    /// `none`: no checks.
    Off,
    /// Invalid, so that it is not known which other keys go with it.
    Unknown,
    /// A connection.
    Tcp,
    /// A request.
    Http(CheckMethod, Version),
    /// A call of gRPC.
    Grpc,
    /// A ping of AJP.
    Cping,
}

const HC_METHODS: &[(&str, HcMethod)] = &[
    ("none", HcMethod::Off),
    ("TCP", HcMethod::Tcp),
    (
        "OPTIONS",
        HcMethod::Http(CheckMethod::Options, Version::HTTP_10),
    ),
    ("HEAD", HcMethod::Http(CheckMethod::Head, Version::HTTP_10)),
    ("GET", HcMethod::Http(CheckMethod::Get, Version::HTTP_10)),
    (
        "OPTIONS11",
        HcMethod::Http(CheckMethod::Options, Version::HTTP_11),
    ),
    (
        "HEAD11",
        HcMethod::Http(CheckMethod::Head, Version::HTTP_11),
    ),
    ("GET11", HcMethod::Http(CheckMethod::Get, Version::HTTP_11)),
    ("GRPC", HcMethod::Grpc),
    ("CPING", HcMethod::Cping),
];

/// Reads `hcmethod`; `None` where it is not written.
pub(super) fn way(table: &Table<'_>) -> Option<HcMethod> {
    let way = table.read("hcmethod", text_as(parse));
    table
        .has("hcmethod")
        .then_some(way.unwrap_or(HcMethod::Unknown))
}

/// One of Apache's words, in either case of letters.
fn parse(text: &str) -> Parsed<HcMethod> {
    let same = |(word, _): &&(&str, HcMethod)| word.eq_ignore_ascii_case(text);
    if let Some((_, way)) = HC_METHODS.iter().find(same) {
        return Ok(*way);
    }
    if text.eq_ignore_ascii_case("PROVIDER") {
        return Err("means nothing in Apache either: use \"TCP\" or \"GET\"".to_owned());
    }
    let words: Vec<_> = HC_METHODS.iter().map(|(word, _)| *word).collect();
    let near = nearest(text, &words);
    let near = near.map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
    Err(format!("must be one of {}{near}", words.join(", ")))
}
