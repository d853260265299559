//! The running program: assembled, reloaded, handed over to another, drained.

pub use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use equipoise_config as config;
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::downstream::{
    HandoverSocket, Listeners, Liveness, WorkerConfig, WorkerLiveness, run_worker,
};
use equipoise_proxy::observe::access_log::AccessLog;
use equipoise_proxy::snapshot::{Inputs, Snapshot};

use crate::admin;
use crate::background::{self, BackgroundThread, HandoverState};
use crate::control::{self, Control, LoadedConfig, NamedFiles};
use crate::hot_restart::{Inheritance, NewProcess};
use crate::span_exporter;

#[cfg(test)]
mod tests;

/// How long connections may stay idle once the server is to end; the next response on each is the last.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

/// The same where a new process has taken over.
const REPLACED_IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a new process may take until it is ready to serve.
const RESTART_TIMEOUT: Duration = Duration::from_secs(60);

/// How long a new process waits for plugins to be compiled, while the old one serves: half of
/// [`RESTART_TIMEOUT`].
const RESTART_COMPILE_TIMEOUT: Duration = Duration::from_secs(30);

/// A running server. Dropped without [`drain`](Self::drain), it ends in the background.
pub struct Server {
    listeners: Listeners,
    workers: Vec<JoinHandle<()>>,
    worker_liveness: Vec<WorkerLiveness>,
    liveness: Liveness,
    current: CurrentSnapshot,
    /// Changes what is in force until the last request is served.
    control: Control,
    /// Learns how members are until the last request is served; none once another program does.
    background: Option<BackgroundThread>,
    /// What a hot restart needs of its sockets.
    handover_state: HandoverState,
    hot_restart: Arc<HotRestart>,
}

/// The state of a hot restart.
#[derive(Debug, Default)]
struct HotRestart {
    is_running: AtomicBool,
    has_succeeded: AtomicBool,
}

impl Server {
    /// Binds every listener, loads the plugins and starts the workers. Connections are accepted when it returns. If this
    /// program takes over from another, that one is told, and accepts no more. `check_cancelled` is asked again and again while plugins
    /// are waited for.
    ///
    /// # Errors
    /// A file for TLS cannot be used, an address cannot be bound, a thread cannot be started, the other program does not hand
    /// over any more, or `check_cancelled` has an error.
    pub fn start(
        loaded_config: &LoadedConfig,
        access_log: Option<AccessLog>,
        inheritance: Inheritance,
        check_cancelled: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let config = loaded_config.config();
        let Inheritance {
            sockets,
            old_process,
        } = inheritance;
        let inputs = Inputs::of(loaded_config.config.clone(), loaded_config.source.clone());
        let named_files = NamedFiles::of(config, &inputs.contents)?;
        let listeners = Listeners::new(config.workers, sockets);
        let prepared = listeners.prepare(&config.listeners, &inputs.contents)?;
        let sockets = background::Sockets::bind(config, &mut listeners.inherited())?;
        let current = CurrentSnapshot::new(Snapshot::new(inputs, span_exporter::start)?);
        let compile_timeout = match (config.start, &old_process) {
            (config::Start::Wait, _) => Duration::MAX,
            (config::Start::AtOnce, Some(_)) => RESTART_COMPILE_TIMEOUT,
            (config::Start::AtOnce, None) => Duration::ZERO,
        };
        let control = control::ControllerBuilder::new(
            loaded_config,
            current.clone(),
            named_files,
            compile_timeout,
            check_cancelled,
        )?;
        let (manager, requests) = admin::bridge();
        let liveness = Liveness::default();
        let worker_liveness: Vec<WorkerLiveness> = (0..config.workers.get())
            .map(|_| WorkerLiveness::new())
            .collect();
        let workers = worker_liveness
            .iter()
            .enumerate()
            .map(|(number, worker_liveness)| {
                let worker = WorkerConfig {
                    number,
                    current: current.clone(),
                    listeners: listeners.clone(),
                    access_log: access_log.clone(),
                    shutdown_timeout: config.shutdown_timeout,
                    worker_liveness: worker_liveness.clone(),
                    liveness: liveness.clone(),
                    manager: manager.clone(),
                };
                thread::Builder::new()
                    .name(format!("worker-{number}"))
                    .spawn(move || run_worker(worker))
                    .context("starting a worker thread")
            });
        let workers = workers.collect::<Result<_>>()?;
        if let Some(old_process) = old_process {
            old_process.take_over()?;
        }
        listeners.apply(prepared, config.limits.connections);
        let (background, handover_state) = BackgroundThread::start(
            current.clone(),
            control.handle().clone(),
            sockets,
            requests,
            liveness.clone(),
        )?;
        let control = control.start(listeners.clone(), &liveness)?;
        listeners.inherited().close_unclaimed();
        Ok(Self {
            listeners,
            workers,
            worker_liveness,
            liveness,
            current,
            control,
            background: Some(background),
            handover_state,
            hot_restart: Arc::default(),
        })
    }

