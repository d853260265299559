//! The listeners of the server: changed by one thread, followed by all workers.

use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{io, mem};

use anyhow::{Context as _, Result};
use socket2::Socket;
use tokio::sync::watch;

use super::connection_limit::ConnectionLimit;
use super::descriptor_budget::{self, DescriptorBudget};
use super::handshake::Handshaker;
use super::inherited_sockets::{HandoverSocket, InheritedSockets, SocketRole};
use super::sockets::{self, BACKLOG};
use equipoise_config as config;
use equipoise_tls::FileContents;

/// The listeners of a server, and the limit of their connections. Clones share one state.
#[derive(Clone)]
pub struct Listeners(Arc<Shared>);

struct Shared {
    workers: NonZeroUsize,
    connection_limit: ConnectionLimit,
    set: watch::Sender<ListenerSet>,
    /// Sockets that the program was started with.
    inherited: Mutex<InheritedSockets>,
    last_id: Mutex<u64>,
    /// The last warning: how many clients may be connected, and how many are configured.
    warned: Mutex<Option<[usize; 2]>>,
}

/// What workers listen on. Only the latest counts.
#[derive(Default)]
pub(super) struct ListenerSet {
    pub(super) active: Vec<ActiveListener>,
    /// Set when workers are to end: how long connections may stay idle.
    pub(super) stop: Option<Duration>,
}

/// A listener, and how its connections are set up now.
#[derive(Clone)]
pub(super) struct ActiveListener {
    pub(super) listener: Arc<BoundListener>,
    pub(super) handshaker: Arc<Handshaker>,
}

/// A bound listener, with sockets for every worker.
pub(super) struct BoundListener {
    /// Never used again.
    pub(super) id: u64,
    /// As configured, perhaps with port 0.
    configured: SocketAddr,
    /// With the real port.
    pub(super) address: SocketAddr,
    /// For each worker, until it takes them.
    worker_sockets: Mutex<Vec<Vec<TcpListener>>>,
    /// All of them again, to be handed over in a hot restart.
    sockets: Vec<Socket>,
    /// Whether they are systemd's, which keeps them open.
    is_activated: bool,
}

/// Listeners that are bound, and not in force yet: the new ones do not listen, and nothing has changed. Dropped, those are
/// closed.
pub struct PreparedListeners(Vec<ActiveListener>);

impl Listeners {
    /// None yet, for so many workers; `inherited` has sockets to use instead of new ones.
    pub fn new(workers: NonZeroUsize, inherited: InheritedSockets) -> Self {
        Self(Arc::new(Shared {
            workers,
            connection_limit: ConnectionLimit::new(0),
            set: watch::Sender::default(),
            inherited: Mutex::new(inherited),
            last_id: Mutex::default(),
            warned: Mutex::default(),
        }))
    }

    /// Binds what is not listened on yet, once a worker, and changes nothing else. The files of `tls` have these contents.
    ///
    /// # Errors
    /// An address cannot be bound, or a file cannot be used; the message names it.
    pub fn prepare(
        &self,
        configured: &[config::Listener],
        contents: &FileContents,
    ) -> Result<PreparedListeners> {
        let open = self.0.set.borrow().active.clone();
        let handshaker = |configured: &config::Listener| {
            let same = |it: &&ActiveListener| {
                it.listener.matches(configured.address)
                    && it.handshaker.has_tls(configured.tls.as_ref())
            };
            let before = open.iter().find(same).map(|it| &*it.handshaker);
            Handshaker::new(configured, contents, before).map(Arc::new)
        };
        let handshakers = configured.iter().map(handshaker);
        let handshakers = handshakers.collect::<Result<Vec<_>>>()?;
        let open: Vec<_> = open.into_iter().map(|it| it.listener).collect();
        let mut prepared: Vec<Arc<BoundListener>> = Vec::new();
        for config::Listener { address, .. } in configured {
            // Several may be configured with port 0: each is one of its own.
            let is_new = |it: &&Arc<BoundListener>| prepared.iter().all(|other| other.id != it.id);
            let known = open.iter().filter(is_new).find(|it| it.matches(*address));
            let listener = match known {
                Some(known) => known.clone(),
                None => Arc::new(
                    self.bind(*address, [&open, &prepared])
                        .with_context(|| format!("cannot listen on {address}"))?,
                ),
            };
            prepared.push(listener);
        }
        let opened = prepared.into_iter().zip(handshakers);
        Ok(PreparedListeners(
            opened
                .map(|(listener, handshaker)| ActiveListener {
                    listener,
                    handshaker,
                })
                .collect(),
        ))
    }

    /// Listens on what was prepared, and on nothing else, for so many connections at once, or as many as the limit of open files
    /// allows.
    ///
    /// A removed listener accepts what the kernel has queued for it, and drains: the next response on each of its connections is
    /// the last. Connections beyond a lower limit stay.
    pub fn apply(&self, prepared: PreparedListeners, connections: usize) {
        self.0
            .connection_limit
            .resize(self.affordable(connections, prepared.0.len()));
        for ActiveListener { listener, .. } in &prepared.0 {
            if let Err(error) = listener.listen() {
                // Only if another program took the address by force since it was bound.
                tracing::error!(%error, address = %listener.address, "cannot listen");
            }
        }
        self.0.set.send_modify(|set| set.active = prepared.0);
    }

