//! The request and the environment that policies get.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use equipoise_http::{Head, Known, Name};
use equipoise_sdk::{Env, LogLevel, Request};

use super::retry::RetryState;
use crate::target;

/// A client's request, as it came.
pub(super) struct PolicyRequest<'request> {
    request: &'request Head,
    client_address: IpAddr,
    attempt: u32,
    tried: &'request [u32],
}

impl<'request> PolicyRequest<'request> {
    /// The request before its first try, of a client at this address, which is a canonical one.
    #[inline]
    pub(crate) fn new(request: &'request Head, client_address: IpAddr) -> Self {
        Self {
            request,
            client_address,
            attempt: 1,
            tried: &[],
        }
    }

    /// The request before its next try.
    #[inline]
    pub(crate) fn tried(self, retries: &'request RetryState) -> Self {
        Self {
            attempt: retries.next_attempt(),
            tried: retries.tried(),
            ..self
        }
    }
}

impl Request for PolicyRequest<'_> {
    fn method(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(self.request.method_bytes())
    }

    fn path(&self) -> Cow<'_, str> {
        String::from_utf8_lossy(target::split(self.request).0)
    }

    fn query(&self) -> Option<Cow<'_, str>> {
        target::split(self.request).1.map(String::from_utf8_lossy)
    }

    fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let name = Name::from(name);
        let mut values = self.request.all(name).map(String::from_utf8_lossy);
        let first = values.next()?;
        let separator = match name {
            Name::Known(Known::Cookie) => "; ",
            _ => ", ",
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

/// Clock and random numbers for policies.
pub struct PolicyEnv {
    /// Of the decision.
    pub now: Duration,
    /// Asked for at most once, so that it stands still.
    unix_ms: OnceCell<u64>,
}

impl PolicyEnv {
    /// At this time of the balancer's clock.
    pub fn at(now: Duration) -> Self {
        Self {
            now,
            unix_ms: OnceCell::new(),
        }
    }
}

impl Env for PolicyEnv {
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

    fn log(&self, level: LogLevel, message: &str) {
        match level {
            LogLevel::Error => tracing::error!("{message}"),
            LogLevel::Warn => tracing::warn!("{message}"),
            LogLevel::Info => tracing::info!("{message}"),
            LogLevel::Debug => tracing::debug!("{message}"),
        }
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
