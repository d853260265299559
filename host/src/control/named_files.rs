//! The files that are named: what has been taken from them, and whether there is something new.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};

use equipoise_config::Config;
use equipoise_file_watch::{Content, Hash, Unreadable};
use equipoise_proxy::snapshot;
use equipoise_text::bounded;
use equipoise_tls::FileContents;

/// The files that are named of the configuration in force.
#[derive(Default)]
pub(crate) struct NamedFiles {
    /// What they had in them when they were last taken, as far as they could be read. Read before what serves is made of them:
    /// whatever they get meanwhile is news.
    taken: BTreeMap<PathBuf, Hash>,
    /// What could not be used then.
    unusable: Vec<String>,
}

impl NamedFiles {
    /// Those of a configuration that is to be the first in force, with these contents.
    ///
    /// # Errors
    /// Every one that cannot be used, and why, one a line.
    pub(crate) fn of(config: &Config, contents: &FileContents) -> Result<Self> {
        let mut files = Self::default();
        match files.take(config, contents) {
            true => Ok(files),
            false => Err(anyhow!(bounded::list(&files.unusable, "\n"))),
        }
    }

    /// Those of a configuration have these contents. Whether all can be used.
    fn take(&mut self, config: &Config, contents: &FileContents) -> bool {
        self.taken = hashes(contents).collect();
        self.unusable = snapshot::unusable(config, contents, None);
        self.unusable.is_empty()
    }

    /// Reads those of the configuration in force again, and logs what cannot be used of them, unless it was logged before.
    /// Answers what they have in them, and whether all can be used.
    pub(super) fn take_again(&mut self, config: &Config) -> (Arc<FileContents>, bool) {
        let contents = Arc::new(FileContents::read(snapshot::files(config)));
        let told: BTreeSet<_> = std::mem::take(&mut self.unusable).into_iter().collect();
        let is_whole = self.take(config, &contents);
        let new = self.unusable.iter().filter(|it| !told.contains(*it));
        for mistake in bounded::list(new, "\n").lines() {
            tracing::error!("{mistake}; what served before goes on");
        }
        (contents, is_whole)
    }

    /// Those that a configuration adds have been read.
    pub(super) fn add(&mut self, contents: &FileContents) {
        for (path, hash) in hashes(contents) {
            self.taken.entry(path).or_insert(hash);
        }
    }

    /// What is to be watched for the configuration in force: files with what was taken from them.
    pub(super) fn watched(
        &mut self,
        config: &Config,
    ) -> impl Iterator<Item = (PathBuf, Option<Hash>)> {
        let paths = snapshot::files(config);
        self.taken.retain(|path, _| paths.contains(path));
        paths.into_iter().map(|path| {
            let taken = self.taken.get(&path).copied();
            (path, taken)
        })
    }

    /// Whether what became of a file was taken already.
    pub(super) fn is_taken(&self, path: &Path, content: &Result<Content, Unreadable>) -> bool {
        let taken = self.taken.get(path);
        let hash = content.as_ref().ok().map(|content| &content.hash);
        hash.is_some() && hash == taken
    }
}

fn hashes(contents: &FileContents) -> impl Iterator<Item = (PathBuf, Hash)> {
    let hashes = contents.hashes();
    hashes.map(|(path, hash)| (path.to_owned(), hash))
}
