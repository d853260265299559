//! The mistakes of one file, gathered while it is read.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use super::mistake::{Mistake, Mistakes};

/// How much of a value a mistake shows, in characters.
const SHOWN: usize = 60;

/// Gathers mistakes by their place in the text.
pub(super) struct Report<'t> {
    text: &'t str,
    /// Where the text is not TOML. What is read there may not be what was meant.
    broken: Vec<Range<usize>>,
    mistakes: RefCell<Vec<(usize, Mistake)>>,
}

impl<'t> Report<'t> {
    /// A report on `text` that starts with its syntax errors: one a line, since the others mostly follow from the first.
    pub(super) fn new(text: &'t str, errors: &[toml::de::Error]) -> Self {
        let mut report = Self {
            text,
            broken: Vec::new(),
            mistakes: RefCell::default(),
        };
        for error in errors {
            let offset = error.span().map_or(0, |span| span.start);
            let line = report.line_around(offset);
            if !report
                .broken
                .iter()
                .any(|broken| broken.start == line.start)
            {
                let written = shorten(&text[line.clone()]);
                report.push(offset, None, Some(written), syntax_remedy(text, error));
                report.broken.push(line);
            }
        }
        for broken in &mut report.broken {
            broken.end = end_of_damage(text, broken);
        }
        report
    }

    /// A mistake in what is written at `span`.
    pub(super) fn wrong(&self, span: Range<usize>, key: String, remedy: String) {
        if !self
            .broken
            .iter()
            .any(|broken| broken.contains(&span.start))
        {
            let written = self.text.get(span.clone()).unwrap_or_default();
            self.push(span.start, Some(key), Some(shorten(written)), remedy);
        }
    }

    /// A mistake in the section that begins at `offset` as a whole.
    pub(super) fn wrong_section(&self, offset: usize, key: String, remedy: String) {
        if !self.broken.iter().any(|broken| broken.contains(&offset)) {
            self.push(offset, Some(key), None, remedy);
        }
    }

    /// Something is not there. Where the text is not TOML it may just not have been understood, so nothing is said.
    pub(super) fn missing(&self, offset: usize, key: String, remedy: String) {
        if !self.is_incomplete() {
            self.push(offset, Some(key), None, remedy);
        }
    }

    /// Whether part of the text could not be understood at all.
    pub(super) fn is_incomplete(&self) -> bool {
        !self.broken.is_empty()
    }

    /// Whether `what` is written at `offset`.
    pub(super) fn starts_with(&self, offset: usize, what: &str) -> bool {
        let rest = self.text.get(offset..);
        rest.is_some_and(|rest| rest.starts_with(what))
    }

    /// The line, counted from 1, that `offset` is in.
    pub(super) fn line(&self, offset: usize) -> usize {
        position(self.text, offset).0
    }

    /// `value`, if there was no mistake.
    pub(super) fn finish<T>(self, file: &Path, value: T) -> Result<T, Mistakes> {
        let mut mistakes = self.mistakes.into_inner();
        if mistakes.is_empty() {
            return Ok(value);
        }
        mistakes.sort_by_key(|(offset, _)| *offset);
        let mistakes = mistakes.into_iter().map(|(_, mistake)| mistake).collect();
        Err(Mistakes::found(file, mistakes))
    }

    /// The one mistake of a file whose text breaks off behind `text`.
    pub(super) fn broken_at_end(text: &str, remedy: &str) -> Mistake {
        let (line, column) = position(text, text.len());
        Mistake {
            line,
            column,
            key: None,
            value: None,
            remedy: remedy.to_owned(),
        }
    }

    fn push(&self, offset: usize, key: Option<String>, value: Option<String>, remedy: String) {
        let (line, column) = position(self.text, offset);
        let mistake = Mistake {
            line,
            column,
            key,
            value,
            remedy,
        };
        self.mistakes.borrow_mut().push((offset, mistake));
    }

    /// The line around `offset`, without its end.
    fn line_around(&self, offset: usize) -> Range<usize> {
        let offset = within(self.text, offset);
        let start = self.text[..offset].rfind('\n').map_or(0, |end| end + 1);
        let length = self.text[offset..].find('\n');
        start..length.map_or(self.text.len(), |length| offset + length)
    }
}

/// Line and column of `offset`, both counted from 1.
pub(super) fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text[..within(text, offset)];
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |end| end + 1);
    (line, before[start..].chars().count() + 1)
}

/// `offset` moved back to a character of the text; past its end, to the end of its last line.
fn within(text: &str, offset: usize) -> usize {
    let last_line = text.strip_suffix('\n').unwrap_or(text);
    last_line.floor_char_boundary(offset)
}

/// A broken header makes everything up to the next one doubtful, any other broken line only itself.
fn end_of_damage(text: &str, line: &Range<usize>) -> usize {
    if !text[line.clone()].trim_start().starts_with('[') {
        return line.end;
    }
    let next = text[line.end..].match_indices('\n').find(|(end, _)| {
        let rest = &text[line.end + end..];
        rest.trim_start().starts_with('[')
    });
    next.map_or(text.len(), |(end, _)| line.end + end)
}

/// What the TOML parser says, and more where the habits of Apache's files show.
fn syntax_remedy(text: &str, error: &toml::de::Error) -> String {
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
    format!("{}{hint}", error.message())
}

/// The first line of what is written, of bearable length and without control characters.
fn shorten(written: &str) -> String {
    let line = written.trim().lines().next().unwrap_or_default();
    let mut shown: String = line.chars().map(visible).take(SHOWN).collect();
    if shown.len() < written.trim().len() {
        shown.push('…');
    }
    shown
}

fn visible(character: char) -> char {
    if character.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}
