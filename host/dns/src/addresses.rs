//! What is known of a name.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use super::known::{Answer, Known};
use super::order::order;
use equipoise_metrics::Count;

/// The addresses of a member's name, as they are known now. It lives as long as the member does, whatever the configuration says of
/// it meanwhile.
#[derive(Debug)]
pub struct Addresses {
    host: String,
    /// The member's port; SRV records have their own.
    port: u16,
    state: watch::Sender<State>,
    /// How often somebody was told of them: where to begin.
    turn: AtomicUsize,
    /// Questions that brought an answer.
    pub resolved: Count,
    /// Questions that brought none.
    pub failed: Count,
}

/// An address of a name, for as long as the name has it without a break.
#[derive(Debug)]
pub struct Address {
    /// Where to connect to.
    pub address: SocketAddr,
    is_gone: AtomicBool,
}

#[derive(Debug, Default)]
struct State {
    /// The last good answer.
    known: Option<Arc<Known>>,
    /// Why there is none since.
    trouble: Option<String>,
}

/// What those who run the site are told.
#[derive(Debug, Default)]
pub struct Summary {
    /// In the order in which they are tried.
    pub addresses: Vec<SocketAddr>,
    /// When the last good answer came.
    pub at: Option<SystemTime>,
    /// Why there was none since.
    pub trouble: Option<String>,
}

impl Address {
    pub(super) fn new(address: SocketAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            is_gone: AtomicBool::new(false),
        })
    }

    /// Whether the name has it no longer.
    pub fn is_gone(&self) -> bool {
        self.is_gone.load(Relaxed)
    }

    pub(super) fn leave(&self) {
        self.is_gone.store(true, Relaxed);
    }
}

impl Addresses {
    /// Those of a name that nobody has asked for yet.
    pub fn new(host: &str, port: u16) -> Self {
        Self {
            host: host.to_owned(),
            port,
            state: watch::Sender::default(),
            turn: AtomicUsize::new(0),
            resolved: Count::default(),
            failed: Count::default(),
        }
    }

    /// The name.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The addresses in the order to try them, which goes round. Waits for the first answer, however long that takes.
    ///
    /// # Errors
    /// The name has none, or none could be learnt yet.
    pub async fn get(&self) -> io::Result<Vec<Arc<Address>>> {
        if !self.state.borrow().is_answered() {
            // The sender is ours, so it cannot go away.
            let mut answers = self.state.subscribe();
            let _ = answers.wait_for(State::is_answered).await;
        }
        let state = self.state.borrow();
        let targets = state.known.as_ref().map_or(&[][..], |known| &known.targets);
        let turn = self.turn.fetch_add(1, Relaxed);
        let order = order(targets, turn, |bound| fastrand::u64(..=bound));
        if order.is_empty() {
            let why = state.trouble.as_deref();
            return Err(self.unknown(why.unwrap_or("its SRV record says that there is none")));
        }
        Ok(order)
    }

    fn unknown(&self, why: &str) -> io::Error {
        let text = format!("no address of {}: {why}", self.host);
        io::Error::new(io::ErrorKind::NotFound, text)
    }

    /// What those who run the site are told.
    pub fn summary(&self) -> Summary {
        let state = self.state.borrow();
        let known = state.known.as_deref();
        let addresses = known.into_iter().flat_map(Known::addresses);
        Summary {
            addresses: addresses.map(|it| it.address).collect(),
            at: known.map(|known| known.at),
            trouble: state.trouble.clone(),
        }
    }

    /// How long ago the last good answer came.
    pub fn age(&self) -> Option<Duration> {
        let at = self.summary().at?;
        Some(at.elapsed().unwrap_or_default())
    }

    /// An answer came. Those of it that were known stay the same; those that are not in it are gone.
    pub(super) fn learn(&self, answer: &Answer) {
        self.resolved.add(1);
        let (name, mut ended) = (&self.host, None);
        self.state.send_modify(|state| {
            let known = Known::after(state.known.as_deref(), answer, self.port, SystemTime::now());
            state.known = Some(Arc::new(known));
            ended = state.trouble.take();
        });
        if ended.is_some() {
            tracing::info!(name, "the name can be resolved again");
        }
    }

    /// An answer came that says this and nothing else.
    pub fn set(&self, addresses: &[std::net::IpAddr]) {
        let found = super::known::Found {
            name: self.host.clone(),
            rank: super::known::Rank::default(),
            port: None,
            addresses: addresses.to_vec(),
            unanswered: None,
        };
        self.learn(&Answer {
            targets: vec![found],
            ttl: Duration::MAX,
        });
    }

    /// No answer came. What is known stays as it is.
    pub(super) fn note_failure(&self, why: String) {
        self.failed.add(1);
        let (name, mut is_first, mut has_some) = (&self.host, false, false);
        self.state.send_modify(|state| {
            is_first = state.trouble.is_none();
            has_some = state.known.is_some();
            state.trouble = Some(why.clone());
        });
        match (is_first, has_some) {
            (true, true) => {
                tracing::warn!(
                    name,
                    "cannot be resolved: {why}; its last addresses are kept"
                );
            }
            (true, false) => tracing::warn!(name, "cannot be resolved: {why}"),
            (false, _) => tracing::debug!(name, "still cannot be resolved: {why}"),
        }
    }
}

impl State {
    fn is_answered(&self) -> bool {
        self.known.is_some() || self.trouble.is_some()
    }
}
