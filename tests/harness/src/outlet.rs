//! Where a program writes to: a pipe that is read, or something that goes wrong.

use std::fs::OpenOptions;
use std::io::{ErrorKind, PipeReader, PipeWriter, Write as _, pipe};
use std::process::Stdio;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

/// What is at the other end of a program's standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlet {
    /// A reader.
    Read,
    /// A disk without room.
    Full,
    /// A pipe whose reader is gone.
    Closed,
    /// A pipe that is full to its last byte, and is not read.
    Stalled,
}

/// An outlet that is open.
pub(crate) struct Open {
    /// The end that the program writes to.
    pub(crate) theirs: Stdio,
    /// The end to read, where it is to be read.
    pub(crate) read: Option<PipeReader>,
    /// The end that is not to be read yet.
    pub(crate) stalled: Option<PipeReader>,
}

impl Outlet {
    /// Those that cannot be written.
    pub const BROKEN: [Self; 3] = [Self::Full, Self::Closed, Self::Stalled];

    /// What a program is given as such a file.
    pub fn stdio(self) -> Stdio {
        self.open().theirs
    }

    pub(crate) fn open(self) -> Open {
        if self == Self::Full {
            let file = OpenOptions::new().write(true).open("/dev/full");
            return Open {
                theirs: file.expect("the system has it").into(),
                read: None,
                stalled: None,
            };
        }
        let (ours, theirs) = pipe().expect("a pipe");
        if self == Self::Stalled {
            fill(&theirs);
        }
        let (read, stalled) = match self {
            Self::Read => (Some(ours), None),
            Self::Stalled => (None, Some(ours)),
            Self::Full | Self::Closed => (None, None),
        };
        Open {
            theirs: theirs.into(),
            read,
            stalled,
        }
    }
}

/// Fills a pipe with lines of dots. Who writes next waits.
fn fill(mut pipe: &PipeWriter) {
    let flags = fcntl_getfl(pipe).expect("flags");
    fcntl_setfl(pipe, flags | OFlags::NONBLOCK).expect("flags can be set");
    for length in [4096, 1] {
        let line = ".".repeat(length - 1) + "\n";
        let error = loop {
            if let Err(error) = pipe.write_all(line.as_bytes()) {
                break error;
            }
        };
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }
    fcntl_setfl(pipe, flags).expect("flags can be set");
}
