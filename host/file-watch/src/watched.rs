//! Debouncing of one file: when it is read, and when its content is reported.
//!
//! A file is read when every look at it has seen the same for 50 ms. That also makes the look trustworthy: a change in
//! the same tick of the file system's clock can no longer hide behind the signature. While something changes the file
//! time and again within 50 ms, it is not read at all; and when it changes while it is read, the next try waits twice
//! as long, up to 400 ms, so that a large file that never rests is not read over and over.
//!
//! | what is seen                        | what happens                                                    |
//! |-------------------------------------|-----------------------------------------------------------------|
//! | the same as before                  | nothing                                                         |
//! | something else                      | it is read in 50 ms, unless it changes again                    |
//! | ... and the content is the known one| nothing: touched, or gone for a while                           |
//! | ... and the content is another one  | reported                                                        |
//! | ... and there is no content         | the reason is reported, once; the known content stays known     |
//! | ... and reading fails by itself     | also tried again every 2 s, since no change will call for it    |
//! | ... and the clock has whole seconds | read once more 2 s later, for a change in the same second       |

use std::mem;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::content::{Content, Hash, Unreadable, read_names, read_once};
use super::signature::{FileStat, stat};

/// How long a file must be unchanged before it is read.
const MIN_DEBOUNCE: Duration = Duration::from_millis(50);

/// The same for a file that was changed whenever it was read.
const MAX_DEBOUNCE: Duration = Duration::from_millis(400);

/// When to read again what may have another content without another signature. Clocks of file systems tick at least
/// that often.
const REREAD_INTERVAL: Duration = Duration::from_secs(2);

/// A file, and what is known of it.
#[derive(Debug)]
pub(super) struct Watched {
    path: PathBuf,
    /// Its content are the names in it.
    is_folder: bool,
    /// Of the last content that was reported, or that the caller had from the start.
    known: Option<Hash>,
    /// What the last look has seen. `None` before the first.
    stat: Option<FileStat>,
    /// When it is to be read, if nothing changes before.
    read_at: Option<Instant>,
    debounce: Duration,
    /// A doubtful signature has had its second reading.
    is_confirmed: bool,
    /// Why there is no content, as last said.
    reported_error: Option<String>,
}

impl Watched {
    pub(super) fn new(path: PathBuf, known: Option<Hash>) -> Self {
        Self {
            path,
            is_folder: false,
            known,
            stat: None,
            read_at: None,
            debounce: MIN_DEBOUNCE,
            is_confirmed: false,
            reported_error: None,
        }
    }

    /// A folder, whose content are the names in it.
    pub(super) fn folder(path: PathBuf, known: Option<Hash>) -> Self {
        Self {
            is_folder: true,
            ..Self::new(path, known)
        }
    }

    pub(super) fn is_folder(&self) -> bool {
        self.is_folder
    }

    /// The caller knows why there is no content.
    pub(super) fn mark_reported(&mut self, reason: &Unreadable) {
        self.reported_error = Some(reason.to_string());
    }

    /// The caller knows this content.
    pub(super) fn mark_known(&mut self, hash: Hash) {
        self.known = Some(hash);
        self.reported_error = None;
    }

