//! A worker: one thread, one runtime, its own share of the clients and its own connections to members.

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

use crate::access_log::AccessLog;
use crate::admin::Portal;
use crate::config::Limits;
use crate::live::{Live, Pinned, View};
use crate::meters::{Desk, Limit};
use crate::server::client::Client;
use crate::server::doors::Doors;
use crate::server::drain::Guest;
use crate::server::front::{Front, is_slow_handshake};
use crate::server::listeners::{Listeners, Orders};
use crate::server::liveness::Liveness;
use crate::server::places::Place;
use crate::server::pulse::Pulse;
use crate::server::{http1, http2};
use crate::upstream::Pool;

/// How often idle connections to members are looked through for those to close.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(1);

/// What a worker thread is given.
pub(super) struct Share {
    /// The worker's number, from 0.
    pub(super) number: usize,
    pub(super) live: Live,
    pub(super) listeners: Listeners,
    pub(super) access_log: Option<AccessLog>,
    pub(super) shutdown_timeout: Duration,
    pub(super) pulse: Pulse,
    pub(super) liveness: Liveness,
    pub(super) portal: Portal,
}

/// What the requests of one worker share.
pub(crate) struct Worker {
    /// From 0.
    pub(crate) number: usize,
    snapshot: RefCell<View>,
    pub(crate) access_log: Option<AccessLog>,
    /// Where requests for the manager go.
    pub(crate) portal: Portal,
    pub(super) meters: Desk,
    /// The idle connections to each member.
    pools: RefCell<Pools>,
}

/// How many pools are found without a search.
const NEAR: usize = 512;

/// The pools of a worker.
#[derive(Default)]
struct Pools {
    all: BTreeMap<PoolKey, Rc<Pool>>,
    /// Those of no host in particular that were used last, at the place that their upstream's key says: keys of one
    /// configuration mostly follow each other.
    near: Vec<Option<(u64, Rc<Pool>)>>,
}

impl Pools {
    #[inline]
    fn get(&mut self, upstream: u64, host: Option<&str>) -> Rc<Pool> {
        match self.near.get(upstream as usize % NEAR) {
            Some(Some((key, pool))) if *key == upstream && host.is_none() => pool.clone(),
            _ => self.find(upstream, host),
        }
    }

    #[cold]
    fn find(&mut self, upstream: u64, host: Option<&str>) -> Rc<Pool> {
        let key = PoolKey {
            upstream,
            host: host.map(Into::into),
        };
        let pool = self.all.entry(key).or_default();
        if host.is_none() {
            self.near.resize(NEAR, None);
            self.near[upstream as usize % NEAR] = Some((upstream, pool.clone()));
        }
        pool.clone()
    }

    /// Leaves those that are wanted.
    fn retain(&mut self, is_wanted: impl FnMut(&PoolKey, &mut Rc<Pool>) -> bool) {
        self.near.clear();
        self.all.retain(is_wanted);
    }
}

/// What connections have in common that a request may choose from.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct PoolKey {
    /// See [`Upstream::key`](crate::upstream::Upstream::key).
    upstream: u64,
    /// Who the member had to be by TLS, where clients say that.
    host: Option<Box<str>>,
}

impl Worker {
    pub(super) fn new(
        number: usize,
        live: &Live,
        access_log: Option<AccessLog>,
        portal: Portal,
    ) -> Self {
        let mut view = live.view();
        let meters = Desk::new(view.pin().meters.clone(), number);
        Self {
            number,
            snapshot: RefCell::new(view),
            access_log,
            portal,
            meters,
            pools: RefCell::default(),
        }
    }

    /// The snapshot in force, for a request to keep to its end.
    pub(crate) fn snapshot(&self) -> Rc<Pinned> {
        self.snapshot.borrow_mut().pin()
    }

    /// The limits of a client that connects now.
    pub(super) fn limits(&self) -> Arc<Limits> {
        self.snapshot().limits.clone()
    }

