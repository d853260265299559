//! Diagnostics of a configuration file: what is wrong, where, and what would be right.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::table::quoted_unless_bare;

/// One mistake: where it is, what is written there and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The line, counted from 1; never beyond the file's last.
    pub line: usize,
    /// The column in characters, counted from 1.
    pub column: usize,
    /// The dotted key, such as `balancer.mycluster.member[0].loadfactor` (lists count from 0); `None` where the text is
    /// not TOML.
    pub key: Option<String>,
    /// What is written there, shortened to one line; `None` where something is missing.
    pub value: Option<String>,
    /// What is wrong and what would be right.
    pub remedy: String,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: ", self.line, self.column)?;
        match (&self.key, &self.value) {
            (Some(key), Some(value)) => write!(f, "{key} = {value}: ")?,
            (Some(key), None) => write!(f, "{key}: ")?,
            (None, Some(value)) => write!(f, "`{value}`: ")?,
            (None, None) => {}
        }
        f.write_str(&self.remedy)
    }
}

/// Why a configuration file cannot be used: the mistakes in it, in the order of the file, or why it cannot be read.
///
/// Displays one line for each, with the file's name, line and column first. Of more than a hundred, it has the first, and how
/// many more there are.
#[derive(Debug)]
pub struct Diagnostics {
    file: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Unreadable(io::Error),
    Found {
        first: Vec<Diagnostic>,
        /// How many more there are.
        more: usize,
    },
}

impl Diagnostics {
    pub(super) fn unreadable(file: &Path, error: io::Error) -> Self {
        Self {
            file: file.to_owned(),
            cause: Cause::Unreadable(error),
        }
    }

    /// The first mistakes, and how many more there are.
    pub(super) fn found(file: &Path, first: Vec<Diagnostic>, more: usize) -> Self {
        Self {
            file: file.to_owned(),
            cause: Cause::Found { first, more },
        }
    }

    /// Those of the mistakes that are told for which this holds.
    pub fn filtered(&self, holds: impl Fn(&Diagnostic) -> bool) -> Self {
        let kept = self.iter().filter(|mistake| holds(mistake));
        Self::found(&self.file, kept.cloned().collect(), 0)
    }

    /// How many mistakes there are beyond those told.
    pub fn more(&self) -> usize {
        match self.cause {
            Cause::Unreadable(_) => 0,
            Cause::Found { more, .. } => more,
        }
    }

    /// The mistakes found in the file, of which up to 100 are told; none where it could not be read at all.
    pub fn iter(&self) -> impl Iterator<Item = &Diagnostic> {
        match &self.cause {
            Cause::Unreadable(_) => [].iter(),
            Cause::Found { first, .. } => first.iter(),
        }
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        if let Cause::Unreadable(error) = &self.cause {
            write!(f, "{file}: cannot be read: {error}")?;
        }
        for (index, mistake) in self.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(f, "{separator}{file}:{mistake}")?;
        }
        match self.more() {
            0 => Ok(()),
            1 => write!(f, "\n{file}: and 1 more mistake"),
            more => write!(f, "\n{file}: and {more} more mistakes"),
        }
    }
}

impl std::error::Error for Diagnostics {}

/// The place of the member of a balancer that a mistake is about, by its key or by a line that begins with that: 3 for
/// `balancer.NAME.member[3].url`.
pub fn member_of_key(key: &str, balancer: &str) -> Option<usize> {
    let rest = key.strip_prefix("balancer.")?;
    let quoted = quoted_unless_bare(balancer);
    let rest = rest
        .strip_prefix(&quoted)
        .or_else(|| rest.strip_prefix(balancer))?;
    let place = rest.strip_prefix(".member[")?.split(']').next()?;
    place.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_found_by_the_keys_of_mistakes() {
        for (key, balancer, expected) in [
            ("balancer.b.member[3].url", "b", Some(3)),
            ("balancer.b.member[12]", "b", Some(12)),
            (
                "balancer.b.member[2].tls: ca.pem: cannot be read",
                "b",
                Some(2),
            ),
            ("balancer.\"a/b\".member[0].lbset", "a/b", Some(0)),
            ("balancer.a/b.member[1].tls: x", "a/b", Some(1)),
            ("balancer.b.member", "b", None),
            ("balancer.b.lbmethod", "b", None),
            ("balancer.other.member[3].url", "b", None),
            ("route[3].balancer", "b", None),
        ] {
            assert_eq!(member_of_key(key, balancer), expected, "{key}");
        }
    }
}
