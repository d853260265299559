//! Who may ask: requests that name this listener by an address, and know the token where there is one.

use std::net::{IpAddr, SocketAddr};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode};
use ipnet::IpNet;
use subtle::ConstantTimeEq as _;

use super::Peer;
use super::answer::{Answer, problem};
use crate::config::{Manager, Token};
use crate::router;

/// Why a request is refused; none where it may ask.
///
/// A page of somebody else's that has its name resolve to this address (DNS rebinding) asks by that name, which is none
/// that this listener has. No page can ask over a socket file.
pub(super) fn refusal(
    request: &Parts,
    from: Peer,
    hosts: &[String],
    token: Option<&Token>,
) -> Option<Answer> {
    if from != Peer::Unix && !is_called_so(request, hosts) {
        let reason =
            "ask by the listener's address, as localhost, or by one of the `hosts` of [admin]";
        return Some(problem(StatusCode::FORBIDDEN, reason));
    }
    refusal_without_token(request, token)
}

/// Why a request is refused that came to the manager at a listener for clients; none where it may ask.
pub(super) fn refusal_of_visit(
    request: &Parts,
    from: SocketAddr,
    manager: &Manager,
) -> Option<Answer> {
    let is_near = |network: &IpNet| network.contains(&from.ip().to_canonical());
    if !manager.networks.is_empty() && !manager.networks.iter().any(is_near) {
        return Some(problem(StatusCode::FORBIDDEN, "not from where you are"));
    }
    let reason = "ask by an address, as localhost, or by one of the `hosts` of [manager]";
    (!is_called_so(request, &manager.hosts)).then(|| problem(StatusCode::FORBIDDEN, reason))
}

/// Why a request is refused for want of the token; none where it has it, or there is none.
pub(super) fn refusal_without_token(request: &Parts, token: Option<&Token>) -> Option<Answer> {
    let token = token?;
    if knows(request, token) {
        return None;
    }
    let mut response = problem(
        StatusCode::UNAUTHORIZED,
        "send the admin token: `Authorization: Bearer …`",
    );
    let challenge = HeaderValue::from_static("Bearer realm=\"equipoise\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    Some(response)
}

/// Why a request may not change anything; none where it may.
///
/// A page of another site can send none of this without asking first, which is never granted: another type of content than
/// forms have, or an `Origin` that is ours.
pub(super) fn refusal_of_change(request: &Parts) -> Option<Answer> {
    let headers = &request.headers;
    let kind = headers.get(CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next();
    let kind = kind.unwrap_or_default().trim().to_ascii_lowercase();
    let (expected, remedy): (&[_], _) = match request.method {
        Method::DELETE => (&[], ""),
        Method::PUT => (
            &["application/wasm"],
            "send a component, and say so: `Content-Type: application/wasm`",
        ),
        _ => (
            &["application/json", "application/merge-patch+json"],
            "send JSON, and say so: `Content-Type: application/json`",
        ),
    };
    if !expected.is_empty() && !expected.contains(&&*kind) {
        return Some(problem(StatusCode::UNSUPPORTED_MEDIA_TYPE, remedy));
    }
    let origin = headers.get(ORIGIN)?;
    let host = headers.get(HOST).and_then(|value| value.to_str().ok());
    let is_ours = origin.to_str().is_ok_and(|origin| {
        let authority = origin.split_once("://").map(|(_, authority)| authority);
        authority.is_some() && authority == host
    });
    (!is_ours).then(|| problem(StatusCode::FORBIDDEN, "this comes from another site"))
}

/// Whether a request names the listener by an address, as this machine, or by one of these names.
fn is_called_so(request: &Parts, hosts: &[String]) -> bool {
    let host = router::host(request).map(router::without_port);
    let is_named = host.is_some_and(|host| {
        let mut hosts = hosts.iter();
        hosts.any(|name| host.eq_ignore_ascii_case(name))
    });
    is_named || names_an_address(request)
}

fn names_an_address(request: &Parts) -> bool {
    let authority = router::host(request).and_then(|host| host.parse::<Authority>().ok());
    authority.is_some_and(|authority| {
        let host = authority.host();
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok()
    })
}

/// Whether the request has the token, compared in a time that does not depend on where it differs.
fn knows(request: &Parts, token: &Token) -> bool {
    let field = request.headers.get(AUTHORIZATION);
    let given = field.and_then(|field| field.as_bytes().strip_prefix(b"Bearer "));
    given.is_some_and(|given| given.ct_eq(token.as_bytes()).into())
}
