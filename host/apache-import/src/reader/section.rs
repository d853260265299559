//! Sections that are open while files are read.

use std::sync::Arc;

use super::condition::Answer;
use super::{DEEPEST_SECTION, Reader};
use crate::directive::Directive;
use crate::place::Place;
use crate::report::Fate;

/// A section that has begun.
pub(super) enum Open {
    /// One that is kept.
    Section(Directive),
    /// A condition that holds, by its name in lower case: what stands in it belongs to what is around it.
    Holding(String),
    /// A condition that does not hold, or a section within one.
    Skipped(String),
}

impl Open {
    fn name(&self) -> &str {
        match self {
            Self::Section(section) => &section.key[1..],
            Self::Holding(name) | Self::Skipped(name) => name,
        }
    }
}

impl Reader<'_> {
    /// Keeps a directive where it stands.
    pub(super) fn keep(&mut self, directive: Directive) {
        let mut around = self.open.iter_mut().rev();
        let section = around.find_map(|open| match open {
            Open::Section(section) => Some(section),
            _ => None,
        });
        match section {
            Some(section) => section.children.push(directive),
            None => self.tree.push(directive),
        }
    }

    /// Begins a section.
    pub(super) fn open(&mut self, directive: Directive) {
        if self.open.len() >= DEEPEST_SECTION {
            let text = format!("lies within more than {DEEPEST_SECTION} sections");
            self.report.refused(&directive, text);
            return self.open_skipped(&directive.name[1..]);
        }
        let name = directive.key[1..].to_owned();
        let open = match self.ask(&directive) {
            Answer::NoCondition => Open::Section(directive),
            Answer::Holds => Open::Holding(name),
            Answer::DoesNotHold => Open::Skipped(name),
        };
        self.open.push(open);
    }

    /// Begins a section whose content is not read.
    pub(super) fn open_skipped(&mut self, name: &str) {
        let name = name.trim_end_matches('>').to_ascii_lowercase();
        // Deeper ones are as good as one: what is skipped need not be told apart.
        self.open.push(Open::Skipped(name));
        if self.open.len() > 100 * DEEPEST_SECTION {
            self.is_over = true;
            let text = "sections are nested too deep: what follows is not read";
            self.report.tell_all(Fate::Refused, None, text);
        }
    }

    pub(super) fn is_skipping(&self) -> bool {
        matches!(self.open.last(), Some(Open::Skipped(_)))
    }

    /// Ends the section of this name.
    pub(super) fn close(&mut self, name: &str, floor: usize, place: Place) {
        let mut inside = self.open[floor..].iter();
        let Some(at) = inside.rposition(|open| open.name() == name) else {
            let text = format!("</{name}> ends nothing that began here");
            return self.report.tell_all(Fate::Refused, Some(place), text);
        };
        self.close_down_to(floor + at + 1, &place.file);
        self.close_last();
    }

    /// Ends sections until so many are open; they should have been ended before.
    pub(super) fn close_down_to(&mut self, floor: usize, file: &Arc<str>) {
        while self.open.len() > floor {
            let name = self.open.last().map_or("", Open::name);
            let text = format!("{file}: <{name}> is not ended by </{name}>");
            self.report.tell_all(Fate::Refused, None, text);
            self.close_last();
        }
    }

    fn close_last(&mut self) {
        if let Some(Open::Section(section)) = self.open.pop() {
            self.keep(section);
        }
    }
}
