//! Tools that count events of a running process: `perf` and `strace`.

use std::ffi::OsString;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::contender::Contender;
use crate::counted::Counter;
use crate::process;
use crate::proxy::{Proxy, signal};

/// How long a tool may take to attach.
const ATTACHING: Duration = Duration::from_secs(10);

/// How long it gets from then on to begin.
const SETTLING: Duration = Duration::from_millis(500);

/// A tool that counts events of a running process from when it attaches until it is interrupted.
#[derive(Debug)]
pub(crate) struct Attached {
    words: &'static [&'static str],
    total: fn(&str) -> Option<f64>,
    /// Whether it has attached to all threads of the process, where that can be seen.
    has_attached: fn(u32) -> bool,
}

impl Attached {
    /// User instructions, by the processor's counters.
    pub(crate) const PERF: Self = Self {
        words: &["perf", "stat", "-x,", "-e", "instructions:u"],
        total: |report| {
            let line = report.lines().find(|line| line.contains("instructions"))?;
            line.split(',').next()?.parse().ok()
        },
        has_attached: |_| true,
    };

    /// System calls.
    pub(crate) const STRACE: Self = Self {
        words: &["strace", "-f", "-c"],
        total: |report| {
            let line = report.lines().find(|line| line.ends_with(" total"))?;
            line.split_whitespace().nth(3)?.parse().ok()
        },
        has_attached: process::is_traced,
    };

    fn attach(&self, proxy: &Proxy) -> Result<Child> {
        let child = Command::new(self.words[0])
            .args(&self.words[1..])
            .arg("-o")
            .arg(proxy.directory().join("report"))
            .args(["-p", &proxy.process().to_string()])
            .stderr(Stdio::null())
            .spawn()?;
        let deadline = Instant::now() + ATTACHING;
        while !(self.has_attached)(proxy.process()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(SETTLING);
        Ok(child)
    }

    fn detach(&self, mut child: Child, proxy: &Proxy) -> Result<f64> {
        signal(child.id(), "INT");
        child.wait()?;
        let report = proxy.read("report")?;
        (self.total)(&report).with_context(|| format!("no total in {report}"))
    }
}

impl Counter for Attached {
    fn name(&self) -> &'static str {
        self.words[0]
    }

    fn wrapper(&self, _contender: &Contender) -> Vec<OsString> {
        Vec::new()
    }

    fn during(&self, proxy: &Proxy, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        let child = self.attach(proxy)?;
        let worked = work();
        let total = self.detach(child, proxy)?;
        worked.map(|()| total)
    }
}

/// Whether the processor's counters can be read here; in many virtual machines they cannot.
pub(crate) fn perf_counts_instructions() -> bool {
    Command::new("perf")
        .args(["stat", "-x,", "-e", "instructions:u", "true"])
        .output()
        .is_ok_and(|output| {
            (Attached::PERF.total)(&String::from_utf8_lossy(&output.stderr)).is_some()
        })
}
