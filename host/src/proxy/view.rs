//! The request as policies see it.

use std::borrow::Cow;
use std::net::IpAddr;

use equipoise_sdk::{Host, Request};
use http::header::COOKIE;
use http::request::Parts;

/// A client's request, as it came.
pub(crate) struct View<'request> {
    parts: &'request Parts,
    client_address: IpAddr,
}

impl<'request> View<'request> {
    pub(crate) fn new(parts: &'request Parts, client_address: IpAddr) -> Self {
        Self {
            parts,
            client_address,
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
}

/// Random numbers for policies, from a generator of the thread.
pub(crate) struct ThreadRandom;

impl Host for ThreadRandom {
    fn random(&self) -> u64 {
        fastrand::u64(..)
    }
}
