//! What is listened on: changed by one thread, followed by all workers.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, mem};

use anyhow::{Context as _, Result};
use socket2::Socket;
use tokio::sync::watch;

use super::descriptors::{self, Shares};
use super::front::Front;
use super::inherited::{Gift, Inherited, Role};
use super::places::Places;
use super::sockets::{self, BACKLOG};
use equipoise_config as config;
use equipoise_tls::Contents;

/// The listeners of a server, and the places for the clients of all of them. Clones are of the same.
#[derive(Clone)]
pub struct Listeners(Arc<Shared>);

struct Shared {
    workers: NonZeroUsize,
    places: Places,
    orders: watch::Sender<Orders>,
    /// Sockets that the program was started with.
    inherited: Mutex<Inherited>,
    last_id: Mutex<u64>,
    /// How many clients there may be instead of how many were configured, as the log was told last.
    told: Mutex<Option<[usize; 2]>>,
}

/// What workers are to do. Only the latest counts.
#[derive(Default)]
pub(super) struct Orders {
    pub(super) open: Vec<Opened>,
    /// Set when they are to end: how long connections may be idle.
    pub(super) stop: Option<Duration>,
}

/// A listener with how its clients are met for now.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) listener: Arc<Listener>,
    pub(super) front: Arc<Front>,
}

/// A listener: bound, and for every worker a share of its sockets.
pub(super) struct Listener {
    /// Never used again.
    pub(super) id: u64,
    /// As configured, perhaps with port 0.
    wanted: SocketAddr,
    /// With the real port.
    pub(super) address: SocketAddr,
    /// For each worker, until it takes them.
    shares: Mutex<Vec<Vec<TcpListener>>>,
    /// All of them again, to be handed on when another program takes over.
    kept: Vec<Socket>,
    /// Whether they are those of who started the program, who hands them on by itself.
    is_activated: bool,
}

/// Listeners that are bound, and not in force yet: nobody can connect to the new ones, and nothing has changed. Dropped,
/// those are closed.
pub struct Prepared(Vec<Opened>);

impl Listeners {
    /// None yet, for so many workers; `inherited` has sockets to use instead of new ones.
    pub fn new(workers: NonZeroUsize, inherited: Inherited) -> Self {
        Self(Arc::new(Shared {
            workers,
            places: Places::new(0),
            orders: watch::Sender::default(),
            inherited: Mutex::new(inherited),
            last_id: Mutex::default(),
            told: Mutex::default(),
        }))
    }

    /// Binds what is not listened on yet, once a worker, and changes nothing else. The files of `tls` have these contents.
    ///
    /// # Errors
    /// An address cannot be bound, or a file cannot be used; the message names it.
    pub fn prepare(&self, wanted: &[config::Listener], contents: &Contents) -> Result<Prepared> {
        let open = self.0.orders.borrow().open.clone();
        let front = |wanted: &config::Listener| {
            let same = |it: &&Opened| {
                it.listener.is_for(wanted.address) && it.front.has_tls(wanted.tls.as_ref())
            };
            let before = open.iter().find(same).map(|it| &*it.front);
            Front::new(wanted, contents, before).map(Arc::new)
        };
        let fronts = wanted.iter().map(front);
        let fronts = fronts.collect::<Result<Vec<_>>>()?;
        let open: Vec<_> = open.into_iter().map(|it| it.listener).collect();
        let mut prepared: Vec<Arc<Listener>> = Vec::new();
        for config::Listener { address, .. } in wanted {
            // Several may be configured with port 0: each is one of its own.
            let is_new = |it: &&Arc<Listener>| prepared.iter().all(|other| other.id != it.id);
            let kept = open.iter().filter(is_new).find(|it| it.is_for(*address));
            let listener = match kept {
                Some(kept) => kept.clone(),
                None => Arc::new(
                    self.bind(*address, [&open, &prepared])
                        .with_context(|| format!("cannot listen on {address}"))?,
                ),
            };
            prepared.push(listener);
        }
        let opened = prepared.into_iter().zip(fronts);
        Ok(Prepared(
            opened
                .map(|(listener, front)| Opened { listener, front })
                .collect(),
        ))
    }

    /// Listens on what was prepared, and on nothing else, for so many clients at once, or as many as the limit of open files
    /// allows.
    ///
    /// A listener that goes accepts what the kernel has queued for it; its clients are told, with their next answers, to
    /// connect anew. Clients that are too many now stay.
    pub fn apply(&self, prepared: Prepared, connections: usize) {
        self.0
            .places
            .resize(self.affordable(connections, prepared.0.len()));
        for Opened { listener, .. } in &prepared.0 {
            if let Err(error) = listener.listen() {
                // Only if another program took the address within the last moment, by force.
                tracing::error!(%error, address = %listener.address, "nobody can connect");
            }
        }
        self.0.orders.send_modify(|orders| orders.open = prepared.0);
    }

