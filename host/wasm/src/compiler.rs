//! Compiling components in a process of its own.
//!
//! A component that is expensive to compile, or that makes the compiler fail, costs the serving process nothing: the program
//! starts itself as `equipoise compile-component`, which takes the component on standard input and leaves its code on standard
//! output. That process has bounds on memory, processor time and what it writes, inherits no file but these and nothing of
//! the environment, stands back behind whatever serves ([`child`]), and is ended when it takes too long, when its code is no
//! longer wanted, and when the program ends.

pub mod child;

use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::Signal;

use super::cache::MAX_ENTRY;
use equipoise_config as config;

/// How much longer than its processor time a compilation may take, and a while: on a machine that is busy with others.
const WALL: u32 = 4;
const WALL_IN_ANY_CASE: Duration = Duration::from_secs(60);

/// How often a compilation is looked at: from the first to the second, in proportion to how long it has been going on.
const POLL: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(50)];

/// How much of a compiler's last words is read, in bytes.
const MAX_MESSAGE: u64 = 1024;

/// Compiles components.
#[derive(Debug, Clone, Copy)]
pub enum Compiler {
    /// In a child process with these bounds.
    Process(Bounds),
    /// In this process, where the program cannot be started again: in tests, and under a tool that counts instructions.
    Here,
}

/// What one compilation may take.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Bytes of memory.
    pub memory: u64,
    /// Processor time, in whole seconds.
    pub time: Duration,
}

/// Ends a compilation from another thread.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// Has the compilation end, which fails then.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }
}

impl Compiler {
    /// A compiler with the bounds of a configuration.
    pub fn new(config: &config::Compiler) -> Self {
        Self::Process(Bounds {
            memory: config.memory as u64,
            time: config.time,
        })
    }

    /// The code of a component, for an engine as this program makes it. Waits until it is compiled.
    ///
    /// # Errors
    /// It is no valid component, exceeds a bound, or was cancelled.
    pub(super) fn compile(self, component: &[u8], cancel: &Cancel) -> Result<Vec<u8>> {
        match self {
            Self::Process(bounds) => bounds.compile(component, cancel),
            Self::Here => child::compile(component)
                .map_err(|error| anyhow!("it is no valid component: {error}")),
        }
    }
}

impl Bounds {
    fn compile(self, component: &[u8], cancel: &Cancel) -> Result<Vec<u8>> {
        let (mut code, mut message) = (memory_file()?, memory_file()?);
        let mut input = memory_file()?;
        input.write_all(component)?;
        input.rewind()?;
        let (output, complaints) = (code.try_clone()?, message.try_clone()?);
        let mut child = self
            .command()
            .stdin(Stdio::from(input))
            .stdout(Stdio::from(output))
            .stderr(Stdio::from(complaints))
            .spawn()
            .context("the compiler cannot be started")?;
        let status = self.wait(&mut child, cancel)?;
        if !status.success() {
            return Err(self.failure(status, &read(&mut message, MAX_MESSAGE)?));
        }
        let code = read(&mut code, MAX_ENTRY)?;
        ensure!(!code.is_empty(), "the compiler left no code");
        Ok(code)
    }

    /// This program as a compiler: the one that runs, even where another has taken its path, and with it the same engine.
    fn command(self) -> Command {
        let mut command = Command::new("/proc/self/exe");
        command
            .arg(child::COMMAND)
            .arg(format!("--memory={}", self.memory))
            .arg(format!("--seconds={}", self.time.as_secs()))
            .arg(format!("--parent={}", std::process::id()))
            .env_clear()
            // Address space is taken as it is needed: the bound on it is one on memory.
            .env("MIMALLOC_ARENA_RESERVE", "0")
            .current_dir("/");
        command
    }

    /// Waits until the compiler has ended, or ends it.
    fn wait(self, child: &mut Child, cancel: &Cancel) -> Result<ExitStatus> {
        let (begun, most) = (Instant::now(), self.time * WALL + WALL_IN_ANY_CASE);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            let passed = begun.elapsed();
            let stop = match cancel.is_cancelled() {
                true => Some(anyhow!("it is not wanted any more")),
                false if passed > most => Some(anyhow!("it was not compiled within {most:?}")),
                false => None,
            };
            if let Some(error) = stop {
                // An error means that it has ended by itself meanwhile.
                let _ = child.kill();
                child.wait()?;
                return Err(error);
            }
            let [shortest, longest] = POLL;
            thread::sleep((passed / 8).clamp(shortest, longest));
        }
    }

    /// Why the compiler ended without code.
    fn failure(self, status: ExitStatus, message: &[u8]) -> anyhow::Error {
        let message = String::from_utf8_lossy(message);
        let said = message.lines().next().unwrap_or_default().trim();
        let ended_by = |signal: Signal| status.signal() == Some(signal.as_raw());
        if status.code() == Some(child::INVALID.into()) {
            return anyhow!("it is no valid component: {said}");
        }
        if ended_by(Signal::XCPU) {
            let time = self.time;
            return anyhow!("compiling it takes more than {time:?} of processor time");
        }
        if ended_by(Signal::KILL) {
            return anyhow!("its compiler was killed: the machine may have no memory for it");
        }
        if ended_by(Signal::XFSZ) {
            return anyhow!("its code has more than {MAX_ENTRY} bytes");
        }
        // An allocation that fails aborts.
        if ended_by(Signal::ABORT) {
            let memory = self.memory >> 20;
            return anyhow!("compiling it takes more than {memory} MiB of memory");
        }
        match said.is_empty() {
            true => anyhow!("the compiler of plugins ended with {status}"),
            false => anyhow!("the compiler of plugins ended with {status}: {said}"),
        }
    }
}

/// A file in memory, closed in other processes.
fn memory_file() -> Result<File> {
    let file = memfd_create("component", MemfdFlags::CLOEXEC);
    Ok(File::from(file.context("making a file in memory")?))
}

/// A file from its beginning, up to so many bytes.
fn read(file: &mut File, most: u64) -> Result<Vec<u8>> {
    let length = file.metadata()?.len();
    file.rewind()?;
    let mut bytes = Vec::new();
    let room = usize::try_from(length.min(most)).unwrap_or(0);
    if bytes.try_reserve_exact(room).is_err() {
        bail!("there is no memory for its {length} bytes of code");
    }
    file.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}
