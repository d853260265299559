//! Reads the whole content of a file at one moment.

use std::fmt::{self, Debug};
use std::fs::{self, FileType, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread;
use std::time::Duration;

use rustix::fs::OFlags;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use super::signature::Signature;

/// How often [`read`] tries a file that changes meanwhile.
const MAX_TRIES: u32 = 20;

/// How long [`read`] waits between two tries.
const RETRY_INTERVAL: Duration = Duration::from_millis(50);

/// The most names of a folder that are read.
const MOST_NAMES: usize = 100_000;

/// SHA-256 of a content.
pub type Hash = [u8; 32];

/// All bytes of a file, as they were at one time.
pub struct Content {
    /// The file as it was read.
    pub bytes: Vec<u8>,
    /// Of these bytes.
    pub hash: Hash,
}

impl Content {
    /// A content that is in no file yet.
    pub fn of(bytes: Vec<u8>) -> Self {
        let hash = hash(&bytes);
        Self { bytes, hash }
    }
}

/// The hash of a content.
pub fn hash(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Why the content of a file cannot be read.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// There is none, or the system refuses to read it.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Something else has its name; says what.
    #[error("it is {0}, not a file")]
    NotAFile(&'static str),
    /// It is larger than allowed. Both in bytes.
    #[error("it has {size} bytes, but up to {max_size} are allowed")]
    TooLarge {
        /// What it has.
        size: u64,
        /// What it may have.
        max_size: u64,
    },
    /// Every time it was read, it was changed meanwhile.
    #[error("it is being changed all the time")]
    Unsettled,
}

impl From<Unreadable> for io::Error {
    fn from(reason: Unreadable) -> Self {
        match reason {
            Unreadable::Io(error) => error,
            reason => Self::other(reason.to_string()),
        }
    }
}

/// Reads the file that `path` leads to, of up to `max_size` bytes. A file that changes while it is read is read again,
/// for about a second. This is how every file is read that an operator names: it never waits for a pipe or a device.
///
/// # Errors
/// It is missing or not readable, not a regular file, too large, or never stopped changing.
pub fn read(path: &Path, max_size: u64) -> Result<Content, Unreadable> {
    for _ in 1..MAX_TRIES {
        match read_once(path, max_size) {
            Err(Unreadable::Unsettled) => thread::sleep(RETRY_INTERVAL),
            result => return result,
        }
    }
    read_once(path, max_size)
}

/// Like [`read`], but tries only once, and never waits.
///
/// # Errors
/// As [`read`], or it was changed meanwhile.
pub fn read_once(path: &Path, max_size: u64) -> Result<Content, Unreadable> {
    // Asked before opening, which can have effects on a device or a pipe; and after, since it can be another by then.
    check_type(fs::metadata(path)?.file_type())?;
    let file = OpenOptions::new()
        .read(true)
        // Opening a pipe would wait for its writer otherwise.
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
        .open(path)?;
    let before = file.metadata()?;
    check_type(before.file_type())?;
    let check_size = |size| match size > max_size {
        true => Err(Unreadable::TooLarge { size, max_size }),
        false => Ok(size),
    };
    let size = check_size(before.len())?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    (&file)
        .take(max_size.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if Signature::from(&file.metadata()?) != Signature::from(&before) {
        return Err(Unreadable::Unsettled);
    }
    // There are file systems on which the size said is not the size read.
    check_size(bytes.len() as u64)?;
    Ok(Content::new(bytes))
}

/// The names of what is in a folder, one a line, in their order: the content of a folder, for those who want to know which files
/// there are. Up to 100 000 names.
///
/// # Errors
/// It is missing or not readable, or is no folder.
pub fn read_names(folder: &Path) -> Result<Content, Unreadable> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder)?.take(MOST_NAMES) {
        names.push(entry?.file_name().into_encoded_bytes());
    }
    names.sort_unstable();
    Ok(Content::new(names.join(&b'\n')))
}

/// Whether something is a regular file: what is not may wait for others when it is opened or read, and has no content of its
/// own to be replaced.
///
/// # Errors
/// It is something else, which the error names.
pub fn check_type(file_type: FileType) -> Result<(), Unreadable> {
    Err(Unreadable::NotAFile(match file_type {
        regular if regular.is_file() => return Ok(()),
        directory if directory.is_dir() => "a directory",
        pipe if pipe.is_fifo() => "a pipe",
        socket if socket.is_socket() => "a socket",
        _ => "a device",
    }))
}

impl Content {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let hash = Sha256::digest(&bytes).into();
        Self { bytes, hash }
    }
}

impl Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.bytes.len())
    }
}
