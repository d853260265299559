//! The command line.

mod author;
mod import;
mod plugin;

use std::fmt::Write as _;
use std::io::{self, Read as _, StdoutLock, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow, bail};
use clap::{Parser, Subcommand};

use crate::apache::Apache;
use crate::control::{self, LoadedConfig};
use crate::demo;
use crate::hot_restart::Inheritance;
use crate::run::Server;
use crate::signals::{Event, Signals};
use crate::systemd::Notifier;
use equipoise_config::Config;
use equipoise_file_watch::Content;
use equipoise_log::{self as log, Output};
use equipoise_proxy::observe::access_log::AccessLog;
use equipoise_wasm::compiler::{self, Cancel};
use equipoise_wasm::{Cache, Compiler, Sandbox};
use import::{ApacheOptions, ImportCommand};
use plugin::PluginCommand;

/// The first file descriptor behind standard input, output and error.
const FIRST_FILE: i32 = 3;

/// A programmable HTTP load balancer.
#[derive(Debug, Parser)]
#[command(name = "equipoise", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve as a configuration file says, until SIGTERM or SIGINT. SIGHUP: read the file again. SIGUSR2: start the program
    /// anew, which takes over without a refused connection.
    Run {
        /// The configuration file, ours or Apache's.
        config: PathBuf,
        #[command(flatten)]
        apache: ApacheOptions,
    },
    /// Check a configuration file and report every mistake in it; of Apache's, all that is not as it is there.
    Check {
        /// The configuration file, ours or Apache's.
        config: PathBuf,
        #[command(flatten)]
        apache: ApacheOptions,
    },
    /// Write another program's configuration in our words.
    #[command(subcommand)]
    Import(ImportCommand),
    /// Look after plugins: WebAssembly components that decide in place of the built-in policies.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Compile a component from standard input to standard output: how the program starts itself for each plugin.
    #[command(hide = true)]
    CompileComponent(compiler::child::Arguments),
    /// Compile a component from standard input into a cache, in this process: for benchmarks on a simulated processor, where
    /// the program cannot start itself.
    #[command(hide = true)]
    CompileInto {
        /// The cache's folder.
        folder: PathBuf,
    },
    /// Start three sample members and a balancer in front of them, to try things out.
    Demo,
}

/// Runs the program with the arguments of the process: 0 for success, 1 for what went wrong, 2 for wrong arguments.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    // What the program starts gets what it is given, and nothing that this one happens to have been started with.
    close_fds::set_fds_cloexec(FIRST_FILE, &[]);
    let result = match arguments.command {
        Command::Run { config, apache } => {
            // Before there are other threads.
            let inherited = Inheritance::take().context("taking over sockets");
            return serving("info", |output| {
                let loaded_config = LoadedConfig::read_any(&config, apache.options())?;
                serve(&loaded_config, inherited?, output, |_| String::new())
            });
        }
        Command::Demo => return serving(demo::LOG_LEVELS, demo::run),
        Command::Check { config, apache } => check(&config, apache),
        Command::Import(command) => return import::run(command),
        Command::Plugin(command) => plugin::run(command),
        Command::CompileComponent(arguments) => return compiler::child::run(&arguments),
        Command::CompileInto { folder } => compile_into(&folder),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

/// Runs what serves: all that it writes goes through queues, from the beginning to the end.
fn serving(level: &str, serve: impl FnOnce(&mut Output) -> Result<()>) -> ExitCode {
    let mut output = match Output::take(level).context("starting to log") {
        Ok(output) => output,
        Err(error) => return fail(&error),
    };
    let result = serve(&mut output);
    if let Err(error) = &result {
        output.complain(error);
    }
    output.finish();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Says why a command fails that does not serve.
#[expect(
    clippy::disallowed_methods,
    reason = "a command that does not serve may block"
)]
fn fail(error: &anyhow::Error) -> ExitCode {
    // Where standard error is gone, the exit code is left to tell.
    let _ = writeln!(io::stderr(), "{error:#}");
    ExitCode::FAILURE
}

/// Where commands print to that do not serve.
#[expect(
    clippy::disallowed_methods,
    reason = "a command that does not serve may block"
)]
fn stdout() -> StdoutLock<'static> {
    io::stdout().lock()
}

