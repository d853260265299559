//! A server that this test started, ended by its process number when it is dropped.

use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

/// How long a server may take to stop when asked.
const STOP_PATIENCE: Duration = Duration::from_secs(10);

/// A child process.
#[derive(Debug)]
pub(crate) struct Process(pub(crate) Child);

impl Process {
    /// Whether it is gone.
    pub(crate) fn has_ended(&mut self) -> bool {
        !matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Process {
    /// Asks it to stop, so that it removes what it shares with nobody, then kills it.
    fn drop(&mut self) {
        if self.has_ended() {
            return;
        }
        let number = self.0.id().to_string();
        let _ = Command::new("kill").args(["-s", "TERM", &number]).status();
        let deadline = Instant::now() + STOP_PATIENCE;
        while !self.has_ended() {
            if Instant::now() > deadline {
                let _ = self.0.kill();
            }
            thread::sleep(Duration::from_millis(5));
        }
    }
}
