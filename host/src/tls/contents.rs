//! What files have in them at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use crate::watcher::{self, Content, Hash};

/// The largest file, in bytes: many times what platforms have as roots.
const LARGEST: u64 = 16 << 20;

/// What files have in them, each read once.
pub(crate) struct Contents(BTreeMap<PathBuf, Result<Content, String>>);

impl Contents {
    /// Reads these files. That one cannot be read is said when it is asked for.
    pub(crate) fn read(files: BTreeSet<PathBuf>) -> Self {
        let read = |path: PathBuf| {
            let content = watcher::read(&path, LARGEST);
            let content = content.map_err(|error| format!("cannot be read: {error}"));
            (path, content)
        };
        Self(files.into_iter().map(read).collect())
    }

    /// The content of a file, with its hash.
    ///
    /// # Errors
    /// It cannot be read, or was not asked for.
    pub(super) fn of(&self, path: &Path) -> Result<&Content> {
        let error = match self.0.get(path) {
            Some(Ok(content)) => return Ok(content),
            Some(Err(error)) => error,
            None => "was not read",
        };
        Err(anyhow!("{}: {error}", path.display()))
    }

    /// The files that could be read, with the hashes of their contents.
    pub(crate) fn hashes(&self) -> impl Iterator<Item = (&Path, Hash)> {
        let files = self.0.iter();
        files.filter_map(|(path, content)| Some((&**path, content.as_ref().ok()?.hash)))
    }
}
