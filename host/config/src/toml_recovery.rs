//! Error recovery for invalid TOML: reports the invalid lines, and reads the others.

use std::borrow::Cow;
use std::collections::BTreeMap;

use toml::de::{DeTable, Error};

use super::collector::Collector;

/// How many lines that are not TOML are reported. A file with more is no configuration, and nothing else is read of it.
const MAX_INVALID_LINES: usize = 100;

/// Reports the lines of `text` that are not TOML and returns the text without them. They become blank, so that every
/// other character keeps its place. `None` where nothing can be made of the rest.
///
/// The first broken line is taken out, and the rest parsed again, and so on: later errors may only follow from the first.
/// A broken header takes along what follows up to the next one, since its section is not known.
pub(super) fn recover<'t>(text: &'t str, report: &mut Collector<'_>) -> Option<Cow<'t, str>> {
    let invalid = invalid_lines(text);
    if invalid.len() > MAX_INVALID_LINES {
        for (start, error) in invalid.iter().take(MAX_INVALID_LINES) {
            report_line(text, *start, error, report);
        }
        return None;
    }
    let mut rest = Cow::Borrowed(text);
    for _ in 0..MAX_INVALID_LINES {
        let Some((start, error)) = invalid_lines(&rest).pop_first() else {
            return Some(rest);
        };
        if is_blank(&rest, start) && !is_blank(text, start) {
            return None;
        }
        report_line(text, start, &error, report);
        blank(rest.to_mut(), start);
    }
    None
}

fn report_line(text: &str, start: usize, error: &Error, report: &mut Collector<'_>) {
    let offset = error.span().map_or(start, |span| span.start);
    report.invalid_toml(offset, line_at(text, start), &remedy(text, error));
}

/// Where the lines start that are not TOML, each with the first error in it: the others mostly follow from that.
fn invalid_lines(text: &str) -> BTreeMap<usize, Error> {
    let mut invalid = BTreeMap::new();
    for error in DeTable::parse_recoverable(text).1 {
        let offset = error.span().map_or(0, |span| span.start);
        invalid.entry(start_of_line(text, offset)).or_insert(error);
    }
    invalid
}

/// Where the line starts that `offset` is in; the last line where it is behind the text.
fn start_of_line(text: &str, offset: usize) -> usize {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let before = &text[..text.floor_char_boundary(offset)];
    before.rfind('\n').map_or(0, |end| end + 1)
}

/// The line that starts at `start`.
fn line_at(text: &str, start: usize) -> &str {
    text[start..].lines().next().unwrap_or_default()
}

fn is_blank(text: &str, start: usize) -> bool {
    line_at(text, start).trim().is_empty()
}

/// Makes the line that starts at `start` blank, and where it is a header, all lines up to the next.
fn blank(text: &mut String, start: usize) {
    let span = start..end_of_invalid(text, start);
    let blank = |part: char| match part {
        '\n' => "\n",
        // Characters have up to four bytes, and each keeps its length.
        part => &"    "[..part.len_utf8()],
    };
    let blank: String = text[span.clone()].chars().map(blank).collect();
    text.replace_range(span, &blank);
}

fn end_of_invalid(text: &str, start: usize) -> usize {
    let mut lines = text[start..].split_inclusive('\n');
    let first = lines.next().unwrap_or_default();
    let mut end = start + first.len();
    if is_header(first) {
        end += lines
            .take_while(|line| !is_header(line))
            .map(str::len)
            .sum::<usize>();
    }
    end
}

fn is_header(line: &str) -> bool {
    line.trim_start().starts_with('[')
}

/// What the parser says, and more where the habits of Apache's files show.
fn remedy(text: &str, error: &Error) -> String {
    let written = error.span().and_then(|span| text.get(span));
    let written = written.unwrap_or_default().trim();
    let hint = match written.to_ascii_lowercase().as_str() {
        "on" => "; a switch is turned on with `true`",
        "off" => "; a switch is turned off with `false`",
        _ if written.starts_with(|first: char| first.is_ascii_digit()) => {
            "; durations and sizes stand in quotes, such as \"60s\" or \"64KiB\""
        }
        _ => "",
    };
    format!("is not TOML: {}{hint}", error.message())
}
