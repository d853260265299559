//! The thread that learns how members are, beside serving: it hears their heartbeats.

use std::convert::Infallible;
use std::net::{TcpListener, UdpSocket};
use std::rc::Rc;
use std::thread;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::spawn_local;

use crate::admin::{self, Admin};
use crate::config::{self, Config};
use crate::heartbeat::{Heartbeats, datagrams};
use crate::live::Live;

/// The running thread. It ends, with everything it does, when this is dropped; nobody waits for it.
pub(crate) struct Health {
    _ends_when_dropped: oneshot::Sender<Infallible>,
}

/// What the thread is given: bound sockets, for a bind that fails must be told at the start.
struct Share {
    live: Live,
    heartbeat: Option<config::Heartbeat>,
    datagrams: Option<UdpSocket>,
    admin: Option<TcpListener>,
    ends: oneshot::Receiver<Infallible>,
}

impl Health {
    /// Binds the listeners and starts the thread; `None` where a configuration asks for nothing of it.
    ///
    /// # Errors
    /// A listener's address cannot be bound, which the message names, or the thread cannot be started.
    pub(crate) fn start(config: &Config, live: Live) -> Result<Option<Self>> {
        let heartbeat = config.heartbeat.clone();
        let listen = heartbeat.as_ref().and_then(|heartbeat| heartbeat.listen);
        let datagrams = listen.map(datagrams::bind).transpose()?;
        let admin = config.admin.as_ref().map(admin::bind).transpose()?;
        if datagrams.is_none() && admin.is_none() {
            return Ok(None);
        }
        if let Some(address) = datagrams
            .as_ref()
            .and_then(|socket| socket.local_addr().ok())
        {
            tracing::info!(%address, "heartbeats are listened for");
        }
        if let Some(address) = admin.as_ref().and_then(|socket| socket.local_addr().ok()) {
            tracing::info!(%address, "the admin listener is open");
        }
        let (ends_when_dropped, ends) = oneshot::channel();
        let share = Share {
            live,
            heartbeat,
            datagrams,
            admin,
            ends,
        };
        thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || run(share))
            .context("starting the thread that learns how members are")?;
        Ok(Some(Self {
            _ends_when_dropped: ends_when_dropped,
        }))
    }
}

/// The life of the thread.
fn run(share: Share) {
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "heartbeats have no runtime"),
    };
    // Tasks end with their runtime.
    runtime.block_on(attend(share));
}

/// Does everything until the sender is dropped.
async fn attend(share: Share) {
    let Share {
        live,
        heartbeat,
        datagrams,
        admin,
        ends,
    } = share;
    let heartbeats = heartbeat.map(|heartbeat| {
        let heartbeats = Heartbeats::new(live, heartbeat.from);
        (heartbeat.path, Rc::new(heartbeats))
    });
    if let (Some(socket), Some((_, heartbeats))) = (datagrams, &heartbeats) {
        match tokio::net::UdpSocket::from_std(socket) {
            Ok(socket) => {
                spawn_local(datagrams::listen(socket, heartbeats.clone()));
            }
            Err(error) => tracing::error!(%error, "heartbeats cannot be received"),
        }
    }
    if let Some(listener) = admin {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                spawn_local(admin::serve(listener, Admin::new(heartbeats)));
            }
            Err(error) => tracing::error!(%error, "the admin listener cannot be served"),
        }
    }
    // Nothing is ever sent: this is the end of the sender.
    let _ = ends.await;
}
