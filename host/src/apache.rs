//! Apache's configuration in the place of ours: imported where it is read, and again when a file that it is made of changes.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use equipoise_apache_import::{Fate, Files, Import, Kind, Options, Report, import};
use equipoise_file_watch::{self as file_watch, Hash};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

/// The extension that our own files have.
const OURS: &str = "toml";

/// A configuration of Apache's, with the files that it was made of when it was last read.
#[derive(Debug, Clone)]
pub(crate) struct Apache {
    file: PathBuf,
    options: Options,
    read: Known,
    listed: Known,
}

/// What was read of each file or folder; nothing where it could not be.
type Known = BTreeMap<PathBuf, Option<Hash>>;

impl Apache {
    /// The configuration at this path, if it is Apache's. Its files are named absolutely.
    ///
    /// # Errors
    /// It cannot be read; or it is ours, and there are options that are for Apache's.
    pub(crate) fn at(path: &Path, options: Options) -> Result<Option<Self>> {
        if !is_apache(path)? {
            if !options.listen.is_empty() || !options.defined.is_empty() {
                let path = path.display();
                bail!("{path}: --listen and -D are for configurations of Apache's");
            }
            return Ok(None);
        }
        Self::new(path, options).map(Some)
    }

    /// The same where it is known to be Apache's.
    pub(crate) fn new(path: &Path, options: Options) -> Result<Self> {
        Ok(Self {
            file: std::path::absolute(path).context("finding the current folder")?,
            options,
            read: Known::new(),
            listed: Known::new(),
        })
    }

    pub(crate) fn file(&self) -> &Path {
        &self.file
    }

    /// Reads it, and all that it includes.
    pub(crate) fn import(&mut self) -> Import {
        let disk = Disk::default();
        let import = import(&self.file, &disk, &self.options);
        self.read = disk.read.into_inner();
        self.listed = disk.listed.into_inner();
        // Those that are looked for, and are not there.
        for missing in &import.files {
            self.read.entry(missing.clone()).or_insert(None);
        }
        import
    }

    /// The files that it was made of, with what was read.
    pub(crate) fn files(&self) -> impl Iterator<Item = (PathBuf, Option<Hash>)> {
        self.read.iter().map(|(path, known)| (path.clone(), *known))
    }

    /// The folders that files were looked for in, with the names that were there.
    pub(crate) fn folders(&self) -> impl Iterator<Item = (PathBuf, Option<Hash>)> {
        let listed = self.listed.iter();
        listed.map(|(path, known)| (path.clone(), *known))
    }
}

/// What is configured by an import.
///
/// # Errors
/// Something was refused: all that there is to tell.
pub(crate) fn text(import: Import) -> Result<String> {
    let refused = import.report.is_refused();
    let toml = import.toml.filter(|_| !refused);
    toml.ok_or_else(|| anyhow!("{}", import.report.to_string().trim_end()))
}

/// Tells in the log what is not carried over.
pub(crate) fn tell(report: &Report) {
    for entry in report.entries() {
        match entry.fate {
            Fate::Differs => tracing::info!("differs: {entry}"),
            Fate::LeftOut => tracing::warn!("not carried over: {entry}"),
            Fate::Refused | Fate::CarriedOver | Fate::Meaningless => {}
        }
    }
}

/// What Apache would listen on for `Listen 80`.
pub(crate) fn any_address() -> IpAddr {
    match TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)) {
        Ok(_) => Ipv6Addr::UNSPECIFIED.into(),
        Err(_) => Ipv4Addr::UNSPECIFIED.into(),
    }
}

/// Whether a file is a configuration of Apache's: one that is not called `.toml`, and does not begin as TOML does.
fn is_apache(path: &Path) -> Result<bool> {
    if path.extension().is_some_and(|it| it == OURS) {
        return Ok(false);
    }
    // What is wrong with it is told where it is read.
    let Ok(content) = file_watch::read(path, LARGEST) else {
        return Ok(false);
    };
    let text = String::from_utf8_lossy(&content.bytes);
    let mut lines = text.lines().map(str::trim);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with('#'));
    Ok(first.is_some_and(|line| !begins_as_toml(line)))
}

/// Whether a line is a table's header or a key with its value.
fn begins_as_toml(line: &str) -> bool {
    let is_key = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.\"' ".contains(&byte);
    let key = line.split_once('=').map(|(key, _)| key.trim());
    let is_pair = key.is_some_and(|key| {
        let words = key.split_whitespace().count();
        words == 1 && key.bytes().all(is_key)
    });
    line.starts_with('[') || is_pair
}

/// The disk, with what was read of it.
#[derive(Debug, Default)]
struct Disk {
    read: RefCell<Known>,
    listed: RefCell<Known>,
}

impl Files for Disk {
    fn read(&self, file: &Path) -> io::Result<Vec<u8>> {
        let content = file_watch::read(file, LARGEST);
        let hash = content.as_ref().ok().map(|content| content.hash);
        self.read.borrow_mut().insert(file.to_owned(), hash);
        Ok(content?.bytes)
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<String>> {
        let content = file_watch::read_names(folder);
        let hash = content.as_ref().ok().map(|content| content.hash);
        self.listed.borrow_mut().insert(folder.to_owned(), hash);
        let names = String::from_utf8_lossy(&content?.bytes).into_owned();
        Ok(names.lines().map(str::to_owned).collect())
    }

    fn kind(&self, path: &Path) -> Option<Kind> {
        let metadata = fs::metadata(path).ok()?;
        match metadata.is_dir() {
            true => Some(Kind::Folder),
            false => Some(Kind::File),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn toml_is_told_from_apaches_words() {
        for (line, is_toml) in [
            ("[[listen]]", true),
            ("workers = 1", true),
            ("limits.headers=2", true),
            ("\"workers\" = 1", true),
            ("ServerRoot \"/etc/httpd\"", false),
            ("<VirtualHost *:80>", false),
            ("BalancerMember http://a route=1", false),
            ("ProxySet lbmethod=byrequests", false),
        ] {
            assert_eq!(begins_as_toml(line), is_toml, "{line}");
        }
    }
}
