//! The whole proxy side by side with the proxies people know.
//!
//! `cargo bench -p equipoise --bench side_by_side` starts Equipoise and those of HAProxy, nginx, Apache and Envoy that are
//! installed, each with one worker and a comparable configuration (the files in `configurations/`), sends all of them the
//! same by several kinds of load (`kind`) and prints a Markdown table for each. docs/benchmarks.md says what the columns mean
//! and how to read them.
//!
//! Two passes, so that counting never slows what is timed:
//! 1. *Timed*: all proxies are up but only one at a time has load, in interleaved rounds. Medians are printed.
//! 2. *Counted*: each proxy is started again under the counting tools, which say the same on a busy machine.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tables go to standard output, progress to standard error"
)]

mod certificate;
mod comparison;
mod contender;
mod cores;
mod counted;
mod grpc;
mod h2load;
mod handshakes;
mod http1;
mod http2;
mod idle;
mod kind;
mod load;
mod machine;
mod options;
mod origin;
mod policy;
mod program;
mod proxy;
mod rehearsal;
mod requests;
mod table;
mod timed;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use equipoise_harness::certificates::SelfSigned;

use crate::comparison::Comparison;
use crate::contender::Contender;
use crate::cores::Cores;
use crate::counted::Instructions;
use crate::kind::Kind;
use crate::machine::Machine;
use crate::options::Options;
use crate::origin::Origin;
use crate::table::Row;
use crate::timed::Target;

/// What every measurement shares.
#[derive(Debug)]
struct Bench {
    options: Options,
    cores: Cores,
    origin: Origin,
    certificate: SelfSigned,
    has_h2load: bool,
    instructions: Instructions,
}

fn main() -> ExitCode {
    match Options::from_arguments().and_then(run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("side_by_side: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: Options) -> Result<()> {
    let machine = Machine::inspect();
    let bench = Bench {
        cores: Cores::divide(),
        origin: Origin::start()?,
        certificate: SelfSigned::named(certificate::NAME),
        has_h2load: h2load::is_here(),
        instructions: Instructions::available(),
        options,
    };
    println!("{machine}\n{}", bench.describe());
    let mut left_out = bench.missing_tools();
    for comparison in comparison::ALL {
        compare(comparison, &bench, &mut left_out)?;
    }
    for sentence in &left_out {
        println!("\n{sentence}");
    }
    ensure!(
        left_out.is_empty() || !bench.options.is_strict,
        "something was left out"
    );
    Ok(())
}

/// Measures and prints one comparison, if a kind of load of it is wanted. What could not be measured is added to `left_out`.
fn compare(comparison: &Comparison, bench: &Bench, left_out: &mut Vec<String>) -> Result<()> {
    let wanted = comparison.kinds.iter();
    let wanted = wanted.filter(|kind| bench.options.wants(kind) && bench.can_send(kind));
    let (idle, kinds): (Vec<_>, Vec<_>) = wanted.partition(|kind| kind.driver.leaves_idle());
    if idle.is_empty() && kinds.is_empty() {
        return Ok(());
    }
    let contenders = contender::installed(comparison, &bench.options, left_out);
    println!("\n{}.", versions(&contenders));
    let tables = measure(comparison, &kinds, &contenders, bench, left_out)?;
    for (kind, rows) in &tables {
        print!(
            "\n### {}\n\n{}.\n\n{}",
            kind.name,
            kind.about,
            table::render(rows)
        );
        if rows.iter().any(Row::was_disturbed) {
            println!(
                "\nA proxy did not have all of its core, or did not need it: see *core used* before the timed columns."
            );
        }
    }
    if bench.options.is_counted {
        print!("\n### instructions/request\n\n{}", table::overview(&tables));
        for kind in idle {
            let bytes = measure_idle(kind, &contenders, bench, left_out)?;
            print!("\n### {}\n\n{}.\n\n{bytes}", kind.name, kind.about);
        }
    }
    Ok(())
}

/// The rows of each kind of load's table.
fn measure<'a>(
    comparison: &Comparison,
    kinds: &[&'a Kind],
    contenders: &[Contender],
    bench: &Bench,
    left_out: &mut Vec<String>,
) -> Result<Vec<(&'a Kind, Vec<Row>)>> {
    let mut tables: Vec<_> = kinds.iter().map(|kind| (*kind, Vec::new())).collect();
    if bench.options.is_timed {
        let targets = start(comparison, contenders, bench, left_out)?;
        for (kind, rows) in &mut tables {
            rows.extend(timed::time(&targets, kind, bench)?);
        }
    }
    if bench.options.is_counted {
        for contender in contenders {
            let counts = counted::count(contender, kinds, bench, left_out)?;
            for ((_, rows), counts) in tables.iter_mut().zip(counts) {
                Row::add(rows, contender.name, counts);
            }
        }
    }
    Ok(tables)
}

/// Starts the direct way to the origin, then every contender. Only ours must; others are left out.
fn start<'a>(
    comparison: &Comparison,
    contenders: &'a [Contender],
    bench: &Bench,
    left_out: &mut Vec<String>,
) -> Result<Vec<Target<'a>>> {
    let mut targets = vec![Target::direct(bench)];
    for contender in contenders {
        let target = Target::proxied(contender, comparison, bench);
        targets.extend(contender.unless_left_out(target, left_out)?);
    }
    Ok(targets)
}

/// A table of what an idle connection takes of each contender's memory.
fn measure_idle(
    kind: &Kind,
    contenders: &[Contender],
    bench: &Bench,
    left_out: &mut Vec<String>,
) -> Result<String> {
    let mut rows = Vec::new();
    for contender in contenders.iter().filter(|contender| contender.suits(kind)) {
        let bytes = idle::measure(kind, contender, bench);
        if let Some(bytes) = contender.unless_left_out(bytes, left_out)? {
            rows.push(vec![contender.name.to_owned(), table::thousands(bytes)]);
        }
    }
    Ok(table::markdown(&["", "bytes/connection"], rows))
}

/// The programs and their versions, each once.
fn versions(contenders: &[Contender]) -> String {
    let versions = contenders.iter().map(Contender::version);
    let mut versions: Vec<String> = versions.collect();
    versions.dedup();
    versions.join(", ")
}

impl Bench {
    fn can_send(&self, kind: &Kind) -> bool {
        self.has_h2load || !kind.driver.needs_h2load()
    }

    /// A sentence about each tool that is wanted and not here.
    fn missing_tools(&self) -> Vec<String> {
        let mut missing = Vec::new();
        if self.options.is_counted && self.instructions == Instructions::Uncounted {
            missing.push("No instructions: neither `perf stat` nor `valgrind` counts here.");
        }
        if self.options.is_counted && !counted::has_strace() {
            missing.push("No system calls: strace is not installed.");
        }
        if !self.has_h2load {
            missing
                .push("No requests by HTTP/2: h2load is not installed (Debian: nghttp2-client).");
        }
        missing.into_iter().map(str::to_owned).collect()
    }

    /// The conditions, to stand above the tables.
    fn describe(&self) -> String {
        let options = &self.options;
        let mut sentences = vec![format!("{} clients, {}", http1::CLIENTS, self.cores)];
        if options.is_timed {
            sentences.push(format!(
                "medians of {} rounds of {} s",
                options.rounds,
                options.round.as_secs_f64()
            ));
        }
        if options.is_counted {
            sentences.push(format!(
                "instructions by {} over {} requests, or fewer where one costs more",
                self.instructions.name(),
                options.counted_requests
            ));
        }
        format!("{}.", sentences.join("; "))
    }
}
