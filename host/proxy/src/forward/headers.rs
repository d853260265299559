//! Header fields between client and member: hop-by-hop fields, forwarding fields (`X-Forwarded-*`, `Forwarded`, `Via`).

use std::net::IpAddr;
use std::sync::LazyLock;

use equipoise_http::edit::HOP_BY_HOP;
use equipoise_http::{Edit, FieldLine, Head, Known, KnownSet, Method, Version};

use crate::downstream::Client;
use equipoise_config::{ForwardingAction, Route, Via};

/// Fields removed from requests: hop-by-hop fields and these.
///
/// - `Expect` is answered by the proxy.
/// - `Proxy` is left out: CGI programs would take it for their `HTTP_PROXY` ("httpoxy").
/// - `Client-Cert` is what TLS tells of the client, and never what the client says; so are names with underscores, however
///   programs behind us read them.
const STRIPPED_FROM_REQUESTS: KnownSet = HOP_BY_HOP.union(KnownSet::of(&[
    Known::Expect,
    Known::Proxy,
    Known::ClientCert,
    Known::ClientCertChain,
    Known::ClientCertUnderscored,
    Known::ClientCertChainUnderscored,
    Known::XForwardedForUnderscored,
    Known::XForwardedHostUnderscored,
    Known::XForwardedPortUnderscored,
    Known::XForwardedProtoUnderscored,
    Known::XForwardedServerUnderscored,
    Known::XRealIpUnderscored,
]));

/// The fields that `x-forwarded` sets.
const X_FORWARDED: KnownSet = KnownSet::of(&[
    Known::XForwardedFor,
    Known::XForwardedProto,
    Known::XForwardedHost,
]);

/// Further fields about the client, accepted from trusted proxies only.
const X_FORWARDED_EXTRA: KnownSet = KnownSet::of(&[
    Known::XForwardedPort,
    Known::XForwardedServer,
    Known::XRealIp,
]);

/// Fields removed from responses: hop-by-hop fields and these.
const STRIPPED_FROM_RESPONSES: KnownSet =
    HOP_BY_HOP.union(KnownSet::of(&[Known::ProxyAuthenticate]));

/// `Via` of what came by each version.
static VIA: [LazyLock<FieldLine>; 3] = [
    LazyLock::new(|| FieldLine::new(Known::Via, b"1.0 equipoise")),
    LazyLock::new(|| FieldLine::new(Known::Via, b"1.1 equipoise")),
    LazyLock::new(|| FieldLine::new(Known::Via, b"2.0 equipoise")),
];

const _: () = assert!(
    Version::Http10 as usize == 0 && Version::Http11 as usize == 1 && Version::Http2 as usize == 2
);

/// `X-Forwarded-Proto` of clients without TLS, and with.
static PROTO: [LazyLock<FieldLine>; 2] = [
    LazyLock::new(|| FieldLine::new(Known::XForwardedProto, b"http")),
    LazyLock::new(|| FieldLine::new(Known::XForwardedProto, b"https")),
];

/// Says that trailers are accepted; `TE` is hop-by-hop (RFC 9110, 10.1.4).
static TE_TRAILERS: [LazyLock<FieldLine>; 2] = [
    LazyLock::new(|| FieldLine::new(Known::Te, b"trailers")),
    LazyLock::new(|| FieldLine::new(Known::Connection, b"te")),
];

/// Edits the header fields of a request for a member.
///
/// - What concerns the connection (RFC 9110, 7.6.1) is left out, and so is what `Connection` names, but for fields that
///   the member's view of the request depends on; `TE` stays for trailers.
/// - `member_host` goes into `Host`, unless the route preserves the client's.
#[inline(always)]
pub(crate) fn for_member(
    edit: &mut Edit,
    request: &Head,
    client: &Client,
    route: &Route,
    member_host: &FieldLine,
) {
    edit.leave_out(STRIPPED_FROM_REQUESTS);
    edit.leave_out_named_in_connection(request);
    if !route.preserve_host || !request.has(Known::Host) {
        edit.set_line(request, member_host);
    }
    if request.has(Known::Te) && request.takes_trailers() {
        TE_TRAILERS.iter().for_each(|line| edit.add_line(line));
    }
    add_forwarded(edit, request, client, route);
    match route.via {
        Via::Off => {}
        Via::On => edit.append_line(request, &VIA[request.version() as usize]),
        Via::Block => edit.leave_out(KnownSet::of(&[Known::Via])),
    }
    if let Some(left) = forwards_left(request) {
        let left = left.saturating_sub(1).to_string();
        edit.set(request, Known::MaxForwards, left.as_bytes());
    }
}

