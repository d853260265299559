//! What the program writes, and a reader who may stall.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::pipe::fcntl_setpipe_size;

use super::WAIT_TIMEOUT;

/// So many lines are kept, the last ones.
const KEPT: usize = 60;

/// So many bytes wait for a reader that stalls, until there is no more room: the least that Linux can do.
const PIPE: usize = 4096;

/// The lines of a program's stderr, or stdout.
#[derive(Clone)]
pub(super) struct Output(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    last: VecDeque<String>,
    panics: Vec<String>,
    is_stalled: bool,
}

impl Output {
    /// Reads to the end, on a thread of its own.
    pub(super) fn of(pipe: impl Read + AsFd + Send + 'static) -> Self {
        fcntl_setpipe_size(&pipe, PIPE).expect("it is a pipe");
        let output = Self(Arc::default());
        let reader = output.clone();
        thread::spawn(move || {
            let mut lines = BufReader::with_capacity(512, pipe).split(b'\n');
            while let Some(Ok(line)) = reader.when_not_stalled(|| lines.next()) {
                reader.take(String::from_utf8_lossy(&line).into_owned());
            }
        });
        output
    }

    /// Whether lines are left unread from now on.
    pub(super) fn stall(&self, stalls: bool) {
        self.state().is_stalled = stalls;
        self.0.changed.notify_all();
    }

    /// What is found in a line, as soon as there is one in which it is.
    #[track_caller]
    pub(super) fn find<T>(&self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let mut found = None;
        let look = |state: &mut State| {
            found = state.last.iter().find_map(|line| find(line));
            found.is_none()
        };
        let waited = self
            .0
            .changed
            .wait_timeout_while(self.state(), WAIT_TIMEOUT, look);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        found.unwrap_or_else(|| panic!("the program does not say {what}:\n{}", self.end()))
    }

    /// Lines that tell of a panic.
    pub(super) fn panics(&self) -> Vec<String> {
        self.state().panics.clone()
    }

    /// The last lines.
    pub(super) fn end(&self) -> String {
        let state = self.state();
        let lines = state.last.iter().map(|line| format!("{line}\n"));
        lines.collect()
    }

    fn when_not_stalled<T>(&self, read: impl FnOnce() -> T) -> T {
        let stalled = |state: &mut State| state.is_stalled;
        drop(self.0.changed.wait_while(self.state(), stalled));
        read()
    }

    fn take(&self, line: String) {
        let mut state = self.state();
        if line.contains("panicked at") && state.panics.len() < KEPT {
            state.panics.push(line.clone());
        }
        if state.last.len() == KEPT {
            state.last.pop_front();
        }
        state.last.push_back(line);
        drop(state);
        self.0.changed.notify_all();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How long a reader stalls: until the pipe is full, and then for longer than clients have patience with a program that waits.
pub(super) const STALL: Duration = WAIT_TIMEOUT.saturating_add(Duration::from_secs(5));
