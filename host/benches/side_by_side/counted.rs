//! The counted pass: user instructions and system calls for each request, which do not depend on how busy the machine is.
//!
//! Instructions come from `perf stat` where the machine counts them, else from `valgrind --tool=callgrind`; system calls from
//! `strace`. Start-up and warm-up are not counted.

use std::ffi::OsString;
use std::fs::{File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Bench;
use crate::contender::Contender;
use crate::load::{Load, Until};
use crate::proxy::{Proxy, signal};

/// How long `perf` and `strace` get to attach and to let go.
const SETTLING: Duration = Duration::from_millis(500);

/// What counts instructions on this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Instructions {
    /// The processor's counters.
    Perf,
    /// A simulation, about fifty times slower, with the same result.
    Callgrind,
    /// Nothing.
    Uncounted,
}

/// What a request costs; `None` where it could not be counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// User-space instructions for each request.
    pub(crate) instructions: Option<f64>,
    /// System calls for each request.
    pub(crate) system_calls: Option<f64>,
}

impl Instructions {
    /// The best way this machine has.
    pub(crate) fn available() -> Self {
        if perf_counts_instructions() {
            Self::Perf
        } else if runs("valgrind") {
            Self::Callgrind
        } else {
            Self::Uncounted
        }
    }

    /// How the table's caption names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perf => "`perf stat`",
            Self::Callgrind => "`valgrind --tool=callgrind`",
            Self::Uncounted => "nothing: neither `perf stat` nor `valgrind` counts here",
        }
    }
}

impl Counts {
    /// Counts what the contender needs for a request. What fails is said and left out.
    pub(crate) fn of(contender: &Contender, bench: &Bench) -> Self {
        let instructions = match bench.instructions {
            Instructions::Perf => count_attached(contender, bench, &Attached::PERF).map(Some),
            Instructions::Callgrind => count_under_callgrind(contender, bench).map(Some),
            Instructions::Uncounted => Ok(None),
        };
        let system_calls = if runs("strace") {
            count_attached(contender, bench, &Attached::STRACE).map(Some)
        } else {
            Ok(None)
        };
        Self {
            instructions: or_say(instructions, contender),
            system_calls: or_say(system_calls, contender),
        }
    }
}

fn or_say(count: Result<Option<f64>>, contender: &Contender) -> Option<f64> {
    count.unwrap_or_else(|error| {
        eprintln!("{} could not be counted: {error:#}", contender.name);
        None
    })
}

/// A tool that counts events of a running process from when it attaches until it is interrupted.
struct Attached {
    words: &'static [&'static str],
    total: fn(&str) -> Option<f64>,
}

impl Attached {
    const PERF: Self = Self {
        words: &["perf", "stat", "-x,", "-e", "instructions:u"],
        total: |report| {
            let line = report.lines().find(|line| line.contains("instructions"))?;
            line.split(',').next()?.parse().ok()
        },
    };

    const STRACE: Self = Self {
        words: &["strace", "-f", "-c"],
        total: |report| {
            let line = report.lines().find(|line| line.ends_with(" total"))?;
            line.split_whitespace().nth(3)?.parse().ok()
        },
    };

    fn attach(&self, proxy: &Proxy) -> Result<Child> {
        let child = Command::new(self.words[0])
            .args(&self.words[1..])
            .arg("-o")
            .arg(proxy.directory().join("report"))
            .args(["-p", &proxy.process().to_string()])
            .stderr(Stdio::null())
            .spawn()?;
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

fn count_attached(contender: &Contender, bench: &Bench, tool: &Attached) -> Result<f64> {
    let proxy = Proxy::start(contender, bench)?;
    let mut load = warm(&proxy, bench)?;
    let child = tool.attach(&proxy)?;
    let ran = load.run(&Until::requests(bench.options.counted_requests));
    let total = tool.detach(child, &proxy)?;
    Ok(total / ran?.len() as f64)
}

/// Callgrind counts a whole life, so that two are needed: what the one with more requests took more is theirs.
fn count_under_callgrind(contender: &Contender, bench: &Bench) -> Result<f64> {
    let requests = bench.options.counted_requests;
    let life = |requests| {
        instructions_of_a_life(contender, bench, |proxy| {
            let mut load = warm(proxy, bench)?;
            match requests {
                0 => Ok(()),
                requests => load.run(&Until::requests(requests)).map(drop),
            }
        })
    };
    let short = life(0)?;
    let long = life(requests)?;
    Ok((long - short) / f64::from(requests))
}

/// What callgrind counts from start to stop, when this is done meanwhile.
pub(crate) fn instructions_of_a_life(
    contender: &Contender,
    bench: &Bench,
    work: impl FnOnce(&Proxy) -> Result<()>,
) -> Result<f64> {
    let mut proxy = Proxy::start_under(contender, bench, callgrind)?;
    work(&proxy)?;
    proxy.stop();
    let report = proxy.read("callgrind")?;
    report
        .lines()
        .find_map(|line| line.strip_prefix("totals: "))
        .and_then(|total| total.trim().parse().ok())
        .context("callgrind wrote no total")
}

/// The beginning of a command that runs under callgrind, and the file it writes in the end, as whoever it is by then.
fn callgrind(directory: &Path) -> Result<Vec<OsString>> {
    let path = directory.join("callgrind");
    File::create(&path)?.set_permissions(Permissions::from_mode(0o666))?;
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(path);
    let tool = ["valgrind", "--tool=callgrind", "--vgdb=no"];
    Ok(tool.map(OsString::from).into_iter().chain([file]).collect())
}

/// Connections that have sent enough for every buffer and pool to have its size.
fn warm(proxy: &Proxy, bench: &Bench) -> Result<Load> {
    let mut load = Load::connect(proxy.address, &bench.requests)?;
    load.run(&Until::requests(bench.options.counted_requests / 4))?;
    Ok(load)
}

/// Whether the processor's counters can be read here; in many virtual machines they cannot.
fn perf_counts_instructions() -> bool {
    Command::new("perf")
        .args(["stat", "-x,", "-e", "instructions:u", "true"])
        .output()
        .is_ok_and(|output| {
            (Attached::PERF.total)(&String::from_utf8_lossy(&output.stderr)).is_some()
        })
}

fn runs(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
