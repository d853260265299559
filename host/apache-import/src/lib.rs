//! From Apache's configuration to ours.
//!
//! [`import`] follows a file as Apache does, and writes what it says in our words, with comments that name directive, file and
//! line. What is not carried over is told; what would open what was closed is refused, and closed in what is written. What is
//! written is always a configuration that [`Config`](equipoise_config::Config) reads.
//!
//! On the way: [`reader`] (lines to directives, with nothing left to follow), [`server`] (directives to servers), [`entry`] (what a
//! server does, in Apache's order), [`draft`] (cut along its sections), [`route`] and [`member`] (written), [`mend`] (checked).

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

mod access;
mod balancer;
mod directive;
mod document;
mod draft;
mod entry;
mod extras;
mod field;
mod files;
mod health;
mod lexer;
mod listen;
mod macros;
mod manager;
mod member;
mod mend;
mod modules;
mod names;
mod parameters;
mod pass;
mod path;
mod pattern;
mod place;
mod pool;
mod reader;
mod redirect;
mod report;
mod rewrite;
mod route;
mod server;
mod settings;
mod site;
mod sticky;
mod tls;
mod units;
mod variables;
mod version;
mod writer;

#[cfg(test)]
mod tests;

pub use files::{Files, Kind};
pub use place::Place;
pub use report::{Entry, Fate, Report};

/// What an import is told besides the files.
#[derive(Debug, Clone)]
pub struct Options {
    /// `-D NAME` or `-D NAME=VALUE`: what is defined before anything is read.
    pub defined: Vec<String>,
    /// Variables of the environment.
    pub environment: BTreeMap<String, String>,
    /// Where to listen, for a configuration that does not say so itself.
    pub listen: Vec<SocketAddr>,
    /// What `Listen 80` listens on. Default: `::`, which is every address of the machine; `0.0.0.0` where there is no IPv6.
    pub any: IpAddr,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            defined: Vec::new(),
            environment: BTreeMap::new(),
            listen: Vec::new(),
            any: Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

/// What comes of an import.
#[derive(Debug)]
pub struct Import {
    /// Our configuration; `None` where nothing is left of it. Files in it are absolute where the first file's path is.
    pub toml: Option<String>,
    /// What there is to tell.
    pub report: Report,
    /// The files that were read, or would be if they were there.
    pub files: Vec<PathBuf>,
    /// The folders whose files are read, whichever are there.
    pub folders: Vec<PathBuf>,
}

/// Reads Apache's configuration at `file`, and all that it includes. No input panics; bounds are in [`reader`].
pub fn import(file: &Path, files: &dyn Files, options: &Options) -> Import {
    let mut report = Report::default();
    let defined = options.defined.iter().map(|said| {
        let (name, value) = said.split_once('=').unwrap_or((said, ""));
        (name.to_owned(), value.to_owned())
    });
    let variables = variables::Variables::new(defined, options.environment.clone());
    let tree = reader::read(file, files, variables, &mut report);
    let servers = site::servers(&tree.directives, &mut report);
    let tables = site::tables(
        &servers,
        &tree.server_root,
        files,
        &options.listen,
        options.any,
        &mut report,
    );
    extras::tell_unread(&tree.directives, &mut report);
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let title = format!("Imported from {name}");
    let title = equipoise_text::sanitize::text(&title, 200);
    let toml = mend::mend(&title, tables, file, &mut report);
    Import {
        toml,
        report,
        files: tree.files,
        folders: tree.folders,
    }
}
