//! A worker: one thread and one runtime, with its own clients and its own connections to members.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::current::{CurrentSnapshot, SnapshotReader, SnapshotRef};
use crate::downstream::client::Client;
use crate::downstream::connection_limit::ConnectionPermit;
use crate::downstream::drain::ConnectionGuard;
use crate::downstream::handshake::{Handshaker, is_handshake_timeout};
use crate::downstream::listeners::{ListenerSet, Listeners};
use crate::downstream::liveness::Liveness;
use crate::downstream::worker_listeners::WorkerListeners;
use crate::downstream::worker_liveness::WorkerLiveness;
use crate::downstream::{http1, http2};
use crate::manager_bridge::ManagerBridge;
use crate::observe::access_log::AccessLog;
use crate::observe::metrics::{Limit, WorkerMetricsHandle};
use crate::upstream::Pool;
use equipoise_config::Limits;

/// How often expired idle connections to members are closed.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// What a worker thread is given.
pub struct WorkerConfig {
    /// The worker's number, from 0.
    pub number: usize,
    /// The snapshots in force.
    pub current: CurrentSnapshot,
    /// Where clients connect to.
    pub listeners: Listeners,
    /// Where requests are logged.
    pub access_log: Option<AccessLog>,
    /// How long requests in flight may take to end.
    pub shutdown_timeout: Duration,
    /// Where it ticks.
    pub worker_liveness: WorkerLiveness,
    /// Where its death is reported.
    pub liveness: Liveness,
    /// Where requests for the manager go.
    pub manager: ManagerBridge,
}

/// What the requests of one worker share.
pub struct Worker {
    /// From 0.
    pub(crate) number: usize,
    snapshot: RefCell<SnapshotReader>,
    pub(crate) access_log: Option<AccessLog>,
    /// Where requests for the manager go.
    pub(crate) manager: ManagerBridge,
    pub(super) metrics: WorkerMetricsHandle,
    /// The idle connections to each member.
    pools: RefCell<Pools>,
}

/// How many pools are found without a search.
const MAX_RECENT: usize = 512;

/// The pools of a worker.
#[derive(Default)]
struct Pools {
    all: BTreeMap<PoolKey, Rc<Pool>>,
    /// Those of no host in particular that were used last, at the index that their endpoint's key gives: keys of one
    /// configuration mostly follow each other.
    recent: Vec<Option<(u64, Rc<Pool>)>>,
}

impl Pools {
    #[inline]
    fn get(&mut self, endpoint: u64, host: Option<&str>) -> Rc<Pool> {
        match self.recent.get(endpoint as usize % MAX_RECENT) {
            Some(Some((key, pool))) if *key == endpoint && host.is_none() => pool.clone(),
            _ => self.find(endpoint, host),
        }
    }

    #[cold]
    fn find(&mut self, endpoint: u64, host: Option<&str>) -> Rc<Pool> {
        let key = PoolKey {
            endpoint,
            host: host.map(Into::into),
        };
        let pool = self.all.entry(key).or_default();
        if host.is_none() {
            self.recent.resize(MAX_RECENT, None);
            self.recent[endpoint as usize % MAX_RECENT] = Some((endpoint, pool.clone()));
        }
        pool.clone()
    }

    /// Leaves those that are wanted.
    fn retain(&mut self, is_wanted: impl FnMut(&PoolKey, &mut Rc<Pool>) -> bool) {
        self.recent.clear();
        self.all.retain(is_wanted);
    }
}

/// What connections have in common that a request may choose from.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PoolKey {
    /// See [`Endpoint::key`](crate::upstream::Endpoint::key).
    endpoint: u64,
    /// Who the member had to be by TLS, where clients say that.
    host: Option<Box<str>>,
}

impl Worker {
    /// Of this number, without connections yet.
    fn new(
        number: usize,
        current: &CurrentSnapshot,
        access_log: Option<AccessLog>,
        manager: ManagerBridge,
    ) -> Self {
        let mut reader = current.reader();
        let metrics = WorkerMetricsHandle::new(reader.pin().metrics.clone(), number);
        Self {
            number,
            snapshot: RefCell::new(reader),
            access_log,
            manager,
            metrics,
            pools: RefCell::default(),
        }
    }

    /// The snapshot in force, for a request to keep to its end.
    pub(crate) fn snapshot(&self) -> Rc<SnapshotRef> {
        self.snapshot.borrow_mut().pin()
    }

    /// The limits of a client that connects now.
    pub(super) fn limits(&self) -> Arc<Limits> {
        self.snapshot().limits.clone()
    }

    /// The idle connections to a member, by its endpoint's key; of those by TLS, on which the member had to be this host.
    #[inline]
    pub(crate) fn pool(&self, endpoint: u64, host: Option<&str>) -> Rc<Pool> {
        self.pools.borrow_mut().get(endpoint, host)
    }

