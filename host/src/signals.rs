//! Signals: termination, reload and hot restart.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::select;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use equipoise_proxy::downstream::Liveness;

/// How long a look for a signal takes: enough for the runtime to hear of one that has come.
const POLL_TIMEOUT: Duration = Duration::from_millis(1);

/// SIGTERM, SIGINT, SIGHUP and SIGUSR2, caught from the moment this is made.
#[derive(Debug)]
pub(crate) struct Signals {
    runtime: Runtime,
    end: End,
    hangup: Signal,
    user: Signal,
    replaced: Arc<Notify>,
}

/// An event for the main thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// SIGTERM or SIGINT, which is told: the end.
    Stop(&'static str),
    /// SIGHUP: the configuration is to be read again.
    Reload,
    /// SIGUSR2: the program is to be started anew and take over.
    Restart,
    /// The program that was started anew has taken over.
    Succeeded,
    /// A thread or task has died that the program cannot do without.
    Died,
    /// The time to wait is over.
    Due,
}

/// The signals that end the program.
#[derive(Debug)]
struct End {
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
        let entered = runtime.enter();
        let end = End {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        };
        let hangup = signal(SignalKind::hangup())?;
        let user = signal(SignalKind::user_defined2())?;
        drop(entered);
        Ok(Self {
            runtime,
            end,
            hangup,
            user,
            replaced: Arc::default(),
        })
    }

    /// What is told when another program has taken over.
    pub(crate) fn replaced(&self) -> Arc<Notify> {
        self.replaced.clone()
    }

    /// Waits for what comes next, and no longer than `most`, if that is given.
    pub(crate) fn wait(&mut self, most: Option<Duration>, liveness: &Liveness) -> Event {
        let Self {
            runtime,
            end,
            hangup,
            user,
            replaced,
        } = self;
        let due = async {
            match most {
                Some(most) => sleep(most).await,
                None => pending().await,
            }
        };
        runtime.block_on(async {
            select! {
                name = end.next() => Event::Stop(name),
                () = replaced.notified() => Event::Succeeded,
                _ = hangup.recv() => Event::Reload,
                _ = user.recv() => Event::Restart,
                _ = liveness.death() => Event::Died,
                () = due => Event::Due,
            }
        })
    }

    /// The signal that has come to end the program, if one has.
    pub(crate) fn stopped(&mut self) -> Option<&'static str> {
        let Self { runtime, end, .. } = self;
        let come = runtime.block_on(async { timeout(POLL_TIMEOUT, end.next()).await });
        come.ok()
    }

    /// Runs `work`, which blocks, to its end, but for no longer than until the next signal that ends the program: then says
    /// which it is.
    ///
    /// # Errors
    /// The signal's name; the work goes on until the process ends.
    pub(crate) fn run(self, work: impl FnOnce() + Send + 'static) -> Result<(), &'static str> {
        let Self {
            runtime, mut end, ..
        } = self;
        let result = runtime.block_on(async {
            select! {
                _ = tokio::task::spawn_blocking(work) => Ok(()),
                name = end.next() => Err(name),
            }
        });
        runtime.shutdown_background();
        result
    }
}

impl End {
    async fn next(&mut self) -> &'static str {
        select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_that_panics_ends_the_wait() {
        let liveness = Liveness::default();
        let mut signals = Signals::catch().unwrap();
        let most = Some(Duration::ZERO);
        assert_eq!(signals.wait(most, &liveness), Event::Due);
        let guard = liveness.guard("worker 0");
        let thread = thread::spawn(move || {
            let _guard = guard;
            panic!("as is to be shown");
        });
        // Whether it has died by now or not.
        assert_eq!(signals.wait(None, &liveness), Event::Died);
        assert_eq!(liveness.dead(), Some("worker 0"));
        assert!(thread.join().is_err());
        assert_eq!(signals.wait(None, &liveness), Event::Died);
    }
}
