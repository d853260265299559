//! What is wrong with a configuration file, said so that it can be put right.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// One mistake: where it is, what is written there and what would be right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
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

impl fmt::Display for Mistake {
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
pub struct Mistakes {
    file: PathBuf,
    cause: Cause,
}

#[derive(Debug)]
enum Cause {
    Unreadable(io::Error),
    Found {
        first: Vec<Mistake>,
        /// How many more there are.
        more: usize,
    },
}

impl Mistakes {
    pub(super) fn unreadable(file: &Path, error: io::Error) -> Self {
        Self {
            file: file.to_owned(),
            cause: Cause::Unreadable(error),
        }
    }

    pub(super) fn found(file: &Path, first: Vec<Mistake>, more: usize) -> Self {
        Self {
            file: file.to_owned(),
            cause: Cause::Found { first, more },
        }
    }

    /// The mistakes found in the file, at most a hundred; none where it could not be read at all.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        match &self.cause {
            Cause::Unreadable(_) => [].iter(),
            Cause::Found { first, .. } => first.iter(),
        }
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display();
        if let Cause::Unreadable(error) = &self.cause {
            write!(f, "{file}: cannot be read: {error}")?;
        }
        for (index, mistake) in self.iter().enumerate() {
            let separator = if index > 0 { "\n" } else { "" };
            write!(f, "{separator}{file}:{mistake}")?;
        }
        match self.cause {
            Cause::Found {
                more: more @ 1.., ..
            } => write!(f, "\n{file}: and {more} more mistakes"),
            Cause::Found { .. } | Cause::Unreadable(_) => Ok(()),
        }
    }
}

impl std::error::Error for Mistakes {}