    /// The addresses that are listened on, in the order of the configuration, with the ports that were free for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// Has the configuration file read again; what comes of it is in the log. Does not wait: `done` is called when it is over.
    pub fn reload(&self, done: impl FnOnce() + Send + 'static) {
        self.control.handle().reload(done);
    }

    /// What tells when a thread has died that the program needs.
    pub(crate) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Whether no thread has died that the program needs, and every worker gets to its work.
    pub fn is_alive(&self) -> bool {
        self.liveness.dead().is_none() && self.worker_liveness.iter().all(WorkerLiveness::is_alive)
    }

    /// Starts the program anew, from where its file is now, with the same arguments. When the new one could serve, it does,
    /// with the sockets of this one; this one accepts no more, and calls `succeeded` with the other's process, to be drained.
    /// Until then, or if the new one does not get so far within a minute, this one goes on. Does not wait.
    ///
    /// Without effect while another is on its way.
    pub fn restart(&self, succeeded: impl FnOnce(u32) + Send + 'static) {
        if self.hot_restart.is_running.swap(true, SeqCst) {
            return tracing::warn!("hot restart: already under way");
        }
        let (sockets, hot_restart) = (self.handover_sockets(), self.hot_restart.clone());
        let control = self.control.handle().clone();
        let hand_over = move || match sockets
            .context("handing over the sockets")
            .and_then(|sockets| hand_over(sockets, &hot_restart, &control))
        {
            Ok(process) => {
                tracing::info!(process, "hot restart: the new process serves");
                succeeded(process);
            }
            Err(error) => {
                tracing::error!("hot restart failed, this process goes on: {error:#}");
                hot_restart.is_running.store(false, SeqCst);
            }
        };
        let thread = thread::Builder::new().name("hot-restart".to_owned());
        if let Err(error) = thread.spawn(hand_over) {
            tracing::error!(%error, "hot restart failed, this process goes on");
            self.hot_restart.is_running.store(false, SeqCst);
        }
    }

    /// Every socket that another program could take over.
    fn handover_sockets(&self) -> io::Result<Vec<HandoverSocket>> {
        let mut sockets = self.listeners.handover_sockets()?;
        for socket in &self.handover_state.handover_sockets {
            sockets.push(socket.try_clone()?);
        }
        Ok(sockets)
    }

    /// Stops accepting and waits until the requests in flight have ended, or `shutdown-timeout` has passed. Then their spans
    /// are sent.
    pub fn drain(mut self) {
        let is_replaced = self.hot_restart.has_succeeded.load(SeqCst);
        self.listeners.stop(match is_replaced {
            true => REPLACED_IDLE_TIMEOUT,
            false => IDLE_TIMEOUT,
        });
        if is_replaced {
            // Operators' requests and heartbeats are to reach the new process from now on.
            if let Some(background) = self.background.take() {
                background.end();
            }
            if let Some(file) = self.handover_state.file.take() {
                file.keep();
            }
        }
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        if let Some(background) = self.background.take() {
            background.end();
        }
        if let Some(traces) = &self.current.load().traces {
            traces.flush();
        }
    }
}

/// Starts the new process, and lets it serve.
fn hand_over(
    sockets: Vec<HandoverSocket>,
    hot_restart: &HotRestart,
    control: &control::Handle,
) -> Result<u32> {
    let new = NewProcess::start(sockets, RESTART_TIMEOUT)?;
    let process = new.process();
    // Before the new process serves: it is the one to change things then.
    control.hand_over();
    new.activate().inspect_err(|_| control.cancel_hand_over())?;
    hot_restart.has_succeeded.store(true, SeqCst);
    Ok(process)
}
