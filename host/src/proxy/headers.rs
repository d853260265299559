//! Header fields on their way through: what concerns one hop stays there, and each side learns of the other.

use std::net::IpAddr;

use http::header::{
    CONNECTION, FORWARDED, HOST, HeaderName, MAX_FORWARDS, PROXY_AUTHENTICATE, TE,
    TRANSFER_ENCODING, UPGRADE, VIA,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Version};

use smallvec::SmallVec;

use crate::config::{ForwardingAction, Route, Via};
use crate::server::Client;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// A client's certificate (RFC 9440).
const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");

/// Header fields that are usually added to a request.
const ADDED: usize = 4;

/// The lines of `Connection`; nearly always one.
type Connection = SmallVec<[HeaderValue; 1]>;

/// The header fields a member gets for a client's request.
///
/// - What concerns the connection (RFC 9110, 7.6.1) is left out, and so is what `Connection` names, but for fields that
///   the member's view of the request depends on; `TE` stays for trailers; `Expect` has been answered by us.
/// - `Client-Cert` is what TLS tells of the client, and never what the client says.
/// - `Proxy` is left out: CGI programs would take it for their `HTTP_PROXY` ("httpoxy").
/// - `member_host` goes into `Host`, unless the route preserves the client's.
pub(crate) fn for_member(
    parts: &Parts,
    client: &Client,
    route: &Route,
    member_host: &HeaderValue,
) -> HeaderMap {
    let original = &parts.headers;
    let mut headers = HeaderMap::with_capacity(original.len() + ADDED);
    let client_host = original.get(HOST);
    let host = if route.preserve_host {
        client_host
    } else {
        None
    };
    headers.insert(HOST, host.unwrap_or(member_host).clone());
    let mut connection = Connection::new();
    let mut has_te = false;
    let client_fields = route.x_forwarded_action(client.address.ip());
    let keeps_client_fields = matches!(
        client_fields,
        ForwardingAction::Append | ForwardingAction::Pass
    );
    for (name, value) in original {
        match name.as_str() {
            "connection" => connection.push(value.clone()),
            "te" => has_te = true,
            "expect" | "host" | "keep-alive" | "proxy" | "proxy-connection"
            | "transfer-encoding" | "upgrade" => {}
            // What we alone may say of a client, however programs behind us read it.
            "client-cert" | "client-cert-chain" | "client_cert" | "client_cert_chain"
            | "x_forwarded_for" | "x_forwarded_host" | "x_forwarded_port" | "x_forwarded_proto"
            | "x_forwarded_server" | "x_real_ip" => {}
            "x-forwarded-port" | "x-forwarded-server" | "x-real-ip" if !keeps_client_fields => {}
            _ => {
                headers.append(name.clone(), value.clone());
            }
        }
    }
    remove_named(&mut headers, &connection);
    if has_te && takes_trailers(original) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
    tell_about_client(&mut headers, client, route, client_host);
    match route.via {
        Via::Off => {}
        Via::On => add(&mut headers, VIA, via(parts.version)),
        Via::Block => {
            headers.remove(VIA);
        }
    }
    if let Some(left) = forwards_left(&parts.method, original) {
        headers.insert(MAX_FORWARDS, HeaderValue::from(left.saturating_sub(1)));
    }
    headers
}

/// Whether `Max-Forwards` ends the request here (RFC 9110, 7.6.2).
pub(crate) fn may_not_forward(method: &Method, headers: &HeaderMap) -> bool {
    forwards_left(method, headers) == Some(0)
}

fn forwards_left(method: &Method, headers: &HeaderMap) -> Option<u32> {
    if !matches!(*method, Method::OPTIONS | Method::TRACE) {
        return None;
    }
    headers.get(MAX_FORWARDS)?.to_str().ok()?.parse().ok()
}

/// Fields of answers that concern one connection only.
const HOP_BY_HOP: [HeaderName; 7] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    TE,
    PROXY_AUTHENTICATE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// What one look at the fields of a member's answer finds, so that the usual answer needs no look-up.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Survey {
    /// Which fields of `HOP_BY_HOP` are there, a bit each.
    hop_by_hop: u8,
    /// Lines that say where the body ends.
    framings: usize,
    /// Whether a field names a place: Location, Content-Location, URI, Link or Refresh.
    pub(crate) has_place: bool,
    /// Whether a cookie is set.
    pub(crate) has_cookie: bool,
}

