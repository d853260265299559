//! The counted pass: user instructions and system calls for each request, which do not depend on how busy the machine is.
//!
//! Instructions come from `perf stat` where the machine counts them, else from `valgrind --tool=callgrind`, which is asked
//! while the proxy runs; system calls from `strace`. Start-up and warm-up are not counted.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::attached::{Attached, perf_counts_instructions};
use crate::callgrind::Callgrind;
use crate::contender::Contender;
use crate::kind::Kind;
use crate::load::{Load, Until};
use crate::proxy::Proxy;

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
pub(crate) trait Counter {
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
