//! File watcher: reports the last stable content of files that have changed.
//!
//! Files are changed in many ways: written in place, renamed over, by a symlink that is made to lead elsewhere,
//! deleted and made again with their folder. None of that is told apart here. What counts is what the path leads to:
//! whenever the file system says something else of it than before, and then the same for a moment, the file is read;
//! and when the content is another one than before, it is handed over. Two mechanisms say when to ask the file system:
//!
//! * a slow poll, twice a second, that needs nothing but `stat` and so works everywhere;
//! * events of the folders on the way to a file ([`events`]), that only make the next look come at once. Whatever they
//!   miss, and where there are none, the poll finds.
//!
//! [`watched`] has the rules for one file, and [`content`] how it is read without taking half of it.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

mod content;
mod events;
mod signature;
#[cfg(test)]
mod tests;
mod wakeup;
mod watched;
mod watched_paths;

pub use content::{Content, Hash, Unreadable, check_type, hash, read, read_names, read_once};
use events::Events;
use wakeup::Wakeup;
use watched::Watched;

/// How often files are looked at when no event comes.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// How long events are ignored after a look, so that a storm of them costs no more than 40 looks a second.
const MIN_LOOK_INTERVAL: Duration = Duration::from_millis(25);

/// Watches some files, each known by a key of the caller's, for one thread that asks with [`Watcher::wait`].
#[derive(Debug)]
pub struct Watcher<K> {
    files: Vec<(K, Watched)>,
    /// Bytes.
    max_size: u64,
    poll: Duration,
    wakeup: Arc<Wakeup>,
    /// `None` when left to the poll.
    events: Option<Events>,
    /// Something happened on the way to the files: events may have to come from elsewhere now.
    is_stale: bool,
}

/// What became of a file.
#[derive(Debug)]
pub struct Change<K> {
    /// Which one.
    pub key: K,
    /// Another content than before, or why there is none: said once, until there is content again or another reason.
    pub content: Result<Content, Unreadable>,
}

/// Makes [`Watcher::wait`] return from another thread. A clone wakes the same watcher.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Wakeup>);

impl<K: Clone + Eq + std::hash::Hash> Watcher<K> {
    /// Watches `files`, each with the hash of the content that the caller has of it, if any. That content is not handed
    /// over until there was another one. Relative paths start from the current folder. Files of more than `max_size`
    /// bytes are refused.
    ///
    /// Where there are no events of the file system, this is logged once and the poll does all of the work.
    pub fn new(files: impl IntoIterator<Item = (K, PathBuf, Option<Hash>)>, max_size: u64) -> Self {
        let mut watcher = Self::polling(files, max_size, POLL_INTERVAL);
        watcher.listen();
        watcher
    }

    /// Watches these files from now on. Of those that were watched before by the same key, at the same path, nothing is forgotten.
    pub fn follow(&mut self, files: impl IntoIterator<Item = (K, PathBuf, Option<Hash>)>) {
        let mut before: HashMap<K, Watched> = std::mem::take(&mut self.files).into_iter().collect();
        let files = files.into_iter().map(|(key, path, known)| {
            let same = before.remove(&key);
            let same = same.filter(|file| file.path() == path && !file.is_folder());
            (key, same.unwrap_or_else(|| Watched::new(path, known)))
        });
        self.files = files.collect();
        self.is_stale = true;
    }

    /// Watches these folders besides: the content of one are the names of what is in it ([`read_names`]). Those that were watched before
    /// are forgotten by [`Watcher::follow`].
    pub fn follow_folders(
        &mut self,
        folders: impl IntoIterator<Item = (K, PathBuf, Option<Hash>)>,
    ) {
        let folders = folders.into_iter();
        let watched = folders.map(|(key, path, known)| (key, Watched::folder(path, known)));
        self.files.extend(watched);
        self.is_stale = true;
    }

