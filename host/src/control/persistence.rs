//! `persist`: the file that keeps run-time changes over restarts.
//!
//! It is written whole, to a file beside it that then takes its name, so that it holds either what it held before or all of
//! the new, whenever the power goes. What cannot be read is set aside, never overwritten.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use super::changes::Changes;

/// The version of the file's form.
const VERSION: u32 = 1;

/// The largest file that is read, in bytes.
const LARGEST: u64 = 16 * 1024 * 1024;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    version: u32,
    changes: Changes,
}

/// Reads the changes that a file keeps; none where there is no such file. What is no such file is set aside, with a warning.
pub(super) fn read(file: &Path) -> Changes {
    match parse(file) {
        Ok(changes) => changes,
        Err(error) => {
            let file = file.display();
            tracing::warn!(
                "persist: {file} cannot be used: {error:#}; no run-time change is in force"
            );
            Changes::default()
        }
    }
}

fn parse(file: &Path) -> Result<Changes> {
    let length = match fs::metadata(file) {
        Ok(metadata) => metadata.len(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Changes::default()),
        Err(error) => return Err(error).context("it cannot be read"),
    };
    let state: Result<State> = if length > LARGEST {
        Err(anyhow::anyhow!("it has more than {LARGEST} bytes"))
    } else {
        let text = fs::read(file).context("it cannot be read")?;
        serde_json::from_slice(&text).context("it is no state of this program")
    };
    let understood = state.and_then(|state| match state.version {
        VERSION => Ok(state.changes),
        version => Err(anyhow::anyhow!(
            "it is of version {version}, and this program knows {VERSION}"
        )),
    });
    understood.map_err(|error| match set_aside(file) {
        Ok(aside) => error.context(format!("it was set aside as {}", aside.display())),
        Err(failed) => error.context(format!("it could not be set aside: {failed}")),
    })
}

/// Gives a file that is of no use another name.
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

/// Keeps changes in a file, for good when this returns.
///
/// # Errors
/// It cannot be written; what it held before is still there.
pub(super) fn write(file: &Path, changes: &Changes) -> Result<()> {
    let state = State {
        version: VERSION,
        changes: changes.clone(),
    };
    let text = serde_json::to_vec_pretty(&state)?;
    replace(file, &text).with_context(|| format!("{} cannot be written", file.display()))
}

/// Replaces a file as a whole, for good when this returns. Where a link stands in its place, it is what that leads to.
///
/// # Errors
/// It cannot be; it is as before then.
pub(super) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let resolved = fs::canonicalize(file);
    let file = resolved.as_deref().unwrap_or(file);
    let folder = match file.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    let mut whole = NamedTempFile::new_in(folder)?;
    if let Ok(before) = fs::metadata(file) {
        whole.as_file().set_permissions(before.permissions())?;
    }
    whole.write_all(bytes)?;
    whole.as_file().sync_all()?;
    whole.persist(file)?;
    // The name, too.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::super::changes::Edit;
    use super::*;

    #[test]
    fn what_is_kept_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state.json");
        assert!(read(&file).is_empty());
        let changes = Changes::default().with(Edit::RemoveBalancer { name: "b".into() });
        write(&file, &changes).unwrap();
        assert_eq!(read(&file), changes);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_read_is_set_aside_and_kept() {
        for (text, reason) in [
            ("", "no state"),
            ("{\"version\": 1, \"chan", "no state"),
            ("{\"version\": 7, \"changes\": {}}", "version 7"),
            ("[]", "no state"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let file = folder.path().join("state.json");
            fs::write(&file, text).unwrap();
            let error = format!("{:#}", parse(&file).unwrap_err());
            assert!(error.contains(reason), "{error}");
            assert!(!file.exists());
            let aside = fs::read_dir(folder.path())
                .unwrap()
                .next()
                .unwrap()
                .unwrap();
            assert_eq!(fs::read_to_string(aside.path()).unwrap(), text);
        }
    }

    #[test]
    fn a_link_stays_a_link() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("file"), folder.path().join("link"));
        fs::write(&file, "before").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        replace(&link, b"after").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"after");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn what_cannot_be_written_leaves_the_file_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("missing").join("state.json");
        assert!(write(&file, &Changes::default()).is_err());
    }
}
