//! What the command line asks for.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::comparison::{BUILT_IN, Comparison, PROGRAMMABLE};

const USAGE: &str = "cargo bench -p equipoise --bench side_by_side -- [--programmable] [--quick] [--rounds N] \
     [--seconds N] [--requests N] [--only NAME,NAME]";

/// How long and what to measure.
#[derive(Debug)]
pub(crate) struct Options {
    /// Which table. Default the first, of what is built in.
    pub(crate) comparison: &'static Comparison,
    /// Timed rounds for each contender. Default 5.
    pub(crate) rounds: u32,
    /// Length of a round. Default 3 s; a tenth of it more is spent warming up.
    pub(crate) round: Duration,
    /// Requests counted under the slow tools. Default 4 000.
    pub(crate) counted_requests: u32,
    /// Whether this only shows that everything runs.
    pub(crate) is_quick: bool,
    /// Contenders to run; empty for all that are installed.
    pub(crate) only: Vec<String>,
}

impl Options {
    /// One short round: shows that everything runs, measures nothing worth keeping.
    const QUICK: Self = Self {
        comparison: &BUILT_IN,
        rounds: 1,
        round: Duration::from_secs(1),
        counted_requests: 200,
        is_quick: true,
        only: Vec::new(),
    };

    const FULL: Self = Self {
        comparison: &BUILT_IN,
        rounds: 5,
        round: Duration::from_secs(3),
        counted_requests: 4_000,
        is_quick: false,
        only: Vec::new(),
    };

    /// Reads the program's arguments. Without cargo's `--bench` (as under `cargo test --benches`) the run is a quick one.
    ///
    /// # Errors
    /// An argument that is not known, or whose value is missing or no number.
    pub(crate) fn from_arguments() -> Result<Self> {
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        let given = |flag: &str| arguments.iter().any(|argument| argument == flag);
        let quick = given("--quick") || !given("--bench");
        let mut options = if quick { Self::QUICK } else { Self::FULL };
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--bench" | "--quick" => {}
                "--programmable" => options.comparison = &PROGRAMMABLE,
                "--rounds" => options.rounds = value(argument, arguments.next())?,
                "--seconds" => {
                    options.round = Duration::from_secs(value(argument, arguments.next())?);
                }
                "--requests" => options.counted_requests = value(argument, arguments.next())?,
                "--only" => {
                    let names: String = value(argument, arguments.next())?;
                    options.only = names.split(',').map(str::to_owned).collect();
                }
                other => bail!("{other} is not known; {USAGE}"),
            }
        }
        Ok(options)
    }

    /// Whether the contender is to run.
    pub(crate) fn includes(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn value<T: FromStr>(flag: &str, text: Option<&String>) -> Result<T> {
    let text = text.with_context(|| format!("{flag} needs a value; {USAGE}"))?;
    text.parse()
        .ok()
        .with_context(|| format!("{flag} cannot be {text}; {USAGE}"))
}
