//! `equipoise import`: other programs' configurations in our words.

use std::fs;
use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Args, Subcommand};
use equipoise_apache_import::{Fate, Options, Report};

use super::{fail, stdout};
use crate::apache::{self, Apache};

#[derive(Debug, Subcommand)]
pub(super) enum ImportCommand {
    /// Write Apache's configuration in our words to standard output, and to standard error what is carried over, what differs, what
    /// is not carried over and what is refused. Exits with 1 where something is refused.
    Apache {
        /// The configuration file: httpd.conf, apache2.conf, or a part such as that of a site.
        file: PathBuf,
        /// Write to this file instead of standard output.
        #[arg(short, long)]
        output: Option<PathBuf>,
        /// Exit with 2 where anything is not carried over.
        #[arg(long)]
        strict: bool,
        #[command(flatten)]
        options: ApacheOptions,
    },
}

/// What is said about a configuration of Apache's besides its files.
#[derive(Debug, Args)]
pub(super) struct ApacheOptions {
    /// Where to listen, for a configuration of Apache's without Listen; may be given several times.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// Define this for a configuration of Apache's, as `<IfDefine>` asks and `${NAME}` stands for.
    #[arg(short = 'D', value_name = "NAME[=VALUE]")]
    defined: Vec<String>,
}

impl ApacheOptions {
    pub(super) fn options(self) -> Options {
        let variables = std::env::vars_os();
        let texts = variables.filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            Some((name, value.into_string().ok()?))
        });
        Options {
            defined: self.defined,
            environment: texts.collect(),
            listen: self.listen,
            any: apache::any_address(),
        }
    }
}

/// Carries out the command: 0 for success, 1 where something is refused or cannot be done, 2 where something is not carried over
/// and nothing may be.
pub(super) fn run(command: ImportCommand) -> ExitCode {
    let ImportCommand::Apache {
        file,
        output,
        strict,
        options,
    } = command;
    let import = match Apache::new(&file, options.options()) {
        Ok(mut apache) => apache.import(),
        Err(error) => return fail(&error),
    };
    if let Some(toml) = &import.toml
        && let Err(error) = write(toml, output)
    {
        return fail(&error);
    }
    print(&import.report);
    match import.report.worst() {
        Fate::Refused => ExitCode::FAILURE,
        Fate::LeftOut if strict => ExitCode::from(2),
        _ => ExitCode::SUCCESS,
    }
}

fn write(toml: &str, output: Option<PathBuf>) -> Result<()> {
    match output {
        Some(path) => fs::write(&path, toml).with_context(|| path.display().to_string()),
        None => write!(stdout(), "{toml}").context("writing to standard output"),
    }
}

/// Prints a report to standard error.
#[expect(
    clippy::disallowed_methods,
    reason = "a command that does not serve may block"
)]
pub(super) fn print(report: &Report) {
    // Where standard error is gone, the exit code is left to tell.
    let _ = write!(io::stderr(), "{report}");
}
