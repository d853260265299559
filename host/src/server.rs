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
use crate::config::Config;
use crate::health::Health;
use crate::live::{Attendant, Live};
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
    live: Live,
    /// Exchanges plugins until the last request is served; none where there are no plugins.
    _attendant: Option<Attendant>,
    /// Learns how members are until the last request is served; none where nothing is to be learnt.
    _health: Option<Health>,
}

impl Server {
    /// Binds every listener, loads the plugins and starts the workers. Connections are accepted when it returns.
    ///
    /// # Errors
    /// An address cannot be bound, or a thread cannot be started.
    pub fn start(config: &Config, access_log: Option<AccessLog>) -> Result<Self> {
        let sockets = Sockets::bind(&config.listeners, config.workers)?;
        let addresses = sockets.addresses().to_vec();
        let (live, attendant) = Live::start(config)?;
        let connections = Arc::new(Semaphore::new(
            config.limits.connections.min(Semaphore::MAX_PERMITS),
        ));
        let health = Health::start(config, live.clone())?;
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
            live,
            _attendant: attendant,
            _health: health,
        })
    }

    /// The addresses that are listened on, in the order of the configuration, with the ports that were free for port 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Stops accepting and waits until the requests in flight have ended, or `shutdown-timeout` has passed. Then their spans
    /// are sent.
    pub fn drain(self) {
        self.stop.send_replace(true);
        for worker in self.workers {
            if worker.join().is_err() {
                tracing::error!("a worker thread panicked");
            }
        }
        if let Some(traces) = &self.live.view().pin().traces {
            traces.flush();
        }
    }
}
