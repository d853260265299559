//! A process that a test or a benchmark started, and that ends with its owner.

use std::io;
use std::process::{Child, Command, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How long a server may take to stop when it is asked to.
pub const STOPPING: Duration = Duration::from_secs(10);

/// A child process. It is ended when this is dropped, by its process number.
#[derive(Debug)]
pub struct Process {
    child: Child,
    /// How long it may take to stop when it is asked to.
    patience: Option<Duration>,
}

impl Process {
    /// Starts it; it is killed in the end.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command) -> io::Result<Self> {
        let child = command.spawn()?;
        Ok(Self {
            child,
            patience: None,
        })
    }

    /// Starts it; in the end it is asked to stop, so that it removes what it shares with no other process, and killed where that takes
    /// longer than this.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_to_stop(command: &mut Command, patience: Duration) -> io::Result<Self> {
        let mut process = Self::start(command)?;
        process.patience = Some(patience);
        Ok(process)
    }

    /// Its number.
    pub fn id(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// The child itself, with its standard streams.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(self.id(), signal)?)
    }

    /// How it ended; none while it runs.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("a child")
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.ended().is_some()
    }

    /// Ends it now, as it is to be ended.
    pub fn end(&mut self) {
        if self.has_ended() {
            return;
        }
        if let Some(patience) = self.patience {
            let _ = self.signal(Signal::TERM);
            let deadline = Instant::now() + patience;
            while !self.has_ended() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
