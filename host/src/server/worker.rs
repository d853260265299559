//! A worker: one thread, one runtime, its own share of the clients and its own connections to members.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{JoinSet, spawn_local};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::access_log::AccessLog;
use crate::config::Limits;
use crate::live::{Live, Pinned, View};
use crate::meters::Desk;
use crate::proxy;
use crate::server::accept::accept;
use crate::server::client::Client;
use crate::server::client_io::ClientIo;
use crate::server::drain::Drain;
use crate::upstream::{MIN_BUFFER, Pool};

/// How often idle connections to members are looked through for those to close.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// What a worker thread is given.
pub(super) struct Share {
    /// The worker's number, from 0.
    pub(super) number: usize,
    pub(super) live: Live,
    pub(super) listeners: Vec<TcpListener>,
    /// Places for client connections, of all workers.
    pub(super) connections: Arc<Semaphore>,
    pub(super) access_log: Option<AccessLog>,
    pub(super) stopped: watch::Receiver<bool>,
    pub(super) shutdown_timeout: Duration,
}

/// What the requests of one worker share.
pub(crate) struct Worker {
    /// From 0.
    pub(crate) number: usize,
    snapshot: RefCell<View>,
    pub(crate) access_log: Option<AccessLog>,
    meters: Desk,
    /// For each balancer and member, the idle connections.
    pools: Vec<Vec<Pool>>,
    limits: Rc<Limits>,
    http: http1::Builder,
    drain: Rc<Drain>,
}

impl Worker {
    fn new(number: usize, live: &Live, access_log: Option<AccessLog>) -> Self {
        let mut view = live.view();
        let snapshot = view.pin();
        let pools = snapshot
            .clusters
            .iter()
            .map(|cluster| cluster.upstreams.iter().map(|_| Pool::default()).collect())
            .collect();
        let limits = Rc::new(snapshot.limits.clone());
        let meters = Desk::new(snapshot.meters.clone(), number);
        let mut http = http1::Builder::new();
        // Time is kept by `ClientIo`; a client that closed its sending half still gets its answer.
        http.header_read_timeout(None).half_close(true);
        http.max_header_size(limits.header_size)
            .max_buf_size(limits.header_size.max(MIN_BUFFER));
        if let Some(headers) = limits.own_headers() {
            http.max_headers(headers);
        }
        Self {
            number,
            snapshot: RefCell::new(view),
            access_log,
            meters,
            pools,
            limits,
            http,
            drain: Rc::default(),
        }
    }

    /// The snapshot in force, for a request to keep to its end.
    pub(crate) fn snapshot(&self) -> Rc<Pinned> {
        self.snapshot.borrow_mut().pin()
    }

    /// The idle connections to a member, by its balancer's and its own index.
    pub(crate) fn pool(&self, (balancer, member): (usize, usize)) -> &Pool {
        &self.pools[balancer][member]
    }

    /// Closes connections to members that have been idle for long enough, now and then, for ever.
    async fn expire_idle_connections(self: Rc<Self>) {
        let mut ticks = interval(EXPIRY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Also lets go of a snapshot of before, should there be no requests.
            let snapshot = self.snapshot();
            for (cluster, pools) in snapshot.clusters.iter().zip(&self.pools) {
                for (upstream, pool) in cluster.upstreams.iter().zip(pools) {
                    pool.expire(upstream.config.ttl);
                }
            }
        }
    }
}

/// The life of a worker thread: serves until it is told to stop, then lets what is in flight end.
pub(super) fn run(share: Share) {
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => return tracing::error!(%error, "a worker has no runtime"),
    };
    runtime.block_on(serve(share));
}

async fn serve(share: Share) {
    let Share {
        number,
        live,
        listeners,
        connections,
        access_log,
        mut stopped,
        shutdown_timeout,
    } = share;
    let worker = Rc::new(Worker::new(number, &live, access_log));
    let mut background = JoinSet::new();
    background.spawn_local(worker.clone().expire_idle_connections());
    for listener in listeners {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => {
                let (worker, places) = (worker.clone(), connections.clone());
                background.spawn_local(accept(listener, places, move |stream, address, place| {
                    spawn_local(serve_client(stream, address, worker.clone(), place));
                }));
            }
            Err(error) => tracing::error!(%error, "a listener cannot be served"),
        }
    }
    // An error means that the server is gone, which is as good a reason to stop.
    let _ = stopped.wait_for(|&stopped| stopped).await;
    background.shutdown().await;
    if timeout(shutdown_timeout, worker.drain.run()).await.is_err() {
        tracing::warn!(
            connections = worker.drain.len(),
            "connections did not end within shutdown-timeout"
        );
    }
}

/// Serves one client's requests until either side closes, or the worker drains.
async fn serve_client(
    stream: TcpStream,
    address: SocketAddr,
    worker: Rc<Worker>,
    _place: OwnedSemaphorePermit,
) {
    let drain = worker.drain.clone();
    let _guest = drain.clone().enter().await;
    let _counted = worker.meters.clone().connection();
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a client's connection is gone");
        return;
    }
    let io = ClientIo::new(stream, worker.limits.clone()).counted(worker.meters.clone());
    let io = TokioIo::new(io);
    let client = Rc::new(Client::new(worker.clone(), address));
    let service = service_fn(move |request| proxy::handle(client.clone(), request));
    let mut connection = pin!(worker.http.serve_connection(io, service));
    let is_ending = Cell::new(false);
    let served = poll_fn(|context| {
        if drain.has_begun() && !is_ending.replace(true) {
            connection.as_mut().graceful_shutdown();
        }
        connection.as_mut().poll(context)
    });
    if let Err(error) = served.await {
        tracing::debug!(%address, %error, "a client's connection ended");
    }
}
