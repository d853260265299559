//! The addresses of a name as they are known now, shared by all threads.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::address_order::address_order;
use super::records::{Records, Resolution};
use equipoise_metrics::Counter;

/// The addresses of a member's name, as they are known now. It lives as long as the member does, whatever the configuration says of
/// it meanwhile.
#[derive(Debug)]
pub struct Addresses {
    host: String,
    /// The member's port; SRV records have their own.
    port: u16,
    state: watch::Sender<State>,
    /// How often they were handed out: where the next round begins.
    turn: AtomicUsize,
    /// Lookups that succeeded.
    pub resolved: Counter,
    /// Lookups that failed.
    pub failed: Counter,
}

/// An address of a name, for as long as the name has it without a break.
#[derive(Debug)]
pub struct Address {
    /// Where to connect to.
    pub address: SocketAddr,
    is_retired: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The last good resolution.
    known: Option<Arc<Records>>,
    /// Why the last lookup failed, if it did.
    error: Option<String>,
}

/// The state of a name, for operators.
#[derive(Debug, Default)]
pub struct Summary {
    /// In the order in which they are tried.
    pub addresses: Vec<SocketAddr>,
    /// When the last lookup succeeded.
    pub at: Option<SystemTime>,
    /// Why the last lookup failed, if it did.
    pub error: Option<String>,
}

impl Address {
    pub(super) fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            is_retired: AtomicBool::new(false),
        })
    }

    /// Whether the name no longer has this address.
    pub fn is_retired(&self) -> bool {
        self.is_retired.load(Relaxed)
    }

    pub(super) fn retire(&self) {
        self.is_retired.store(true, Relaxed);
    }
}

impl Addresses {
    /// A name that was not looked up yet.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            state: watch::Sender::default(),
            turn: AtomicUsize::new(0),
            resolved: Counter::default(),
            failed: Counter::default(),
        }
    }

    /// The name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The addresses in the order to try them, which goes round. Waits for the first lookup, however long that takes.
    ///
    /// # Errors
    /// The name has no address, or its lookup has failed so far.
    pub async fn get(&self) -> io::Result<Vec<Arc<Address>>> {
        if !self.state.borrow().is_resolved() {
            // The sender is ours, so it cannot go away.
            let mut answers = self.state.subscribe();
            let _ = answers.wait_for(State::is_resolved).await;
        }
        let state = self.state.borrow();
        let targets = state.known.as_ref().map_or(&[][..], |known| &known.targets);
        let turn = self.turn.fetch_add(1, Relaxed);
        let order = address_order(targets, turn, |bound| fastrand::u64(..=bound));
        if order.is_empty() {
            let why = state.error.as_deref();
            return Err(self
                .unknown(why.unwrap_or("its SRV record says that the service is not available")));
        }
        Ok(order)
    }

    fn unknown(&self, why: &str) -> io::Error {
        let text = format!("no address of {}: {why}", self.host);
        io::Error::new(io::ErrorKind::NotFound, text)
    }

    /// The state of a name, for operators.
    pub fn summary(&self) -> Summary {
        let state = self.state.borrow();
        let known = state.known.as_deref();
        let addresses = known.into_iter().flat_map(Records::addresses);
        Summary {
            addresses: addresses.map(|it| it.address).collect(),
            at: known.map(|known| known.at),
            error: state.error.clone(),
        }
    }

    /// How long ago the last lookup succeeded.
    pub fn age(&self) -> Option<Duration> {
        let at = self.summary().at?;
        Some(at.elapsed().unwrap_or_default())
    }

    /// A lookup succeeded. Addresses that were known stay the same; those that are not in it are retired.
    pub(super) fn update(&self, answer: &Resolution) {
        self.resolved.add(1);
        let (name, mut ended) = (&self.host, None);
        self.state.send_modify(|state| {
            let known =
                Records::after(state.known.as_deref(), answer, self.port, SystemTime::now());
            state.known = Some(Arc::new(known));
            ended = state.error.take();
        });
        if ended.is_some() {
            tracing::info!(name, "DNS lookup works again");
        }
    }

    /// Sets the addresses, as a successful lookup does.
    pub fn set(&self, addresses: &[std::net::IpAddr]) {
        let found = super::records::ResolvedTarget {
            name: self.host.clone(),
            srv: super::records::SrvPriority::default(),
            port: None,
            addresses: addresses.to_vec(),
            missing_family: None,
        };
        self.update(&Resolution {
            targets: vec![found],
            ttl: Duration::MAX,
        });
    }

    /// A lookup failed. The last good addresses are kept.
    pub(super) fn record_failure(&self, why: String) {
        self.failed.add(1);
        let (name, mut is_first, mut has_some) = (&self.host, false, false);
        self.state.send_modify(|state| {
            is_first = state.error.is_none();
            has_some = state.known.is_some();
            state.error = Some(why.clone());
        });
        match (is_first, has_some) {
            (true, true) => {
                tracing::warn!(
                    name,
                    "DNS lookup failed: {why}; the last addresses are kept"
                );
            }
            (true, false) => tracing::warn!(name, "DNS lookup failed: {why}"),
            (false, _) => tracing::debug!(name, "DNS lookup failed again: {why}"),
        }
    }
}

impl State {
    fn is_resolved(&self) -> bool {
        self.known.is_some() || self.error.is_some()
    }
}
