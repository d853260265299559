//! The server: listeners, one worker thread per core, and the end of it all.

mod accept;
mod client;
mod client_io;
mod drain;
mod sockets;
mod strict;
mod worker;

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};
use tokio::sync::{Semaphore, watch};

use crate::access_log::AccessLog;
use crate::control::{self, Control, Setting};
use crate::health::{self, Health};
use crate::live::Live;
use crate::snapshot::Snapshot;
use sockets::Sockets;

pub(crate) use accept::accept;
pub(crate) use client::Client;
pub(crate) use client_io::ClientIo;
pub(crate) use worker::Worker;

/// A running server. Dropped without [`drain`](Self::drain), it goes on until the process ends.
pub struct Server {
    addresses: Vec<SocketAddr>,
    workers: Vec<JoinHandle<()>>,
    /// Tells the workers to drain.
    stop: watch::Sender<bool>,
    /// Changes what is in force, and learns how members are, until the last request is served.
    control: Control,
}

impl Server {
    /// Binds every listener, loads the plugins and starts the workers. Connections are accepted when it returns.
    ///
    /// # Errors
    /// An address cannot be bound, or a thread cannot be started.
    pub fn start(setting: &Setting, access_log: Option<AccessLog>) -> Result<Self> {
        let config = setting.config();
        let sockets = Sockets::bind(&config.listeners, config.workers)?;
        let addresses = sockets.addresses().to_vec();
        let health_sockets = health::Sockets::bind(config, None)?;
        let snapshot = Snapshot::new(setting.config.clone(), setting.source.clone())?;
        let live = Live::new(snapshot);
        let control = control::Preparation::new(setting, live.clone())?;
        let connections = Arc::new(Semaphore::new(
            config.limits.connections.min(Semaphore::MAX_PERMITS),
        ));
        let health = Health::start(health_sockets, live.clone(), control.handle().clone())?;
        let control = control.start(health)?;
        let (stop, stopped) = watch::channel(false);
        let workers = sockets
            .into_shares()
            .enumerate()
            .map(|(number, listeners)| {
                let share = worker::Share {
                    number,
                    live: live.clone(),
                    listeners,
                    connections: connections.clone(),
                    access_log: access_log.clone(),
                    stopped: stopped.clone(),
                    shutdown_timeout: config.shutdown_timeout,
                };
                std::thread::Builder::new()
                    .name(format!("worker-{number}"))
                    .spawn(move || worker::run(share))
                    .context("starting a worker thread")
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            addresses,
            workers,
            stop,
            control,
        })
    }

    /// The addresses that are listened on, in the order of the configuration, with the ports that were free for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Has the configuration file read again; what comes of it is in the log.
    pub fn reload(&self) {
        self.control.handle().reload();
    }

    /// Stops accepting and waits until the requests in flight have ended, or `shutdown-timeout` has passed.
    pub fn drain(self) {
        self.stop.send_replace(true);
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
    }
}
