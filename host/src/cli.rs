//! The command line.

mod author;
mod plugin;

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow};
use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::access_log::AccessLog;
use crate::config::Config;
use crate::control::Setting;
use crate::server::Server;
use crate::signals::Signals;
use crate::{control, demo};
use plugin::PluginCommand;

/// A programmable HTTP load balancer.
#[derive(Debug, Parser)]
#[command(name = "equipoise", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a configuration file says, until SIGTERM or SIGINT.
    Run {
        /// The configuration file.
        config: PathBuf,
    },
    /// Check a configuration file and report every mistake in it.
    Check {
        /// The configuration file.
        config: PathBuf,
    },
    /// Look after plugins: WebAssembly components that decide in place of the built-in policies.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Start three sample members and a balancer in front of them, to try things out.
    Demo,
}

/// Runs the program with the arguments of the process: 0 for success, 1 for what went wrong, 2 for wrong arguments.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run { config } => serve_file(&config),
        Command::Check { config } => check(&config),
        Command::Plugin(command) => plugin::run(command),
        Command::Demo => demo::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Where standard error is gone, the exit code is left to tell.
            let _ = writeln!(io::stderr(), "{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve_file(path: &Path) -> Result<()> {
    log_to_stderr("info");
    serve(&Setting::read(path)?, |_| Ok(()))
}

fn check(path: &Path) -> Result<()> {
    log_to_stderr("warn");
    let text = Config::read_text(path)?;
    control::check_plugins(&Setting::parse(&text, path)?)?;
    writeln!(io::stdout(), "{} is fine", path.display()).context("writing to standard output")
}

/// Serves until a signal says to stop; a second signal cuts the end short. `announce` says what is special once
/// connections are accepted.
///
/// # Errors
/// The server cannot start, or a second signal came before it had drained.
pub(crate) fn serve(
    setting: &Setting,
    announce: impl FnOnce(&Server) -> io::Result<()>,
) -> Result<()> {
    let mut signals = Signals::catch().context("catching signals")?;
    let config = setting.config();
    raise_file_limit(config);
    let log = config
        .access_log
        .as_ref()
        .map(AccessLog::open)
        .transpose()?;
    let (log, _written_when_dropped) = log.unzip();
    let server = Server::start(setting, log.clone())?;
    say_addresses(&server)
        .and_then(|()| announce(&server))
        .context("writing to standard output")?;
    let signal = signals.wait();
    tracing::info!(signal, "draining");
    let drained = signals
        .run(|| server.drain())
        .map_err(|name| anyhow!("{name} again: stopped without draining"));
    if let Some(lines) = log
        .map(|log| log.dropped_lines())
        .filter(|&lines| lines > 0)
    {
        tracing::warn!(
            lines,
            "the access log could not be written as fast as requests came"
        );
    }
    drained
}

fn say_addresses(server: &Server) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    for address in server.addresses() {
        writeln!(stdout, "listening on http://{address}")?;
    }
    stdout.flush()
}

/// Lets the process open as many files as the system allows: every connection is one, to clients and to members.
fn raise_file_limit(config: &Config) {
    let wanted = 2 * config.limits.connections as u64;
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) if limit < wanted => tracing::warn!(
            limit,
            "the limit of open files (ulimit -n) is below twice the limit of connections"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!(%error, "the limit of open files cannot be raised"),
    }
}

/// Sends the log to standard error, at `level` where RUST_LOG says nothing else.
pub(crate) fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // An error means that there is a log already, which is fine.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .try_init();
}
