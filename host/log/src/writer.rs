//! Writes lines by a thread of its own, so that who has something to write never waits and never fails.
//!
//! Why not tracing-appender's `NonBlocking`: its queue is bounded by lines only, it keeps failed writes to itself, and where
//! the queue is full at the end, it says so with a `println!`, which blocks or panics where standard output does.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::Losses;

/// The most bytes that are written at once, unless a line is longer: `PIPE_BUF`, up to which Linux writes to a pipe in one
/// piece, so that lines of several programs do not mix.
const MAX_WRITE: usize = 4096;

/// Bytes of an empty buffer that are kept for what comes next.
const KEPT_BUFFER: usize = 64 * 1024;

/// How long to wait before writing again to a file that is in non-blocking mode and takes nothing now.
const RETRY_INTERVAL: Duration = Duration::from_millis(10);

/// Least time between two log lines that say how much was lost.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

/// Takes lines for one sink. A clone takes them for the same.
#[derive(Debug, Clone)]
pub struct Writer(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Bytes that the queue may hold. As much again may be in the hands of the thread.
    capacity: usize,
    losses: &'static Losses,
    /// There is something to write.
    filled: Condvar,
    /// Something was written, or could not be.
    settled: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    /// Whole lines that wait to be written.
    lines: Vec<u8>,
    /// How many lines ever came into the queue.
    accepted: u64,
    /// How many of them were written, or could not be.
    settled: u64,
    /// How many of those that were lost the log has told of.
    reported: u64,
}

impl Writer {
    /// Starts the thread, which lasts as long as the process. So many bytes may wait.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub(super) fn start(
        thread: &str,
        sink: impl Write + Send + 'static,
        capacity: usize,
        losses: &'static Losses,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            capacity,
            losses,
            filled: Condvar::new(),
            settled: Condvar::new(),
        });
        let drain = Drain::new(shared.clone(), sink);
        thread::Builder::new()
            .name(thread.to_owned())
            .spawn(move || drain.run())?;
        Ok(Self(shared))
    }

    /// Has a line written, or several, without the newline at the end. What does not fit into the queue is dropped and counted.
    pub fn write(&self, text: &str) {
        let Shared {
            capacity, losses, ..
        } = &*self.0;
        let lines = 1 + count_lines(text.as_bytes());
        let mut queue = self.0.lock();
        if queue.lines.len() + text.len() >= *capacity {
            drop(queue);
            return losses.full.add(lines);
        }
        let was_empty = queue.lines.is_empty();
        queue.lines.extend_from_slice(text.as_bytes());
        queue.lines.push(b'\n');
        queue.accepted += lines;
        drop(queue);
        if was_empty {
            self.0.filled.notify_one();
        }
    }

    /// Waits until everything that was given up to now is written or lost, but not beyond the deadline. What is not by then
    /// counts as lost.
    pub(super) fn flush(&self, deadline: Instant) {
        let queue = self.0.lock();
        let end = queue.accepted;
        let patience = deadline.saturating_duration_since(Instant::now());
        let is_open = |queue: &mut Queue| queue.settled < end;
        let waited = self.0.settled.wait_timeout_while(queue, patience, is_open);
        let (queue, _) = waited.unwrap_or_else(PoisonError::into_inner);
        let rest = queue.accepted.saturating_sub(queue.settled);
        self.0.losses.full.add(rest);
    }

    /// Logs how many lines were lost that the log has not told of, whether or not the sink can be written.
    pub(super) fn report_at_end(&self) {
        self.0.report(usize::MAX);
    }
}

impl Shared {
    /// Nothing that can panic is done under the lock.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for lines and takes them all.
    fn take(&self, lines: &mut Vec<u8>) {
        let queue = self.lock();
        let is_empty = |queue: &mut Queue| queue.lines.is_empty();
        let waited = self.filled.wait_while(queue, is_empty);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        std::mem::swap(&mut queue.lines, lines);
    }

    fn settle(&self, lines: u64) {
        self.lock().settled += lines;
        self.settled.notify_all();
    }

    /// Logs how many lines were lost that the log has not told of, if any, and if no more than so many bytes wait: it may be
    /// this very queue that the line has to get into.
    fn report(&self, most_waiting: usize) -> bool {
        let lines = {
            let mut queue = self.lock();
            let lines = self.losses.total().saturating_sub(queue.reported);
            if lines == 0 || queue.lines.len() > most_waiting {
                return false;
            }
            queue.reported += lines;
            lines
        };
        tracing::warn!(
            lines,
            sink = self.losses.sink,
            "log lines were lost: they came faster than they could be written, or could not be written at all"
        );
        true
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', bytes).count() as u64
}

/// What the thread has in hand.
struct Drain<S> {
    shared: Arc<Shared>,
    sink: S,
    /// Whether the last write succeeded.
    is_well: bool,
    /// Whether the sink has the beginning of a line without its end.
    is_torn: bool,
    reported: Option<Instant>,
}

impl<S: Write> Drain<S> {
    fn new(shared: Arc<Shared>, sink: S) -> Self {
        Self {
            shared,
            sink,
            is_well: true,
            is_torn: false,
            reported: None,
        }
    }

    /// The life of the thread.
    fn run(mut self) {
        let mut lines = Vec::new();
        loop {
            self.shared.take(&mut lines);
            // Where the queue was full, what was lost belongs here: behind these lines, before those that come.
            self.report();
            let mut rest = &*lines;
            while !rest.is_empty() {
                let (piece, others) = rest.split_at(length_of_write(rest));
                self.write(piece);
                rest = others;
            }
            self.report();
            lines.clear();
            lines.shrink_to(KEPT_BUFFER);
        }
    }

    fn write(&mut self, lines: &[u8]) {
        let written = self.mend().and_then(|()| self.write_all(lines));
        let count = count_lines(lines);
        self.is_well = written.is_ok();
        if let Err(done) = written {
            self.shared
                .losses
                .failed
                .add(count - count_lines(&lines[..done]));
        }
        self.shared.settle(count);
    }

    /// Ends a line that a failed write has left without its end.
    fn mend(&mut self) -> Result<(), usize> {
        if self.is_torn {
            self.write_all(b"\n").map_err(|_| 0_usize)?;
        }
        Ok(())
    }

    /// Writes all, for as long as it takes. An error is how many bytes were written before it.
    fn write_all(&mut self, bytes: &[u8]) -> Result<(), usize> {
        let mut done = 0;
        while done < bytes.len() {
            match self.sink.write(&bytes[done..]) {
                Ok(count @ 1..) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    thread::sleep(RETRY_INTERVAL)
                }
                Ok(0) | Err(_) => break,
            }
        }
        if let Some(last) = bytes[..done].last() {
            self.is_torn = *last != b'\n';
        }
        match done == bytes.len() {
            true => Ok(()),
            false => Err(done),
        }
    }

    fn report(&mut self) {
        let is_early = |told: Instant| told.elapsed() < REPORT_INTERVAL;
        if self.is_well
            && !self.reported.is_some_and(is_early)
            && self.shared.report(self.shared.capacity / 2)
        {
            self.reported = Some(Instant::now());
        }
    }
}

/// How many bytes of some lines to write at once: as many whole lines as fit, or one.
fn length_of_write(lines: &[u8]) -> usize {
    let within = &lines[..lines.len().min(MAX_WRITE)];
    let end = memchr::memrchr(b'\n', within).or_else(|| memchr::memchr(b'\n', lines));
    end.map_or(lines.len(), |end| end + 1)
}

#[cfg(test)]
mod tests;
