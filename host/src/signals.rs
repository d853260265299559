//! The signals that end the program.

use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM and SIGINT, caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    runtime: Runtime,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches the signals, instead of letting them kill the process.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn catch() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let (terminate, interrupt) = {
            let _entered = runtime.enter();
            (
                signal(SignalKind::terminate())?,
                signal(SignalKind::interrupt())?,
            )
        };
        Ok(Self {
            runtime,
            terminate,
            interrupt,
        })
    }

    /// Waits for the next signal and says which it is.
    pub(crate) fn wait(&mut self) -> &'static str {
        let Self {
            runtime,
            terminate,
            interrupt,
        } = self;
        runtime.block_on(next(terminate, interrupt))
    }

    /// Runs `work`, which blocks, to its end, but for no longer than until the next signal: then says which it is.
    ///
    /// # Errors
    /// The signal's name; the work goes on until the process ends.
    pub(crate) fn run(self, work: impl FnOnce() + Send + 'static) -> Result<(), &'static str> {
        let Self {
            runtime,
            mut terminate,
            mut interrupt,
        } = self;
        let result = runtime.block_on(async {
            tokio::select! {
                _ = tokio::task::spawn_blocking(work) => Ok(()),
                name = next(&mut terminate, &mut interrupt) => Err(name),
            }
        });
        runtime.shutdown_background();
        result
    }
}

async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}
