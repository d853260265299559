//! Collects the diagnostics of one file while it is read.

use std::cell::RefCell;
use std::ops::Range;
use std::path::Path;

use super::diagnostic::{Diagnostic, Diagnostics};
use equipoise_text::bounded::{self, LIST};

/// How much of a value a mistake shows, in characters.
const MAX_VALUE_CHARS: usize = 60;

/// Collects diagnostics by their offset in the text, only as many as are shown, so that a bad file costs no more than a good one.
pub(super) struct Collector<'t> {
    text: &'t str,
    /// Where each line starts.
    lines: Vec<usize>,
    /// Whether part of the text is not TOML, so that what seems to be missing may just not be understood.
    incomplete: bool,
    found: RefCell<Found>,
}

/// What is wrong with the text.
#[derive(Default)]
struct Found {
    /// The first mistakes in the order of the text, no more than are shown, with the place each is at.
    first: Vec<(usize, Diagnostic)>,
    /// How many there are behind them.
    more: usize,
}

impl<'t> Collector<'t> {
    /// A collector for `text`, with no diagnostic yet.
    pub(super) fn new(text: &'t str) -> Self {
        let ends = text.match_indices('\n').map(|(end, _)| end + 1);
        let starts = ends.filter(|start| *start < text.len());
        Self {
            text,
            lines: std::iter::once(0).chain(starts).collect(),
            incomplete: false,
            found: RefCell::default(),
        }
    }

    /// The text is not TOML at `offset`, within `line`.
    pub(super) fn invalid_toml(&mut self, offset: usize, line: &str, remedy: &str) {
        self.incomplete = true;
        self.push(offset, None, Some(line), remedy);
    }

    /// The text cannot be read from `offset` on.
    pub(super) fn unreadable_from(&mut self, offset: usize, remedy: &str) {
        self.incomplete = true;
        self.push(offset, None, None, remedy);
    }

    /// A mistake in what is written at `span`.
    pub(super) fn wrong(&self, span: Range<usize>, key: String, remedy: &str) {
        let written = self.text.get(span.clone()).unwrap_or_default();
        self.push(span.start, Some(key), Some(written), remedy);
    }

    /// A mistake in the section that begins at `offset` as a whole.
    pub(super) fn wrong_section(&self, offset: usize, key: String, remedy: &str) {
        self.push(offset, Some(key), None, remedy);
    }

    /// The section that begins at `offset` lacks something; not reported where it may be in an invalid line.
    pub(super) fn missing(&self, offset: usize, key: String, remedy: &str) {
        if !self.incomplete {
            self.push(offset, Some(key), None, remedy);
        }
    }

    /// Whether part of the text is not TOML.
    pub(super) fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// Whether `what` is written at `offset`.
    pub(super) fn starts_with(&self, offset: usize, what: &str) -> bool {
        let rest = self.text.get(offset..);
        rest.is_some_and(|rest| rest.starts_with(what))
    }

    /// The line that `offset` is in, counted from 1.
    pub(super) fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }

    /// Whether no mistake was found.
    pub(super) fn is_empty(&self) -> bool {
        self.found.borrow().first.is_empty()
    }

    /// Whether the list is full: further mistakes are only counted.
    pub(super) fn is_full(&self) -> bool {
        self.found.borrow().first.len() == LIST
    }

    /// Counts a mistake that is not shown.
    pub(super) fn count(&self) {
        self.found.borrow_mut().more += 1;
    }

    /// The mistakes in the order of the text, which is that of `file`.
    pub(super) fn into_mistakes(self, file: &Path) -> Diagnostics {
        let Found { mut first, more } = self.found.take();
        for (offset, mistake) in &mut first {
            (mistake.line, mistake.column) = self.place(*offset);
        }
        let first = first.into_iter().map(|(_, mistake)| mistake);
        Diagnostics::found(file, first.collect(), more)
    }

    /// The line and the column of an offset, both counted from 1.
    fn place(&self, offset: usize) -> (usize, usize) {
        let line = self.line(offset);
        let start = self.lines[line - 1];
        let before = &self.text[start..self.text.floor_char_boundary(offset)];
        let column = before.trim_end_matches(['\r', '\n']).chars().count() + 1;
        (line, column)
    }

    fn push(&self, offset: usize, key: Option<String>, written: Option<&str>, remedy: &str) {
        let mut found = self.found.borrow_mut();
        let place = found.first.partition_point(|(other, _)| *other <= offset);
        if found.first.len() == LIST {
            found.more += 1;
            if place == LIST {
                return;
            }
            found.first.pop();
        }
        let mistake = Diagnostic {
            // Looking for the place takes as long as the line is: that is for those that stay.
            line: 0,
            column: 0,
            key: key.map(|key| bounded::message(&key).into_owned()),
            value: written.map(shorten),
            remedy: bounded::message(remedy).chars().map(visible).collect(),
        };
        found.first.insert(place, (offset, mistake));
    }
}

/// The first line of what is written, of bearable length and without control characters.
pub(super) fn shorten(written: &str) -> String {
    let written = written.trim();
    let line = written.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(MAX_VALUE_CHARS).collect();
    let rest = if shown.len() < written.len() {
        "…"
    } else {
        ""
    };
    shown.chars().map(visible).chain(rest.chars()).collect()
}

/// Mistakes are shown on terminals, one a line.
fn visible(character: char) -> char {
    if character.is_control() {
        char::REPLACEMENT_CHARACTER
    } else {
        character
    }
}
