//! Logs: everything that the program writes to standard output, standard error and the access log's file while it serves.
//!
//! A log may be slow (a disk), stall (a pipe that is not read) or fail (a full disk, a reader that is gone). None of that may
//! stop serving, so each sink has a [`Writer`]: a bounded queue and a thread of its own. What does not fit into the queue, or
//! cannot be written, is dropped and counted ([`Losses`]), and the log says so as soon as it can be written again. Panics are
//! logged the same way.
//!
//! Nothing else in the program may write there while it serves; `clippy.toml` forbids the functions. Commands that do not
//! serve write by themselves, and end with an error where that fails.

mod line;
mod panics;
mod rate_limit;
mod writer;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use equipoise_metrics::Counter;
use line::cut;
pub use rate_limit::RateLimit;
pub use writer::Writer;

/// Bytes of the program's log that may wait to be written: a thousand of the longest lines.
const LOG_QUEUE: usize = 1024 * 1024;

/// Bytes of standard output, or of the access log's file, that may wait: some 40,000 requests.
const ACCESS_LOG_QUEUE: usize = 8 * 1024 * 1024;

/// How long the end of the program waits until the access log is written, and then for its own log.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Lines that were lost of one sink since the program started.
#[derive(Debug)]
pub struct Losses {
    /// What the sink is called: `stderr`, `stdout` or `file`.
    pub sink: &'static str,
    /// Lines that came while the queue was full.
    pub full: Counter,
    /// Lines whose write failed.
    pub failed: Counter,
}

static STDERR: Losses = Losses::of("stderr");
static STDOUT: Losses = Losses::of("stdout");
static FILE: Losses = Losses::of("file");

/// What was lost of each sink; `file` is that of the access log.
pub static LOSSES: [&Losses; 3] = [&STDERR, &STDOUT, &FILE];

impl Losses {
    const fn of(sink: &'static str) -> Self {
        Self {
            sink,
            full: Counter::new(),
            failed: Counter::new(),
        }
    }

    fn total(&self) -> u64 {
        self.full.get() + self.failed.get()
    }
}

/// What the program writes to while it serves.
#[derive(Debug)]
pub struct Output {
    stderr: Writer,
    stdout: Writer,
    /// The access log's, where it has one.
    file: Option<Writer>,
}

impl Output {
    /// Takes over standard output and standard error: has events logged at `level`, where RUST_LOG says nothing else, and
    /// panics, too.
    ///
    /// # Errors
    /// There are no file descriptors or threads left.
    pub fn take(level: &str) -> io::Result<Self> {
        let stderr = Writer::start("log", duplicate(io_stderr())?, LOG_QUEUE, &STDERR)?;
        let stdout = Writer::start("stdout", duplicate(io_stdout())?, ACCESS_LOG_QUEUE, &STDOUT)?;
        subscribe(level, LineWriter(stderr.clone()));
        panics::log();
        Ok(Self {
            stderr,
            stdout,
            file: None,
        })
    }

    /// Writes a text of whole lines to standard output.
    pub fn print(&self, text: &str) {
        self.stdout.write(text.strip_suffix('\n').unwrap_or(text));
    }

    /// Says on standard error why the program ends.
    pub fn complain(&self, error: &anyhow::Error) {
        self.stderr.write(&format!("{error:#}"));
    }

    /// What writes to standard output.
    pub fn stdout(&self) -> Writer {
        self.stdout.clone()
    }

    /// Opens a file that lines are appended to: that of the access log.
    ///
    /// # Errors
    /// It cannot be opened for appending.
    pub fn append_to(&mut self, path: &Path) -> Result<Writer> {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("opening the access log {}", path.display()))?;
        let writer = Writer::start("access-log", file, ACCESS_LOG_QUEUE, &FILE)?;
        Ok(self.file.insert(writer).clone())
    }

    /// Waits until everything is written, for a second at most, and logs what was lost of the access log.
    pub fn finish(self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        for writer in [Some(self.stdout), self.file].into_iter().flatten() {
            writer.flush(deadline);
            writer.report_at_end();
        }
        self.stderr.flush(Instant::now() + FLUSH_TIMEOUT);
    }
}

/// Sends the log of a command that does not serve to standard error, at `level` where RUST_LOG says nothing else.
pub fn to_stderr(level: &str) {
    subscribe(level, io_stderr);
}

fn subscribe(level: &str, writer: impl for<'w> MakeWriter<'w> + Send + Sync + 'static) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    // An error means that there is a log already, which is fine.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(writer)
        .with_ansi(io::IsTerminal::is_terminal(&io_stderr()))
        // It would be told on standard error by a macro that panics when that fails.
        .log_internal_errors(false)
        .try_init();
}

/// The writer of the log: takes an event at a time, and cuts it.
#[derive(Debug, Clone)]
struct LineWriter(Writer);

impl MakeWriter<'_> for LineWriter {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

impl io::Write for LineWriter {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(event);
        self.0.write(&cut(line.trim_end_matches('\n')));
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A file of our own, without the lock and the buffer that the standard library has for all threads together.
fn duplicate(file: impl AsFd) -> io::Result<File> {
    file.as_fd().try_clone_to_owned().map(File::from)
}

#[expect(clippy::disallowed_methods, reason = "this module owns it")]
fn io_stderr() -> io::Stderr {
    io::stderr()
}

#[expect(clippy::disallowed_methods, reason = "this module owns it")]
fn io_stdout() -> io::Stdout {
    io::stdout()
}
