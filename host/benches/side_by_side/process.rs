//! What /proc tells of a process.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// Ticks of a second in /proc: USER_HZ, 100 on every Linux that Rust's standard library supports.
const TICKS: f64 = 100.0;

/// User and kernel time of the process since it started.
pub(crate) fn cpu_time(process: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program's name, in brackets, may hold anything; behind it utime and stime are fields 12 and 13.
    let (_, fields) = stat
        .rsplit_once(") ")
        .context("/proc/PID/stat has a name")?;
    let ticks: f64 = fields
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<f64>().ok())
        .sum();
    Ok(Duration::from_secs_f64(ticks / TICKS))
}

/// Its resident memory, in bytes.
pub(crate) fn resident_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

/// Whether another process traces all of its threads.
pub(crate) fn is_traced(process: u32) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    threads.is_ok_and(|threads| {
        threads.flatten().all(|thread| {
            fs::read_to_string(thread.path().join("status"))
                .is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
        })
    })
}
