//! `hcmethod`.

use http::Version;

use crate::CheckMethod;
use crate::table::Table;
use crate::value::{Reading, nearest, text_as};

/// What `hcmethod` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// `none`: no checks.
    Off,
    /// Something that is a mistake, so that nobody can tell which other keys go with it.
    Unknown,
    /// A connection.
    Tcp,
    /// A request.
    Http(CheckMethod, Version),
    /// A call of gRPC.
    Grpc,
}

const WAYS: &[(&str, Way)] = &[
    ("none", Way::Off),
    ("TCP", Way::Tcp),
    ("OPTIONS", Way::Http(CheckMethod::Options, Version::HTTP_10)),
    ("HEAD", Way::Http(CheckMethod::Head, Version::HTTP_10)),
    ("GET", Way::Http(CheckMethod::Get, Version::HTTP_10)),
    (
        "OPTIONS11",
        Way::Http(CheckMethod::Options, Version::HTTP_11),
    ),
    ("HEAD11", Way::Http(CheckMethod::Head, Version::HTTP_11)),
    ("GET11", Way::Http(CheckMethod::Get, Version::HTTP_11)),
    ("GRPC", Way::Grpc),
];

/// Reads `hcmethod`; `None` where it is not written.
pub(super) fn way(table: &Table<'_>) -> Option<Way> {
    let way = table.read("hcmethod", text_as(parse));
    table.has("hcmethod").then_some(way.unwrap_or(Way::Unknown))
}

/// One of Apache's words, in either case of letters.
fn parse(text: &str) -> Reading<Way> {
    let same = |(word, _): &&(&str, Way)| word.eq_ignore_ascii_case(text);
    if let Some((_, way)) = WAYS.iter().find(same) {
        return Ok(*way);
    }
    if text.eq_ignore_ascii_case("CPING") {
        return Err(
            "asks by AJP, which members here do not speak: use \"TCP\" or \"GET\"".to_owned(),
        );
    }
    if text.eq_ignore_ascii_case("PROVIDER") {
        return Err("means nothing in Apache either: use \"TCP\" or \"GET\"".to_owned());
    }
    let words: Vec<_> = WAYS.iter().map(|(word, _)| *word).collect();
    let near = nearest(text, &words);
    let near = near.map_or_else(String::new, |word| format!("; did you mean {word:?}?"));
    Err(format!("must be one of {}{near}", words.join(", ")))
}
