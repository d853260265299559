//! A request on a shared connection that has become something else than HTTP (RFC 8441).
//!
//! In between there is one form of heads, that of HTTP/1.1: the wish came as `Upgrade`, and what grants it is a 101.

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use equipoise_http::{Head, Known, KnownSet, Name, Version, Violation, reason};

/// What a WebSocket's key is hashed with (RFC 6455, 1.3).
const WEBSOCKET_GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Fields that a response which grants a tunnel has not, or that are said for this hop anew.
const NOT_COPIED: KnownSet = KnownSet::of(&[
    Known::ContentLength,
    Known::SecWebsocketAccept,
    Known::Upgrade,
]);

/// What a client is to be told if the member grants what it wishes for.
pub(super) struct Handshake {
    protocol: String,
    /// What shows a client of HTTP/1.1 that the answer is to its request.
    accept: Option<String>,
}

impl Handshake {
    pub(super) fn new(request: &Head, protocol: &str) -> Self {
        let key = request.get(Known::SecWebsocketKey);
        Self {
            protocol: protocol.to_owned(),
            accept: key.filter(|_| protocol == "websocket").map(accept),
        }
    }

    /// Makes the 101 of HTTP/1.1 of a response that grants it.
    ///
    /// # Errors
    /// It has more than a head can have.
    pub(super) fn grant(self, head: &mut Head) -> Result<(), Violation> {
        let granted = std::mem::take(head);
        head.begin_response(101, reason(101), Version::Http11)?;
        for field in granted.iter() {
            match Name::of(field.name) {
                Name::Known(known) if NOT_COPIED.contains(known) => {}
                _ => head.push(field.name, field.value)?,
            }
        }
        head.push(b"connection", b"upgrade")?;
        head.push(b"upgrade", self.protocol.as_bytes())?;
        match self.accept {
            Some(accept) => head.push(b"sec-websocket-accept", accept.as_bytes()),
            None => Ok(()),
        }
    }
}

/// The answer to a WebSocket's key (RFC 6455, 4.2.2).
fn accept(key: &[u8]) -> String {
    let hashed = [key, WEBSOCKET_GUID.as_bytes()].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &hashed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grants_a_websocket_is_the_101_that_the_client_waits_for() {
        let mut request = Head::new();
        request
            .begin_request(b"GET", b"/chat", Version::Http11)
            .unwrap();
        let key = b"dGhlIHNhbXBsZSBub25jZQ==";
        request.push(b"Sec-WebSocket-Key", key).unwrap();
        let mut head = Head::new();
        for (protocol, accept) in [
            ("websocket", Some(&b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="[..])),
            ("connect-udp", None),
        ] {
            head.begin_response(200, "OK", Version::Http2).unwrap();
            head.push(b"sec-websocket-protocol", b"chat").unwrap();
            head.push(b"sec-websocket-accept", b"x").unwrap();
            head.push(b"content-length", b"5").unwrap();
            Handshake::new(&request, protocol).grant(&mut head).unwrap();
            assert_eq!(head.status(), 101);
            let field = |name: &str| head.get(name).map(<[u8]>::to_vec);
            assert_eq!(field("sec-websocket-protocol"), Some(b"chat".to_vec()));
            assert_eq!(head.upgrades().collect::<Vec<_>>(), [protocol.as_bytes()]);
            assert_eq!(head.get(Known::SecWebsocketAccept), accept);
            assert_eq!(field("content-length"), None);
        }
    }
}
