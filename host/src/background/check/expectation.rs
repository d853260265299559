//! Compares a response with what is expected of it.

use equipoise_http::Fields;

use equipoise_config::Expect;

/// The most of a header value that is quoted, in characters.
const MAX_QUOTED: usize = 60;

/// The fields whose names are among `names`, with names in lower case, in the order of the head.
pub(super) fn reported(names: &[String], fields: &Fields) -> Vec<(String, String)> {
    let wanted = fields.iter().filter_map(|field| {
        let is_it = |name: &&String| name.as_bytes().eq_ignore_ascii_case(field.name);
        let name = names.iter().find(is_it)?;
        let value = String::from_utf8_lossy(field.value).into_owned();
        Some((name.clone(), value))
    });
    wanted.collect()
}

/// What is wrong with status or fields.
pub(super) fn mismatch(expect: &Expect, status: u16, fields: &Fields) -> Option<String> {
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
        if fields
            .all(&**name)
            .any(|value| value == expected.as_bytes())
        {
            return None;
        }
        Some(match fields.get(&**name) {
            Some(value) => format!("{name} is \"{}\", expected \"{expected}\"", repeat(value)),
            None => format!("{name} is missing, expected \"{expected}\""),
        })
    })
}

/// A value of a response, shortened and without control characters.
fn repeat(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.chars().take(MAX_QUOTED);
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
