//! A connected client, as its requests know it.

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use http::header::CONNECTION;
use http::{HeaderValue, Response, StatusCode};

use crate::deadline::Deadline;
use crate::meters::Connected;
use crate::server::Worker;
use crate::server::drain::Guest;
use crate::server::front::{Arrival, Front, Secured};
use crate::server::places::Place;
use crate::server::responder::Responder;

/// A client's connection; lives as long as any request of it.
pub(crate) struct Client {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Its address as it goes into `X-Forwarded-For`.
    pub(crate) address_text: HeaderValue,
    /// Whether many requests may be under way at once.
    pub(crate) speaks_http2: bool,
    /// How it came by TLS; none without.
    pub(crate) tls: Option<Secured>,
    /// How its listener meets clients.
    front: Arc<Front>,
    /// Set when its connection has become something else than HTTP.
    pub(super) is_tunnel: Arc<AtomicBool>,
    /// A deadline whose timer is armed already, for the next request that waits for a member.
    deadline: Cell<Option<Deadline>>,
    /// Of its requests, where it speaks HTTP/1.
    pub(super) responder: Rc<Responder>,
    /// Whether it is to end.
    pub(super) guest: Guest,
    _place: Place,
    _counted: Connected,
}

impl Client {
    pub(super) fn new(
        worker: Rc<Worker>,
        arrival: &mut Arrival,
        front: Arc<Front>,
        guest: Guest,
        place: Place,
        counted: Connected,
    ) -> Self {
        let address = arrival.address;
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        // An address in text has no byte that a header value may not have.
        let address_text = HeaderValue::try_from(address.ip().to_string())
            .unwrap_or(HeaderValue::from_static("unknown"));
        Self {
            worker,
            address,
            address_text,
            speaks_http2: arrival.speaks_http2,
            tls: arrival.tls.take(),
            front,
            is_tunnel: Arc::default(),
            deadline: Cell::new(None),
            responder: Rc::default(),
            guest,
            _place: place,
            _counted: counted,
        }
    }

    /// The scheme of its requests.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// Whether it came by TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The port at which it is to ask for the same by TLS instead; `None` where it is served.
    pub(crate) fn https_redirect(&self) -> Option<u16> {
        self.front.https_redirect
    }

    /// Says in an answer that it is the last, if the connection is to end. With HTTP/2, the connection says so by itself.
    pub(crate) fn part<B>(&self, answer: &mut Response<B>) {
        let can_say = !self.speaks_http2 && answer.status() != StatusCode::SWITCHING_PROTOCOLS;
        if can_say && self.guest.drain().has_begun() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
    }

    /// The connection is to become something else than HTTP.
    pub(crate) fn become_tunnel(&self) {
        self.is_tunnel.store(true, Relaxed);
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
