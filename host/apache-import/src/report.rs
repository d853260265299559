//! What became of each directive.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;

use super::directive::Directive;
use super::place::Place;

/// What became of a directive, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fate {
    /// It means nothing for a proxy of this kind.
    Meaningless,
    /// It does here what it does there.
    CarriedOver,
    /// The same, but for a difference.
    Differs,
    /// It does nothing here.
    LeftOut,
    /// Without it what was closed would be open, or it cannot be read.
    Refused,
}

/// One thing to tell.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// How much of it is lost.
    pub fate: Fate,
    /// Where; none where it is about all.
    pub place: Option<Place>,
    /// The directive as it is shown; empty where it is about all.
    pub directive: String,
    /// What there is to know; may be empty.
    pub text: String,
    /// Where more is said: a file and a heading in the documentation.
    pub link: Option<&'static str>,
}

/// What there is to tell of an import.
#[derive(Debug, Default)]
pub struct Report {
    entries: Vec<Entry>,
    told: HashSet<Entry>,
    fates: HashMap<u32, Fate>,
    /// Names of directives that mean nothing here.
    meaningless: BTreeSet<String>,
    /// How many entries were too many.
    more: usize,
}

/// The most entries: more are counted.
const MOST: usize = 1000;

/// The longest text of an entry, in characters.
const LONGEST: usize = 1000;

/// Where differences are told.
const DIFFERENCES: &str = "docs/apache-differences.md";

impl Report {
    /// What there is to tell, in the order of the file.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// How many directives have this fate.
    pub fn count(&self, fate: Fate) -> usize {
        self.fates.values().filter(|it| **it == fate).count()
    }

    /// The worst there is.
    pub fn worst(&self) -> Fate {
        let told = self.entries.iter().map(|entry| entry.fate);
        let more = (self.more > 0).then_some(Fate::LeftOut);
        told.chain(more).max().unwrap_or(Fate::CarriedOver)
    }

    /// Whether something was refused.
    pub fn is_refused(&self) -> bool {
        self.worst() == Fate::Refused
    }

    pub(crate) fn carried(&mut self, directive: &Directive) {
        self.note(directive, Fate::CarriedOver);
    }

    pub(crate) fn meaningless(&mut self, directive: &Directive) {
        self.note(directive, Fate::Meaningless);
        if directive.name.len() <= 64 && self.meaningless.len() < MOST {
            let name = equipoise_text::sanitize::text(&directive.name, 64);
            self.meaningless.insert(name);
        }
    }

    /// Carried over, but for a difference that is told under this heading of the page about differences.
    pub(crate) fn differs(&mut self, directive: &Directive, text: impl Into<String>) {
        self.tell(directive, Fate::Differs, text.into(), Some(DIFFERENCES));
    }

    /// The same with a page and heading of its own.
    pub(crate) fn differs_as(
        &mut self,
        directive: &Directive,
        text: impl Into<String>,
        link: &'static str,
    ) {
        self.tell(directive, Fate::Differs, text.into(), Some(link));
    }

    pub(crate) fn left_out(&mut self, directive: &Directive, text: impl Into<String>) {
        self.tell(directive, Fate::LeftOut, text.into(), None);
    }

    pub(crate) fn refused(&mut self, directive: &Directive, text: impl Into<String>) {
        self.tell(directive, Fate::Refused, text.into(), None);
    }

    /// What is about no directive in particular.
    pub(crate) fn tell_all(&mut self, fate: Fate, place: Option<Place>, text: impl Into<String>) {
        self.push(Entry {
            fate,
            place,
            directive: String::new(),
            text: text.into(),
            link: (fate == Fate::Differs).then_some(DIFFERENCES),
        });
    }

    /// Whether it is known what became of a directive.
    pub(crate) fn knows(&self, directive: &Directive) -> bool {
        self.fates.contains_key(&directive.id)
    }

    fn tell(
        &mut self,
        directive: &Directive,
        fate: Fate,
        text: String,
        link: Option<&'static str>,
    ) {
        self.note(directive, fate);
        self.push(Entry {
            fate,
            place: Some(directive.place.clone()),
            directive: directive.shown(),
            text,
            link,
        });
    }

    /// The worst fate counts.
    fn note(&mut self, directive: &Directive, fate: Fate) {
        let known = self.fates.entry(directive.id).or_insert(fate);
        *known = fate.max(*known);
    }

    /// What is told can be shown: bounded, and without control characters.
    fn push(&mut self, mut entry: Entry) {
        entry.text = equipoise_text::sanitize::text(&entry.text, LONGEST);
        if self.entries.len() == MOST && entry.fate != Fate::Refused {
            self.more += 1;
        } else if self.entries.len() < 2 * MOST && self.told.insert(entry.clone()) {
            self.entries.push(entry);
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        f.write_str(&self.directive)?;
        if !self.text.is_empty() && !self.directive.is_empty() {
            f.write_str(": ")?;
        }
        f.write_str(&self.text)?;
        match self.link {
            Some(link) => write!(f, " ({link})"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let carried = self.count(Fate::CarriedOver) + self.count(Fate::Differs);
        writeln!(f, "carried over: {}", directives(carried))?;
        for (fate, heading) in [
            (Fate::Differs, "differs"),
            (Fate::LeftOut, "not carried over"),
            (Fate::Refused, "refused"),
        ] {
            let mut entries: Vec<_> = self.entries.iter().filter(|it| it.fate == fate).collect();
            entries.sort_by(|a, b| a.place.cmp(&b.place));
            if !entries.is_empty() {
                writeln!(f, "{heading}:")?;
            }
            for entry in entries {
                writeln!(f, "  {entry}")?;
            }
        }
        if self.more > 0 {
            writeln!(f, "and {} more", self.more)?;
        }
        if !self.meaningless.is_empty() {
            let names: Vec<_> = self.meaningless.iter().map(|name| &**name).collect();
            writeln!(f, "without a meaning here: {}", names.join(", "))?;
        }
        Ok(())
    }
}

fn directives(count: usize) -> String {
    match count {
        1 => "1 directive".to_owned(),
        count => format!("{count} directives"),
    }
}