    /// No content is known any more.
    pub(super) fn forget(&mut self) {
        self.known = None;
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// When it is to be read, unless [`Watched::observe`] sees a change until then.
    pub(super) fn read_at(&self) -> Option<Instant> {
        self.read_at
    }

    /// Takes note of a look at the file.
    pub(super) fn observe(&mut self, stat: FileStat, now: Instant) {
        if self.stat != Some(stat) {
            self.postpone(stat, now);
        }
    }

    /// Reads the file, of up to `max_size` bytes, and says what of it is news.
    pub(super) fn read(&mut self, max_size: u64) -> Option<Result<Content, Unreadable>> {
        let outcome = match self.is_folder {
            true => read_names(&self.path),
            false => read_once(&self.path, max_size),
        };
        let stat = stat(&self.path);
        self.settle(outcome, stat, Instant::now())
    }

    /// Says what of an outcome of reading is news, if `stat`, which was taken after it, is still the same.
    fn settle(
        &mut self,
        outcome: Result<Content, Unreadable>,
        stat: FileStat,
        now: Instant,
    ) -> Option<Result<Content, Unreadable>> {
        if self.stat != Some(stat) || matches!(outcome, Err(Unreadable::Unsettled)) {
            self.debounce = (self.debounce * 2).min(MAX_DEBOUNCE);
            self.postpone(stat, now);
            return None;
        }
        self.debounce = MIN_DEBOUNCE;
        let is_doubtful = match &outcome {
            Ok(_) => {
                stat.is_ok_and(|signature| signature.is_coarse())
                    && !mem::replace(&mut self.is_confirmed, true)
            }
            Err(Unreadable::Io(_)) => stat.is_ok(),
            Err(_) => false,
        };
        self.read_at = is_doubtful.then(|| now + REREAD_INTERVAL);
        self.is_news(&outcome).then_some(outcome)
    }

    fn postpone(&mut self, stat: FileStat, now: Instant) {
        self.stat = Some(stat);
        self.read_at = Some(now + self.debounce);
        self.is_confirmed = false;
    }

    /// Whether this has not been reported, and takes note that it will be.
    fn is_news(&mut self, outcome: &Result<Content, Unreadable>) -> bool {
        let reported_error = outcome.as_ref().err().map(Unreadable::to_string);
        match outcome {
            Ok(content) => {
                self.reported_error = None;
                self.known.replace(content.hash) != Some(content.hash)
            }
            Err(_) => {
                mem::replace(&mut self.reported_error, reported_error.clone()) != reported_error
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::super::signature::Signature;
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// The signature of a version of the file, of a clock that counts nanoseconds.
    fn version(version: u64) -> FileStat {
        Ok(Signature::of(version, (1_000_000, 1)))
    }

    fn content(text: &str) -> Result<Content, Unreadable> {
        Ok(Content::new(text.into()))
    }

    fn error(kind: io::ErrorKind) -> Result<Content, Unreadable> {
        Err(Unreadable::Io(kind.into()))
    }

    fn settled(watched: &mut Watched, stat: FileStat, text: &str, now: Instant) -> bool {
        watched.observe(stat, now);
        watched.settle(content(text), stat, now).is_some()
    }

    #[test]
    fn file_that_never_rests_is_not_read() {
        let start = Instant::now();
        let mut watched = Watched::new(PathBuf::new(), None);
        let mut now = start;
        for change in 0..1000 {
            assert!(watched.read_at().is_none_or(|read_at| read_at > now));
            watched.observe(version(change), now);
            now += 40 * MS;
        }
        watched.observe(version(999), now);
        assert_eq!(watched.read_at(), Some(now + 10 * MS));
    }

    #[test]
    fn file_that_changes_while_it_is_read_is_read_less_and_less_often() {
        let now = Instant::now();
        let mut watched = Watched::new(PathBuf::new(), None);
        watched.observe(version(0), now);
        for (change, wait) in (1..).zip([100, 200, 400, 400]) {
            assert!(
                watched
                    .settle(content("torn"), version(change), now)
                    .is_none()
            );
            assert_eq!(watched.read_at(), Some(now + wait * MS));
        }
        let torn = Err(Unreadable::Unsettled);
        assert!(watched.settle(torn, version(4), now).is_none());
        assert_eq!(watched.read_at(), Some(now + 400 * MS));

        assert!(watched.settle(content("whole"), version(4), now).is_some());
        watched.observe(version(5), now);
        assert_eq!(watched.read_at(), Some(now + 50 * MS));
    }

    #[test]
    fn settled_file_is_not_read_again() {
        let now = Instant::now();
        let mut watched = Watched::new(PathBuf::new(), None);
        assert!(settled(&mut watched, version(1), "a", now));
        watched.observe(version(1), now);
        assert_eq!(watched.read_at(), None);
    }

    #[test]
    fn clock_of_whole_seconds_is_not_trusted_at_once() {
        let now = Instant::now();
        let coarse = Ok(Signature::of(1, (1_000_000, 0)));
        let mut watched = Watched::new(PathBuf::new(), None);
        assert!(settled(&mut watched, coarse, "a", now));
        assert_eq!(watched.read_at(), Some(now + REREAD_INTERVAL));
        assert!(settled(&mut watched, coarse, "b", now + REREAD_INTERVAL));
        assert_eq!(watched.read_at(), None);
    }

    #[test]
    fn failure_of_the_system_is_reported_once_and_reading_tried_again() {
        let now = Instant::now();
        let mut watched = Watched::new(PathBuf::new(), None);
        watched.observe(version(1), now);
        let mut fail = || {
            let outcome = error(io::ErrorKind::OutOfMemory);
            let reported = watched.settle(outcome, version(1), now).is_some();
            (reported, watched.read_at())
        };
        assert_eq!(fail(), (true, Some(now + REREAD_INTERVAL)));
        assert_eq!(fail(), (false, Some(now + REREAD_INTERVAL)));
        assert!(settled(&mut watched, version(1), "a", now));
        assert_eq!(watched.read_at(), None);
    }

    #[test]
    fn missing_file_is_reported_each_time_it_disappears() {
        let now = Instant::now();
        let missing = io::ErrorKind::NotFound;
        let mut watched = Watched::new(PathBuf::new(), Some(Content::new("a".into()).hash));
        for _ in 0..2 {
            watched.observe(Err(missing), now);
            let outcome = watched.settle(error(missing), Err(missing), now);
            assert!(matches!(outcome, Some(Err(Unreadable::Io(_)))));
            assert_eq!(watched.read_at(), None);
            assert!(!settled(&mut watched, version(1), "a", now));
        }
    }

    #[test]
    fn reason_that_was_said_at_the_start_is_not_reported() {
        let now = Instant::now();
        let missing = io::ErrorKind::NotFound;
        let mut watched = Watched::new(PathBuf::new(), None);
        watched.mark_reported(&Unreadable::Io(missing.into()));
        watched.observe(Err(missing), now);
        assert!(watched.settle(error(missing), Err(missing), now).is_none());
        assert!(settled(&mut watched, version(1), "a", now));
        watched.observe(Err(missing), now);
        assert!(watched.settle(error(missing), Err(missing), now).is_some());
    }
}
