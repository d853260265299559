//! `equipoise compile-component`: the process that compiles one component and ends.

use std::fmt::Display;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::panic;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use rlimit::Resource;
use rustix::param::page_size;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal, setpriority_process};
use rustix::thread::set_no_new_privs;
use wasmtime::Engine;

use super::super::cache::MAX_ENTRY;
use super::super::engine;
use super::super::fault::describe;

/// What the program is called with.
pub(super) const COMMAND: &str = "compile-component";

/// The exit code for an invalid component: the reason is on standard error.
pub(super) const INVALID: u8 = 2;

/// How far the process stands back behind those that serve; 19 is last.
const NICENESS: i32 = 10;

/// Bounds, and whose child this is.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Bytes of memory.
    #[arg(long)]
    memory: u64,
    /// Seconds of processor time.
    #[arg(long)]
    seconds: u64,
    /// The process that wants the code.
    #[arg(long)]
    parent: u32,
}

/// Compiles what is on standard input.
pub fn run(arguments: &Arguments) -> ExitCode {
    // A component that makes the compiler panic is reported as invalid.
    panic::set_hook(Box::new(|panic| {
        say(&format!("the compiler panicked: {panic}"))
    }));
    match confine(arguments).and_then(|()| read()) {
        Ok(component) => match compile(&component) {
            Ok(code) => match write(&code) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => end(error, ExitCode::FAILURE),
            },
            Err(reason) => end(reason, ExitCode::from(INVALID)),
        },
        Err(error) => end(format!("{error:#}"), ExitCode::FAILURE),
    }
}

/// Code for an engine as this program makes it.
///
/// # Errors
/// Why it is no valid component, on one line.
pub(super) fn compile(component: &[u8]) -> Result<Vec<u8>, String> {
    let engine = Engine::new(&engine::config());
    let code = engine.and_then(|engine| engine.precompile_component(component));
    code.map_err(|error| describe(&error))
}

/// Sets the bounds, before a byte of the component is read.
fn confine(arguments: &Arguments) -> Result<()> {
    let Arguments {
        memory,
        seconds,
        parent,
    } = *arguments;
    // On Linux the signal comes when the thread ends that started this process, which waits for it.
    set_parent_process_death_signal(Some(Signal::KILL)).context("ending with the program")?;
    let is_orphan = getppid().map(Pid::as_raw_pid) != i32::try_from(parent).ok();
    anyhow::ensure!(!is_orphan, "the program has ended");
    // Without it plugins are compiled all the same.
    let _ = set_no_new_privs(true);
    let _ = setpriority_process(None, NICENESS);
    let address_space = memory.saturating_add(taken_address_space()?);
    for (resource, soft, hard) in [
        (Resource::CORE, 0, 0),
        (Resource::AS, address_space, address_space),
        // The softer limit ends the process by a signal that says why, the harder one by SIGKILL.
        (Resource::CPU, seconds, seconds + 1),
        (Resource::FSIZE, MAX_ENTRY, MAX_ENTRY),
        // Standard input, output and error, and what the runtime looks at.
        (Resource::NOFILE, 16, 16),
    ] {
        let (_, most) = resource.get().context("reading a resource limit")?;
        resource
            .set(soft.min(most), hard.min(most))
            .with_context(|| format!("setting the limit of {}", resource.as_name()))?;
    }
    Ok(())
}

/// Bytes of address space that the program itself takes.
fn taken_address_space() -> Result<u64> {
    let statm = fs::read_to_string("/proc/self/statm").context("reading /proc/self/statm")?;
    let pages = statm
        .split(' ')
        .next()
        .and_then(|pages| pages.parse::<u64>().ok());
    let pages = pages.context("/proc/self/statm is not as the kernel has it")?;
    Ok(pages.saturating_mul(page_size() as u64))
}

fn read() -> Result<Vec<u8>> {
    let mut component = Vec::new();
    let read = io::stdin().lock().read_to_end(&mut component);
    read.context("reading the component")?;
    Ok(component)
}

#[expect(clippy::disallowed_methods, reason = "this process serves nothing")]
fn write(code: &[u8]) -> io::Result<()> {
    let mut output = io::stdout().lock();
    output.write_all(code)?;
    output.flush()
}

fn end(reason: impl Display, code: ExitCode) -> ExitCode {
    say(&reason);
    code
}

#[expect(clippy::disallowed_methods, reason = "this process serves nothing")]
fn say(what: &dyn Display) {
    // Without standard error, the exit code has to tell.
    let _ = writeln!(io::stderr(), "{what}");
}
