//! A connected client, as its requests know it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;

use http::header::CONNECTION;
use http::{HeaderValue, Response};

use crate::deadline::Deadline;
use crate::server::Worker;
use crate::server::drain::Drain;

/// A client's connection; lives as long as any request of it.
pub(crate) struct Client {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Its address as it goes into `X-Forwarded-For`.
    pub(crate) address_text: HeaderValue,
    /// A deadline whose timer is armed already, for the next request that waits for a member.
    deadline: Cell<Option<Deadline>>,
    /// Whether it is to end.
    drain: Rc<Drain>,
}

impl Client {
    pub(super) fn new(worker: Rc<Worker>, address: SocketAddr, drain: Rc<Drain>) -> Self {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        // An address in text has no byte that a header value may not have.
        let address_text = HeaderValue::try_from(address.ip().to_string())
            .unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            worker,
            address,
            address_text,
            deadline: Cell::new(None),
            drain,
        }
    }

    /// The scheme of its requests.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// Whether it came by TLS.
    pub(crate) fn is_tls(&self) -> bool {
        false
    }

    /// Says in an answer that it is the last, if the connection is to end.
    pub(crate) fn part<B>(&self, answer: &mut Response<B>) {
        if self.drain.has_begun() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
    }

    /// A deadline that is not set.
    pub(crate) fn take_deadline(&self) -> Deadline {
        self.deadline.take().unwrap_or_default()
    }

    /// Keeps a deadline for the next request.
    pub(crate) fn put_deadline(&self, mut deadline: Deadline) {
        deadline.clear();
        self.deadline.set(Some(deadline));
    }
}
