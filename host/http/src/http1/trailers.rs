//! Which fields may be in a trailer section (RFC 9110, 6.5.1), by any version of HTTP and in both directions.
//!
//! Whoever is behind us may merge trailers into the head, when others have long decided by it. So nothing passes there that
//! frames the message, says how to route or to treat it, who the client is, or what the body is.
//!
//! A client that sends such a field is refused: there is no other use of it than to mislead. A member's is left out, since a response
//! is worth more than its trailers; unless it is about framing, for then something is broken.

use crate::known::{Known, KnownSet};

/// Who sends a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// A client, with a request.
    Client,
    /// A member, with a response.
    Member,
}

/// What becomes of a trailer field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrailerVerdict {
    /// It is passed on.
    Passed,
    /// It is left out.
    LeftOut,
    /// The message is refused.
    Refused,
}

/// What becomes of a trailer field of this name.
pub fn trailer(name: &[u8], sender: Sender) -> TrailerVerdict {
    verdict(name, Known::of(name), sender)
}

/// The same where it is known which name it is.
pub(crate) fn verdict(name: &[u8], known: Option<Known>, sender: Sender) -> TrailerVerdict {
    let is_among = |names: KnownSet| known.is_some_and(|known| names.contains(known));
    if is_among(FRAMING) {
        TrailerVerdict::Refused
    } else if !is_among(FORBIDDEN) && !is_about_client(name) {
        TrailerVerdict::Passed
    } else {
        match sender {
            Sender::Client => TrailerVerdict::Refused,
            Sender::Member => TrailerVerdict::LeftOut,
        }
    }
}

/// What says where a message ends, or belongs to the connection.
const FRAMING: KnownSet = KnownSet::of(&[
    Known::Connection,
    Known::ContentLength,
    Known::Trailer,
    Known::TransferEncoding,
]);

const FORBIDDEN: KnownSet = KnownSet::of(&[
    // Of one connection.
    Known::KeepAlive,
    Known::ProxyConnection,
    Known::Te,
    Known::Upgrade,
    Known::Http2Settings,
    // Where to, and by whom.
    Known::Host,
    Known::Forwarded,
    Known::Via,
    Known::XRealIp,
    Known::ClientCert,
    Known::ClientCertChain,
    Known::Proxy,
    // Who asks.
    Known::Authorization,
    Known::ProxyAuthenticate,
    Known::ProxyAuthorization,
    Known::WwwAuthenticate,
    Known::Cookie,
    Known::SetCookie,
    // How to treat a request.
    Known::CacheControl,
    Known::Expect,
    Known::IfMatch,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::IfRange,
    Known::IfUnmodifiedSince,
    Known::MaxForwards,
    Known::Pragma,
    Known::Range,
    // How to treat a response.
    Known::Age,
    Known::Date,
    Known::Expires,
    Known::Location,
    Known::RetryAfter,
    Known::StrictTransportSecurity,
    Known::Vary,
    Known::Warning,
    // What the body is.
    Known::ContentEncoding,
    Known::ContentLocation,
    Known::ContentRange,
    Known::ContentType,
]);

/// Whether a field tells of the client what we alone may tell: `X-Forwarded-` and anything, and certificates; also with
/// underscores, which programs behind a gateway interface take for the same.
fn is_about_client(name: &[u8]) -> bool {
    const BEGINNINGS: [&[u8]; 3] = [b"x-forwarded-", b"client-cert", b"x-real-ip"];
    BEGINNINGS.iter().any(|beginning| {
        let same = |(byte, expected): (&u8, &u8)| {
            let byte = if *byte == b'_' { b'-' } else { *byte };
            byte.eq_ignore_ascii_case(expected)
        };
        name.len() >= beginning.len() && name.iter().zip(*beginning).all(same)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_not_be_in_trailers_is_refused_of_clients_and_left_out_of_members() {
        for name in [
            "Host",
            "forwarded",
            "via",
            "X-Forwarded-For",
            "x-forwarded-anything",
            "X_Forwarded_Host",
            "x-real-ip",
            "X_REAL_IP",
            "client-cert",
            "Client_Cert_Chain",
            "proxy",
            "keep-alive",
            "proxy-connection",
            "te",
            "upgrade",
            "authorization",
            "proxy-authorization",
            "cookie",
            "set-cookie",
            "cache-control",
            "expect",
            "if-match",
            "if-modified-since",
            "if-none-match",
            "if-range",
            "if-unmodified-since",
            "max-forwards",
            "range",
            "content-encoding",
            "content-range",
            "content-type",
            "location",
            "vary",
        ] {
            assert_eq!(
                trailer(name.as_bytes(), Sender::Client),
                TrailerVerdict::Refused,
                "{name}"
            );
            assert_eq!(
                trailer(name.as_bytes(), Sender::Member),
                TrailerVerdict::LeftOut,
                "{name}"
            );
        }
        for name in [
            "Content-Length",
            "transfer-encoding",
            "CONNECTION",
            "trailer",
        ] {
            for sender in [Sender::Client, Sender::Member] {
                assert_eq!(
                    trailer(name.as_bytes(), sender),
                    TrailerVerdict::Refused,
                    "{name}"
                );
            }
        }
        for name in [
            "grpc-status",
            "grpc-message",
            "x-sum",
            "etag",
            "digest",
            "server-timing",
            "x-forwarded",
        ] {
            for sender in [Sender::Client, Sender::Member] {
                assert_eq!(
                    trailer(name.as_bytes(), sender),
                    TrailerVerdict::Passed,
                    "{name}"
                );
            }
        }
    }
}
