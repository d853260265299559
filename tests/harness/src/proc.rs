//! What the system tells of a process: Linux, in `/proc`. Nothing is told of one that is gone.

use std::fs;
use std::str::FromStr;
use std::time::Duration;

use rustix::process::Pid;

/// Milliseconds of a tick in `/proc`: `USER_HZ` is 100 on every Linux that Rust's standard library supports.
const TICK: u64 = 10;

/// What is in a file of the process's folder.
pub fn file(process: Pid, name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/{process}/{name}")).ok()
}

/// The memory it has, in bytes.
pub fn memory(process: Pid) -> Option<u64> {
    Some(number::<u64>(process, "VmRSS:")? * 1024)
}

/// The most memory it ever had, in bytes.
pub fn peak_memory(process: Pid) -> Option<u64> {
    Some(number::<u64>(process, "VmHWM:")? * 1024)
}

/// How many threads it has.
pub fn threads(process: Pid) -> Option<usize> {
    number(process, "Threads:")
}

/// How many file descriptors it has open.
pub fn descriptors(process: Pid) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{process}/fd")).ok()?.count())
}

/// How many regions of memory are mapped.
pub fn mappings(process: Pid) -> Option<usize> {
    Some(file(process, "maps")?.lines().count())
}

/// How much time of processors it has used, in user and in kernel mode.
pub fn processor_time(process: Pid) -> Option<Duration> {
    let stat = file(process, "stat")?;
    let times = behind_name(&stat).split_whitespace().skip(11).take(2);
    let ticks: u64 = times.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks * TICK))
}

/// The process that started it.
pub fn parent(process: Pid) -> Option<Pid> {
    let stat = file(process, "stat")?;
    let parent = behind_name(&stat).split_whitespace().nth(1)?;
    Pid::from_raw(parent.parse().ok()?)
}

/// All processes that this one has started and that are there.
pub fn children(process: Pid) -> Vec<Pid> {
    let processes = fs::read_dir("/proc").expect("Linux").flatten();
    let numbers = processes.filter_map(|it| it.file_name().to_str()?.parse().ok());
    numbers
        .filter_map(Pid::from_raw)
        .filter(|it| parent(*it) == Some(process))
        .collect()
}

/// Whether it has ended: it is gone, or only not asked about by the process that started it. Its files are closed with the last
/// of its threads, and it may be the first that ends.
pub fn has_ended(process: Pid) -> bool {
    let stat = file(process, "stat").unwrap_or_default();
    let state = behind_name(&stat);
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    let is_last = threads.is_ok_and(|threads| threads.count() == 1);
    state.is_empty() || (state.starts_with('Z') && is_last)
}

/// Whether another process traces all of its threads.
pub fn is_traced(process: Pid) -> bool {
    let threads = fs::read_dir(format!("/proc/{process}/task"));
    threads.is_ok_and(|threads| {
        threads.flatten().all(|thread| {
            fs::read_to_string(thread.path().join("status"))
                .is_ok_and(|status| !status.contains("TracerPid:\t0\n"))
        })
    })
}

/// What follows the name, in parentheses that may hold anything: the state, the parent, and so on.
fn behind_name(stat: &str) -> &str {
    stat.rsplit(')').next().unwrap_or_default().trim()
}

/// A number of the process's status; kilobytes where it is a size.
fn number<N: FromStr>(process: Pid, name: &str) -> Option<N> {
    let status = file(process, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}
