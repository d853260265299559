//! A connected client, as its requests know it.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use equipoise_http::{FieldLine, Known};

use crate::downstream::Worker;
use crate::downstream::drain::Guest;
use crate::downstream::front::{Arrival, Front, Secured};
use crate::downstream::places::Place;
use crate::observe::meters::Connected;

/// A client's connection; lives as long as any request of it.
pub(crate) struct Client {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Its address as it goes into `X-Forwarded-For`.
    pub(crate) forwarded_for: FieldLine,
    /// How it came by TLS; none without.
    pub(crate) tls: Option<Secured>,
    /// How its listener meets clients.
    front: Arc<Front>,
    /// Whether it is to end.
    pub(super) guest: Guest,
    _place: Place,
    _counted: Connected,
}

impl Client {
    pub(crate) fn new(
        worker: Rc<Worker>,
        arrival: &mut Arrival,
        front: Arc<Front>,
        guest: Guest,
        place: Place,
        counted: Connected,
    ) -> Self {
        let address = arrival.address;
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            worker,
            address,
            forwarded_for: FieldLine::new(Known::XForwardedFor, text_of(address.ip()).as_bytes()),
            tls: arrival.tls.take(),
            front,
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

    /// The address of its listener, as it is configured.
    pub(crate) fn listener(&self) -> SocketAddr {
        self.front.address
    }

    /// The port at which it is to ask for the same by TLS instead; `None` where it is served.
    pub(crate) fn https_redirect(&self) -> Option<u16> {
        self.front.https_redirect
    }
}

/// An address as text. Formatting one of IPv4 by the standard library takes over a thousand instructions, which each connection
/// would pay.
fn text_of(address: IpAddr) -> String {
    let IpAddr::V4(address) = address else {
        return address.to_string();
    };
    let mut text = String::with_capacity("255.255.255.255".len());
    for octet in address.octets() {
        if !text.is_empty() {
            text.push('.');
        }
        for (least, tens) in [(100, 100), (10, 10), (0, 1)] {
            if octet >= least {
                text.push(char::from(b'0' + octet / tens % 10));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_the_standard_library_writes_them() {
        for octet in 0..=255_u8 {
            let address = IpAddr::from([octet, 0, 255 - octet, 9]);
            assert_eq!(text_of(address), address.to_string());
        }
        for address in ["::1", "2001:db8::7", "::ffff:1.2.3.4"] {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(text_of(address), address.to_string());
        }
    }
}
