//! The timed pass: throughput, latency, CPU time and memory of proxies that run as they would in earnest.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use equipoise_harness::proc;
use equipoise_harness::proxy::Pid;

use crate::Bench;
use crate::comparison::Comparison;
use crate::contender::Contender;
use crate::counted::Counts;
use crate::kind::Kind;
use crate::load::{Load, Until};
use crate::proxy::{Addresses, Proxy};
use crate::table::Row;

/// Something that is put under load: a proxy, or the origin itself.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    addresses: Addresses,
    /// The proxy, and the process it runs in.
    proxy: Option<(&'a Contender, Proxy)>,
}

/// What one round showed.
#[derive(Debug)]
struct Round {
    throughput: f64,
    /// Half of the requests took no longer, and all but one in a hundred took no longer.
    percentiles: Option<[Duration; 2]>,
    cpu: Option<Cpu>,
}

#[derive(Debug)]
struct Cpu {
    per_request: Duration,
    utilisation: f64,
}

/// What all rounds showed.
#[derive(Debug)]
pub(crate) struct Summary {
    rounds: Vec<Round>,
    /// Resident memory at the end, in bytes.
    pub(crate) memory: Option<u64>,
}

impl Summary {
    /// Requests a second in the round in the middle, in the slowest, and in the fastest.
    pub(crate) fn throughput(&self) -> Option<[f64; 3]> {
        let all = || self.rounds.iter().map(|round| round.throughput);
        let (slowest, fastest) = (all().reduce(f64::min)?, all().reduce(f64::max)?);
        Some([median(all())?, slowest, fastest])
    }

    /// User and kernel time that the proxy took for a request.
    pub(crate) fn cpu_per_request(&self) -> Option<Duration> {
        median(self.cpus().map(|cpu| cpu.per_request))
    }

    /// How many times that of the other it is, each round beside the same round of the other.
    pub(crate) fn cpu_beside(&self, other: &Self) -> Option<f64> {
        let pairs = self.cpus().zip(other.cpus());
        median(pairs.map(|(own, other)| own.per_request.div_duration_f64(other.per_request)))
    }

    /// The latency that half of the requests did not exceed, and that of all but one in a hundred.
    pub(crate) fn percentiles(&self) -> [Option<Duration>; 2] {
        [0, 1].map(|which| {
            let rounds = self.rounds.iter();
            median(rounds.filter_map(|round| Some(round.percentiles?[which])))
        })
    }

    /// The share of one core that the proxy took: 1 when it was the bottleneck.
    pub(crate) fn utilisation(&self) -> Option<f64> {
        median(self.cpus().map(|cpu| cpu.utilisation))
    }

    fn cpus(&self) -> impl Iterator<Item = &Cpu> {
        self.rounds.iter().filter_map(|round| round.cpu.as_ref())
    }
}

/// Times all targets that the kind of load suits: one after the other, in the same order in every round.
pub(crate) fn time(targets: &[Target<'_>], kind: &Kind, bench: &Bench) -> Result<Vec<Row>> {
    let suited = targets.iter().filter(|target| target.suits(kind));
    let mut measured: Vec<_> = suited.map(|target| (target, Vec::new())).collect();
    for round in 1..=bench.options.rounds {
        for (target, rounds) in &mut measured {
            eprintln!("{}, round {round}: {}", kind.name, target.name());
            let measured = target.run_round(kind, bench);
            rounds.push(measured.with_context(|| format!("{}: {}", kind.name, target.name()))?);
        }
    }
    let rows = measured.into_iter().map(|(target, rounds)| Row {
        name: target.name(),
        timed: Some(Summary {
            rounds,
            memory: target.process().and_then(proc::memory),
        }),
        counts: Counts::default(),
    });
    Ok(rows.collect())
}

impl<'a> Target<'a> {
    /// The origin without a proxy before it: what the load and the origin can do at most.
    pub(crate) fn direct(bench: &Bench) -> Self {
        Self {
            addresses: Addresses::all_at(bench.origin.members[0]),
            proxy: None,
        }
    }

    /// A proxy, started here.
    pub(crate) fn proxied(
        contender: &'a Contender,
        comparison: &Comparison,
        bench: &Bench,
    ) -> Result<Self> {
        let proxy = Proxy::start(contender, bench)?;
        if let Some(rehearse) = comparison.rehearsal {
            rehearse(contender.name, proxy.addresses.plain)?;
        }
        Ok(Self {
            addresses: proxy.addresses,
            proxy: Some((contender, proxy)),
        })
    }

    /// Its name in the tables.
    pub(crate) fn name(&self) -> &'static str {
        self.proxy
            .as_ref()
            .map_or("direct", |(contender, _)| contender.name)
    }

    /// Whether it can be asked by this kind of load.
    fn suits(&self, kind: &Kind) -> bool {
        match &self.proxy {
            Some((contender, _)) => contender.suits(kind),
            None => kind.driver.suits_members(),
        }
    }

    /// Warms up on new connections, then measures once.
    fn run_round(&self, kind: &Kind, bench: &Bench) -> Result<Round> {
        let length = bench.options.round;
        let mut load = Load::new(kind, self.addresses, bench)?;
        load.run(&Until::elapsed(length / 10))?;
        let cpu_before = self.cpu_time()?;
        let started = Instant::now();
        let run = load.run(&Until::elapsed(length))?;
        let elapsed = started.elapsed();
        let cpu_after = self.cpu_time()?;
        if let Some((_, proxy)) = &self.proxy {
            proxy.check_policy()?;
        }
        let cpu = cpu_before.zip(cpu_after).map(|(before, after)| Cpu {
            per_request: (after - before).div_f64(f64::from(run.requests)),
            utilisation: (after - before).div_duration_f64(elapsed),
        });
        let percentile =
            |percent| Some(run.latencies[run.latencies.len().checked_sub(1)? * percent / 100]);
        Ok(Round {
            throughput: run.throughput,
            percentiles: percentile(50).zip(percentile(99)).map(Into::into),
            cpu,
        })
    }

    /// User and kernel time of the proxy's process since it started; none without a proxy.
    fn cpu_time(&self) -> Result<Option<Duration>> {
        let time = |process| proc::processor_time(process).context("the proxy is gone");
        self.process().map(time).transpose()
    }

    fn process(&self) -> Option<Pid> {
        self.proxy.as_ref().map(|(_, proxy)| proxy.process())
    }
}

/// The value in the middle; none where there are none.
pub(crate) fn median<T: PartialOrd + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|one, other| one.partial_cmp(other).expect("measurements are numbers"));
    values.get(values.len() / 2).copied()
}