    /// The idle connections to a member, by its upstream's key; of those by TLS, on which the member had to be this host.
    #[inline]
    pub(crate) fn pool(&self, upstream: u64, host: Option<&str>) -> Rc<Pool> {
        self.pools.borrow_mut().get(upstream, host)
    }

    /// Closes connections to members that have been idle for long enough, now and then, for ever.
    async fn expire_idle_connections(self: Rc<Self>) {
        let mut ticks = interval(EXPIRY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Also lets go of a snapshot of before, should there be no requests.
            let snapshot = self.snapshot();
            let upstreams = snapshot.clusters.iter().flat_map(|it| &it.upstreams);
            let ttls: BTreeMap<_, _> = upstreams.map(|it| (it.key, it.config.ttl)).collect();
            self.pools.borrow_mut().retain(|key, pool| {
                // Those to members that are gone are closed with their pools.
                let Some(ttl) = ttls.get(&key.upstream) else {
                    return false;
                };
                pool.expire(*ttl);
                key.host.is_none() || !pool.is_empty()
            });
        }
    }
}

/// The life of a worker thread: serves until it is told to stop, then lets what is in flight end.
pub(super) fn run(share: Share) {
    let part = format!("worker {}", share.number);
    let guard = share.liveness.guard(&*part);
    let runtime = match Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "a worker has no runtime");
            return share.liveness.note_dead(&part);
        }
    };
    runtime.block_on(serve(share));
    drop(guard);
}

async fn serve(share: Share) {
    let Share {
        number,
        live,
        listeners,
        access_log,
        shutdown_timeout,
        pulse,
        liveness: _,
        portal,
    } = share;
    let worker = Rc::new(Worker::new(number, &live, access_log, portal));
    let mut background = JoinSet::new();
    background.spawn_local(worker.clone().expire_idle_connections());
    background.spawn_local(async move { pulse.beat().await });
    let mut doors = Doors::new(worker.clone(), listeners.places().clone());
    let orders = listeners.orders();
    // The server's own handle is what orders come by.
    drop(listeners);
    let grace = follow(orders, &mut doors).await;
    background.shutdown().await;
    if timeout(shutdown_timeout, doors.close(grace)).await.is_err() {
        tracing::warn!(
            connections = doors.connections(),
            "connections did not end within shutdown-timeout"
        );
    }
}

/// Listens as ordered, until the order is to stop: says how long connections may then be idle.
async fn follow(mut orders: watch::Receiver<Orders>, doors: &mut Doors) -> Duration {
    loop {
        let (wanted, stop) = {
            let orders = orders.borrow_and_update();
            (orders.open.clone(), orders.stop)
        };
        if let Some(grace) = stop {
            return grace;
        }
        doors.follow(&wanted);
        drop(wanted);
        if orders.changed().await.is_err() {
            // The server is gone, which is as good a reason to stop.
            return Duration::ZERO;
        }
    }
}

/// Serves one client's requests until either side closes, or the connection is to end.
pub(super) async fn serve_client(
    stream: TcpStream,
    address: SocketAddr,
    worker: Rc<Worker>,
    front: Arc<Front>,
    guest: Guest,
    place: Place,
) {
    guest.settle().await;
    let counted = worker.meters.clone().connection();
    let limits = worker.limits();
    let met = {
        let meeting = pin!(front.meet(stream, address, &limits));
        guest.unless_insisted(meeting).await
    };
    let mut arrival = match met {
        None => return,
        Some(Ok(arrival)) => arrival,
        Some(Err(error)) => {
            if is_slow_handshake(&error) {
                worker.meters.counts().count_limit(Limit::Handshakes);
            }
            return tracing::debug!(%address, %error, "a client came no further");
        }
    };
    let client = Client::new(worker, &mut arrival, front, guest, place, counted);
    let (client, first) = (Rc::new(client), arrival.first);
    if !arrival.speaks_http2 {
        return http1::serve(arrival.stream, first, arrival.head_by, client, &limits).await;
    }
    // Apart, as all that is rare: the memory of this task is what an idle connection costs.
    Box::pin(http2::serve(arrival.stream, first, client, &limits)).await;
}
