//! TLS session resumption for clients.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use anyhow::{Context as _, Result};
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ProducesTickets, ServerSessionMemoryCache, StoresServerSessions};

use equipoise_file_watch::Hash;

/// How many sessions are remembered for clients that take no tickets.
const MAX_SESSIONS: usize = 1024;

/// What sessions are resumed with. No certificate is requested then: so listeners with other requirements for client certificates
/// must not share it.
pub(super) struct Resumption {
    pub(super) tickets: Arc<dyn ProducesTickets>,
    pub(super) sessions: Arc<dyn StoresServerSessions>,
}

/// What is in use, by what is wanted of clients.
static IN_USE: Mutex<Vec<Shared>> = Mutex::new(Vec::new());

struct Shared {
    clients: Hash,
    tickets: Weak<dyn ProducesTickets>,
    sessions: Weak<dyn StoresServerSessions>,
}

impl Resumption {
    /// The one of the process for this hash of what is wanted of clients: tickets stay valid for as long as it is in use, so
    /// over every exchange of a configuration.
    ///
    /// # Errors
    /// There is no randomness.
    pub(super) fn of(clients: Hash) -> Result<Self> {
        let mut in_use = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        in_use.retain(|it| it.tickets.strong_count() > 0);
        let shared = in_use.iter().find(|it| it.clients == clients);
        if let Some((tickets, sessions)) = shared.and_then(Shared::upgrade) {
            return Ok(Self { tickets, sessions });
        }
        let resumption = Self {
            tickets: Ticketer::new().context("making keys for tickets")?,
            sessions: ServerSessionMemoryCache::new(MAX_SESSIONS),
        };
        in_use.push(Shared {
            clients,
            tickets: Arc::downgrade(&resumption.tickets),
            sessions: Arc::downgrade(&resumption.sessions),
        });
        Ok(resumption)
    }
}

impl Shared {
    fn upgrade(&self) -> Option<(Arc<dyn ProducesTickets>, Arc<dyn StoresServerSessions>)> {
        self.tickets.upgrade().zip(self.sessions.upgrade())
    }
}