impl Survey {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut survey = Self::default();
        for (name, _) in headers {
            match name.as_str() {
                "content-length" => survey.framings += 1,
                "connection" => survey.hop_by_hop |= 1,
                "transfer-encoding" => {
                    survey.framings += 1;
                    survey.hop_by_hop |= 1 << 1;
                }
                "upgrade" => survey.hop_by_hop |= 1 << 2,
                "te" => survey.hop_by_hop |= 1 << 3,
                "proxy-authenticate" => survey.hop_by_hop |= 1 << 4,
                "keep-alive" => survey.hop_by_hop |= 1 << 5,
                "proxy-connection" => survey.hop_by_hop |= 1 << 6,
                "location" | "content-location" | "uri" | "link" | "refresh" => {
                    survey.has_place = true
                }
                "set-cookie" => survey.has_cookie = true,
                _ => {}
            }
        }
        survey
    }

    /// Whether the answer's framing can be read in two ways: both a length and a transfer coding, or several of either.
    pub(crate) fn is_ambiguous(self) -> bool {
        self.framings > 1
    }

    /// Removes from a member's answer what concerns its connection, and adds our `Via`.
    pub(crate) fn make_fit_for_client(
        self,
        headers: &mut HeaderMap,
        version: Version,
        route: &Route,
    ) {
        if self.hop_by_hop & 1 != 0 {
            let connection: Connection = headers.get_all(CONNECTION).iter().cloned().collect();
            remove_named(headers, &connection);
        }
        for (bit, name) in HOP_BY_HOP.iter().enumerate() {
            if self.hop_by_hop & (1 << bit) != 0 {
                headers.remove(name);
            }
        }
        if route.via == Via::On {
            add(headers, VIA, via(version));
        }
    }
}

/// Removes the fields that `Connection` names, but for those the other side decides by.
fn remove_named(headers: &mut HeaderMap, connection: &[HeaderValue]) {
    for token in connection.iter().flat_map(list_of) {
        if token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close") {
            continue;
        }
        if let Some(name) = HeaderName::from_bytes(token)
            .ok()
            .filter(|name| !is_protected(name))
        {
            headers.remove(name);
        }
    }
}

/// The elements of a list field's line.
pub(super) fn list_of(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value
        .as_bytes()
        .split(|&byte| byte == b',')
        .map(<[u8]>::trim_ascii)
}

/// Whether the sender takes trailers: it says so in `TE`.
fn takes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .any(|value| list_of(value).any(|coding| coding.eq_ignore_ascii_case(b"trailers")))
}

/// Fields that nobody may have removed by naming them in `Connection`: the other side decides by them.
fn is_protected(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "authorization"
            | "cache-control"
            | "content-length"
            | "content-type"
            | "cookie"
            | "forwarded"
            | "host"
            | "set-cookie"
            | "transfer-encoding"
            | "via"
            | "x-forwarded-for"
            | "x-forwarded-host"
            | "x-forwarded-proto"
    )
}

fn tell_about_client(
    headers: &mut HeaderMap,
    client: &Client,
    route: &Route,
    client_host: Option<&HeaderValue>,
) {
    let action = route.x_forwarded_action(client.address.ip());
    if action != ForwardingAction::Pass {
        pass_on(
            headers,
            X_FORWARDED_FOR,
            client.address_text.clone(),
            action,
        );
        match client_host {
            Some(host) => pass_on(headers, X_FORWARDED_HOST, host.clone(), action),
            None if action == ForwardingAction::Append => {}
            None => {
                headers.remove(X_FORWARDED_HOST);
            }
        }
        let scheme = HeaderValue::from_static(client.scheme());
        pass_on(headers, X_FORWARDED_PROTO, scheme, action);
    }
    let certificate = client.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
    if let Some(certificate) = certificate {
        headers.insert(CLIENT_CERT, certificate.clone());
    }
    let action = route.forwarded_action(client.address.ip());
    if action != ForwardingAction::Pass
        && let Some(element) = forwarded(client, client_host)
    {
        pass_on(headers, FORWARDED, element, action);
    }
}

fn pass_on(
    headers: &mut HeaderMap,
    name: HeaderName,
    value: HeaderValue,
    action: ForwardingAction,
) {
    match action {
        ForwardingAction::Append => add(headers, name, value),
        ForwardingAction::Replace => {
            headers.insert(name, value);
        }
        ForwardingAction::Remove => {
            headers.remove(name);
        }
        ForwardingAction::Pass => {}
    }
}

/// Adds an element to a list field, on one line with those that are there.
fn add(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if !headers.append(&name, value) {
        return;
    }
    let lines = headers.get_all(&name).iter().map(HeaderValue::as_bytes);
    let list = lines.collect::<Vec<_>>().join(&b", "[..]);
    // What stood on several lines may stand on one.
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        headers.insert(name, list);
    }
}

/// One element of `Forwarded` (RFC 7239).
fn forwarded(client: &Client, client_host: Option<&HeaderValue>) -> Option<HeaderValue> {
    let node = match client.address.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let mut element = format!("for={node};proto={}", client.scheme());
    if let Some(host) = client_host.and_then(|host| host.to_str().ok()) {
        // What `Host` may hold needs no escape within quotes.
        element.push_str(&format!(";host=\"{host}\""));
    }
    HeaderValue::try_from(element).ok()
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 equipoise",
        Version::HTTP_2 => "2.0 equipoise",
        _ => "1.1 equipoise",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_field_of_one_hop_has_its_own_bit() {
        for (bit, name) in HOP_BY_HOP.iter().enumerate() {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static("x"));
            assert_eq!(Survey::of(&headers).hop_by_hop, 1 << bit, "{name}");
        }
    }
}
