//! Whole configurations, from files in memory to our text and what is told.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use super::{Fate, Files, Import, Kind, Options, import};

mod answers;
mod any;
mod debian;
mod idioms;
mod redhat;
mod servers;

/// Files by their paths.
#[derive(Debug, Default)]
pub(crate) struct Memory(BTreeMap<PathBuf, Vec<u8>>);

impl Memory {
    pub(crate) fn of<const N: usize>(files: [(&str, &str); N]) -> Self {
        let files = files.map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec()));
        Self(files.into())
    }
}

impl Files for Memory {
    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        let content = self.0.get(file).cloned();
        content.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let inside = self
            .0
            .keys()
            .filter_map(|path| path.strip_prefix(folder).ok());
        let names = inside.filter_map(|path| path.components().next());
        let mut names: Vec<_> = names
            .map(|name| name.as_os_str().to_string_lossy().into_owned())
            .collect();
        names.dedup();
        Ok(names)
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        match self.0.contains_key(path) {
            true => Some(Kind::File),
            false => {
                let mut inside = self.0.keys().filter(|it| it.starts_with(path));
                inside.next().map(|_| Kind::Folder)
            }
        }
    }
}

/// What comes of one file that listens nowhere.
pub(crate) fn of(text: &str) -> Import {
    let files = Memory::of([("/etc/httpd.conf", text)]);
    let options = Options {
        listen: vec!["127.0.0.1:8080".parse().expect("an address")],
        ..Options::default()
    };
    import(Path::new("/etc/httpd.conf"), &files, &options)
}

/// What comes of one file that says itself where it listens.
pub(crate) fn alone(text: &str) -> Import {
    let files = Memory::of([("/etc/httpd.conf", text)]);
    import(Path::new("/etc/httpd.conf"), &files, &Options::default())
}

/// Our text without comments and blank lines.
pub(crate) fn plain(import: &Import) -> String {
    let text = import
        .toml
        .as_deref()
        .unwrap_or_else(|| panic!("{}", import.report));
    let lines = text
        .lines()
        .map(|line| line.split(" # ").next().unwrap_or(line));
    let lines: Vec<_> = lines
        .filter(|it| !it.is_empty() && !it.starts_with('#'))
        .collect();
    lines.join("\n")
}

/// What is told with this fate, one a line.
pub(crate) fn told(import: &Import, fate: Fate) -> Vec<String> {
    let entries = import.report.entries().iter();
    let entries = entries.filter(|entry| entry.fate == fate);
    entries.map(ToString::to_string).collect()
}
