//! The counted pass: user instructions and system calls for each request, which do not depend on how busy the machine is.
//!
//! Instructions come from `perf stat` where the machine counts them, else from `valgrind --tool=callgrind`, which is asked
//! while the proxy runs; system calls from `strace`. Start-up and warm-up are not counted.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use equipoise_harness::proxy::{Pid, Signal};
use equipoise_harness::{Process, proc};

use crate::Bench;
use crate::contender::Contender;
use crate::kind::Kind;
use crate::load::{Load, Until};
use crate::policy::compile_for_valgrind;
use crate::proxy::Proxy;

/// How long a tool may take to attach.
const ATTACHING: Duration = Duration::from_secs(10);

/// How long it gets from then on to begin.
const SETTLING: Duration = Duration::from_millis(500);

/// How long valgrind may take to answer, in seconds: it never does where it cannot interrupt a program's threads (Apache's, by
/// valgrind 3.19 on Linux 6.18).
const ANSWERING: u32 = 120;

/// What `timeout` ends with when a command took too long.
const TIMED_OUT: i32 = 124;

/// Profiles that one life may write.
const MAX_PROFILES: u32 = 100;

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
#[derive(Debug, Default, Clone, Copy)]
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

    /// How the caption names it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Perf => "`perf stat`",
            Self::Callgrind => "`valgrind --tool=callgrind`",
            Self::Uncounted => "nothing: neither `perf stat` nor `valgrind` counts here",
        }
    }
}

/// Counts what the contender needs for a request of each kind. Ours must be counted; of others, what fails is left out.
pub(crate) fn count(
    contender: &Contender,
    kinds: &[&Kind],
    bench: &Bench,
    left_out: &mut Vec<String>,
) -> Result<Vec<Counts>> {
    let mut counts = vec![Counts::default(); kinds.len()];
    let mut life = |counter: &dyn Counter| {
        let life = contender.unless_left_out(Life::start(counter, contender, bench), left_out)?;
        let count = |kind: &&Kind| {
            let life = life.as_ref().filter(|_| contender.suits(kind));
            let count = life.map(|life| life.per_request(kind)).transpose();
            contender.unless_left_out(count.with_context(|| kind.name), left_out)
        };
        kinds
            .iter()
            .map(count)
            .map(|count| Ok(count?.flatten()))
            .collect::<Result<Vec<_>>>()
    };
    let callgrind = Callgrind {
        profiles: bench.options.profiles.as_deref(),
    };
    let instructions: Option<&dyn Counter> = match bench.instructions {
        Instructions::Perf => Some(&Attached::PERF),
        Instructions::Callgrind => Some(&callgrind),
        Instructions::Uncounted => None,
    };
    if let Some(counter) = instructions {
        for (counts, count) in counts.iter_mut().zip(life(counter)?) {
            counts.instructions = count;
        }
    }
    if has_strace() {
        for (counts, count) in counts.iter_mut().zip(life(&Attached::STRACE)?) {
            counts.system_calls = count;
        }
    }
    Ok(counts)
}

/// One life of a proxy under a counter, in which it is asked by each kind of load.
struct Life<'a> {
    name: &'static str,
    counter: &'a dyn Counter,
    proxy: Proxy,
    bench: &'a Bench,
}

impl<'a> Life<'a> {
    fn start(counter: &'a dyn Counter, contender: &Contender, bench: &'a Bench) -> Result<Self> {
        counter.prepare(contender)?;
        Ok(Self {
            name: contender.name,
            proxy: Proxy::start_under(contender, bench, counter.wrapper(contender))?,
            counter,
            bench,
        })
    }

    /// How many events a request of this kind takes, when every buffer and pool has its size.
    fn per_request(&self, kind: &Kind) -> Result<f64> {
        let counter = self.counter.name();
        eprintln!("{} of {}: {}", counter, self.name, kind.name);
        let requests = (self.bench.options.counted_requests / kind.weight).max(1);
        let few = requests.div_ceil(4);
        let mut load = Load::new(kind, self.proxy.addresses, self.bench)?;
        load.run(&Until::requests(few))?;
        let mut events_of = |requests| {
            self.counter.during(&self.proxy, &mut || {
                let ran = load.run(&Until::requests(requests))?.requests;
                ensure!(ran == requests, "{ran} requests instead of {requests}");
                Ok(())
            })
        };
        let events = match kind.driver.needs_h2load() {
            // Every run opens connections: a shorter one costs these, too.
            true => -events_of(few)? + events_of(few + requests)?,
            false => events_of(requests)?,
        };
        self.proxy.check_policy()?;
        self.counter.keep(self.name, kind)?;
        Ok(events / f64::from(requests))
    }
}

/// Counts events of a running proxy.
trait Counter {
    /// What counts.
    fn name(&self) -> &'static str;

    /// What has to be done before the proxy is started.
    fn prepare(&self, _contender: &Contender) -> Result<()> {
        Ok(())
    }

    /// The beginning of the command that starts the proxy.
    fn wrapper(&self, _contender: &Contender) -> Vec<OsString>;

