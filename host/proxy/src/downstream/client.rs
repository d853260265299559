//! A connected client, shared by its requests.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use equipoise_http::{FieldLine, Known};

use crate::client_tls::ClientTlsInfo;
use crate::downstream::Worker;
use crate::downstream::connection_limit::ConnectionPermit;
use crate::downstream::drain::ConnectionGuard;
use crate::downstream::handshake::{Accepted, Handshaker};
use crate::observe::metrics::OpenConnection;

/// A client's connection; lives as long as any request of it.
pub(crate) struct Client {
    /// The worker that serves it.
    pub(crate) worker: Rc<Worker>,
    /// Where it comes from.
    pub(crate) address: SocketAddr,
    /// Its address as it goes into `X-Forwarded-For`.
    pub(crate) forwarded_for: FieldLine,
    /// None without TLS.
    pub(crate) tls: Option<ClientTlsInfo>,
    /// Of its listener.
    handshaker: Arc<Handshaker>,
    /// Says when the connection is to drain.
    pub(super) guard: ConnectionGuard,
    _permit: ConnectionPermit,
    _counted: OpenConnection,
}

impl Client {
    pub(crate) fn new(
        worker: Rc<Worker>,
        accepted: &mut Accepted,
        handshaker: Arc<Handshaker>,
        guard: ConnectionGuard,
        permit: ConnectionPermit,
        counted: OpenConnection,
    ) -> Self {
        let address = accepted.address;
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        Self {
            worker,
            address,
            forwarded_for: FieldLine::new(Known::XForwardedFor, text_of(address.ip()).as_bytes()),
            tls: accepted.tls.take(),
            handshaker,
            guard,
            _permit: permit,
            _counted: counted,
        }
    }

    /// The scheme of its requests.
    pub(crate) fn scheme(&self) -> &'static str {
        if self.is_tls() { "https" } else { "http" }
    }

    /// Whether the connection is TLS.
    pub(crate) fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The address of its listener, as it is configured.
    pub(crate) fn listener(&self) -> SocketAddr {
        self.handshaker.address
    }

    /// The port to redirect its requests to, by TLS; `None` where they are served.
    pub(crate) fn https_redirect(&self) -> Option<u16> {
        self.handshaker.https_redirect
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
