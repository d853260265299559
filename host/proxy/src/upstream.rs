//! Connections to members.
//!
//! Each worker thread has a [`Pool`] of its own for each member, so that no connection ever crosses threads. What all
//! workers share about a member's connections, its `max`, is in [`Slots`].

mod connect;
mod connection;
mod dial;
mod http1;
mod http2;
mod pool;
mod slots;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use equipoise_http::{FieldLine, Known};

use crate::observe::meters::MemberMeters;
use equipoise_config::Member;
use equipoise_dns::Addresses;
use equipoise_tls::Connector;

pub use connect::{ConnectError, ConnectOptions, Connected, establish};
pub(crate) use connection::{Connection, MemberError, NotBegun, Traffic};
pub(crate) use pool::Pool;
pub(crate) use slots::{Slot, Slots};
pub use stream::MemberStream;

/// How to reach a member.
pub struct Upstream {
    /// Its settings.
    pub config: Member,
    /// Those of its name; none where it is given by an address or a socket file.
    pub addresses: Option<Arc<Addresses>>,
    /// `Host` as it gets it.
    pub(crate) host: FieldLine,
    pub(crate) slots: Slots,
    /// What is counted of it.
    pub meters: Arc<MemberMeters>,
    /// How it is spoken to by TLS; none without.
    pub tls: Option<Connector>,
    /// What each worker knows its idle connections by: unique in the process, the same for as long as the member is there and
    /// connections are made in the same way.
    pub key: u64,
    /// Whether it was logged that TLS cannot be spoken with it.
    is_tls_trouble_told: AtomicBool,
}

impl Upstream {
    /// The way to a member, which was `before` until now.
    pub fn new(config: &Member, tls: Option<Connector>, before: Option<&Self>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            config: config.clone(),
            addresses: before.map_or_else(|| addresses(config), |before| before.addresses.clone()),
            host: FieldLine::new(Known::Host, config.authority.as_str().as_bytes()),
            slots: Slots::new(config, before.map(|before| &before.slots)),
            meters: before.map_or_else(Arc::default, |before| before.meters.clone()),
            key: before
                .filter(|before| before.tls == tls)
                .map_or_else(|| NEXT.fetch_add(1, Relaxed), |before| before.key),
            tls,
            is_tls_trouble_told: AtomicBool::new(false),
        }
    }

    /// Logs why TLS cannot be spoken with it: once, until it can.
    fn note_tls(&self, trouble: Option<&ConnectError>) {
        let ConnectError::Tls(error) = (match trouble {
            None => return self.is_tls_trouble_told.store(false, Relaxed),
            Some(trouble) => trouble,
        }) else {
            return;
        };
        if !self.is_tls_trouble_told.swap(true, Relaxed) {
            let member = &self.config.settings.name;
            tracing::warn!(member, "TLS cannot be spoken with it: {error}");
        }
    }
}

/// Those of a member's name, where it has one that stands for addresses.
fn addresses(config: &Member) -> Option<Arc<Addresses>> {
    let is_name = config.socket.is_none() && config.settings.address.is_none();
    is_name.then(|| Arc::new(Addresses::new(&config.host, config.port)))
}