/// Whether `Max-Forwards` ends the request here (RFC 9110, 7.6.2).
pub(crate) fn max_forwards_exhausted(request: &Head) -> bool {
    forwards_left(request) == Some(0)
}

fn forwards_left(request: &Head) -> Option<u32> {
    if !matches!(request.method(), Method::Options | Method::Trace) {
        return None;
    }
    let left = request.get(Known::MaxForwards)?;
    std::str::from_utf8(left).ok()?.parse().ok()
}

/// Edits the header fields of a response for a client: without hop-by-hop fields, with
/// `Via`. `Upgrade` stays with a 426.
#[inline(always)]
pub(crate) fn for_client(edit: &mut Edit, response: &Head, route: &Route) {
    edit.leave_out(STRIPPED_FROM_RESPONSES);
    edit.leave_out_named_in_connection(response);
    if matches!(response.status(), 100..200 | 204) {
        // RFC 9110, 8.6.
        edit.leave_out(KnownSet::of(&[Known::ContentLength]));
    }
    if response.status() == 426 {
        for protocols in response.all(Known::Upgrade) {
            edit.add(Known::Upgrade, protocols);
        }
        edit.add(Known::Connection, b"upgrade");
    }
    if route.via == Via::On {
        edit.append_line(response, &VIA[response.version() as usize]);
    }
}

#[inline(always)]
fn add_forwarded(edit: &mut Edit, request: &Head, client: &Client, route: &Route) {
    let (host, address) = (request.get(Known::Host), client.address.ip());
    let action = route.x_forwarded_action(address);
    let proto = &PROTO[usize::from(client.is_tls())];
    match action {
        ForwardingAction::Pass => {}
        ForwardingAction::Append => {
            edit.append_line(request, &client.forwarded_for);
            edit.append_line(request, proto);
            edit.append_value_of(request, Known::Host, Known::XForwardedHost);
        }
        ForwardingAction::Replace => {
            edit.set_line(request, &client.forwarded_for);
            edit.set_line(request, proto);
            match host {
                Some(host) => edit.set(request, Known::XForwardedHost, host),
                None => edit.leave_out(KnownSet::of(&[Known::XForwardedHost])),
            }
            edit.leave_out(X_FORWARDED_EXTRA);
        }
        ForwardingAction::Remove => edit.leave_out(X_FORWARDED.union(X_FORWARDED_EXTRA)),
    }
    let certificate = client.tls.as_ref().and_then(|tls| tls.certificate.as_ref());
    if let Some(certificate) = certificate {
        edit.add(Known::ClientCert, certificate.as_bytes());
    }
    let action = route.forwarded_action(address);
    match action {
        ForwardingAction::Pass => {}
        ForwardingAction::Append => {
            edit.append(request, Known::Forwarded, &forwarded(client, host));
        }
        ForwardingAction::Replace => {
            edit.set(request, Known::Forwarded, &forwarded(client, host));
        }
        ForwardingAction::Remove => edit.leave_out(KnownSet::of(&[Known::Forwarded])),
    }
}

/// One element of `Forwarded` (RFC 7239).
fn forwarded(client: &Client, host: Option<&[u8]>) -> Vec<u8> {
    let node = match client.address.ip() {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let mut element = format!("for={node};proto={}", client.scheme()).into_bytes();
    if let Some(host) = host {
        // What `Host` may hold needs no escape within quotes.
        for part in [&b";host=\""[..], host, b"\""] {
            element.extend_from_slice(part);
        }
    }
    element
}
