//! The timed pass: throughput, latency, CPU time and memory of proxies that run as they would in earnest.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::Bench;
use crate::contender::Contender;
use crate::load::{Load, Until};
use crate::proxy::Proxy;
use crate::rehearsal;
use crate::secure;

/// Ticks of a second in /proc: USER_HZ, 100 on every Linux that Rust's standard library supports.
const TICKS: f64 = 100.0;

/// Something that is put under load: a proxy, or the origin itself.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    address: SocketAddr,
    /// The proxy, and the process it runs in.
    proxy: Option<(&'a Contender, Proxy)>,
    rounds: Vec<Round>,
    secure: secure::Rounds,
}

/// What one round showed.
#[derive(Debug)]
struct Round {
    throughput: f64,
    p50: Duration,
    p99: Duration,
    cpu: Option<Cpu>,
}

#[derive(Debug)]
struct Cpu {
    per_request: Duration,
    utilisation: f64,
}

/// The medians of all rounds.
#[derive(Debug)]
pub(crate) struct Summary {
    /// The target's name.
    pub(crate) name: &'static str,
    /// Requests a second.
    pub(crate) throughput: f64,
    /// The throughput of the slowest and of the fastest round.
    pub(crate) spread: (f64, f64),
    /// Half of the requests took no longer.
    pub(crate) p50: Duration,
    /// All but one in a hundred requests took no longer.
    pub(crate) p99: Duration,
    /// User and kernel time the proxy took for a request.
    pub(crate) cpu_per_request: Option<Duration>,
    /// The share of one core the proxy took: 1 when it was the bottleneck.
    pub(crate) utilisation: Option<f64>,
    /// Resident memory at the end, in bytes.
    pub(crate) memory: Option<u64>,
}

impl Summary {
    /// Whether the proxy had much less than its core, so that the times say more of the machine than of the proxy.
    pub(crate) fn was_disturbed(&self) -> bool {
        self.utilisation.is_some_and(|share| share < 0.9)
    }
}

impl<'a> Target<'a> {
    /// The origin without a proxy before it: what the load and the origin can do at most.
    pub(crate) fn direct(bench: &Bench) -> Self {
        Self {
            address: bench.origin.members[0],
            proxy: None,
            rounds: Vec::new(),
            secure: secure::Rounds::default(),
        }
    }

    /// A proxy, started here.
    pub(crate) fn proxied(contender: &'a Contender, bench: &Bench) -> Result<Self> {
        let proxy = Proxy::start(contender, bench)?;
        if contender.has_policy() {
            rehearsal::rehearse(contender.name, proxy.address)?;
        }
        Ok(Self {
            address: proxy.address,
            proxy: Some((contender, proxy)),
            rounds: Vec::new(),
            secure: secure::Rounds::default(),
        })
    }

    /// Its name in the table.
    pub(crate) fn name(&self) -> &'static str {
        self.proxy
            .as_ref()
            .map_or("direct", |(contender, _)| contender.name)
    }

    /// Stops the proxy; which one it was.
    pub(crate) fn stop(self) -> Option<&'a Contender> {
        self.proxy.map(|(contender, _)| contender)
    }

    /// Warms up on new connections, then measures once.
    pub(crate) fn run_round(&mut self, bench: &Bench) -> Result<()> {
        let length = bench.options.round;
        let mut load = Load::connect(self.address, &bench.requests)?;
        load.run(&Until::elapsed(length / 10))?;
        let cpu_before = self.cpu_time()?;
        let started = Instant::now();
        let latencies = load.run(&Until::elapsed(length))?;
        let elapsed = started.elapsed();
        let cpu_after = self.cpu_time()?;
        let cpu = cpu_before.zip(cpu_after).map(|(before, after)| Cpu {
            per_request: (after - before).div_f64(latencies.len() as f64),
            utilisation: (after - before).div_duration_f64(elapsed),
        });
        self.rounds.push(Round {
            throughput: latencies.len() as f64 / elapsed.as_secs_f64(),
            p50: percentile(&latencies, 50),
            p99: percentile(&latencies, 99),
            cpu,
        });
        Ok(())
    }

    /// The same by TLS; nothing for those that are not asked to.
    pub(crate) fn run_secure_round(&mut self, bench: &Bench) -> Result<()> {
        match &self.proxy {
            Some((contender, proxy)) if contender.speaks_tls() => self.secure.run(proxy, bench),
            _ => Ok(()),
        }
    }

    /// What was measured by TLS; none where nothing was.
    pub(crate) fn take_secure(&mut self) -> Option<secure::Rounds> {
        let (contender, _) = self.proxy.as_ref()?;
        let speaks_tls = contender.speaks_tls();
        speaks_tls.then(|| std::mem::take(&mut self.secure))
    }

    /// The medians of the rounds so far, at least one.
    pub(crate) fn summary(&self) -> Result<Summary> {
        let throughputs = || self.rounds.iter().map(|round| round.throughput);
        let cpus = || self.rounds.iter().filter_map(|round| round.cpu.as_ref());
        Ok(Summary {
            name: self.name(),
            throughput: median(throughputs()).context("no round was run")?,
            spread: (
                throughputs().fold(f64::INFINITY, f64::min),
                throughputs().fold(0.0, f64::max),
            ),
            p50: median(self.rounds.iter().map(|round| round.p50)).unwrap_or_default(),
            p99: median(self.rounds.iter().map(|round| round.p99)).unwrap_or_default(),
            cpu_per_request: median(cpus().map(|cpu| cpu.per_request)),
            utilisation: median(cpus().map(|cpu| cpu.utilisation)),
            memory: self.process().and_then(resident_memory),
        })
    }

    /// User and kernel time of the proxy's process since it started; none without a proxy.
    fn cpu_time(&self) -> Result<Option<Duration>> {
        self.process().map(cpu_time).transpose()
    }

    fn process(&self) -> Option<u32> {
        self.proxy.as_ref().map(|(_, proxy)| proxy.process())
    }
}

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

/// `VmRSS`, in bytes.
fn resident_memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted[(sorted.len() - 1) * percent / 100]
}

/// The value in the middle; none where there are none.
pub(crate) fn median<T: PartialOrd + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|one, other| one.partial_cmp(other).expect("measurements are numbers"));
    values.get(values.len() / 2).copied()
}