    /// How many connections may be open, of so many that are configured; logs a warning if they are fewer, once.
    fn affordable(&self, connections: usize, listeners: usize) -> usize {
        let most = DescriptorBudget::now(self.0.workers.get(), listeners).clients;
        let is_low = most < connections;
        let warned = is_low.then_some([most, connections]);
        let mut last = self.0.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != warned && is_low {
            let limit = descriptor_budget::limit();
            tracing::warn!(
                limit,
                connections,
                "the limit of open files (ulimit -n) is too low for `connections` in [limits]: {most} clients may be connected at \
                 once, others wait"
            );
        }
        *last = warned;
        most.min(connections)
    }

    /// The addresses that are listened on, in the order of the configuration, with the ports that were free for port 0.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        let set = self.0.set.borrow();
        set.active.iter().map(|it| it.listener.address).collect()
    }

    /// Stops all workers: they accept no more, and end when their connections have. Idle ones are closed after `idle_timeout`.
    pub fn stop(&self, idle_timeout: Duration) {
        self.0.set.send_modify(|set| {
            set.active.clear();
            set.stop = Some(idle_timeout);
        });
    }

    /// What a worker listens on.
    pub(super) fn subscribe(&self) -> watch::Receiver<ListenerSet> {
        self.0.set.subscribe()
    }

    pub(super) fn connection_limit(&self) -> &ConnectionLimit {
        &self.0.connection_limit
    }

    /// The sockets that the program was started with.
    pub fn inherited(&self) -> MutexGuard<'_, InheritedSockets> {
        let inherited = self.0.inherited.lock();
        inherited.unwrap_or_else(PoisonError::into_inner)
    }

    /// Every listening socket, to be handed over in a hot restart.
    ///
    /// # Errors
    /// There are too many open files.
    pub fn handover_sockets(&self) -> io::Result<Vec<HandoverSocket>> {
        let open = self.0.set.borrow().active.clone();
        let mut sockets = self.inherited().activated()?;
        for listener in open
            .iter()
            .map(|it| &it.listener)
            .filter(|it| !it.is_activated)
        {
            for socket in &listener.sockets {
                let label = SocketRole::Listen.label(&listener.configured);
                sockets.push(HandoverSocket::new(Some(label), socket.try_clone()?));
            }
        }
        Ok(sockets)
    }

    /// Binds a listener. It does not listen yet, unless its sockets are inherited.
    fn bind(
        &self,
        configured: SocketAddr,
        ours: [&[Arc<BoundListener>]; 2],
    ) -> io::Result<BoundListener> {
        let workers = self.0.workers.get();
        let is_ours =
            |is: &dyn Fn(&BoundListener) -> bool| ours.iter().copied().flatten().any(|it| is(it));
        let matched = self
            .inherited()
            .tcp_listeners(SocketRole::Listen, &configured)?;
        let (is_activated, mut sockets) = (matched.is_activated, matched.sockets);
        // Several may have been configured with port 0.
        sockets.retain(|it| {
            sockets::local_address(it).is_ok_and(|bound| !is_ours(&|ours| ours.address == bound))
        });
        let address = match sockets.first() {
            Some(socket) => sockets::local_address(socket)?,
            // Where one of our own is bound, no other program can be.
            None if is_ours(&|ours| ours.overlaps(configured)) => configured,
            None => sockets::free_address(configured)?,
        };
        sockets.retain(|it| sockets::local_address(it).is_ok_and(|bound| bound == address));
        let last = sockets.last().map(Socket::try_clone).transpose()?;
        while sockets.len() < workers {
            sockets.push(match &last {
                // Connections wait in systemd's queues; one of our own would end with the program.
                Some(last) if is_activated => last.try_clone()?,
                Some(last) => sockets::bind(address).or_else(|_| last.try_clone())?,
                None => sockets::bind(address)?,
            });
        }
        let mut worker_sockets: Vec<Vec<TcpListener>> = (0..workers).map(|_| Vec::new()).collect();
        for (number, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true)?;
            worker_sockets[number % workers].push(socket.try_clone()?.into());
        }
        let mut last_id = self
            .0
            .last_id
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *last_id += 1;
        Ok(BoundListener {
            id: *last_id,
            configured,
            address,
            worker_sockets: Mutex::new(worker_sockets),
            sockets,
            is_activated,
        })
    }
}

impl BoundListener {
    /// A worker's sockets, once.
    pub(super) fn take_sockets(&self, worker: usize) -> Vec<TcpListener> {
        let mut worker_sockets = self
            .worker_sockets
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        worker_sockets
            .get_mut(worker)
            .map(mem::take)
            .unwrap_or_default()
    }

    fn matches(&self, address: SocketAddr) -> bool {
        self.configured == address || self.address == address
    }

    /// Whether another program could not listen on `address` beside this.
    fn overlaps(&self, address: SocketAddr) -> bool {
        let (ours, theirs) = (self.address.ip(), address.ip());
        self.address.port() == address.port()
            && (ours == theirs || ours.is_unspecified() || theirs.is_unspecified())
    }

    /// Has the kernel accept connections, if it does not yet.
    fn listen(&self) -> io::Result<()> {
        self.sockets
            .iter()
            .try_for_each(|socket| socket.listen(BACKLOG))
    }
}
