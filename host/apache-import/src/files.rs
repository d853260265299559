//! The files that a configuration is made of, given by the caller: nothing here touches a disk.

use std::io;
use std::path::Path;

/// Where files are read. Paths are absolute where that of the first file is.
pub trait Files {
    /// The content of a file.
    ///
    /// # Errors
    /// It cannot be read, or is too large to be a configuration.
    fn read(&self, file: &Path) -> io::Result<Vec<u8>>;

    /// The names of what is in a folder, in any order.
    ///
    /// # Errors
    /// It cannot be read, or is no folder.
    fn list(&self, folder: &Path) -> io::Result<Vec<String>>;

    /// What is there, at the end of all links.
    fn kind(&self, path: &Path) -> Option<Kind>;
}

/// What is at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that can be read.
    File,
    /// A folder.
    Folder,
}
