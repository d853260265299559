//! A worker: one thread, one runtime, its own share of the clients and its own connections to members.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::error::Error;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
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
use crate::proxy;
use crate::server::client::Client;
use crate::server::client_io::ClientIo;
use crate::server::doors::Doors;
use crate::server::drain::Guest;
use crate::server::front::{Front, is_slow_handshake};
use crate::server::http2;
use crate::server::listeners::{Listeners, Orders};
use crate::server::liveness::Liveness;
use crate::server::places::Place;
use crate::server::pulse::Pulse;
use crate::server::stream::ClientStream;
use crate::upstream::{MIN_BUFFER, Pool};

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
    /// The idle connections to each member, by its [`Upstream`](crate::upstream::Upstream)'s key.
    pools: RefCell<BTreeMap<u64, Rc<Pool>>>,
    /// For the clients that connect while the same limits are in force.
    reception: RefCell<Rc<Reception>>,
}

/// How clients are served that connect while the same limits are in force.
struct Reception {
    limits: Arc<Limits>,
    http: http1::Builder,
}

impl Reception {
    fn new(limits: Arc<Limits>) -> Self {
        let mut http = http1::Builder::new();
        // Time is kept by `ClientIo`; a client that closed its sending half still gets its answer.
        http.header_read_timeout(None).half_close(true);
        http.max_header_size(limits.header_size)
            .max_buf_size(limits.header_size.max(MIN_BUFFER));
        if let Some(headers) = limits.own_headers() {
            http.max_headers(headers);
        }
        Self { limits, http }
    }

    /// Serves a client that speaks HTTP/1, until its connection ends or becomes something else.
    async fn serve_http1(&self, stream: ClientStream, client: Rc<Client>) -> hyper::Result<()> {
        let io = ClientIo::new(stream, self.limits.clone())
            .counted(client.worker.meters.clone())
            .tunnel(client.is_tunnel.clone())
            .interim(client.responder.interim.clone());
        let served = client.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let (client, responder) = (served.clone(), served.responder.clone());
            proxy::handle(client, responder, request.map(Into::into))
        });
        let connection = self.http.serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection.with_upgrades());
        let (drain, is_ending) = (client.guest.drain(), Cell::new(false));
        poll_fn(|context| {
            if drain.insists() && !is_ending.replace(true) {
                connection.as_mut().graceful_shutdown();
            }
            connection.as_mut().poll(context)
        })
        .await
    }
}

impl Worker {
    pub(super) fn new(
        number: usize,
        live: &Live,
        access_log: Option<AccessLog>,
        portal: Portal,
    ) -> Self {
        let mut view = live.view();
        let snapshot = view.pin();
        let reception = Reception::new(snapshot.limits.clone());
        let meters = Desk::new(snapshot.meters.clone(), number);
        Self {
            number,
            snapshot: RefCell::new(view),
            access_log,
            portal,
            meters,
            pools: RefCell::default(),
            reception: RefCell::new(Rc::new(reception)),
        }
    }

    /// The snapshot in force, for a request to keep to its end.
    pub(crate) fn snapshot(&self) -> Rc<Pinned> {
        self.snapshot.borrow_mut().pin()
    }

    /// How a client is served that connects now.
    fn reception(&self) -> Rc<Reception> {
        let snapshot = self.snapshot();
        let mut reception = self.reception.borrow_mut();
        if !Arc::ptr_eq(&reception.limits, &snapshot.limits) {
            *reception = Rc::new(Reception::new(snapshot.limits.clone()));
        }
        reception.clone()
    }

    /// The limits of a client that connects now.
    #[cfg(test)]
    pub(super) fn limits(&self) -> Arc<Limits> {
        self.reception().limits.clone()
    }

    /// The idle connections to a member, by its upstream's key.
    pub(crate) fn pool(&self, key: u64) -> Rc<Pool> {
        self.pools.borrow_mut().entry(key).or_default().clone()
    }

    /// Closes connections to members that have been idle for long enough, now and then, for ever.
    async fn expire_idle_connections(self: Rc<Self>) {
        let mut ticks = interval(EXPIRY_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            // Also lets go of a snapshot of before, should there be no requests.
            let snapshot = self.snapshot();
            let mut before = self.pools.take();
            // Those to members that are gone are closed with their pools.
            let upstreams = snapshot.clusters.iter().flat_map(|it| &it.upstreams);
            *self.pools.borrow_mut() = upstreams
                .filter_map(|upstream| {
                    let pool = before.remove(&upstream.key)?;
                    pool.expire(upstream.config.ttl);
                    Some((upstream.key, pool))
                })
                .collect();
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
    let reception = worker.reception();
    let meeting = front.meet(stream, address, &reception.limits);
    let mut arrival = match guest.unless_insisted(meeting).await {
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
    let (client, stream) = (Rc::new(client), arrival.stream);
    let served: Result<(), Box<dyn Error>> = match client.speaks_http2 {
        true => http2::serve(stream, client, &reception.limits)
            .await
            .map_err(Into::into),
        false => reception
            .serve_http1(stream, client)
            .await
            .map_err(Into::into),
    };
    if let Err(error) = served {
        tracing::debug!(%address, %error, "a client's connection ended");
    }
}
