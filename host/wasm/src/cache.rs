//! Compiled components on disk, so that a start, a hot restart or a container with a warm cache compiles nothing.
//!
//! Loading compiled code is running it, so no other user may put any here: the folder and its key belong to this program's user
//! and are closed to others, and an entry counts only with a message authentication code by that key. The code covers what
//! the entry is of: the component's content, the engine's settings, the processor's features and the program's version.
//! Whatever does not fit is removed and compiled again.
//!
//! The folder holds `key`, and an entry `ID.component` each: 32 bytes of HMAC-SHA-256, then the code. The least recently used
//! entries go when there are too many.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use aws_lc_rs::hmac;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use subtle::ConstantTimeEq as _;
use tempfile::NamedTempFile;

/// Bytes of the key.
const KEY: usize = 32;

/// Bytes of a message authentication code.
const TAG: usize = 32;

/// Entries that are kept.
const MAX_ENTRIES: usize = 64;

/// Bytes of all entries that are kept.
const MAX_BYTES: u64 = 2 << 30;

/// The largest entry, in bytes.
pub(super) const MAX_ENTRY: u64 = 1 << 30;

/// How names of files begin that are being written.
const TEMPORARY: &str = ".writing-";

/// After so long, a file that is being written is one that a crash left.
const STALE_AFTER: Duration = Duration::from_secs(3600);

/// What an entry is of: a hash over everything that its code depends on.
pub(super) type Id = [u8; 32];

/// A folder of compiled components.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    key: hmac::Key,
}

impl Cache {
    /// Opens a folder, which is made where there is none.
    ///
    /// # Errors
    /// It cannot be made, or others than this program's user can write to it or read its key: what to do about it.
    pub fn open(folder: &Path) -> Result<Self> {
        let shown = folder.display();
        let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.with_context(|| format!("making the folder {shown}"))?;
        let metadata = fs::metadata(folder).with_context(|| shown.to_string())?;
        ensure!(
            metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0,
            "{shown} must belong to the user that the program runs as, and be writable for no other"
        );
        let key = match read_key(folder) {
            Ok(key) => key,
            Err(error) if is_missing(&error) => make_key(folder)?,
            Err(error) => return Err(error),
        };
        sweep(folder);
        Ok(Self {
            folder: folder.to_owned(),
            key: hmac::Key::new(hmac::HMAC_SHA256, &key),
        })
    }

    /// The code of an entry; `None` where there is none that this program made.
    pub(super) fn load(&self, id: &Id) -> Option<Vec<u8>> {
        let path = self.path(id);
        let code = match self.read(id, &path) {
            Ok(code) => code,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                let shown = path.display();
                tracing::warn!("plugin cache: {shown} is not used: {error}; it is compiled again");
                let _ = fs::remove_file(&path);
                return None;
            }
        };
        Some(code)
    }

    fn read(&self, id: &Id, path: &Path) -> io::Result<Vec<u8>> {
        let file = open(path)?;
        let mut bytes = Vec::new();
        (&file).take(MAX_ENTRY + 1).read_to_end(&mut bytes)?;
        let forged = || io::Error::other("it was not written by this program");
        let tag = bytes.first_chunk::<TAG>().copied().ok_or_else(forged)?;
        bytes.drain(..TAG);
        if !bool::from(self.tag(id, &bytes).ct_eq(&tag)) {
            return Err(forged());
        }
        // Used now: it is the last to go. One that cannot be marked goes earlier, which is no loss.
        let _ = file.set_modified(SystemTime::now());
        Ok(bytes)
    }

    /// Keeps code as an entry.
    ///
    /// # Errors
    /// It is too large, or cannot be written; nothing is lost but time.
    pub(super) fn store(&self, id: &Id, code: &[u8]) -> Result<()> {
        ensure!(
            code.len() as u64 + TAG as u64 <= MAX_ENTRY,
            "it has {} bytes; {MAX_ENTRY} are the most",
            code.len()
        );
        let mut file = temporary(&self.folder)?;
        file.write_all(&self.tag(id, code))?;
        file.write_all(code)?;
        file.persist(self.path(id))?;
        self.evict();
        Ok(())
    }

    /// Removes the least recently used entries where there are too many.
    fn evict(&self) {
        let mut entries: Vec<_> = files(&self.folder)
            .filter(|(path, _)| path.extension().is_some_and(|it| it == "component"))
            .collect();
        entries.sort_by_key(|(_, metadata)| std::cmp::Reverse(metadata.modified().ok()));
        let mut bytes = 0;
        for (number, (path, metadata)) in entries.iter().enumerate() {
            bytes += metadata.len();
            // The newest stays, however large it is.
            if number >= MAX_ENTRIES || (number > 0 && bytes > MAX_BYTES) {
                let _ = fs::remove_file(path);
            }
        }
    }

    /// The message authentication code of an entry. It covers the id: one entry cannot take another's name.
    fn tag(&self, id: &Id, code: &[u8]) -> Vec<u8> {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [b"equipoise component\n", &id[..], code] {
            context.update(part);
        }
        context.sign().as_ref().to_vec()
    }

    fn path(&self, id: &Id) -> PathBuf {
        let mut name = id.iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        name.push_str(".component");
        self.folder.join(name)
    }
}

