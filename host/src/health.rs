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

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::thread;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::admin::{self, Admin};
use crate::config::{self, Config, Token};
use crate::heartbeat::{Heartbeats, datagrams};
use crate::live::Live;

pub(crate) use chronicle::{Chapter, Check, Chronicle, Tally};
pub(crate) use exchanges::{Account, Exchanges, Opening};

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
    /// What those who ask the admin listener must know.
    token: Option<Token>,
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
        let judges = config.balancers.iter().any(is_judged);
        if datagrams.is_none() && admin.is_none() && !judges {
            return Ok(None);
        }
        announce(
            "heartbeats are listened for",
            datagrams.as_ref().map(UdpSocket::local_addr),
        );
        announce(
            "the admin listener is open",
            admin.as_ref().map(TcpListener::local_addr),
        );
        let (ends_when_dropped, ends) = oneshot::channel();
        let share = Share {
            live,
            heartbeat,
            datagrams,
            admin,
            token: config.admin.as_ref().and_then(|admin| admin.token.clone()),
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

/// Whether anything is to be learnt of a balancer's members by checks or from their traffic.
fn is_judged(balancer: &config::Balancer) -> bool {
    let mut members = balancer.members.iter();
    balancer.outlier.is_some()
        || balancer.judge.is_some()
        || members.any(|member| member.check.is_some())
}

fn announce(what: &str, address: Option<std::io::Result<SocketAddr>>) {
    if let Some(Ok(address)) = address {
        tracing::info!(%address, "{what}");
    }
}

/// The life of the thread.
fn run(share: Share) {
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the health thread has no runtime"),
    };
    runtime.block_on(attend(share));
}

/// Does everything until the sender is dropped.
async fn attend(share: Share) {
    let Share {
        live,
        heartbeat,
        datagrams,
        admin,
        token,
        ends,
    } = share;
    let mut tasks = JoinSet::new();
    checks::spawn(&mut tasks, live.view());
    tasks.spawn_local(rounds::judge_exchanges(live.view()));
    let told = live.clone();
    let heartbeats = heartbeat.map(|heartbeat| {
        let heartbeats = Heartbeats::new(live, heartbeat.from);
        (heartbeat.path, Rc::new(heartbeats))
    });
    if let (Some(socket), Some((_, heartbeats))) = (datagrams, &heartbeats) {
        match tokio::net::UdpSocket::from_std(socket) {
            Ok(socket) => {
                tasks.spawn_local(datagrams::listen(socket, heartbeats.clone()));
            }
            Err(error) => tracing::error!(%error, "heartbeats cannot be received"),
        }
    }
    if let Some(listener) = admin {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                tasks.spawn_local(admin::serve(listener, Admin::new(told, token, heartbeats)));
            }
            Err(error) => tracing::error!(%error, "the admin listener cannot be served"),
        }
    }
    // Nothing is ever sent: this is the end of the sender. The tasks end with it.
    let _ = ends.await;
}