    /// The caller has this content of a file already: it is no news. Without effect on a file that is not watched.
    pub fn mark_known(&mut self, key: &K, hash: Hash) {
        if let Some(file) = self.file(key) {
            file.mark_known(hash);
        }
    }

    /// The next content of a file is news, whatever it is. Without effect on a file that is not watched.
    pub fn forget(&mut self, key: &K) {
        if let Some(file) = self.file(key) {
            file.forget();
        }
    }

    /// The caller has already reported why a file has no content: that is not reported again. Without effect on a file that is
    /// not watched.
    pub fn mark_reported(&mut self, key: &K, reason: &Unreadable) {
        if let Some(file) = self.file(key) {
            file.mark_reported(reason);
        }
    }

    fn file(&mut self, key: &K) -> Option<&mut Watched> {
        let mut files = self.files.iter_mut();
        files.find(|(it, _)| it == key).map(|(_, file)| file)
    }

    /// Polls every `poll`, without events.
    fn polling(
        files: impl IntoIterator<Item = (K, PathBuf, Option<Hash>)>,
        max_size: u64,
        poll: Duration,
    ) -> Self {
        let files = files.into_iter();
        Self {
            files: files
                .map(|(key, path, known)| (key, Watched::new(path, known)))
                .collect(),
            max_size,
            poll,
            wakeup: Arc::default(),
            events: None,
            is_stale: true,
        }
    }

    /// Subscribes to events, if the system offers them.
    fn listen(&mut self) {
        let wakeup = Arc::clone(&self.wakeup);
        self.events = Events::new(move || wakeup.notify());
    }

    /// What other threads use to make [`Watcher::wait`] return.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wakeup))
    }

    /// Blocks until a file has another content than before, or can no longer be read; small files are handed over
    /// about 60 ms after their last change, or 600 ms where there are no events. Files that changed together come one
    /// call after the other, so that one content is in memory at a time.
    ///
    /// `None`: woken by a [`Waker`], now or since the last `None`.
    pub fn wait(&mut self) -> Option<Change<K>> {
        loop {
            self.look();
            if let Some(change) = self.read_due() {
                return Some(change);
            }
            if self.sleep() {
                return None;
            }
        }
    }

    /// Stats all paths.
    fn look(&mut self) {
        let is_moving = self.files.iter().any(|(_, file)| file.read_at().is_some());
        if let Some(events) = &mut self.events
            && (is_moving || self.is_stale)
        {
            // First the events, then the look: no change between the two is missed.
            events.follow(self.files.iter().map(|(_, file)| file.path()));
            self.is_stale = false;
        }
        for (_, file) in &mut self.files {
            let stat = signature::stat(file.path());
            file.observe(stat, Instant::now());
        }
    }

    /// Reads the files that have been quiet, the longest quiet one first, up to one that is news.
    fn read_due(&mut self) -> Option<Change<K>> {
        let now = Instant::now();
        let mut due: Vec<_> = (0..self.files.len())
            .filter_map(|place| Some((self.files[place].1.read_at()?, place)))
            .filter(|&(read_at, _)| read_at <= now)
            .collect();
        due.sort_unstable();
        due.into_iter().find_map(|(_, place)| {
            let (key, file) = &mut self.files[place];
            let content = file.read(self.max_size)?;
            let key = key.clone();
            Some(Change { key, content })
        })
    }

    /// Sleeps until the next look, and says whether that is because of a [`Waker`].
    fn sleep(&mut self) -> bool {
        let now = Instant::now();
        let reads = self.files.iter().filter_map(|(_, file)| file.read_at());
        let until = reads.fold(now + self.poll, Instant::min);
        let wakeups = self.wakeup.wait(now + MIN_LOOK_INTERVAL, until);
        self.is_stale |= wakeups.by_event;
        wakeups.by_waker
    }
}

impl Waker {
    /// Makes [`Watcher::wait`] return `None`, soon or as soon as it is called.
    pub fn wake(&self) {
        self.0.wake();
    }
}
