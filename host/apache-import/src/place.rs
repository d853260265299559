//! Where a directive is written.

use std::fmt;
use std::sync::Arc;

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// The file, as it was named: `sites-enabled/shop.conf` lies in the folder of the first file.
    pub file: Arc<str>,
    /// Counted from 1; of a directive that goes on behind a `\`, the first.
    pub line: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}
