//! File metadata that shows a change without reading the file.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Another file or another content has another signature, whatever was done to the time of modification: no program can set
/// the time of change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Signature {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    /// Seconds and nanoseconds.
    changed: (i64, i64),
}

/// What a path leads to, through all symlinks: a file or folder, or why there is none.
pub(super) type FileStat = Result<Signature, io::ErrorKind>;

/// The metadata of what `path` leads to.
pub(super) fn stat(path: &Path) -> FileStat {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Signature::from(&metadata)),
        Err(error) => Err(error.kind()),
    }
}

impl Signature {
    /// Whether the file system seems to count time in whole seconds. Then two contents of the same second and size may
    /// have the same signature.
    pub(super) fn is_coarse(&self) -> bool {
        self.changed.1 == 0
    }
}

impl From<&Metadata> for Signature {
    fn from(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        }
    }
}

#[cfg(test)]
impl Signature {
    /// A signature for tests: of a file of `size` bytes that was changed at a time in seconds and nanoseconds.
    pub(super) fn of(size: u64, changed: (i64, i64)) -> Self {
        Self {
            device: 1,
            inode: 1,
            size,
            modified: changed,
            changed,
        }
    }
}
