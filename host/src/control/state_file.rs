//! The lock on the state file: one process at a time writes it.
//!
//! The lock is a file of its own, since the state file is another one after every change; it is never removed, since a lock on
//! a file that is no longer there is none. The system takes the lock away from a program that dies. A program hands it over
//! to the one that takes over from it, just before that begins to serve.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process;

use rustix::fs::OFlags;

use super::command::Refusal;
use super::persistence;
use super::replace::{Replaced, target};
use equipoise_config::source::Changes;
use equipoise_file_watch as file_watch;

/// What the lock's file is called, behind the name of the state file.
const SUFFIX: &str = ".lock";

/// Whether this program may write the state file.
#[derive(Debug, Default)]
pub(super) struct StateFile {
    /// The state file, and the lock beside it, held for as long as it is open.
    held: Option<(PathBuf, File)>,
    /// Another program has taken over from this one.
    is_superseded: bool,
}

impl StateFile {
    /// Makes this the only program that writes this state file. Whether it was not that before, so that others may have written.
    ///
    /// # Errors
    /// [`Refusal::Conflict`]: another program is that. [`Refusal::Failed`]: there can be no lock.
    pub(super) fn acquire(&mut self, file: &Path) -> Result<bool, Refusal> {
        self.check_superseded()?;
        if self.holds(file) {
            return Ok(false);
        }
        self.held = Some((file.to_owned(), lock(file)?));
        Ok(true)
    }

    /// Keeps changes in this state file, and in no other from then on.
    ///
    /// # Errors
    /// As [`acquire`](Self::acquire), or it cannot be written: it is as before then.
    pub(super) fn write(&mut self, file: &Path, changes: &Changes) -> Result<Replaced, Refusal> {
        self.check_superseded()?;
        let new = match self.holds(file) {
            true => None,
            false => Some((file.to_owned(), lock(file)?)),
        };
        let written = persistence::write(file, changes)
            .map_err(|error| Refusal::Failed(format!("persist: {error:#}")))?;
        if new.is_some() {
            self.held = new;
        }
        Ok(written)
    }

    /// Another program takes over: this one writes nothing any more.
    pub(super) fn hand_over(&mut self) {
        *self = Self {
            held: None,
            is_superseded: true,
        };
    }

    /// The other program does not take over after all.
    pub(super) fn cancel_hand_over(&mut self) {
        self.is_superseded = false;
    }

    /// Fails where another program has taken over.
    ///
    /// # Errors
    /// What operators want is to be asked of that.
    pub(super) fn check_superseded(&self) -> Result<(), Refusal> {
        match self.is_superseded {
            true => Err(Refusal::Conflict(
                "another program has taken over from this one: ask again, and that one answers"
                    .to_owned(),
            )),
            false => Ok(()),
        }
    }

    fn holds(&self, file: &Path) -> bool {
        self.held.as_ref().is_some_and(|(held, _)| held == file)
    }
}

/// Locks a state file, and says in the lock which process does.
fn lock(file: &Path) -> Result<File, Refusal> {
    let state = target(file);
    if let Ok(metadata) = fs::metadata(&state) {
        file_watch::check_type(metadata.file_type()).map_err(|reason| {
            let file = file.display();
            Refusal::Failed(format!("persist: {file}: {reason}"))
        })?;
    }
    let mut path = state.into_os_string();
    path.push(SUFFIX);
    let path = PathBuf::from(path);
    let failed = |error: io::Error| {
        let path = path.display();
        Refusal::Failed(format!("persist: {path} cannot be locked: {error}"))
    };
    let mut lock = open(&path).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(is_taken(file, &lock)),
        // Some file systems have no locks.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {}
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    // Only for people to read.
    let _ = lock
        .set_len(0)
        .and_then(|()| writeln!(lock, "{}", process::id()));
    Ok(lock)
}

fn open(path: &Path) -> io::Result<File> {
    let lock = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
        .open(path)?;
    file_watch::check_type(lock.metadata()?.file_type())?;
    Ok(lock)
}

/// Says which program has the state file.
fn is_taken(file: &Path, mut lock: &File) -> Refusal {
    let mut holder = String::new();
    let read = lock
        .rewind()
        .and_then(|()| lock.take(20).read_to_string(&mut holder));
    let process = match (read, holder.trim()) {
        (Ok(_), number) if !number.is_empty() => format!(" (process {number})"),
        _ => String::new(),
    };
    Refusal::Conflict(format!(
        "persist: another program{process} keeps its changes in {}: change things there, or give this program a state file of its own",
        file.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use equipoise_config::source::Edit;

    fn changes(name: &str) -> Changes {
        Changes::default().with(Edit::RemoveBalancer { name: name.into() })
    }

    #[track_caller]
    fn conflict<T: std::fmt::Debug>(outcome: Result<T, Refusal>) -> String {
        match outcome {
            Err(Refusal::Conflict(reason)) => reason,
            other => panic!("{other:?}"),
        }
    }

    /// Locks belong to open files, so two of one program are as two programs.
    #[test]
    fn one_program_at_a_time_writes_a_state_file() {
        let folder = tempfile::tempdir().unwrap();
        let (file, link) = (folder.path().join("state"), folder.path().join("link"));
        std::os::unix::fs::symlink("state", &link).unwrap();
        let (mut first, mut second) = (StateFile::default(), StateFile::default());
        assert!(first.acquire(&file).unwrap());
        assert!(!first.acquire(&file).unwrap());
        first.write(&file, &changes("first")).unwrap();
        for path in [&file, &link] {
            let reason = conflict(second.write(path, &changes("second")));
            let holder = format!("another program (process {})", process::id());
            assert!(reason.contains(&holder), "{reason}");
            conflict(second.acquire(path));
        }
        assert_eq!(persistence::read(&file).unwrap(), changes("first"));
        drop(first);
        second.write(&link, &changes("second")).unwrap();
        assert_eq!(persistence::read(&file).unwrap(), changes("second"));
    }

    #[test]
    fn a_program_that_is_taken_over_from_writes_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("state");
        let (mut old, mut new) = (StateFile::default(), StateFile::default());
        old.acquire(&file).unwrap();
        conflict(new.acquire(&file));
        old.hand_over();
        conflict(old.write(&file, &changes("old")));
        // It has not come so far.
        old.cancel_hand_over();
        old.write(&file, &changes("old")).unwrap();
        conflict(new.acquire(&file));
        old.hand_over();
        new.acquire(&file).unwrap();
        new.write(&file, &changes("new")).unwrap();
        conflict(old.acquire(&file));
    }

    #[test]
    fn another_state_file_is_held_once_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two] = ["one", "two"].map(|name| folder.path().join(name));
        let (mut first, mut second) = (StateFile::default(), StateFile::default());
        first.acquire(&one).unwrap();
        let unwritable = folder.path().join("missing").join("state");
        assert!(matches!(
            first.write(&unwritable, &changes("x")),
            Err(Refusal::Failed(_))
        ));
        conflict(second.acquire(&one));
        first.write(&two, &changes("x")).unwrap();
        second.acquire(&one).unwrap();
        conflict(second.acquire(&two));
    }
}