    /// How many clients there may be at once, of so many that are configured; says so in the log where they are fewer, unless it
    /// has.
    fn affordable(&self, connections: usize, listeners: usize) -> usize {
        let most = Shares::now(self.0.workers.get(), listeners).clients;
        let is_low = most < connections;
        let told = is_low.then_some([most, connections]);
        let mut last = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != told && is_low {
            let limit = descriptors::limit();
            tracing::warn!(
                limit,
                connections,
                "the limit of open files (ulimit -n) is too low for `connections` in [limits]: {most} clients may be connected at \
                 once, others wait"
            );
        }
        *last = told;
        most.min(connections)
    }

    /// The addresses that are listened on, in the order of the configuration, with the ports that were free for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let orders = self.0.orders.borrow();
        orders.open.iter().map(|it| it.listener.address).collect()
    }

    /// Stops all workers: they accept no more, and end when their connections have. Those that are idle are closed after
    /// `grace`.
    pub fn stop(&self, grace: Duration) {
        self.0.orders.send_modify(|orders| {
            orders.open.clear();
            orders.stop = Some(grace);
        });
    }

    /// What a worker follows.
    pub(super) fn orders(&self) -> watch::Receiver<Orders> {
        self.0.orders.subscribe()
    }

    pub(super) fn places(&self) -> &Places {
        &self.0.places
    }

    /// The sockets that the program was started with.
    pub fn inherited(&self) -> MutexGuard<'_, Inherited> {
        let inherited = self.0.inherited.lock();
        inherited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Every listening socket, for another program to take over.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn gifts(&self) -> io::Result<Vec<Gift>> {
        let open = self.0.orders.borrow().open.clone();
        let mut gifts = self.inherited().activated()?;
        for listener in open
            .iter()
            .map(|it| &it.listener)
            .filter(|it| !it.is_activated)
        {
            for socket in &listener.kept {
                let claim = Role::Listen.claim(&listener.wanted);
                gifts.push(Gift::new(Some(claim), socket.try_clone()?));
            }
        }
        Ok(gifts)
    }

    /// A listener that nobody can connect to yet, unless its sockets are inherited.
    fn bind(&self, wanted: SocketAddr, ours: [&[Arc<Listener>]; 2]) -> io::Result<Listener> {
        let workers = self.0.workers.get();
        let is_ours =
            |is: &dyn Fn(&Listener) -> bool| ours.iter().copied().flatten().any(|it| is(it));
        let found = self.inherited().listening(Role::Listen, &wanted)?;
        let (is_activated, mut sockets) = (found.is_activated, found.sockets);
        // Several may have been configured with port 0.
        sockets.retain(|it| {
            sockets::local_address(it).is_ok_and(|bound| !is_ours(&|ours| ours.address == bound))
        });
        let address = match sockets.first() {
            Some(socket) => sockets::local_address(socket)?,
            // Beside one of our own nobody else can be.
            None if is_ours(&|ours| ours.overlaps(wanted)) => wanted,
            None => sockets::free_address(wanted)?,
        };
        sockets.retain(|it| sockets::local_address(it).is_ok_and(|bound| bound == address));
        let last = sockets.last().map(Socket::try_clone).transpose()?;
        while sockets.len() < workers {
            sockets.push(match &last {
                // Connections wait in queues of those who started us; one of our own would go with us.
                Some(last) if is_activated => last.try_clone()?,
                Some(last) => sockets::bind(address).or_else(|_| last.try_clone())?,
                None => sockets::bind(address)?,
            });
        }
        let mut shares: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        for (number, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true)?;
            shares[number % workers].push(socket.try_clone()?.into());
        }
        let mut last_id = self
            .0
            .last_id
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last_id += 1;
        Ok(Listener {
            id: *last_id,
            wanted,
            address,
            shares: Mutex::new(shares),
            kept: sockets,
            is_activated,
        })
    }
}

impl Listener {
    /// A worker's sockets, which nobody gets again.
    pub(super) fn share(&self, worker: usize) -> Vec<TcpListener> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        shares.get_mut(worker).map(mem::take).unwrap_or_default()
    }

    fn is_for(&self, address: SocketAddr) -> bool {
        self.wanted == address || self.address == address
    }

    /// Whether another program could not listen on `address` beside this.
    fn overlaps(&self, address: SocketAddr) -> bool {
        let (ours, theirs) = (self.address.ip(), address.ip());
        self.address.port() == address.port()
            && (ours == theirs || ours.is_unspecified() || theirs.is_unspecified())
    }

    /// Has the kernel accept connections, if it does not yet.
    fn listen(&self) -> io::Result<()> {
        self.kept
            .iter()
            .try_for_each(|socket| socket.listen(BACKLOG))
    }
}