/// Opens a regular file of this user that no other user can write to.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    let metadata = file.metadata()?;
    let is_ours =
        metadata.is_file() && metadata.uid() == geteuid().as_raw() && metadata.mode() & 0o022 == 0;
    match is_ours {
        true => Ok(file),
        false => Err(io::Error::other(
            "it must be a regular file of the user that the program runs as, and writable for no other",
        )),
    }
}

fn read_key(folder: &Path) -> Result<[u8; KEY]> {
    let path = folder.join("key");
    let shown = || path.display().to_string();
    let mut file = open(&path).with_context(shown)?;
    let metadata = file.metadata().with_context(shown)?;
    ensure!(
        metadata.mode() & 0o077 == 0 && metadata.len() == KEY as u64,
        "{}: it must hold {KEY} bytes that its owner alone can read; remove it, and it is made anew",
        path.display()
    );
    let mut key = [0; KEY];
    file.read_exact(&mut key).with_context(shown)?;
    Ok(key)
}

/// Makes the key; where another program has just done so, takes that.
fn make_key(folder: &Path) -> Result<[u8; KEY]> {
    let mut key = [0; KEY];
    getrandom::fill(&mut key).context("the system gives no random bytes")?;
    let mut file = temporary(folder)?;
    file.write_all(&key)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(folder.join("key")) {
        Ok(_) => Ok(key),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => read_key(folder),
        Err(error) => Err(error).context("making the key of the plugin cache"),
    }
}

/// A file that its owner alone can read, to be given its name when it is whole.
fn temporary(folder: &Path) -> Result<NamedTempFile> {
    let file = tempfile::Builder::new()
        .prefix(TEMPORARY)
        .tempfile_in(folder);
    file.with_context(|| format!("writing to {}", folder.display()))
}

fn is_missing(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<io::Error>();
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

/// Removes what a crash left.
fn sweep(folder: &Path) {
    for (path, metadata) in files(folder) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let age = metadata.modified().ok().and_then(|at| at.elapsed().ok());
        if name.starts_with(TEMPORARY) && age.is_some_and(|age| age > STALE_AFTER) {
            let _ = fs::remove_file(&path);
        }
    }
}

