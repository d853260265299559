//! What a program prints, line by line.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::WAIT_TIMEOUT;

/// The lines a program prints, as they come.
#[derive(Debug, Clone)]
pub struct Lines {
    state: Arc<(Mutex<Printed>, Condvar)>,
}

#[derive(Debug)]
struct Printed {
    lines: Vec<String>,
    ended: bool,
}

impl Default for Lines {
    /// Those of a program that is not read.
    fn default() -> Self {
        Self::new(true)
    }
}

impl Lines {
    fn new(ended: bool) -> Self {
        let lines = Vec::new();
        Self {
            state: Arc::new((Mutex::new(Printed { lines, ended }), Condvar::new())),
        }
    }

    /// Those of this output, which is read on a thread of its own.
    pub fn of(output: impl Read + Send + 'static) -> Self {
        let lines = Self::new(false);
        let writer = lines.clone();
        thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line).into_owned();
                writer.update(|printed| printed.lines.push(line));
            }
            writer.update(|printed| printed.ended = true);
        });
        lines
    }

    fn update(&self, change: impl FnOnce(&mut Printed)) {
        change(&mut self.state.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.state.1.notify_all();
    }

    /// Everything printed up to now.
    pub fn text(&self) -> String {
        let printed = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        printed
            .lines
            .iter()
            .map(|line| format!("{line}\n"))
            .collect()
    }

    /// Everything printed, once the program has ended.
    pub fn whole(&self) -> String {
        let printed = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .state
            .1
            .wait_timeout_while(printed, WAIT_TIMEOUT, |printed| !printed.ended);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        self.text()
    }

    /// Waits until `found` finds something in what was printed up to then.
    #[track_caller]
    pub fn when<T>(&self, what: &str, found: impl FnMut(&[String]) -> Option<T>) -> T {
        self.within(WAIT_TIMEOUT, what, found)
    }

    /// The same for what may take so long.
    #[track_caller]
    pub fn within<T>(
        &self,
        most: Duration,
        what: &str,
        mut found: impl FnMut(&[String]) -> Option<T>,
    ) -> T {
        let mut result = None;
        let look = |printed: &mut Printed| {
            result = found(&printed.lines);
            result.is_none() && !printed.ended
        };
        let printed = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.state.1.wait_timeout_while(printed, most, look);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
        result.unwrap_or_else(|| panic!("{what}: not among these lines:\n{}", self.text()))
    }

    /// How many lines with this text were printed up to now.
    pub fn count(&self, text: &str) -> usize {
        let printed = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let lines = printed.lines.iter();
        lines.filter(|line| line.contains(text)).count()
    }

    /// Waits for a line with this text.
    #[track_caller]
    pub fn line_with(&self, text: &str) -> String {
        self.when(text, |lines| {
            lines.iter().find(|line| line.contains(text)).cloned()
        })
    }
}
