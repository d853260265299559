//! The request as policies see it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use equipoise_sdk::{Host, Level, Request};
use http::header::COOKIE;
use http::request::Parts;

use super::tries::Tries;

/// A client's request, as it came.
pub(crate) struct View<'request> {
    parts: &'request Parts,
    client_address: IpAddr,
    attempt: u32,
    tried: &'request [u32],
}

impl<'request> View<'request> {
    /// The request before its first try.
    pub(crate) fn new(parts: &'request Parts, client_address: IpAddr) -> Self {
        Self {
            parts,
            client_address: client_address.to_canonical(),
            attempt: 1,
            tried: &[],
        }
    }

    /// The request before its next try.
    pub(crate) fn tried(self, tries: &'request Tries) -> Self {
        Self {
            attempt: tries.next_attempt(),
            tried: tries.tried(),
            ..self
        }
    }
}

impl Request for View<'_> {
    fn method(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.parts.method.as_str())
    }

    fn path(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.parts.uri.path())
    }

    fn query(&self) -> Option<Cow<'_, str>> {
        self.parts.uri.query().map(Cow::Borrowed)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let mut values = self
            .parts
            .headers
            .get_all(name)
            .iter()
            .map(|value| String::from_utf8_lossy(value.as_bytes()));
        let first = values.next()?;
        let separator = if name.eq_ignore_ascii_case(COOKIE.as_str()) {
            "; "
        } else {
            ", "
        };
        Some(values.fold(first, |joined, value| joined + separator + value))
    }

    fn client_address(&self) -> IpAddr {
        self.client_address
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn tried(&self) -> &[u32] {
        self.tried
    }
}

/// Time and chance for policies.
pub(crate) struct Services {
    /// Of the decision.
    pub(crate) now: Duration,
    /// Asked for at most once, so that it stands still.
    unix_ms: OnceCell<u64>,
}

impl Services {
    pub(crate) fn at(now: Duration) -> Self {
        Self {
            now,
            unix_ms: OnceCell::new(),
        }
    }
}

impl Host for Services {
    fn random(&self) -> u32 {
        fastrand::u32(..)
    }

    fn now_ms(&self) -> u64 {
        milliseconds(self.now)
    }

    fn unix_ms(&self) -> u64 {
        *self.unix_ms.get_or_init(|| {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            // A clock before 1970 is as wrong as one that says 1970.
            now.map_or(0, milliseconds)
        })
    }

    fn log(&self, level: Level, message: &str) {
        match level {
            Level::Error => tracing::error!("{message}"),
            Level::Warn => tracing::warn!("{message}"),
            Level::Info => tracing::info!("{message}"),
            Level::Debug => tracing::debug!("{message}"),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
