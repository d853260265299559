//! The running program: assembled, reloaded, handed over to another, drained.

pub use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context as _, Result};
use equipoise_config as config;
use equipoise_proxy::downstream::{Gift, Listeners, Liveness, Pulse, WorkerConfig, run_worker};
use equipoise_proxy::live::Live;
use equipoise_proxy::observe::access_log::AccessLog;
use equipoise_proxy::snapshot::{Inputs, Snapshot};

use crate::admin;
use crate::control::{self, Control, Setting, TlsFiles};
use crate::health::{self, Estate, Health};
use crate::hot_restart::{Inheritance, Successor};
use crate::span_exporter;

#[cfg(test)]
mod tests;

/// How long connections may be idle once the server is to end, before they are closed: those that are in use end with an
/// answer that says so.
const GRACE: Duration = Duration::from_secs(1);

/// The same where another program has taken over, and nobody waits for the end.
const GRACE_AFTER_SUCCESSION: Duration = Duration::from_secs(10);

/// How long a program that is to take over may take until it could serve.
const SUCCESSION: Duration = Duration::from_secs(60);

/// How long a program that is to take over waits for plugins to be compiled, while the one before serves: half of
/// [`SUCCESSION`].
const COMPILING_BEFORE_TAKEOVER: Duration = Duration::from_secs(30);

/// A running server. Dropped without [`drain`](Self::drain), it ends by and by, and nobody waits for it.
pub struct Server {
    listeners: Listeners,
    workers: Vec<JoinHandle<()>>,
    pulses: Vec<Pulse>,
    liveness: Liveness,
    live: Live,
    /// Changes what is in force until the last request is served.
    control: Control,
    /// Learns how members are until the last request is served; none once another program does.
    health: Option<Health>,
    /// What is left of its sockets.
    estate: Estate,
    succession: Arc<Succession>,
}

/// How far another program is on its way to take over.
#[derive(Debug, Default)]
struct Succession {
    is_under_way: AtomicBool,
    has_succeeded: AtomicBool,
}

