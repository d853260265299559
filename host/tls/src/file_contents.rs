//! The contents of TLS files at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};

use equipoise_file_watch::{self as file_watch, Content, Hash};

/// The largest file, in bytes: many times what platforms have as roots.
const MAX_FILE: u64 = 16 << 20;

/// The contents of files, each read once.
pub struct FileContents(BTreeMap<PathBuf, Result<Content, String>>);

impl FileContents {
    /// Reads these files. A file that cannot be read is an error when it is asked for.
    pub fn read(files: BTreeSet<PathBuf>) -> Self {
        let read = |path: PathBuf| {
            let content = file_watch::read(&path, MAX_FILE);
            let content = content.map_err(|error| format!("cannot be read: {error}"));
            (path, content)
        };
        Self(files.into_iter().map(read).collect())
    }

    /// The content of a file, with its hash.
    ///
    /// # Errors
    /// It cannot be read, or was not asked for.
    pub fn of(&self, path: &Path) -> Result<&Content> {
        let error = match self.0.get(path) {
            Some(Ok(content)) => return Ok(content),
            Some(Err(error)) => error,
            None => "was not read",
        };
        Err(anyhow!("{}: {error}", path.display()))
    }

    /// The files that could be read, with the hashes of their contents.
    pub fn hashes(&self) -> impl Iterator<Item = (&Path, Hash)> {
        let files = self.0.iter();
        files.filter_map(|(path, content)| Some((&**path, content.as_ref().ok()?.hash)))
    }
}