/// The regular files of a folder.
fn files(folder: &Path) -> impl Iterator<Item = (PathBuf, fs::Metadata)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter_map(|entry| Some((entry.path(), entry.metadata().ok()?)));
    files.filter(|(_, metadata)| metadata.is_file())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    const ID: Id = [7; 32];

    fn mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    /// A cache with one entry, and where that is.
    fn filled() -> (tempfile::TempDir, Cache, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        cache.store(&ID, b"code").unwrap();
        let path = cache.path(&ID);
        (folder, cache, path)
    }

    #[test]
    fn what_is_stored_is_found_by_the_next_program() {
        let (folder, cache, _) = filled();
        assert_eq!(cache.load(&ID).as_deref(), Some(&b"code"[..]));
        assert_eq!(cache.load(&[8; 32]), None);
        let next = Cache::open(&folder.path().join("cache")).unwrap();
        assert_eq!(next.load(&ID).as_deref(), Some(&b"code"[..]));
    }

    #[test]
    fn folder_and_files_are_closed_to_others() {
        let (_folder, cache, entry) = filled();
        for (path, expected) in [
            (cache.folder.clone(), 0o700),
            (cache.folder.join("key"), 0o600),
            (entry, 0o600),
        ] {
            let found = fs::metadata(&path).unwrap().mode() & 0o777;
            assert_eq!(found, expected, "{}", path.display());
        }
    }

    /// Changed, cut off, of another entry or by another key: none of it is loaded, and all of it is removed.
    #[test]
    fn nothing_is_loaded_that_this_program_did_not_write() {
        let by_another_key = {
            let (_folder, _cache, path) = filled();
            fs::read(path).unwrap()
        };
        let of_another_entry = {
            let (_folder, cache, _) = filled();
            cache.store(&[9; 32], b"code").unwrap();
            fs::read(cache.path(&[9; 32])).unwrap()
        };
        let whole = {
            let (_folder, _cache, path) = filled();
            fs::read(path).unwrap()
        };
        let mut flipped = whole.clone();
        *flipped.last_mut().unwrap() ^= 1;
        let contents = [
            Vec::new(),
            whole[..TAG - 1].to_vec(),
            whole[..TAG].to_vec(),
            flipped,
            [&whole[..], b"more"].concat(),
            by_another_key,
        ];
        for content in contents {
            let (_folder, cache, path) = filled();
            fs::write(&path, &content).unwrap();
            assert_eq!(cache.load(&ID), None, "{content:?}");
            assert!(!path.exists());
        }
        let (_folder, cache, path) = filled();
        let cache_of_same_key = cache;
        fs::write(&path, of_another_entry).unwrap();
        assert_eq!(cache_of_same_key.load(&ID), None);
    }

    #[test]
    fn entries_that_others_could_change_are_not_loaded() {
        let (_folder, cache, path) = filled();
        mode(&path, 0o622);
        assert_eq!(cache.load(&ID), None);

        let (folder, cache, path) = filled();
        let elsewhere = folder.path().join("elsewhere");
        fs::rename(&path, &elsewhere).unwrap();
        symlink(&elsewhere, &path).unwrap();
        assert_eq!(cache.load(&ID), None);
        assert!(
            elsewhere.exists(),
            "what a link leads to is not ours to remove"
        );
    }

    #[test]
    fn folder_or_key_that_others_can_use_is_refused() {
        let (folder, cache, _) = filled();
        let path = folder.path().join("cache");
        mode(&path, 0o770);
        let error = Cache::open(&path).unwrap_err().to_string();
        assert!(error.contains("writable for no other"), "{error}");
        mode(&path, 0o755);
        Cache::open(&path).unwrap();

        let key = cache.folder.join("key");
        for (mode_of_key, content) in [(0o640, vec![1; KEY]), (0o600, vec![1; KEY - 1])] {
            fs::write(&key, content).unwrap();
            mode(&key, mode_of_key);
            let error = format!("{:#}", Cache::open(&path).unwrap_err());
            assert!(error.contains("remove it"), "{error}");
        }
    }

    #[test]
    fn least_recently_used_entries_go() {
        let (_folder, cache, first) = filled();
        let old = SystemTime::now() - Duration::from_secs(60);
        for number in 0..MAX_ENTRIES as u8 {
            let id = [100 + number; 32];
            cache.store(&id, b"code").unwrap();
            if number == 0 {
                File::open(cache.path(&id))
                    .unwrap()
                    .set_modified(old)
                    .unwrap();
                // The first one is as old, but it is used.
                assert!(cache.load(&ID).is_some());
            }
        }
        assert!(first.exists());
        assert_eq!(cache.load(&[100; 32]), None);
        assert_eq!(files(&cache.folder).count(), MAX_ENTRIES + 1);
    }

    #[test]
    fn what_a_crash_left_is_swept() {
        let (_folder, cache, _) = filled();
        let left = cache.folder.join(".writing-abc");
        let fresh = cache.folder.join(".writing-def");
        for path in [&left, &fresh] {
            fs::write(path, "half").unwrap();
        }
        let old = SystemTime::now() - 2 * STALE_AFTER;
        File::open(&left).unwrap().set_modified(old).unwrap();
        Cache::open(&cache.folder).unwrap();
        assert!(!left.exists());
        assert!(fresh.exists());
    }
}
