//! The whole proxy side by side with the proxies people know.
//!
//! `cargo bench -p equipoise --bench side_by_side` starts Equipoise and those of HAProxy, nginx, Apache and Envoy that are
//! installed, each with one worker and a comparable configuration (the files in `configurations/`), sends all of them the
//! same requests and prints a Markdown table. docs/benchmarks.md says what the columns mean and how to read them.
//!
//! With `--programmable` the member is chosen by a program of the user's: a component, a Lua script, a proxy-wasm filter.
//! All of them do the same (the files in `policies/`).
//!
//! Two passes, so that counting never slows what is timed:
//! 1. *Timed*: all proxies are up but only one at a time has load, in interleaved rounds. Medians are printed.
//! 2. *Counted*: each proxy is started again under the counting tools, which say the same on a busy machine.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the table goes to standard output, progress to standard error"
)]

mod certificate;
mod comparison;
mod contender;
mod cores;
mod counted;
mod h2load;
mod handshakes;
mod load;
mod machine;
mod options;
mod origin;
mod policy;
mod program;
mod proxy;
mod rehearsal;
mod requests;
mod secure;
mod table;
mod timed;

use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::certificate::Certificate;
use crate::contender::Contender;
use crate::cores::Cores;
use crate::counted::{Counts, Instructions};
use crate::machine::Machine;
use crate::options::Options;
use crate::origin::Origin;
use crate::requests::Requests;
use crate::timed::Target;

/// What every measurement shares.
struct Bench {
    options: Options,
    cores: Cores,
    origin: Origin,
    certificate: Certificate,
    has_h2load: bool,
    requests: Requests,
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
    let (contenders, mut left_out) = contender::installed(&options);
    let machine = Machine::inspect(&contenders);
    let bench = Bench {
        cores: Cores::divide(),
        origin: Origin::start()?,
        certificate: Certificate::new()?,
        has_h2load: h2load::is_here(),
        requests: (options.comparison.requests)(),
        instructions: Instructions::available(),
        options,
    };
    let mut targets = start(&contenders, &bench, &mut left_out)?;
    time(&mut targets, &bench)?;
    let mut secure = Vec::new();
    for target in &mut targets {
        secure.extend(target.take_secure().map(|rounds| (target.name(), rounds)));
    }
    let rows = targets
        .into_iter()
        .map(|target| Ok((target.summary()?, count(target.stop(), &bench))))
        .collect::<Result<Vec<_>>>()?;
    let secure: Vec<_> = secure
        .into_iter()
        .map(|(name, rounds)| (name, rounds, count_secure(name, &contenders, &bench)))
        .collect();

    println!("{machine}\n{}\n", bench.describe());
    println!("{}", table::render(&rows));
    if !secure.is_empty() {
        println!(
            "{}\n\n{}",
            bench.describe_secure(),
            secure::render(&secure)?
        );
    }
    if rows.iter().any(|(timed, _)| timed.was_disturbed()) {
        println!(
            "Something else took a proxy's core: repeat this on a quieter machine for the timed columns."
        );
    }
    for sentence in left_out {
        println!("{sentence}");
    }
    Ok(())
}

/// The direct way to the origin, then every contender that starts. Only ours must; why others do not is added to `left_out`.
fn start<'a>(
    contenders: &'a [Contender],
    bench: &Bench,
    left_out: &mut Vec<String>,
) -> Result<Vec<Target<'a>>> {
    let mut targets = vec![Target::direct(bench)];
    for contender in contenders {
        match Target::proxied(contender, bench) {
            Ok(target) => targets.push(target),
            Err(error) if contender.is_ours() => return Err(error),
            Err(error) => left_out.push(format!("{} was left out: {error:#}.", contender.name)),
        }
    }
    Ok(targets)
}

/// The timed pass: one target after the other, in the same order in every round.
fn time(targets: &mut [Target<'_>], bench: &Bench) -> Result<()> {
    for round in 1..=bench.options.rounds {
        for target in &mut *targets {
            eprintln!("round {round}: {}", target.name());
            let measured = target.run_round(bench);
            measured.with_context(|| target.name())?;
            let measured = target.run_secure_round(bench);
            measured.with_context(|| format!("{} by TLS", target.name()))?;
        }
    }
    Ok(())
}

/// The counted pass for one proxy. Nothing is counted where none is in the way.
fn count(proxy: Option<&Contender>, bench: &Bench) -> Counts {
    let Some(contender) = proxy else {
        return Counts::default();
    };
    eprintln!("counting: {}", contender.name);
    Counts::of(contender, bench)
}

fn count_secure(name: &str, contenders: &[Contender], bench: &Bench) -> secure::Instructions {
    let contender = contenders.iter().find(|contender| contender.name == name);
    contender.map_or_else(secure::Instructions::default, |contender| {
        eprintln!("counting: {name} by TLS");
        secure::Instructions::of(contender, bench)
    })
}

impl Bench {
    /// Whether instructions are counted by TLS, too, where every proxy has to live three times more for it.
    fn counts_secure(&self) -> bool {
        self.instructions == Instructions::Callgrind && !self.options.is_quick
    }

    /// The conditions of the lower table.
    fn describe_secure(&self) -> String {
        let requests = match self.has_h2load {
            true => format!(
                "requests by h2load over {} connections with {} streams each",
                h2load::CONNECTIONS,
                h2load::STREAMS
            ),
            false => "no requests by HTTP/2, for h2load is not installed (Debian: nghttp2-client)"
                .to_owned(),
        };
        format!(
            "By TLS 1.3: full handshakes with X25519 and ECDSA on P-256, {} at once; {requests}.",
            handshakes::AT_ONCE
        )
    }

    /// The conditions, to stand above the table.
    fn describe(&self) -> String {
        format!(
            "Medians of {} rounds of {} s, {} connections, responses of {} bytes, load by the built-in generator, {}.\n\
             Instructions by {}, over {} requests.",
            self.options.rounds,
            self.options.round.as_secs(),
            load::CONNECTIONS,
            origin::BODY_BYTES,
            self.cores,
            self.instructions.name(),
            self.options.counted_requests,
        )
    }
}
