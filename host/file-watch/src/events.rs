//! File system events of the folders that decide where the watched paths lead to.
//!
//! Folders are watched rather than files, since it is the folder that is told when a name gets another file. An event
//! only wakes the watcher: what it says of the file may be outdated by then.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Debug};
use std::fs;
use std::io;
use std::mem;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{Event, EventKind};
use notify::{ErrorKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::watched_paths::watched_paths;

/// Notifies when something happens on the way to a file.
pub(super) struct Events {
    /// `None` once its thread has ended.
    source: Option<RecommendedWatcher>,
    /// The other owner is the thread of `source`.
    names: Arc<Names>,
    /// The folders that are watched, and which ones these were: device and inode.
    folders: BTreeMap<PathBuf, (u64, u64)>,
    has_warned: bool,
}

/// The paths whose events count. There may be other files in the folders, busy ones.
#[derive(Default)]
struct Names(Mutex<BTreeSet<PathBuf>>);

impl Events {
    /// Calls `notify` from a thread of its own. `None`, and a line in the log, if the system offers no events.
    pub(super) fn new(notify: impl Fn() + Send + 'static) -> Option<Self> {
        let names = Arc::new(Names::default());
        let filter = Arc::clone(&names);
        let source = notify::recommended_watcher(move |event: notify::Result<Event>| {
            // Errors are lost events, too.
            if event.is_ok_and(|event| !filter.matches(&event)) {
                return;
            }
            notify();
        });
        let mut events = Self {
            source: None,
            names,
            folders: BTreeMap::new(),
            has_warned: false,
        };
        match source {
            Ok(source) => events.source = Some(source),
            Err(error) => events.warn_once(&error.to_string()),
        }
        events.has_source().then_some(events)
    }

    /// Notifies of these paths from now on, as far as possible, wherever they lead to now.
    pub(super) fn follow<'a>(&mut self, paths: impl Iterator<Item = &'a Path>) {
        if !self.has_source() {
            return;
        }
        let mut names: BTreeSet<_> = paths.flat_map(watched_paths).collect();
        let folders: BTreeMap<_, _> = names
            .iter()
            .filter_map(|place| {
                let folder = place.parent()?;
                let metadata = fs::metadata(folder).ok()?;
                Some((folder.to_owned(), (metadata.dev(), metadata.ino())))
            })
            .collect();
        // A folder may itself be taken away.
        names.extend(folders.keys().cloned());
        self.names.set(names);
        self.watch(folders);
    }

    fn watch(&mut self, folders: BTreeMap<PathBuf, (u64, u64)>) {
        let Some(source) = &mut self.source else {
            return;
        };
        for (folder, identity) in mem::take(&mut self.folders) {
            if folders.get(&folder) != Some(&identity) {
                // Unknown if the folder is gone, which is as well.
                let _ = source.unwatch(&folder);
            }
        }
        let mut complaint = None;
        for (folder, identity) in folders {
            // Also where it is watched already, which changes nothing: it may have been deleted and made again, with
            // the same inode, and the watch is gone.
            match source.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => drop(self.folders.insert(folder, identity)),
                // What takes its place is found by the next look.
                Err(error) if is_gone(&error) => {}
                Err(error) => complaint = Some(error),
            }
        }
        if let Some(error) = complaint {
            self.warn_once(&error.to_string());
        }
    }

    /// Whether events can come. The source panics when it is used after its thread has ended or could not be started.
    fn has_source(&mut self) -> bool {
        if self.source.is_some() && Arc::strong_count(&self.names) == 1 {
            // Even when it is dropped.
            mem::forget(self.source.take());
            self.warn_once("the thread that waits for them is gone");
        }
        self.source.is_some()
    }

    fn warn_once(&mut self, error: &str) {
        if !mem::replace(&mut self.has_warned, true) {
            tracing::warn!(
                error,
                "no file system events: changed files are found by polling"
            );
        }
    }
}

fn is_gone(error: &notify::Error) -> bool {
    match &error.kind {
        ErrorKind::PathNotFound => true,
        ErrorKind::Io(error) => error.kind() == io::ErrorKind::NotFound,
        _ => false,
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.has_source();
    }
}

impl Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.folders.keys()).finish()
    }
}

impl Names {
    fn set(&self, names: BTreeSet<PathBuf>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = names;
    }

    fn matches(&self, event: &Event) -> bool {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event.kind {
            // Opened or closed. Reading a file must not be a reason to look at it.
            EventKind::Access(_) => false,
            _ => event.need_rescan() || event.paths.iter().any(|path| names.contains(path)),
        }
    }
}

#[cfg(test)]
mod tests {
    use notify::event::{AccessKind, CreateKind, Flag, RemoveKind};

    use super::*;

    #[test]
    fn only_events_on_the_way_to_a_file_count() {
        let names = Names::default();
        names.set(["/a", "/a/b.wasm"].map(PathBuf::from).into());
        let event = |kind, path| Event::new(kind).add_path(PathBuf::from(path));
        let made = EventKind::Create(CreateKind::File);
        let removed = EventKind::Remove(RemoveKind::Folder);
        let read = EventKind::Access(AccessKind::Any);
        let overflow = Event::new(EventKind::Other).set_flag(Flag::Rescan);

        assert!(names.matches(&event(made, "/a/b.wasm")));
        assert!(names.matches(&event(removed, "/a")));
        assert!(names.matches(&overflow));
        assert!(!names.matches(&event(made, "/a/access.log")));
        assert!(!names.matches(&event(read, "/a/b.wasm")));
    }
}
