//! A worker's listeners: its sockets of every listener, opened and closed as the [`ListenerSet`](super::listeners::ListenerSet) says.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_local};

use super::accept::accept;
use super::connection_limit::{ConnectionLimit, ConnectionPermit};
use super::drain::Drain;
use super::handshake::Handshaker;
use super::listeners::ActiveListener;
use super::worker::{Worker, serve_client};
use crate::observe::metrics::WorkerMetricsHandle;

/// How long connections of a removed listener may stay idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The listeners of a worker.
pub(super) struct WorkerListeners {
    worker: Rc<Worker>,
    /// Shared by all workers.
    limit: ConnectionLimit,
    open: Vec<WorkerListener>,
    /// Closed listeners that wait for their last connections to end.
    closing: JoinSet<()>,
    /// Of all of them.
    drains: Vec<Rc<Drain>>,
}

/// One listener, as one worker serves it.
struct WorkerListener {
    /// The listener's.
    id: u64,
    /// How new connections are set up.
    handshaker: Rc<RefCell<Arc<Handshaker>>>,
    /// Accepts; a task for each socket.
    accepting: JoinSet<()>,
    /// Dropped to stop accepting.
    stop_accepting: Vec<oneshot::Sender<Infallible>>,
    drain: Rc<Drain>,
}

impl WorkerListeners {
    /// None are open yet.
    pub(super) fn new(worker: Rc<Worker>, limit: ConnectionLimit) -> Self {
        Self {
            worker,
            limit,
            open: Vec::new(),
            closing: JoinSet::new(),
            drains: Vec::new(),
        }
    }

    /// Opens what is new among `wanted`, closes what is not there any more, and sets up new connections as these say.
    pub(super) fn reconcile(&mut self, wanted: &[ActiveListener]) {
        let is_wanted = |open: &WorkerListener| wanted.iter().any(|it| it.listener.id == open.id);
        for removed in self.open.extract_if(.., |open| !is_wanted(open)) {
            self.closing.spawn_local(removed.close(IDLE_TIMEOUT));
        }
        for active in wanted {
            let known = self.open.iter().find(|it| it.id == active.listener.id);
            if let Some(known) = known {
                known.handshaker.replace(active.handshaker.clone());
            } else {
                let new = WorkerListener::open(active, &self.worker, &self.limit);
                self.drains.push(new.drain.clone());
                self.open.push(new);
            }
        }
        // What has ended meanwhile.
        while self.closing.try_join_next().is_some() {}
        let open = &self.open;
        self.drains
            .retain(|drain| drain.len() > 0 || open.iter().any(|it| Rc::ptr_eq(&it.drain, drain)));
    }

    /// Accepts no more, and waits until all connections have ended. Idle ones are closed after `idle_timeout`.
    pub(super) async fn close(&mut self, idle_timeout: Duration) {
        // Those that were closing already may have had more time.
        for drain in &self.drains {
            let drain = drain.clone();
            self.closing
                .spawn_local(async move { drain.run(idle_timeout).await });
        }
        for open in self.open.drain(..) {
            self.closing.spawn_local(open.close(idle_timeout));
        }
        while self.closing.join_next().await.is_some() {}
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.drains.iter().map(|drain| drain.len()).sum()
    }
}

impl WorkerListener {
    fn open(active: &ActiveListener, worker: &Rc<Worker>, limit: &ConnectionLimit) -> Self {
        let ActiveListener {
            listener,
            handshaker,
        } = active;
        let mut open = Self {
            id: listener.id,
            handshaker: Rc::new(RefCell::new(handshaker.clone())),
            accepting: JoinSet::new(),
            stop_accepting: Vec::new(),
            drain: Rc::default(),
        };
        for socket in listener.take_sockets(worker.number) {
            match TcpListener::from_std(socket) {
                Ok(socket) => open.accept(socket, worker.clone(), limit.clone()),
                Err(error) => {
                    tracing::error!(%error, address = %listener.address, "cannot accept on the listener");
                }
            }
        }
        open
    }

    fn accept(&mut self, socket: TcpListener, worker: Rc<Worker>, limit: ConnectionLimit) {
        let (drain, handshaker) = (self.drain.clone(), self.handshaker.clone());
        let metrics = worker.metrics.clone();
        let permit = async move || acquire(&limit, &metrics).await;
        let (stop_accepting, closing) = oneshot::channel();
        self.stop_accepting.push(stop_accepting);
        let serve = move |stream, address, permit| {
            spawn_local(serve_client(
                stream,
                address,
                worker.clone(),
                handshaker.borrow().clone(),
                drain.register(),
                permit,
            ));
        };
        self.accepting
            .spawn_local(accept(socket, permit, closing, serve));
    }

    /// Accepts what the kernel has queued and then no more, and waits until all connections have ended. Idle ones are closed after
    /// `idle_timeout`.
    async fn close(mut self, idle_timeout: Duration) {
        self.drain.begin();
        self.stop_accepting.clear();
        // An accepted connection may have to wait for a permit.
        let accepted = async { while self.accepting.join_next().await.is_some() {} };
        tokio::join!(accepted, self.drain.run(idle_timeout));
        // Those that were accepted when the others had ended.
        self.drain.run(idle_timeout).await;
    }
}

/// A permit for an accepted connection. Counts connections that wait for one.
async fn acquire(limit: &ConnectionLimit, metrics: &WorkerMetricsHandle) -> ConnectionPermit {
    match limit.try_acquire() {
        Some(permit) => permit,
        None => {
            let _waiting = metrics.wait_for_permit();
            limit.acquire().await
        }
    }
}