    /// Keeps what else it knows of the events that were counted last, if that is wanted.
    fn keep(&self, _contender: &str, _kind: &Kind) -> Result<()> {
        Ok(())
    }

    /// Events while `work` is done.
    fn during(&self, proxy: &Proxy, work: &mut dyn FnMut() -> Result<()>) -> Result<f64>;
}

/// The processor is simulated from the start, and says in between how many instructions it has carried out.
struct Callgrind<'a> {
    /// The directory that profiles are kept in.
    profiles: Option<&'a Path>,
}

impl Counter for Callgrind<'_> {
    fn name(&self) -> &'static str {
        "callgrind"
    }

    fn prepare(&self, contender: &Contender) -> Result<()> {
        contender.component().map_or(Ok(()), compile_for_valgrind)
    }

    fn wrapper(&self, contender: &Contender) -> Vec<OsString> {
        let file = match self.profiles {
            Some(directory) => directory.join(contender.name),
            None => PathBuf::from("/dev/null"),
        };
        let mut out = OsString::from("--callgrind-out-file=");
        out.push(file);
        ["valgrind".into(), "--tool=callgrind".into(), out].into()
    }

    fn during(&self, proxy: &Proxy, work: &mut dyn FnMut() -> Result<()>) -> Result<f64> {
        if self.profiles.is_some() {
            ask_callgrind(proxy, &["zero"])?;
        }
        let before = instructions(proxy)?;
        work()?;
        let after = instructions(proxy)?;
        if self.profiles.is_some() {
            ask_callgrind(proxy, &["dump"])?;
        }
        Ok(after - before)
    }

    /// A profile is written as NAME.1, NAME.2 and so on; the last one becomes NAME-KIND.
    fn keep(&self, contender: &str, kind: &Kind) -> Result<()> {
        let Some(directory) = self.profiles else {
            return Ok(());
        };
        let mut written =
            (1..=MAX_PROFILES).map(|number| directory.join(format!("{contender}.{number}")));
        let written = written.rfind(|path| path.exists());
        let written = written.context("callgrind wrote no profile")?;
        Ok(fs::rename(
            written,
            directory.join(format!("{contender}-{}", kind.name)),
        )?)
    }
}

/// What all threads have carried out so far, under callgrind.
fn instructions(proxy: &Proxy) -> Result<f64> {
    let said = ask_callgrind(proxy, &["status", "internal"])?;
    // A line for each thread, and others for each function that it is in.
    let threads = said.lines().filter_map(|line| {
        let (thread, count) = line.strip_prefix("events-")?.split_once(": ")?;
        thread.parse::<u32>().ok()?;
        count.trim().parse::<f64>().ok()
    });
    let total = threads.reduce(|one, other| one + other);
    total.with_context(|| format!("vgdb tells no count: {said}"))
}

fn ask_callgrind(proxy: &Proxy, words: &[&str]) -> Result<String> {
    let output = Command::new("timeout")
        .args([&ANSWERING.to_string(), "vgdb"])
        .arg(format!("--pid={}", proxy.process()))
        .args(words)
        .output()
        .context("starting vgdb")?;
    ensure!(
        output.status.code() != Some(TIMED_OUT),
        "valgrind gave no answer for {ANSWERING} s"
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A tool that counts events of a running process from when it attaches until it is interrupted.
struct Attached {
    words: &'static [&'static str],
    total: fn(&str) -> Option<f64>,
    /// Whether it has attached to all threads of the process, where that can be seen.
    has_attached: fn(Pid) -> bool,
}

impl Attached {
    const PERF: Self = Self {
        words: &["perf", "stat", "-x,", "-e", "instructions:u"],
        total: |report| {
            let line = report.lines().find(|line| line.contains("instructions"))?;
            line.split(',').next()?.parse().ok()
        },
        has_attached: |_| true,
    };

    const STRACE: Self = Self {
        words: &["strace", "-f", "-c"],
        total: |report| {
            let line = report.lines().find(|line| line.ends_with(" total"))?;
            line.split_whitespace().nth(3)?.parse().ok()
        },
        has_attached: proc::is_traced,
    };

    fn attach(&self, proxy: &Proxy) -> Result<Process> {
        let mut command = Command::new(self.words[0]);
        command
            .args(&self.words[1..])
            .arg("-o")
            .arg(proxy.directory().join("report"))
            .args(["-p", &proxy.process().to_string()])
            .stderr(Stdio::null());
        let tool = Process::start(&mut command)?;
        let deadline = Instant::now() + ATTACHING;
        while !(self.has_attached)(proxy.process()) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        thread::sleep(SETTLING);
        Ok(tool)
    }

    fn detach(&self, mut tool: Process, proxy: &Proxy) -> Result<f64> {
        // It may have ended with the proxy.
        let _ = tool.signal(Signal::INT);
        tool.child().wait()?;
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
        let tool = self.attach(proxy)?;
        let worked = work();
        let total = self.detach(tool, proxy)?;
        worked.map(|()| total)
    }
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

/// Whether system calls can be counted.
pub(crate) fn has_strace() -> bool {
    runs("strace")
}

fn runs(program: &str) -> bool {
    Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
