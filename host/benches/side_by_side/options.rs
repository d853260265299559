//! What the command line asks for.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::comparison;
use crate::kind::Kind;

const USAGE: &str = "cargo bench -p equipoise --bench side_by_side -- [--load KIND,KIND] [--counted | --timed] [--quick] [--strict] \
     [--rounds N] [--seconds N] [--requests N] [--only NAME,NAME] [--profiles DIRECTORY]";

/// How long and what to measure.
#[derive(Debug)]
pub(crate) struct Options {
    /// Kinds of load; empty for all.
    loads: Vec<String>,
    /// Whether there is a timed pass.
    pub(crate) is_timed: bool,
    /// Whether there is a counted pass.
    pub(crate) is_counted: bool,
    /// Timed rounds for each contender and kind of load. Default 5.
    pub(crate) rounds: u32,
    /// Length of a round. Default 2 s; a tenth of it more is spent warming up.
    pub(crate) round: Duration,
    /// Requests counted under the slow tools. Default 4 000; fewer where one costs more.
    pub(crate) counted_requests: u32,
    /// The directory that callgrind's profiles are kept in, if they are wanted.
    pub(crate) profiles: Option<PathBuf>,
    /// Whether the run fails where something had to be left out.
    pub(crate) is_strict: bool,
    /// Contenders to run, by name or program; empty for all that are installed.
    only: Vec<String>,
}

impl Options {
    /// As long as it takes to measure.
    fn full() -> Self {
        Self {
            loads: Vec::new(),
            is_timed: true,
            is_counted: true,
            rounds: 5,
            round: Duration::from_secs(2),
            counted_requests: 4_000,
            profiles: None,
            is_strict: false,
            only: Vec::new(),
        }
    }

    /// One short round: shows that everything runs, measures nothing worth keeping.
    fn quick() -> Self {
        Self {
            rounds: 1,
            round: Duration::from_millis(200),
            counted_requests: 40,
            ..Self::full()
        }
    }

    /// Reads the program's arguments. Without cargo's `--bench` (as under `cargo test --benches`) the run is a quick one.
    ///
    /// # Errors
    /// An argument that is not known, or whose value is missing, no number, no kind of load, or no contender.
    pub(crate) fn from_arguments() -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
        let is_quick = given("--quick") || !given("--bench");
        let mut options = if is_quick {
            Self::quick()
        } else {
            Self::full()
        };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" | "--quick" => {}
                "--counted" => options.is_timed = false,
                "--strict" => options.is_strict = true,
                "--timed" => options.is_counted = false,
                "--load" => options.loads = kinds(value(argument, arguments.next())?)?,
                "--rounds" => options.rounds = value(argument, arguments.next())?,
                "--seconds" => {
                    options.round = Duration::from_secs(value(argument, arguments.next())?);
                }
                "--requests" => options.counted_requests = value(argument, arguments.next())?,
                "--profiles" => {
                    let directory: PathBuf = value(argument, arguments.next())?;
                    options.profiles = Some(std::path::absolute(directory)?);
                }
                "--only" => options.only = contenders(value(argument, arguments.next())?)?,
                other => bail!("{other} is not known; {USAGE}"),
            }
        }
        if let Some(directory) = &options.profiles {
            ensure!(
                directory.is_dir(),
                "{} is no directory",
                directory.display()
            );
        }
        ensure!(
            options.is_timed || options.is_counted,
            "--counted and --timed leave nothing to do; {USAGE}"
        );
        Ok(options)
    }

    /// Whether the contender is to run.
    pub(crate) fn includes(&self, name: &str, program: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name || only == program)
    }

    /// Whether this kind of load is to run.
    pub(crate) fn wants(&self, kind: &Kind) -> bool {
        self.loads.is_empty() || self.loads.iter().any(|load| load == kind.name)
    }
}

/// Kinds of load by their names.
fn kinds(text: String) -> Result<Vec<String>> {
    let kinds = comparison::ALL
        .iter()
        .flat_map(|comparison| comparison.kinds);
    list(text, "kind of load", kinds.map(|kind| kind.name).collect())
}

/// Contenders by their names, or those of their programs.
fn contenders(text: String) -> Result<Vec<String>> {
    let contenders = comparison::ALL
        .iter()
        .flat_map(|comparison| comparison.contenders);
    let names = contenders.flat_map(|contender| [contender.program.name, contender.name]);
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    list(text, "contender", names)
}

/// Names with commas between them, all of which are known.
fn list(text: String, what: &str, known: Vec<&str>) -> Result<Vec<String>> {
    let names: Vec<String> = text.split(',').map(str::to_owned).collect();
    for name in &names {
        ensure!(
            known.contains(&name.as_str()),
            "{name} is no {what}; there are {}",
            known.join(", ")
        );
    }
    Ok(names)
}

fn value<T: FromStr>(flag: &str, text: Option<&String>) -> Result<T> {
    let text = text.with_context(|| format!("{flag} needs a value; {USAGE}"))?;
    text.parse()
        .ok()
        .with_context(|| format!("{flag} cannot be {text}; {USAGE}"))
}
