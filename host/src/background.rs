//! Background work, off the request path. One thread checks members, receives heartbeats, refreshes DNS, and serves the admin
//! listener; another ([`EvaluatorHandle`]) evaluates health, by plugins too, which may take their time.
//!
//! Requests that end leave their outcome in [`OutcomeQueue`](equipoise_proxy::observe::OutcomeQueue), checks in a queue. Both are given to the balancer's health evaluator
//! ([`equipoise_balancer::HealthEvaluator`]), and the balancer is told what follows. What changes is logged and remembered by the
//! [`HealthHistory`](equipoise_proxy::observe::HealthHistory).

pub(crate) mod check;
mod check_supervisor;
mod dns_refresh;
mod health_evaluation;
pub(crate) mod heartbeat;

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
use equipoise_config::Config;
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::downstream::{HandoverSocket, InheritedSockets, Liveness, SocketRole};
use equipoise_proxy::manager_bridge::ManagerRequest;
use heartbeat::{Heartbeats, datagrams};

pub(crate) use health_evaluation::EvaluatorHandle;

/// How long the thread may take to end: longer than the admin listener waits for its requests.
const END_TIMEOUT: Duration = Duration::from_secs(2);

/// The running thread. It ends, with all its tasks, when this is dropped, without being waited for.
pub(crate) struct BackgroundThread {
    ends_when_dropped: oneshot::Sender<Infallible>,
    /// Nothing is ever sent: this is the end of the sender.
    has_ended: Receiver<Infallible>,
}

/// What the thread listens on, bound before it starts, so that a failure to bind is an error of the start.
pub(crate) struct Sockets {
    datagrams: Option<UdpSocket>,
    admin: Option<admin::Bound>,
    /// Duplicates for a hot restart to hand over.
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

impl BackgroundThread {
    /// Starts the thread, and the one that evaluates health, which ends with it. Returns what a hot restart needs of its sockets.
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
        let heartbeat_address = datagrams.as_ref().and_then(|it| it.local_addr().ok());
        announce("listening for heartbeats", heartbeat_address);
        let admin_address = admin.as_ref().map(|admin| admin.listener.address());
        announce("the admin listener is open", admin_address);
        let (mut file, mut listener) = (None, None);
        if let Some(admin) = admin {
            file = admin.file.or_else(|| admin.taken_over.map(SocketFile::of));
            listener = Some(admin.listener);
        }
        let (ends_when_dropped, ends) = oneshot::channel();
        let (ended_when_dropped, has_ended) = channel();
        let tasks = BackgroundTasks {
            evaluator: EvaluatorHandle::start(current.clone(), &liveness)?,
            current,
            control,
            datagrams,
            admin: listener,
            requests,
            liveness,
        };
        let thread = move || {
            let _guard = tasks.liveness.guard("background");
            block_on(async || {
                tasks.run(ends).await;
                drop(ended_when_dropped);
            });
        };
        thread::Builder::new()
            .name("background".to_owned())
            .spawn(thread)
            .context("starting the background thread")?;
        let thread = Self {
            ends_when_dropped,
            has_ended,
        };
        Ok((
            thread,
            HandoverState {
                handover_sockets,
                file,
            },
        ))
    }

    /// Ends the thread, and waits for its requests at the admin listener, for [`END_TIMEOUT`] at most.
    pub(crate) fn end(self) {
        drop(self.ends_when_dropped);
        if self.has_ended.recv_timeout(END_TIMEOUT) == Err(RecvTimeoutError::Timeout) {
            tracing::debug!("the background thread did not end in time");
        }
    }
}

fn announce(what: &str, address: Option<impl Display>) {
    if let Some(address) = address {
        tracing::info!(%address, "{what}");
    }
}

/// The life of the thread.
fn block_on(run: impl AsyncFnOnce()) {
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "the background thread has no runtime"),
    };
    runtime.block_on(run());
}

/// What the thread works with.
struct BackgroundTasks {
    current: CurrentSnapshot,
    control: Handle,
    evaluator: EvaluatorHandle,
    datagrams: Option<UdpSocket>,
    admin: Option<admin::Listener>,
    requests: mpsc::Receiver<ManagerRequest>,
    liveness: Liveness,
}

impl BackgroundTasks {
    /// Runs all tasks until the sender is dropped.
    async fn run(self, mut ends: oneshot::Receiver<Infallible>) {
        let Self {
            current,
            control,
            evaluator,
            datagrams,
            admin,
            requests,
            liveness,
        } = self;
        let mut tasks = JoinSet::new();
        let names = dns_refresh::supervise(current.clone());
        tasks.spawn_local(liveness.clone().guarded("resolving names", names));
        let checks = check_supervisor::supervise(current.clone(), evaluator.clone());
        tasks.spawn_local(liveness.clone().guarded("checking members", checks));
        let heartbeats = Rc::new(Heartbeats::new(current.clone()));
        match datagrams.map(tokio::net::UdpSocket::from_std).transpose() {
            Ok(Some(socket)) => {
                let listening = datagrams::listen(socket, heartbeats.clone());
                tasks.spawn_local(liveness.clone().guarded("receiving heartbeats", listening));
            }
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "heartbeats cannot be received"),
        }
        let admin_api = Admin::new(current, control, evaluator, heartbeats, liveness.clone());
        let admin_api = Rc::new(admin_api);
        let receiving = admin_api.clone().receive(requests);
        tasks.spawn_local(liveness.guarded("the manager", receiving));
        // Nothing is ever sent: this is the end of the sender. The tasks end with it.
        let Some(listener) = admin else {
            let _ = ends.await;
            return;
        };
        if let Err(error) = admin::serve(listener, admin_api, &mut ends).await {
            tracing::error!(%error, "the admin listener cannot be served");
            let _ = ends.await;
        }
    }
}
