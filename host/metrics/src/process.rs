//! What the system says of the process.

use std::fs;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The process at one moment. What the system does not tell is none: files below `/proc` are Linux's.
#[derive(Debug)]
pub struct Process {
    /// Processor time of all threads, in user and kernel mode.
    pub processor_time: Duration,
    /// Bytes of memory that are in use.
    pub resident: Option<u64>,
    /// File descriptors that are open.
    pub open_files: Option<usize>,
    /// The most that may be.
    pub most_files: Option<u64>,
}

impl Process {
    /// This one, now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let files = fs::read_dir("/proc/self/fd").ok();
        let limit = rlimit::getrlimit(rlimit::Resource::NOFILE).ok();
        Self {
            processor_time: Duration::try_from(time).unwrap_or_default(),
            resident: resident(),
            // One of them is the folder itself.
            open_files: files.map(|files| files.count().saturating_sub(1)),
            most_files: limit.map(|(soft, _)| soft),
        }
    }
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kilobytes * 1024)
}
