//! Connections to members.
//!
//! Each worker thread has a [`Pool`] of its own for each member, so that no connection ever crosses threads. What all
//! workers share about a member's connections, its `max`, is in [`ConcurrencyLimit`].

mod ajp;
mod concurrency_limit;
mod connect;
mod connection;
mod dial;
mod http1;
mod http2;
mod member_wire;
mod origin;
mod pool;
mod stream;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use equipoise_http::{FieldLine, Known};

use crate::observe::metrics::MemberMetrics;
use equipoise_config::Member;
use equipoise_dns::Addresses;
use equipoise_tls::Connector;

pub use crate::error::ConnectError;
pub(crate) use concurrency_limit::{ConcurrencyLimit, RequestPermit};
#[cfg(test)]
pub(crate) use connect::tests::endpoint as test_endpoint;
pub use connect::{ConnectOptions, Connected, establish};
pub(crate) use connection::{BeginError, ByteCounts, Connection};
pub(crate) use origin::Origin;
pub(crate) use pool::Pool;
pub use stream::MemberStream;

/// A member's endpoint: settings, addresses, TLS, limits and metrics.
pub struct Endpoint {
    /// Its settings.
    pub config: Member,
    /// Those of its name; none where it is given by an address or a socket file.
    pub addresses: Option<Arc<Addresses>>,
    /// `Host` as it gets it.
    pub(crate) host: FieldLine,
    pub(crate) concurrency_limit: ConcurrencyLimit,
    /// What is counted of it.
    pub metrics: Arc<MemberMetrics>,
    /// How it is spoken to by TLS; none without.
    pub tls: Option<Connector>,
    /// What each worker knows its idle connections by: unique in the process, the same for as long as the member is there and
    /// connections are made in the same way.
    pub key: u64,
    /// Whether a failed TLS handshake was logged.
    is_tls_error_logged: AtomicBool,
}

impl Endpoint {
    /// The way to a member, which was `before` until now.
    pub fn new(config: &Member, tls: Option<Connector>, before: Option<&Self>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            config: config.clone(),
            addresses: before.map_or_else(|| addresses(config), |before| before.addresses.clone()),
            host: FieldLine::new(Known::Host, config.authority.as_str().as_bytes()),
            concurrency_limit: ConcurrencyLimit::new(
                config,
                before.map(|before| &before.concurrency_limit),
            ),
            metrics: before.map_or_else(Arc::default, |before| before.metrics.clone()),
            key: before
                .filter(|before| before.tls == tls)
                .filter(|before| before.config.ajp_packet_size == config.ajp_packet_size)
                .map_or_else(|| NEXT.fetch_add(1, Relaxed), |before| before.key),
            tls,
            is_tls_error_logged: AtomicBool::new(false),
        }
    }

    /// Logs a failed TLS handshake: once, until one succeeds.
    fn log_tls_error(&self, trouble: Option<&ConnectError>) {
        let ConnectError::Tls(error) = (match trouble {
            None => return self.is_tls_error_logged.store(false, Relaxed),
            Some(trouble) => trouble,
        }) else {
            return;
        };
        if !self.is_tls_error_logged.swap(true, Relaxed) {
            let member = &self.config.settings.name;
            tracing::warn!(member, "TLS handshake with the member failed: {error}");
        }
    }
}

/// Those of a member's name, where it has one that stands for addresses.
fn addresses(config: &Member) -> Option<Arc<Addresses>> {
    let is_name = config.socket.is_none() && config.settings.address.is_none();
    is_name.then(|| Arc::new(Addresses::new(&config.host, config.port)))
}
