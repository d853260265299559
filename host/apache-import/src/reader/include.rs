//! `Include` and `IncludeOptional`.

use std::path::{Component, Path, PathBuf};

use super::Reader;
use crate::directive::Directive;
use crate::files::Kind;
use crate::pattern;

/// The most files that one pattern finds.
const MOST_FOUND: usize = 10_000;

impl Reader<'_> {
    /// Reads what is to be included, in the order of names.
    pub(super) fn include(&mut self, directive: &Directive) {
        let is_optional = directive.key == "includeoptional";
        let name = directive.word(0);
        if name.is_empty() {
            return self.report.refused(directive, "names no file");
        }
        let path = self.server_root.join(name);
        let mut found = Vec::new();
        match pattern::is_pattern(name) {
            true => self.find(&path, &mut found),
            false => self.collect(&path, 0, &mut found),
        }
        if found.is_empty() && !is_optional {
            let text = match pattern::is_pattern(name) {
                true => "no file fits",
                false => "there is no such file",
            };
            return self.report.refused(directive, text);
        }
        self.report.carried(directive);
        for file in found {
            if let Err(reason) = self.file(&file) {
                let text = format!("{}: {reason}", file.display());
                self.report.refused(directive, text);
            }
        }
    }

    /// The files that fit a pattern.
    fn find(&mut self, pattern: &Path, found: &mut Vec<PathBuf>) {
        let mut paths = vec![PathBuf::new()];
        for part in pattern.components() {
            let part = match part {
                Component::Normal(name) => name.to_string_lossy(),
                other => {
                    paths.iter_mut().for_each(|path| path.push(other));
                    continue;
                }
            };
            if pattern::is_pattern(&part) {
                paths = paths
                    .iter()
                    .flat_map(|it| self.fitting(it, &part))
                    .collect();
                paths.truncate(MOST_FOUND);
            } else {
                paths.iter_mut().for_each(|path| path.push(&*part));
            }
        }
        for path in paths {
            self.collect(&path, 0, found);
        }
    }

    /// What fits a pattern in a folder.
    fn fitting(&mut self, folder: &Path, pattern: &str) -> Vec<PathBuf> {
        let mut names = self.names(folder);
        names.retain(|name| {
            let is_hidden = name.starts_with('.') && !pattern.starts_with('.');
            !is_hidden && pattern::fits(pattern, name, true)
        });
        names.into_iter().map(|name| folder.join(name)).collect()
    }

    /// The names in a folder, in their order.
    fn names(&mut self, folder: &Path) -> Vec<String> {
        if !self.listed.iter().any(|known| known == folder) {
            self.listed.push(folder.to_owned());
        }
        let mut names = self.files.list(folder).unwrap_or_default();
        names.sort_unstable();
        names
    }

    /// A file, or those of a folder and of the folders in it.
    fn collect(&mut self, path: &Path, depth: usize, found: &mut Vec<PathBuf>) {
        match self.files.kind(path) {
            Some(Kind::File) if found.len() < MOST_FOUND => found.push(path.to_owned()),
            Some(Kind::Folder) if depth < super::DEEPEST => {
                for name in self.names(path) {
                    self.collect(&path.join(name), depth + 1, found);
                }
            }
            Some(_) => {}
            // It may come: what follows the configuration waits for it.
            None if !self.read.iter().any(|known| known == path) => {
                self.read.push(path.to_owned());
            }
            None => {}
        }
    }
}
