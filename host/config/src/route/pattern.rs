//! `match` of a route: a regular expression that the path has to match, and what the member is asked for by what it captures.

use regex::{Regex, RegexBuilder};

use super::template::{Scope, Template};
use crate::name;
use crate::table::Table;
use crate::value::{Parsed, no_regex, text_as};

/// The longest regular expression, in bytes.
const MAX_LENGTH: usize = 4096;

/// The most memory that a regular expression may take compiled, in bytes; and as much again for its cache.
const MAX_COMPILED: usize = 256 * 1024;

/// `match`, and `member-path` beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathPattern {
    /// What the path has to match.
    pub regex: PathRegex,
    /// `member-path`: the path that the member is asked for, of captures and texts. Default: the request's path.
    pub member_path: Option<Template>,
}

/// A regular expression for paths, which takes time in proportion to the path; two are equal if they are written alike.
///
/// `.` stands for any character, line feeds among them: so no way to write a path passes by `.*`.
#[derive(Debug, Clone)]
pub struct PathRegex(Regex);

impl PathRegex {
    /// The expression itself.
    pub fn regex(&self) -> &Regex {
        &self.0
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// How many groups it captures.
    pub(super) fn groups(&self) -> usize {
        self.0.captures_len() - 1
    }
}

impl PartialEq for PathRegex {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for PathRegex {}

/// Reads `match` and what goes with it; `None` where it is not written, or wrong.
pub(super) fn read_pattern(table: &Table<'_>) -> Option<Box<PathPattern>> {
    if table.has("path") && table.has("match") {
        let remedy = "contradicts path: write one of the two";
        table.refuse("match", remedy);
    }
    let regex = table.read("match", text_as(regex))?;
    let scope = Scope {
        captures: Some(regex.groups()),
        ..Scope::default()
    };
    let member_path = table.read("member-path", text_as(|text| member_path(text, &scope)));
    Some(Box::new(PathPattern { regex, member_path }))
}

fn regex(text: &str) -> Parsed<PathRegex> {
    if text.len() > MAX_LENGTH {
        return Err(format!(
            "must have at most {MAX_LENGTH} bytes, not {}",
            text.len()
        ));
    }
    let mut builder = RegexBuilder::new(text);
    builder
        .size_limit(MAX_COMPILED)
        .dfa_size_limit(MAX_COMPILED)
        .dot_matches_new_line(true);
    let regex = builder.build();
    regex
        .map(PathRegex)
        .map_err(|error| no_regex(&error, "^/(api|rest)/(.*)$"))
}

/// A path of texts and captures.
fn member_path(text: &str, scope: &Scope) -> Parsed<Template> {
    let template = Template::parse(text, scope)?;
    name::path(&template.filled("x"))?;
    Ok(template)
}
