//! Which core the proxy under load runs on, and which are left for the load and the origin.
//!
//! The first core this program may use is for the proxies, so that load and origin cannot take their time; the others are
//! for this program. util-linux' `taskset` does it; without it, or with one core only, nothing is pinned.

use std::ffi::OsString;
use std::fmt;
use std::path::Path;
use std::process::{Command, Stdio};

/// How the cores are divided.
#[derive(Debug)]
pub(crate) enum Cores {
    /// The proxies have this core, this program the others.
    Divided {
        /// The proxies' core.
        proxies: usize,
    },
    /// Everything shares all cores.
    Shared,
}

impl Cores {
    /// Divides the cores this program may use, and moves this program off the proxies' core.
    pub(crate) fn divide() -> Self {
        match allowed().as_slice() {
            [proxies, ours @ ..] if !ours.is_empty() && move_to(ours) => {
                Self::Divided { proxies: *proxies }
            }
            _ => Self::Shared,
        }
    }

    /// A command that runs `words` on the proxies' core.
    pub(crate) fn command(&self, words: &[OsString]) -> Command {
        let (program, arguments) = words.split_first().expect("a command has a first word");
        match self {
            Self::Divided { proxies } => {
                let mut command = Command::new("taskset");
                command.args(["-c", &proxies.to_string()]);
                command.arg(program).args(arguments);
                command
            }
            Self::Shared => {
                let mut command = Command::new(program);
                command.args(arguments);
                command
            }
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Divided { proxies } => {
                write!(
                    f,
                    "proxies on core {proxies}, load and origin on the others"
                )
            }
            Self::Shared => f.write_str("proxy, load and origin share all cores"),
        }
    }
}

/// The cores this program may use.
fn allowed() -> Vec<usize> {
    let status = std::fs::read_to_string(Path::new("/proc/self/status")).unwrap_or_default();
    status
        .lines()
        .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))
        .map(|list| list.trim().split(',').flat_map(range).collect())
        .unwrap_or_default()
}

/// The numbers in `3` or `0-3`.
fn range(text: &str) -> std::ops::Range<usize> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) => first..last + 1,
        _ => 0..0,
    }
}

/// Pins all threads of this program; whether that worked.
fn move_to(cores: &[usize]) -> bool {
    let list: Vec<String> = cores.iter().map(usize::to_string).collect();
    Command::new("taskset")
        .args(["-a", "-c", "-p", &list.join(",")])
        .arg(std::process::id().to_string())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
