//! Health: the thread that learns how members are, off the way of requests: it checks them, hears their heartbeats and asks
//! their judges.
//!
//! Requests that end leave their outcome in [`Exchanges`]; checks end on the thread itself. Ten times a second the thread
//! takes what is there to the balancer's judge ([`equipoise_balancer::Judgement`]) and tells the balancer what follows.
//! What changes is logged and remembered by the [`Chronicle`].

mod checks;
mod chronicle;
mod exchanges;
mod rounds;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::thread;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::admin::{self, Admin};
use crate::config::Config;
use crate::control::Handle;
use crate::heartbeat::{Heartbeats, datagrams};
use crate::live::Live;

pub(crate) use chronicle::{Chapter, Check, Chronicle, Tally};
pub(crate) use exchanges::{Account, Exchanges, Opening};

/// The running thread. It ends, with everything it does, when this is dropped; nobody waits for it.
pub(crate) struct Health {
    sockets: mpsc::UnboundedSender<Sockets>,
}

/// Bound sockets: a bind that fails must be told before anything changes.
#[derive(Default)]
pub(crate) struct Sockets {
    /// Where heartbeats come to, if that is new: none for nowhere.
    datagrams: Option<Option<UdpSocket>>,
    /// The admin listener, if that is new: none for nowhere.
    admin: Option<Option<TcpListener>>,
}

impl Sockets {
    /// Binds what a configuration asks for and the one `before` did not.
    ///
    /// # Errors
    /// An address cannot be bound, which the message names.
    pub(crate) fn bind(config: &Config, before: Option<&Config>) -> Result<Self> {
        let mut sockets = Self::default();
        let listen = |config: &Config| config.heartbeat.as_ref().and_then(|it| it.listen);
        if before.map(listen) != Some(listen(config)) {
            sockets.datagrams = Some(listen(config).map(datagrams::bind).transpose()?);
        }
        let address = |config: &Config| config.admin.as_ref().map(|admin| admin.address);
        if before.map(address) != Some(address(config)) {
            sockets.admin = Some(config.admin.as_ref().map(admin::bind).transpose()?);
        }
        Ok(sockets)
    }

    fn announce(&self) {
        let datagrams = self.datagrams.as_ref().and_then(Option::as_ref);
        announce(
            "heartbeats are listened for",
            datagrams.map(UdpSocket::local_addr),
        );
        let admin = self.admin.as_ref().and_then(Option::as_ref);
        announce(
            "the admin listener is open",
            admin.map(TcpListener::local_addr),
        );
    }
}

impl Health {
    /// Starts the thread.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(sockets: Sockets, live: Live, control: Handle) -> Result<Self> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let health = Self { sockets: sender };
        health.serve(sockets);
        thread::Builder::new()
            .name("health".to_owned())
            .spawn(move || run(live, control, receiver))
            .context("starting the thread that learns how members are")?;
        Ok(health)
    }

    /// Serves these sockets from now on, in place of those before.
    pub(crate) fn serve(&self, sockets: Sockets) {
        sockets.announce();
        // Without the thread there is nobody to serve them.
        let _ = self.sockets.send(sockets);
    }
}

fn announce(what: &str, address: Option<std::io::Result<SocketAddr>>) {
    if let Some(Ok(address)) = address {
        tracing::info!(%address, "{what}");
    }
}

/// The life of the thread.
fn run(live: Live, control: Handle, sockets: mpsc::UnboundedReceiver<Sockets>) {
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the health thread has no runtime"),
    };
    runtime.block_on(attend(live, control, sockets));
}

/// Does everything until the sender is dropped.
async fn attend(live: Live, control: Handle, mut sockets: mpsc::UnboundedReceiver<Sockets>) {
    let mut tasks = JoinSet::new();
    tasks.spawn_local(checks::supervise(live.clone()));
    tasks.spawn_local(rounds::judge_exchanges(live.view()));
    let heartbeats = Rc::new(Heartbeats::new(live.clone()));
    let admin = Rc::new(Admin::new(live, control, heartbeats.clone()));
    let (mut hearing, mut answering) = (JoinSet::new(), JoinSet::new());
    while let Some(Sockets {
        datagrams,
        admin: listener,
    }) = sockets.recv().await
    {
        if let Some(socket) = datagrams {
            hearing.abort_all();
            match socket.map(tokio::net::UdpSocket::from_std).transpose() {
                Ok(Some(socket)) => {
                    hearing.spawn_local(datagrams::listen(socket, heartbeats.clone()));
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "heartbeats cannot be received"),
            }
        }
        if let Some(listener) = listener {
            answering.abort_all();
            match listener.map(tokio::net::TcpListener::from_std).transpose() {
                Ok(Some(listener)) => {
                    answering.spawn_local(admin::serve(listener, admin.clone()));
                }
                Ok(None) => {}
                Err(error) => tracing::error!(%error, "the admin listener cannot be served"),
            }
        }
    }
}
