//! A plugin's voice in the host's log.
//!
//! A plugin may say what it likes as often as it likes; what reaches the log is bounded. A line is cut at 1 KiB,
//! characters that could pass for another line or hide what stands there are escaped, and beyond a burst of 20 lines
//! and 10 lines a second lines are counted instead of written. The next line that is written is preceded by their
//! number.
//!
//! There is one [`Voice`] for a plugin, however many instances of it run: the bound is the plugin's. What an instance
//! prints comes in pieces, so each instance has a [`Printer`] of its own, which puts the pieces together to lines.

use std::fmt::{self, Display, Write as _};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use equipoise_sdk::LogLevel;

use equipoise_log::RateLimit;

/// What the lines are filed under, for `RUST_LOG`.
const TARGET: &str = "equipoise::plugin";

/// The most that is written of a line, in bytes, before characters are escaped.
const MAX_LINE: usize = 1024;

/// A plugin's voice in the host's log. All instances of the plugin share it.
#[derive(Debug)]
pub(super) struct Voice {
    plugin: Box<str>,
    started: Instant,
    limit: RateLimit,
}

impl Voice {
    /// The voice of a plugin that has said nothing yet.
    pub(super) fn new(plugin: &str) -> Self {
        Self {
            plugin: plugin.into(),
            started: Instant::now(),
            limit: RateLimit::default(),
        }
    }

    /// Writes a line to the log, or counts it when there were too many.
    ///
    /// Never waits for other threads. A line that is not written costs no allocation.
    pub(super) fn say(&self, level: LogLevel, message: &str) {
        if self.may_say(level) {
            self.write(level, message);
        }
    }

    /// Whether a line may be written now. What nobody would see, because the log leaves out its level, is not counted.
    fn may_say(&self, level: LogLevel) -> bool {
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
        let (plugin, line) = (&*self.plugin, Legible(message));
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

/// A plugin that goes must not take the number of lost lines with it.
impl Drop for Voice {
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

/// A message as one line that shows what is in it: cut, and free of characters that act rather than show.
struct Legible<'a>(&'a str);

impl Display for Legible<'_> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.0[..self.0.floor_char_boundary(MAX_LINE)];
        let mut plain_from = 0;
        for (at, character) in shown.char_indices().filter(|&(_, c)| acts(c)) {
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

/// Whether a character starts a line, commands a terminal, or turns the direction of the text around it.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{2028}' | '\u{2029}'                   // line and paragraph separators
            | '\u{061c}' | '\u{200e}' | '\u{200f}'    // marks of direction
            | '\u{202a}'..='\u{202e}'                 // embeddings and overrides
            | '\u{2066}'..='\u{2069}'                 // isolates
        )
}

/// Where an instance prints to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    /// Its lines are worth knowing.
    Stdout,
    /// Its lines are warnings: panics are told here.
    Stderr,
}

/// Puts together what one instance prints, and says it line by line.
///
/// Lines without text are left out. What is left without a newline is said when the printer is dropped, with its
/// instance.
#[derive(Debug)]
pub(super) struct Printer {
    voice: Arc<Voice>,
    // Only the thread that runs the instance comes here, so nobody ever waits.
    stdout: Mutex<Line>,
    stderr: Mutex<Line>,
}

impl Printer {
    /// The printer of an instance that has printed nothing yet.
    pub(super) fn new(voice: Arc<Voice>) -> Self {
        Self {
            voice,
            stdout: Mutex::default(),
            stderr: Mutex::default(),
        }
    }

    /// Takes what was printed, in pieces of any size.
    pub(super) fn print(&self, stream: Stream, bytes: &[u8]) {
        let line = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        // A line is never half changed, not even after a panic.
        let mut line = line.lock().unwrap_or_else(PoisonError::into_inner);
        line.add(bytes, |text| self.say(stream, text));
    }

    fn say(&self, stream: Stream, line: &[u8]) {
        let level = match stream {
            Stream::Stdout => LogLevel::Info,
            Stream::Stderr => LogLevel::Warn,
        };
        if self.voice.may_say(level) {
            self.voice.write(level, &String::from_utf8_lossy(line));
        }
    }
}

impl Drop for Printer {
    fn drop(&mut self) {
        self.print(Stream::Stdout, b"\n");
        self.print(Stream::Stderr, b"\n");
    }
}

/// The line that is being printed.
#[derive(Debug, Default)]
struct Line {
    /// At most one byte more than is written, so that [`Legible`] sees that it has to cut.
    text: Vec<u8>,
    /// It was too long and has been said; what comes up to the newline is left out.
    said: bool,
}

impl Line {
    /// Adds what was printed, and says the lines that this completes or fills.
    fn add(&mut self, bytes: &[u8], mut say: impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (piece, is_end) = match piece.strip_suffix(b"\n") {
                Some(rest) => (rest, true),
                None => (piece, false),
            };
            let room = MAX_LINE + 1 - self.text.len();
            self.text.extend_from_slice(&piece[..piece.len().min(room)]);
            if !self.said && (is_end || self.text.len() > MAX_LINE) {
                let line = self.text.trim_ascii_end();
                if !line.is_empty() {
                    say(line);
                }
                self.said = true;
            }
            if is_end {
                self.text.clear();
                self.said = false;
            }
        }
    }
}

#[cfg(test)]
mod tests;