impl Server {
    /// Binds every listener, loads the plugins and starts the workers. Connections are accepted when it returns. If this
    /// program takes over from another, that one is told, and accepts no more. `go_on` is asked again and again while plugins
    /// are waited for.
    ///
    /// # Errors
    /// A file for TLS cannot be used, an address cannot be bound, a thread cannot be started, the other program does not hand
    /// over any more, or `go_on` has an error.
    pub fn start(
        setting: &Setting,
        access_log: Option<AccessLog>,
        inheritance: Inheritance,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let config = setting.config();
        let Inheritance {
            sockets,
            predecessor,
        } = inheritance;
        let inputs = Inputs::of(setting.config.clone(), setting.source.clone());
        let tls = TlsFiles::of(config, &inputs.tls)?;
        let listeners = Listeners::new(config.workers, sockets);
        let prepared = listeners.prepare(&config.listeners, &inputs.tls)?;
        let sockets = health::Sockets::bind(config, &mut listeners.inherited())?;
        let live = Live::new(Snapshot::new(inputs, span_exporter::start)?);
        let patience = match (config.start, &predecessor) {
            (config::Start::Wait, _) => Duration::MAX,
            (config::Start::AtOnce, Some(_)) => COMPILING_BEFORE_TAKEOVER,
            (config::Start::AtOnce, None) => Duration::ZERO,
        };
        let control = control::Preparation::new(setting, live.clone(), tls, patience, go_on)?;
        let (manager, requests) = admin::bridge();
        let liveness = Liveness::default();
        let pulses: Vec<Pulse> = (0..config.workers.get()).map(|_| Pulse::new()).collect();
        let workers = pulses.iter().enumerate().map(|(number, pulse)| {
            let worker = WorkerConfig {
                number,
                live: live.clone(),
                listeners: listeners.clone(),
                access_log: access_log.clone(),
                shutdown_timeout: config.shutdown_timeout,
                pulse: pulse.clone(),
                liveness: liveness.clone(),
                manager: manager.clone(),
            };
            thread::Builder::new()
                .name(format!("worker-{number}"))
                .spawn(move || run_worker(worker))
                .context("starting a worker thread")
        });
        let workers = workers.collect::<Result<_>>()?;
        if let Some(predecessor) = predecessor {
            predecessor.relieve()?;
        }
        listeners.apply(prepared, config.limits.connections);
        let (health, estate) = Health::start(
            live.clone(),
            control.handle().clone(),
            sockets,
            requests,
            liveness.clone(),
        )?;
        let control = control.start(listeners.clone(), &liveness)?;
        listeners.inherited().settle();
        Ok(Self {
            listeners,
            workers,
            pulses,
            liveness,
            live,
            control,
            health: Some(health),
            estate,
            succession: Arc::default(),
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
        self.liveness.dead().is_none() && self.pulses.iter().all(Pulse::is_alive)
    }

    /// Starts the program anew, from where its file is now, with the same arguments. When the new one could serve, it does,
    /// with the sockets of this one; this one accepts no more, and calls `succeeded` with the other's process, to be drained.
    /// Until then, or if the new one does not get so far within a minute, this one goes on. Does not wait.
    ///
    /// Without effect while another is on its way.
    pub fn restart(&self, succeeded: impl FnOnce(u32) + Send + 'static) {
        if self.succession.is_under_way.swap(true, SeqCst) {
            return tracing::warn!("another program is starting to take over already");
        }
        let (gifts, succession) = (self.gifts(), self.succession.clone());
        let control = self.control.handle().clone();
        let hand_over = move || match gifts
            .context("handing over the sockets")
            .and_then(|gifts| hand_over(gifts, &succession, &control))
        {
            Ok(process) => {
                tracing::info!(process, "another program serves in place of this one");
                succeeded(process);
            }
            Err(error) => {
                tracing::error!("no other program takes over, this one goes on: {error:#}");
                succession.is_under_way.store(false, SeqCst);
            }
        };
        let thread = thread::Builder::new().name("succession".to_owned());
        if let Err(error) = thread.spawn(hand_over) {
            tracing::error!(%error, "no other program takes over, this one goes on");
            self.succession.is_under_way.store(false, SeqCst);
        }
    }

    /// Every socket that another program could take over.
    fn gifts(&self) -> io::Result<Vec<Gift>> {
        let mut gifts = self.listeners.gifts()?;
        for gift in &self.estate.gifts {
            gifts.push(gift.try_clone()?);
        }
        Ok(gifts)
    }

    /// Stops accepting and waits until the requests in flight have ended, or `shutdown-timeout` has passed. Then their spans
    /// are sent.
    pub fn drain(mut self) {
        let has_successor = self.succession.has_succeeded.load(SeqCst);
        self.listeners.stop(match has_successor {
            true => GRACE_AFTER_SUCCESSION,
            false => GRACE,
        });
        if has_successor {
            // Who asks, and who sends heartbeats, is to reach the other from now on.
            if let Some(health) = self.health.take() {
                health.end();
            }
            if let Some(file) = self.estate.file.take() {
                file.keep();
            }
        }
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        if let Some(health) = self.health.take() {
            health.end();
        }
        if let Some(traces) = &self.live.load().traces {
            traces.flush();
        }
    }
}

/// Starts the program anew, and lets it serve.
fn hand_over(gifts: Vec<Gift>, succession: &Succession, control: &control::Handle) -> Result<u32> {
    let successor = Successor::start(gifts, SUCCESSION)?;
    let process = successor.process();
    // Before the other serves: it is the one to change things then.
    control.hand_over();
    successor.go().inspect_err(|_| control.take_back())?;
    succession.has_succeeded.store(true, SeqCst);
    Ok(process)
}
