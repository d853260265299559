//! The command line.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

use crate::access_log::AccessLog;
use crate::config::Config;
use crate::demo;
use crate::server::Server;

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
    /// Start three sample members and a balancer in front of them, to try things out.
    Demo,
}

/// Runs the program with the arguments of the process: 0 for success, 1 for what went wrong, 2 for wrong arguments.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Run { config } => serve_file(&config),
        Command::Check { config } => check(&config),
        Command::Demo => demo::run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn serve_file(path: &Path) -> Result<()> {
    log_to_stderr("info");
    serve(&Config::read(path)?, |_| Ok(()))
}

fn check(path: &Path) -> Result<()> {
    Config::read(path)?;
    println!("{} is fine", path.display());
    Ok(())
}

/// Serves until a signal says to stop. `announce` says what is special once connections are accepted.
pub(crate) fn serve(
    config: &Config,
    announce: impl FnOnce(&Server) -> io::Result<()>,
) -> Result<()> {
    let log = config
        .access_log
        .as_ref()
        .map(AccessLog::open)
        .transpose()?;
    let (log, _written_when_dropped) = log.unzip();
    let server = Server::start(config, log)?;
    let mut stdout = io::stdout().lock();
    for address in server.addresses() {
        writeln!(stdout, "listening on http://{address}").context("writing to standard output")?;
    }
    stdout.flush().context("writing to standard output")?;
    drop(stdout);
    announce(&server).context("writing to standard output")?;
    let name = wait_for_signal()?;
    tracing::info!(signal = name, "draining");
    server.drain();
    Ok(())
}

/// Waits for SIGTERM or SIGINT and says which it was.
fn wait_for_signal() -> Result<&'static str> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        Ok(tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        })
    })
}

/// Sends the log to standard error, at `level` where RUST_LOG says nothing else.
pub(crate) fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // An error means that there is a log already, which is fine.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .try_init();
}