    /// Closes idle connections to members after their `ttl`, for ever.
    async fn expire_idle_connections(self: Rc<Self>) {
        let mut ticks = interval(EXPIRY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Also releases an old snapshot, should there be no requests.
            let snapshot = self.snapshot();
            let endpoints = snapshot.clusters.iter().flat_map(|it| &it.endpoints);
            let ttls: BTreeMap<_, _> = endpoints.map(|it| (it.key, it.config.ttl)).collect();
            self.pools.borrow_mut().retain(|key, pool| {
                // Those to members that are gone are closed with their pools.
                let Some(ttl) = ttls.get(&key.endpoint) else {
                    return false;
                };
                pool.expire(*ttl);
                key.host.is_none() || !pool.is_empty()
            });
        }
    }
}

/// Runs a worker thread: serves until it is stopped, then waits for requests in flight.
pub fn run(config: WorkerConfig) {
    let part = format!("worker {}", config.number);
    let guard = config.liveness.guard(&*part);
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, worker = config.number, "cannot start the worker's runtime");
            return config.liveness.report_dead(&part);
        }
    };
    runtime.block_on(serve(config));
    drop(guard);
}

async fn serve(config: WorkerConfig) {
    let WorkerConfig {
        number,
        current,
        listeners,
        access_log,
        shutdown_timeout,
        worker_liveness,
        liveness: _,
        manager,
    } = config;
    let worker = Rc::new(Worker::new(number, &current, access_log, manager));
    let mut background = JoinSet::new();
    background.spawn_local(worker.clone().expire_idle_connections());
    background.spawn_local(async move { worker_liveness.tick().await });
    let mut worker_listeners =
        WorkerListeners::new(worker.clone(), listeners.connection_limit().clone());
    let set = listeners.subscribe();
    // The channel closes with the server's own handle.
    drop(listeners);
    let idle_timeout = follow(set, &mut worker_listeners).await;
    background.shutdown().await;
    if timeout(shutdown_timeout, worker_listeners.close(idle_timeout))
        .await
        .is_err()
    {
        tracing::warn!(
            connections = worker_listeners.connections(),
            "connections did not end within shutdown-timeout"
        );
    }
}

/// Follows the listener set until workers are to stop: says how long connections may then stay idle.
async fn follow(
    mut set: watch::Receiver<ListenerSet>,
    worker_listeners: &mut WorkerListeners,
) -> Duration {
    loop {
        let (wanted, stop) = {
            let set = set.borrow_and_update();
            (set.active.clone(), set.stop)
        };
        if let Some(idle_timeout) = stop {
            return idle_timeout;
        }
        worker_listeners.reconcile(&wanted);
        drop(wanted);
        if set.changed().await.is_err() {
            // The server is gone.
            return Duration::ZERO;
        }
    }
}

/// Serves one client's connection until either side closes it, or it is drained.
pub(super) async fn serve_client(
    stream: TcpStream,
    address: SocketAddr,
    worker: Rc<Worker>,
    handshaker: Arc<Handshaker>,
    guard: ConnectionGuard,
    permit: ConnectionPermit,
) {
    guard.register_waker().await;
    let counted = worker.metrics.clone().connection();
    let limits = worker.limits();
    let accepted = {
        let accepting = pin!(handshaker.accept(stream, address, &limits));
        guard.or_forced(accepting).await
    };
    let mut accepted = match accepted {
        None => return,
        Some(Ok(accepted)) => accepted,
        Some(Err(error)) => {
            if is_handshake_timeout(&error) {
                worker.metrics.counts().count_limit(Limit::Handshakes);
            }
            return tracing::debug!(%address, %error, "connection setup failed");
        }
    };
    let client = Client::new(worker, &mut accepted, handshaker, guard, permit, counted);
    let (client, first) = (Rc::new(client), accepted.first);
    if !accepted.is_http2 {
        return http1::serve(accepted.stream, first, accepted.head_by, client, &limits).await;
    }
    // Boxed, since it is rarer: the memory of this task is what an idle connection costs.
    Box::pin(http2::serve(accepted.stream, first, client, &limits)).await;
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use equipoise_config::Source;
    use http::Response;

    use super::*;
    use crate::manager_bridge::ManagerPolicy;
    use crate::snapshot::{Inputs, OnRefusal, Snapshot};

    #[test]
    fn clients_have_the_limits_in_force_when_they_connect() {
        let text = |limits: &str| {
            format!(
                "[limits]\n{limits}\n[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
                 [[balancer.b.member]]\nurl = \"http://127.0.0.1:1\"\n"
            )
        };
        let setting = |limits| {
            let (source, config) =
                Source::from_file(Path::new("test.toml"), &text(limits)).unwrap();
            Inputs::of(Arc::new(config), Arc::new(source))
        };
        let current = CurrentSnapshot::new(Snapshot::new(setting(""), |_| Ok(())).unwrap());
        let (manager, _requests) = ManagerBridge::new(ManagerPolicy {
            refuse: |_, _, _| None,
            unavailable: |_| Response::default(),
        });
        let worker = Worker::new(0, &current, None, manager);
        let before = worker.limits();
        assert!(Arc::ptr_eq(&before, &worker.limits()));
        let changed = setting("header-size = \"16KiB\"");
        let draft = current.load().prepare(changed, OnRefusal::Refuse);
        current.replace(draft.unwrap().activate());
        assert_eq!(worker.limits().header_size, 16 * 1024);
        assert_eq!(
            before.header_size,
            64 * 1024,
            "a client that connected before"
        );
    }
}
