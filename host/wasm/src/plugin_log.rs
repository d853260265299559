//! Rate-limited, sanitised logging for a plugin.
//!
//! A line is cut at 1 KiB, characters that could forge another line or hide text are escaped, and beyond a burst of 20 lines
//! and 10 lines a second lines are dropped and counted. The next line that is written is preceded by their number.
//!
//! There is one [`PluginLogger`] for a plugin, shared by its instances: the rate limit is the plugin's. Output of an instance
//! comes in pieces, so each instance has a [`LineBuffer`] of its own, which joins the pieces to lines.

use std::fmt::{self, Display, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use equipoise_sdk::LogLevel;

use equipoise_log::RateLimit;

/// The target of the lines, for `RUST_LOG`.
const TARGET: &str = "equipoise::plugin";

/// Maximum length of a line in bytes, before characters are escaped.
const MAX_LINE: usize = 1024;

/// Writes a plugin's lines to the host's log. All instances of the plugin share it.
#[derive(Debug)]
pub(super) struct PluginLogger {
    plugin: Box<str>,
    started: Instant,
    limit: RateLimit,
}

impl PluginLogger {
    /// The logger of a plugin that has logged nothing yet.
    pub(super) fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.into(),
            started: Instant::now(),
            limit: RateLimit::default(),
        }
    }

    /// Writes a line to the log, or drops and counts it when there were too many.
    ///
    /// Never waits for other threads. A line that is not written costs no allocation.
    pub(super) fn log(&self, level: LogLevel, message: &str) {
        if self.is_allowed(level) {
            self.write(level, message);
        }
    }

    /// Whether a line may be written now. Lines of a level that the log leaves out are not counted.
    fn is_allowed(&self, level: LogLevel) -> bool {
        if !is_enabled(level) {
            return false;
        }
        match self.limit.take(self.started.elapsed()) {
            Some(dropped) => {
                self.write_dropped(dropped);
                true
            }
            None => false,
        }
    }

    fn write(&self, level: LogLevel, message: &str) {
        let (plugin, line) = (&*self.plugin, Sanitized(message));
        match level {
            LogLevel::Error => tracing::error!(target: TARGET, plugin, "{line}"),
            LogLevel::Warn => tracing::warn!(target: TARGET, plugin, "{line}"),
            LogLevel::Info => tracing::info!(target: TARGET, plugin, "{line}"),
            LogLevel::Debug => tracing::debug!(target: TARGET, plugin, "{line}"),
        }
    }

    fn write_dropped(&self, lines: u64) {
        let plugin = &*self.plugin;
        match lines {
            0 => (),
            1 => tracing::warn!(target: TARGET, plugin, "1 line dropped"),
            _ => tracing::warn!(target: TARGET, plugin, "{lines} lines dropped"),
        }
    }
}

/// The number of dropped lines is not lost with the logger.
impl Drop for PluginLogger {
    fn drop(&mut self) {
        self.write_dropped(self.limit.dropped.swap(0, Ordering::Relaxed));
    }
}

fn is_enabled(level: LogLevel) -> bool {
    match level {
        LogLevel::Error => tracing::enabled!(target: TARGET, tracing::Level::ERROR),
        LogLevel::Warn => tracing::enabled!(target: TARGET, tracing::Level::WARN),
        LogLevel::Info => tracing::enabled!(target: TARGET, tracing::Level::INFO),
        LogLevel::Debug => tracing::enabled!(target: TARGET, tracing::Level::DEBUG),
    }
}

/// A message as one line: cut, with control and formatting characters escaped.
struct Sanitized<'a>(&'a str);

impl Display for Sanitized<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.floor_char_boundary(MAX_LINE)];
        let mut plain_from = 0;
        for (at, character) in shown.char_indices().filter(|&(_, c)| must_escape(c)) {
            out.write_str(&shown[plain_from..at])?;
            write!(out, "{}", character.escape_default())?;
            plain_from = at + character.len_utf8();
        }
        out.write_str(&shown[plain_from..])?;
        if shown.len() < self.0.len() {
            out.write_char('…')?;
        }
        Ok(())
    }
}

/// Whether a character starts a line, controls a terminal, or changes the direction of text.
fn must_escape(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}'                   // line and paragraph separators
            | '\u{061c}' | '\u{200e}' | '\u{200f}'    // marks of direction
            | '\u{202a}'..='\u{202e}'                 // embeddings and overrides
            | '\u{2066}'..='\u{2069}'                 // isolates
        )
}

/// Standard streams of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Logged at level info.
    Stdout,
    /// Logged as warnings: panics are printed here.
    Stderr,
}

/// Joins the output of one instance to lines, and logs them.
///
/// Blank lines are left out. Output without a final newline is logged when the buffer is dropped, with its instance.
#[derive(Debug)]
pub(super) struct LineBuffer {
    logger: Arc<PluginLogger>,
    // Only the thread that runs the instance locks these, so there is no contention.
    stdout: Mutex<Line>,
    stderr: Mutex<Line>,
}

impl LineBuffer {
    /// The buffer of an instance that has printed nothing yet.
    pub(super) fn new(logger: Arc<PluginLogger>) -> Self {
        Self {
            logger,
            stdout: Mutex::default(),
            stderr: Mutex::default(),
        }
    }

    /// Takes output, in pieces of any size.
    pub(super) fn print(&self, stream: Stream, bytes: &[u8]) {
        let line = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        // A line is never half changed, not even after a panic.
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        line.add(bytes, |text| self.log(stream, text));
    }

    fn log(&self, stream: Stream, line: &[u8]) {
        let level = match stream {
            Stream::Stdout => LogLevel::Info,
            Stream::Stderr => LogLevel::Warn,
        };
        if self.logger.is_allowed(level) {
            self.logger.write(level, &String::from_utf8_lossy(line));
        }
    }
}

impl Drop for LineBuffer {
    fn drop(&mut self) {
        self.print(Stream::Stdout, b"\n");
        self.print(Stream::Stderr, b"\n");
    }
}

/// The line that is being printed.
#[derive(Debug, Default)]
struct Line {
    /// At most one byte more than the maximum, so that [`Sanitized`] sees that it has to cut.
    text: Vec<u8>,
    /// It was too long and has been logged; the rest up to the newline is left out.
    is_logged: bool,
}

impl Line {
    /// Adds output, and logs the lines that this completes or fills.
    fn add(&mut self, bytes: &[u8], mut log: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (piece, is_end) = match piece.strip_suffix(b"\n") {
                Some(rest) => (rest, true),
                None => (piece, false),
            };
            let room = MAX_LINE + 1 - self.text.len();
            self.text.extend_from_slice(&piece[..piece.len().min(room)]);
            if !self.is_logged && (is_end || self.text.len() > MAX_LINE) {
                let line = self.text.trim_ascii_end();
                if !line.is_empty() {
                    log(line);
                }
                self.is_logged = true;
            }
            if is_end {
                self.text.clear();
                self.is_logged = false;
            }
        }
    }
}

#[cfg(test)]
mod tests;
