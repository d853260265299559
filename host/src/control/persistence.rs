//! `persist`: the file that keeps run-time changes over restarts.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::replace::{Replaced, replace};
use equipoise_config::source::Changes;
use equipoise_file_watch::{self as file_watch, Unreadable};

/// The version of the file's form.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes.
const MAX_SIZE: u64 = 16 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredState {
    version: u32,
    changes: Changes,
}

/// Why there are no changes to be had of a file.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    /// It cannot be read, or is no file: it may be of use another time, or to others.
    #[error("it cannot be read: {0}")]
    Unreadable(Unreadable),
    /// What is in it is of no use: why.
    #[error("{0}")]
    Invalid(String),
}

/// The changes that a file keeps; none where there is no such file.
///
/// # Errors
/// It has none that can be understood.
pub(super) fn read(file: &Path) -> Result<Changes, ReadError> {
    let content = match file_watch::read(file, MAX_SIZE) {
        Ok(content) => content,
        Err(Unreadable::Io(error)) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(Changes::default());
        }
        Err(reason @ Unreadable::TooLarge { .. }) => {
            return Err(ReadError::Invalid(reason.to_string()));
        }
        Err(reason) => return Err(ReadError::Unreadable(reason)),
    };
    let state: StoredState = serde_json::from_slice(&content.bytes)
        .map_err(|error| ReadError::Invalid(format!("it is no state of this program: {error}")))?;
    match state.version {
        VERSION => Ok(state.changes),
        version => Err(ReadError::Invalid(format!(
            "it is of version {version}, and this program knows {VERSION}"
        ))),
    }
}

/// Gives a file that is of no use another name, so that it is never overwritten.
pub(super) fn set_aside(file: &Path) -> io::Result<PathBuf> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(format!(
        ".unusable-{}",
        since.unwrap_or_default().as_millis()
    ));
    let aside = file.with_file_name(name);
    fs::rename(file, &aside)?;
    Ok(aside)
}

/// Keeps changes in a file, for good when this returns, unless it says otherwise.
///
/// # Errors
/// It cannot be written; what it held before is still there.
pub(super) fn write(file: &Path, changes: &Changes) -> Result<Replaced> {
    let state = StoredState {
        version: VERSION,
        changes: changes.clone(),
    };
    let text = serde_json::to_vec_pretty(&state)?;
    replace(file, &text).with_context(|| format!("{} cannot be written", file.display()))
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use super::*;
    use equipoise_config::source::Edit;

    #[test]
    fn what_is_kept_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        assert!(read(&file).unwrap().is_empty());
        let changes = Changes::default().with(Edit::RemoveBalancer { name: "b".into() });
        write(&file, &changes).unwrap();
        assert_eq!(read(&file).unwrap(), changes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_understood_is_useless_and_stays_until_it_is_set_aside() {
        for (text, reason) in [
            ("", "no state"),
            ("{\"version\": 1, \"chan", "no state"),
            ("{\"version\": 7, \"changes\": {}}", "version 7"),
            ("[]", "no state"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("state.json");
            fs::write(&file, text).unwrap();
            let error = read(&file).unwrap_err();
            assert!(matches!(error, ReadError::Invalid(_)), "{error}");
            assert!(error.to_string().contains(reason), "{error}");
            assert!(file.exists());
            let aside = set_aside(&file).unwrap();
            assert!(!file.exists());
            assert_eq!(fs::read_to_string(aside).unwrap(), text);
        }
    }

    #[test]
    fn what_is_no_file_is_neither_waited_for_nor_useless() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for path in [&pipe, folder.path()] {
            let error = read(path).unwrap_err();
            assert!(matches!(error, ReadError::Unreadable(_)), "{error}");
            assert!(write(path, &Changes::default()).is_err());
        }
    }
}