fn check(path: &Path, options: ApacheOptions) -> Result<()> {
    log::to_stderr("warn");
    let text = match Apache::at(path, options.options())? {
        Some(mut apache) => {
            let import = apache.import();
            import::print(&import.report);
            let text = import.toml.filter(|_| !import.report.is_refused());
            text.ok_or_else(|| anyhow!("{} cannot be run as it is", path.display()))?
        }
        None => Config::read_text(path)?,
    };
    control::check_files(&LoadedConfig::parse(&text, path)?)?;
    writeln!(stdout(), "{} is fine", path.display()).context("writing to standard output")
}

/// Compiles what is on standard input in this process, and keeps it in a cache.
fn compile_into(folder: &Path) -> Result<()> {
    log::to_stderr("warn");
    let mut component = Vec::new();
    io::stdin().read_to_end(&mut component)?;
    let sandbox = Sandbox::new(Compiler::Here, Some(Cache::open(folder)?))?;
    sandbox.compile(&Content::of(component), &Cancel::default())?;
    Ok(())
}

/// Serves, with these sockets where they fit, until a signal says to stop or another program has taken over; a signal while
/// it drains cuts the end short. `announce` says what is special once connections are accepted.
///
/// # Errors
/// The server cannot start, or a signal to stop came before it had drained.
pub(crate) fn serve(
    loaded_config: &LoadedConfig,
    inherited: Inheritance,
    output: &mut Output,
    announce: impl FnOnce(&Server) -> String,
) -> Result<()> {
    let mut signals = Signals::catch().context("catching signals")?;
    let notifier = Arc::new(Notifier::from_env());
    let config = loaded_config.config();
    raise_file_limit();
    let access_log = config.access_log.as_ref();
    let access_log = access_log.map(|log| AccessLog::open(log, output));
    let server = Server::start(
        loaded_config,
        access_log.transpose()?,
        inherited,
        &mut || match signals.stopped() {
            Some(name) => Err(anyhow!("{name}: stopped while starting")),
            None => Ok(()),
        },
    )?;
    output.print(&(addresses(&server, config) + &announce(&server)));
    notifier.ready();
    let outcome = attend(&mut signals, &server, &notifier);
    signals
        .run(|| server.drain())
        .map_err(|name| anyhow!("{name} again: stopped without draining"))?;
    outcome
}

/// Does what signals ask for, until the server is to end.
///
/// # Errors
/// It ends since a thread has died: what is in flight is served, and then the program is to be started again.
fn attend(signals: &mut Signals, server: &Server, notifier: &Arc<Notifier>) -> Result<()> {
    loop {
        match signals.wait(notifier.interval(), server.liveness()) {
            Event::Stop(signal) => {
                tracing::info!(signal, "draining");
                notifier.stopping();
                return Ok(());
            }
            Event::Died => {
                let part = server.liveness().dead().unwrap_or("a thread");
                tracing::error!("{part} is dead: draining, to exit with an error");
                notifier.stopping();
                bail!("{part} panicked: the program has to be started again");
            }
            // Its process is the program now, and tells how it fares.
            Event::Succeeded => {
                tracing::info!("draining");
                return Ok(());
            }
            Event::Reload => {
                notifier.reloading();
                let notifier = notifier.clone();
                server.reload(move || notifier.ready());
            }
            Event::Restart => restart(signals, server, notifier.clone()),
            Event::Due if server.is_alive() => notifier.alive(),
            Event::Due => {
                tracing::error!(
                    "a thread is stuck or dead: the watchdog is not told that the program lives"
                );
            }
        }
    }
}

fn restart(signals: &Signals, server: &Server, notifier: Arc<Notifier>) {
    let replaced = signals.replaced();
    server.restart(move |process| {
        notifier.main_pid(process);
        replaced.notify_one();
    });
}

/// A line for each listener, with its URL.
fn addresses(server: &Server, config: &Config) -> String {
    let mut text = String::new();
    for (address, listener) in server.addresses().iter().zip(&config.listeners) {
        let scheme = if listener.tls.is_some() {
            "https"
        } else {
            "http"
        };
        let _ = writeln!(text, "listening on {scheme}://{address}");
    }
    text
}

/// Lets the process open as many files as the system allows: every connection is one, to clients and to members.
fn raise_file_limit() {
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
}
