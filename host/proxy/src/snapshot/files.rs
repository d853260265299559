//! The files that a configuration names for TLS and for bodies of responses: which they are, whether they can be used, and what the
//! latter have in them.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Result, anyhow};
use equipoise_config::{Body, BodyFile, Config};
use equipoise_tls::{self as tls, FileContents};

/// All files for TLS and for bodies that a configuration names.
pub fn files(config: &Config) -> BTreeSet<PathBuf> {
    let bodies = config.body_files().map(|file| file.path.to_owned());
    tls::files(config).into_iter().chain(bodies).collect()
}

/// What of them cannot be used, such as `route[0].respond.body-file: gone.html: …`. What the configuration `before` has as well is
/// not looked at: that goes on.
pub fn unusable(config: &Config, contents: &FileContents, before: Option<&Config>) -> Vec<String> {
    let known = before.map(|before| before.body_files().map(|file| file.path));
    let known: BTreeSet<&Path> = known.into_iter().flatten().collect();
    let bodies = config
        .body_files()
        .filter(|file| !known.contains(file.path));
    let bodies = bodies.filter_map(|file| {
        let error = read(&file, contents).err()?;
        Some(format!("{}: {error:#}", file.key))
    });
    let mut mistakes = tls::unusable(config, contents, before);
    mistakes.extend(bodies);
    mistakes
}

/// What a file for a body has in it.
fn read<'contents>(
    file: &BodyFile<'_>,
    contents: &'contents FileContents,
) -> Result<&'contents [u8]> {
    let bytes = &contents.of(file.path)?.bytes;
    match bytes.len() > file.most {
        true => Err(anyhow!(
            "{}: has {} bytes, and may have {}",
            file.path.display(),
            bytes.len(),
            file.most
        )),
        false => Ok(bytes),
    }
}

/// Bodies that are in files, as they were read last.
#[derive(Debug, Default)]
pub struct Bodies(HashMap<PathBuf, Arc<[u8]>>);

impl Bodies {
    /// Those of a configuration. Where a file is of no use now, what it had in it `before` goes on.
    pub(super) fn of(config: &Config, contents: &FileContents, before: Option<&Self>) -> Self {
        let bodies = config.body_files().filter_map(|file| {
            let known = before.and_then(|before| before.0.get(file.path));
            let bytes = match (read(&file, contents), known) {
                (Ok(bytes), Some(known)) if **known == *bytes => known.clone(),
                (Ok(bytes), _) => bytes.into(),
                (Err(_), known) => known?.clone(),
            };
            Some((file.path.to_owned(), bytes))
        });
        Self(bodies.collect())
    }

    /// The bytes of a body.
    pub(crate) fn bytes<'body>(&'body self, body: &'body Body) -> &'body [u8] {
        match body {
            Body::Text(text) => text.as_bytes(),
            Body::File { path, .. } => self.0.get(path).map_or(&[], |bytes| bytes),
        }
    }
}
