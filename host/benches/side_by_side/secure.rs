//! The lower table: handshakes of TLS, and requests by HTTP/2 over TLS, of those that can do both.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::Bench;
use crate::contender::Contender;
use crate::counted;
use crate::h2load::{self, Load};
use crate::handshakes;
use crate::load::Until;
use crate::proxy::Proxy;
use crate::table::{self, Measure};
use crate::timed::{cpu_time, median};

/// The columns of the table, behind the name.
const HEADER: [&str; 9] = [
    "",
    "instructions/handshake",
    "CPU µs/handshake",
    "handshakes/s (slowest–fastest round)",
    "core used",
    "instructions/request by HTTP/2",
    "CPU µs/request",
    "requests/s (slowest–fastest round)",
    "core used",
];

/// What one proxy was seen to do.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    handshakes: Vec<Round>,
    requests: Vec<Round>,
}

/// What one round showed.
#[derive(Debug)]
struct Round {
    /// A second.
    throughput: f64,
    /// The proxy's time for one.
    cpu: Duration,
    utilisation: f64,
}

/// Instructions for a handshake and for a request; none where they were not counted.
#[derive(Debug, Default)]
pub(crate) struct Instructions {
    handshake: Option<f64>,
    request: Option<f64>,
}

impl Rounds {
    /// Measures once more: handshakes for as long as the options say, then requests, if h2load is here.
    pub(crate) fn run(&mut self, proxy: &Proxy, bench: &Bench) -> Result<()> {
        let length = bench.options.round;
        let shake =
            |length| handshakes::run(proxy.secure, &bench.certificate, &Until::elapsed(length));
        shake(length / 10)?;
        self.handshakes.push(Round::of(proxy, || {
            let started = Instant::now();
            let count = shake(length)?;
            Ok((count, f64::from(count) / started.elapsed().as_secs_f64()))
        })?);
        if bench.has_h2load {
            self.requests.push(Round::of(proxy, || {
                let outcome = h2load::run(proxy.secure, Load::Lasting(length))?;
                Ok((outcome.requests, outcome.throughput))
            })?);
        }
        Ok(())
    }
}

impl Round {
    /// `work` says how many it did, and how many a second.
    fn of(proxy: &Proxy, work: impl FnOnce() -> Result<(u32, f64)>) -> Result<Self> {
        let before = cpu_time(proxy.process())?;
        let started = Instant::now();
        let (count, throughput) = work()?;
        let elapsed = started.elapsed();
        let taken = cpu_time(proxy.process())?.saturating_sub(before);
        Ok(Self {
            throughput,
            cpu: taken.div_f64(f64::from(count)),
            utilisation: taken.div_duration_f64(elapsed),
        })
    }
}

impl Instructions {
    /// Counts them under callgrind, if that is what counts on this machine and the run is not a quick one: three lives of the
    /// proxy, of which all warm up, and two do something else besides.
    pub(crate) fn of(contender: &Contender, bench: &Bench) -> Self {
        if !bench.counts_secure() {
            return Self::default();
        }
        Self::count(contender, bench).unwrap_or_else(|error| {
            eprintln!("{} could not be counted by TLS: {error:#}", contender.name);
            Self::default()
        })
    }

    fn count(contender: &Contender, bench: &Bench) -> Result<Self> {
        let count = bench.options.counted_requests;
        let shake = |proxy: &Proxy, count| {
            let until = Until::requests(count);
            handshakes::run(proxy.secure, &bench.certificate, &until).map(drop)
        };
        let ask = |proxy: &Proxy, count| match bench.has_h2load {
            true => h2load::run(proxy.secure, Load::Of(count)).map(drop),
            false => Ok(()),
        };
        let warm = |proxy: &Proxy| {
            shake(proxy, count / 4)?;
            ask(proxy, count / 4)
        };
        let short = counted::instructions_of_a_life(contender, bench, warm)?;
        let shaken = counted::instructions_of_a_life(contender, bench, |proxy| {
            warm(proxy)?;
            shake(proxy, count)
        })?;
        let asked = counted::instructions_of_a_life(contender, bench, |proxy| {
            shake(proxy, count / 4)?;
            ask(proxy, count / 4 + count)
        })?;
        Ok(Self {
            handshake: Some((shaken - short) / f64::from(count)),
            request: bench.has_h2load.then(|| (asked - short) / f64::from(count)),
        })
    }
}

/// The rows as a Markdown table; empty where there are none.
pub(crate) fn render(rows: &[(&'static str, Rounds, Instructions)]) -> Result<String> {
    if rows.is_empty() {
        return Ok(String::new());
    }
    let mut cells = Vec::new();
    for (name, rounds, instructions) in rows {
        let mut row = vec![(*name).to_owned()];
        row.extend(columns(&rounds.handshakes, instructions.handshake).context(*name)?);
        row.extend(columns(&rounds.requests, instructions.request).context(*name)?);
        cells.push(row);
    }
    Ok(table::markdown(&HEADER, cells))
}

/// Medians of the rounds as four columns; dashes where there was no round.
fn columns(rounds: &[Round], instructions: Option<f64>) -> Result<[String; 4]> {
    if rounds.is_empty() {
        return Ok([(); 4].map(|()| table::DASH.to_owned()));
    }
    let throughputs = || rounds.iter().map(|round| round.throughput);
    let measure = Measure {
        median: median(throughputs()).context("no round")?,
        slowest: throughputs().fold(f64::INFINITY, f64::min),
        fastest: throughputs().fold(0.0, f64::max),
    };
    let cpu = median(rounds.iter().map(|round| round.cpu)).context("no round")?;
    let utilisation = median(rounds.iter().map(|round| round.utilisation)).context("no round")?;
    Ok([
        table::or_dash(instructions, table::thousands),
        format!("{:.1}", table::microseconds(cpu)),
        measure.to_string(),
        format!("{:.0} %", utilisation * 100.0),
    ])
}
