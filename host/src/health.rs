//! Health: how members are, off the way of requests. One thread checks them, hears their heartbeats, and serves the admin
//! listener; another ([`Judges`]) asks their judges, which may be plugins and take their time.
//!
//! Requests that end leave their outcome in [`Exchanges`](equipoise_proxy::observe::Exchanges), checks in a queue. Both are taken to the balancer's judge
//! ([`equipoise_balancer::HealthEvaluator`]), and the balancer is told what follows. What changes is logged and remembered by the
//! [`Chronicle`](equipoise_proxy::observe::Chronicle).

mod checks;
mod judges;

use std::convert::Infallible;
use std::fmt::Display;
use std::net::UdpSocket;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use crate::admin::{self, Admin, SocketFile};
use crate::control::Handle;
use crate::dns_refresh;
use crate::heartbeat::{Heartbeats, datagrams};
use equipoise_config::Config;
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::downstream::{HandoverSocket, InheritedSockets, Liveness, SocketRole};
use equipoise_proxy::manager_bridge::ManagerRequest;

pub(crate) use judges::Judges;

/// How long the thread may take to end: longer than the admin listener waits for those who are there.
const LONGEST_END: Duration = Duration::from_secs(2);

/// The running thread. It ends, with everything it does, when this is dropped; nobody waits for it then.
pub(crate) struct Health {
    ends_when_dropped: oneshot::Sender<Infallible>,
    /// Nothing is ever sent: this is the end of the sender.
    has_ended: Receiver<Infallible>,
}

/// What the thread listens on, bound before it starts: a bind that fails must be told at the start.
pub(crate) struct Sockets {
    datagrams: Option<UdpSocket>,
    admin: Option<admin::Bound>,
    /// Those again that a hot restart hands over.
    handover_sockets: Vec<HandoverSocket>,
}

/// What a hot restart needs of [`Sockets`] once they are served.
#[derive(Default)]
pub(crate) struct HandoverState {
    /// The sockets again, to be handed over.
    pub(crate) handover_sockets: Vec<HandoverSocket>,
    /// The file of the admin listener.
    pub(crate) file: Option<SocketFile>,
}

impl Sockets {
    /// Binds what a configuration asks for, or takes the sockets of before.
    ///
    /// # Errors
    /// A listener's address cannot be bound, which the message names.
    pub(crate) fn bind(config: &Config, inherited: &mut InheritedSockets) -> Result<Self> {
        let mut handover_sockets = Vec::new();
        let heartbeat = config.heartbeat.as_ref();
        let datagrams = heartbeat.and_then(|heartbeat| heartbeat.listen);
        let datagrams = datagrams.map(|address| {
            let mut matched = inherited.udp_sockets(SocketRole::Heartbeat, &address)?;
            let socket: UdpSocket = match matched.sockets.pop() {
                Some(socket) => socket.into(),
                None => datagrams::bind(address)?,
            };
            socket.set_nonblocking(true)?;
            if !matched.is_activated {
                let label = SocketRole::Heartbeat.label(&address);
                handover_sockets.push(HandoverSocket::new(Some(label), socket.try_clone()?.into()));
            }
            anyhow::Ok(socket)
        });
        let datagrams = datagrams.transpose()?;
        let admin = config.admin.as_ref();
        let admin = admin.map(|admin| admin::bind(&admin.address, inherited));
        let mut admin = admin.transpose()?;
        handover_sockets.extend(admin.as_mut().and_then(|admin| admin.handover.take()));
        Ok(Self {
            datagrams,
            admin,
            handover_sockets,
        })
    }
}

impl Health {
    /// Starts the thread, and that of the judges, which ends with it. Says what a hot restart needs of its sockets.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub(crate) fn start(
        current: CurrentSnapshot,
        control: Handle,
        sockets: Sockets,
        requests: mpsc::Receiver<ManagerRequest>,
        liveness: Liveness,
    ) -> Result<(Self, HandoverState)> {
        let Sockets {
            datagrams,
            admin,
            handover_sockets,
        } = sockets;
        let heard_on = datagrams.as_ref().and_then(|it| it.local_addr().ok());
        announce("heartbeats are listened for", heard_on);
        let asked_on = admin.as_ref().map(|admin| admin.listener.address());
        announce("the admin listener is open", asked_on);
        let (mut file, mut listener) = (None, None);
        if let Some(admin) = admin {
            file = admin.file.or_else(|| admin.taken_over.map(SocketFile::of));
            listener = Some(admin.listener);
        }
        let (ends_when_dropped, ends) = oneshot::channel();
        let (ended_when_dropped, has_ended) = channel();
        let background = Background {
            judges: Judges::start(current.clone(), &liveness)?,
            current,
            control,
            datagrams,
            admin: listener,
            requests,
            liveness,
        };
        let attending = move || {
            let _guard = background.liveness.guard("health");
            run(async || {
                background.attend(ends).await;
                drop(ended_when_dropped);
            });
        };
        thread::Builder::new()
            .name("health".to_owned())
            .spawn(attending)
            .context("starting the thread that learns how members are")?;
        let health = Self {
            ends_when_dropped,
            has_ended,
        };
        Ok((
            health,
            HandoverState {
                handover_sockets,
                file,
            },
        ))
    }

    /// Ends the thread, and waits until those who have asked at the admin listener have their answers, for a moment.
    pub(crate) fn end(self) {
        drop(self.ends_when_dropped);
        if self.has_ended.recv_timeout(LONGEST_END) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("the health thread is not waited for any longer");
        }
    }
}

fn announce(what: &str, address: Option<impl Display>) {
    if let Some(address) = address {
        tracing::info!(%address, "{what}");
    }
}

/// The life of the thread.
fn run(attend: impl AsyncFnOnce()) {
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the health thread has no runtime"),
    };
    runtime.block_on(attend());
}

/// What the thread works with.
struct Background {
    current: CurrentSnapshot,
    control: Handle,
    judges: Judges,
    datagrams: Option<UdpSocket>,
    admin: Option<admin::Listener>,
    requests: mpsc::Receiver<ManagerRequest>,
    liveness: Liveness,
}

impl Background {
    /// Does everything until the sender is dropped.
    async fn attend(self, mut ends: oneshot::Receiver<Infallible>) {
        let Self {
            current,
            control,
            judges,
            datagrams,
            admin,
            requests,
            liveness,
        } = self;
        let mut tasks = JoinSet::new();
        let names = dns_refresh::supervise(current.clone());
        tasks.spawn_local(liveness.clone().guarded("resolving names", names));
        let checks = checks::supervise(current.clone(), judges.clone());
        tasks.spawn_local(liveness.clone().guarded("checking members", checks));
        let heartbeats = Rc::new(Heartbeats::new(current.clone()));
        match datagrams.map(tokio::net::UdpSocket::from_std).transpose() {
            Ok(Some(socket)) => {
                let listening = datagrams::listen(socket, heartbeats.clone());
                tasks.spawn_local(liveness.clone().guarded("hearing heartbeats", listening));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "heartbeats cannot be received"),
        }
        let office = Admin::new(current, control, judges, heartbeats, liveness.clone());
        let office = Rc::new(office);
        let receiving = office.clone().receive(requests);
        tasks.spawn_local(liveness.guarded("the manager", receiving));
        // Nothing is ever sent: this is the end of the sender. The tasks end with it.
        let Some(listener) = admin else {
            let _ = ends.await;
            return;
        };
        if let Err(error) = admin::serve(listener, office, &mut ends).await {
            tracing::error!(%error, "the admin listener cannot be served");
            let _ = ends.await;
        }
    }
}
