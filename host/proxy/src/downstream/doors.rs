//! What a worker listens on: its share of every listener, opened and closed as ordered.

use std::cell::RefCell;
use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::{JoinSet, spawn_local};

use super::accept::accept;
use super::drain::Drain;
use super::front::Front;
use super::listeners::Opened;
use super::places::{Place, Places};
use super::worker::{Worker, serve_client};
use crate::observe::meters::Desk;

/// How long the clients of a listener that is gone may leave their connections idle.
const GRACE: Duration = Duration::from_secs(10);

/// The listeners of a worker.
pub(super) struct Doors {
    worker: Rc<Worker>,
    /// Places for client connections, of all workers.
    places: Places,
    open: Vec<Door>,
    /// Those that wait for their last connections to end.
    closing: JoinSet<()>,
    /// Of all of them.
    drains: Vec<Rc<Drain>>,
}

/// A worker's share of one listener.
struct Door {
    /// The listener's.
    id: u64,
    /// How whoever connects is met.
    front: Rc<RefCell<Arc<Front>>>,
    /// Accepts; a task for each socket.
    accepting: JoinSet<()>,
    /// Ends that.
    closes_when_dropped: Vec<oneshot::Sender<Infallible>>,
    drain: Rc<Drain>,
}

impl Doors {
    /// None are open yet.
    pub(super) fn new(worker: Rc<Worker>, places: Places) -> Self {
        Self {
            worker,
            places,
            open: Vec::new(),
            closing: JoinSet::new(),
            drains: Vec::new(),
        }
    }

    /// Opens what is new among `wanted`, and closes what is not there any more. Whoever connects from now on is met as these
    /// say.
    pub(super) fn follow(&mut self, wanted: &[Opened]) {
        let is_wanted = |door: &Door| wanted.iter().any(|it| it.listener.id == door.id);
        for door in self.open.extract_if(.., |door| !is_wanted(door)) {
            self.closing.spawn_local(door.close(GRACE));
        }
        for opened in wanted {
            let known = self.open.iter().find(|it| it.id == opened.listener.id);
            if let Some(door) = known {
                door.front.replace(opened.front.clone());
            } else {
                let door = Door::open(opened, &self.worker, &self.places);
                self.drains.push(door.drain.clone());
                self.open.push(door);
            }
        }
        // What has ended meanwhile.
        while self.closing.try_join_next().is_some() {}
        let open = &self.open;
        self.drains.retain(|drain| {
            drain.len() > 0 || open.iter().any(|door| Rc::ptr_eq(&door.drain, drain))
        });
    }

    /// Accepts no more, and waits until all connections have ended. Those that are idle are closed after `grace`.
    pub(super) async fn close(&mut self, grace: Duration) {
        // Those that were closing already may have been promised more time.
        for drain in &self.drains {
            let drain = drain.clone();
            self.closing
                .spawn_local(async move { drain.run(grace).await });
        }
        for door in self.open.drain(..) {
            self.closing.spawn_local(door.close(grace));
        }
        while self.closing.join_next().await.is_some() {}
    }

    /// How many connections there are.
    pub(super) fn connections(&self) -> usize {
        self.drains.iter().map(|drain| drain.len()).sum()
    }
}

impl Door {
    fn open(opened: &Opened, worker: &Rc<Worker>, places: &Places) -> Self {
        let Opened { listener, front } = opened;
        let mut door = Self {
            id: listener.id,
            front: Rc::new(RefCell::new(front.clone())),
            accepting: JoinSet::new(),
            closes_when_dropped: Vec::new(),
            drain: Rc::default(),
        };
        for socket in listener.share(worker.number) {
            match TcpListener::from_std(socket) {
                Ok(socket) => door.accept(socket, worker.clone(), places.clone()),
                Err(error) => {
                    tracing::error!(%error, address = %listener.address, "a listener cannot be served");
                }
            }
        }
        door
    }

    fn accept(&mut self, socket: TcpListener, worker: Rc<Worker>, places: Places) {
        let (drain, front) = (self.drain.clone(), self.front.clone());
        let meters = worker.meters.clone();
        let admit = async move || admit(&places, &meters).await;
        let (closes_when_dropped, closing) = oneshot::channel();
        self.closes_when_dropped.push(closes_when_dropped);
        let serve = move |stream, address, place| {
            spawn_local(serve_client(
                stream,
                address,
                worker.clone(),
                front.borrow().clone(),
                drain.admit(),
                place,
            ));
        };
        self.accepting
            .spawn_local(accept(socket, admit, closing, serve));
    }

    /// Accepts what is queued and then no more, and waits until all connections have ended. Those that are idle are closed
    /// after `grace`.
    async fn close(mut self, grace: Duration) {
        self.drain.begin();
        self.closes_when_dropped.clear();
        // A connection that is accepted may have to wait for another's place.
        let accepted = async { while self.accepting.join_next().await.is_some() {} };
        tokio::join!(accepted, self.drain.run(grace));
        // Those that were accepted when the others had ended.
        self.drain.run(grace).await;
    }
}

/// A place for a client that is connected. Counts those that have to wait for one.
async fn admit(places: &Places, meters: &Desk) -> Place {
    match places.take_now() {
        Some(place) => place,
        None => {
            let _waiting = meters.wait_for_place();
            places.take().await
        }
    }
}
