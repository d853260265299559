//! Authorization of admin requests: the token, the `Host` (DNS rebinding), the origin (CSRF).

use std::net::{IpAddr, SocketAddr};

use http::header::{
    AUTHORIZATION, CONTENT_TYPE, FORWARDED, HOST, HeaderName, ORIGIN, VIA, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode};
use subtle::ConstantTimeEq as _;

use super::Peer;
use super::response::{AdminResponse, problem};
use equipoise_config::{Manager, Token};
use equipoise_http::host;

/// Why a request is refused; none where it is allowed.
///
/// A page of another site that has its name resolve to this address (DNS rebinding) sends that name, which is none
/// that this listener has. No page can connect to a socket file.
pub(super) fn refusal(
    request: &Parts,
    from: Peer,
    hosts: &[String],
    token: Option<&Token>,
) -> Option<AdminResponse> {
    if from != Peer::Unix && !has_known_host(request, hosts) {
        let reason =
            "unknown Host: use the listener's address, localhost, or one of the `hosts` of [admin]";
        return Some(problem(StatusCode::FORBIDDEN, reason));
    }
    token_refusal(request, token)
}

/// Why a request is refused that came to the manager at a listener for clients; none where it is allowed.
pub(super) fn manager_refusal(
    request: &Parts,
    from: SocketAddr,
    manager: &Manager,
) -> Option<AdminResponse> {
    let (address, networks) = (from.ip().to_canonical(), &manager.networks);
    let is_in_a_network = networks.iter().any(|network| network.contains(&address));
    let is_open = networks.is_empty() && !manager.local;
    if !is_open && !is_in_a_network {
        if !manager.local || !address.is_loopback() {
            return Some(problem(
                StatusCode::FORBIDDEN,
                "your address is not among those that `require` of [manager] allows",
            ));
        }
        if is_forwarded(request) {
            let reason = "forwarded by a proxy, so its client is not known: connect directly, or have `require` name the proxy's address, or \"token\" alone";
            return Some(problem(StatusCode::FORBIDDEN, reason));
        }
    }
    let reason = "unknown Host: use an address, localhost, or one of the `hosts` of [manager]";
    (!has_known_host(request, &manager.hosts)).then(|| problem(StatusCode::FORBIDDEN, reason))
}

/// Fields by which proxies tell that they have forwarded a request, besides those that begin with `X-Forwarded`.
const FORWARDING: [HeaderName; 9] = [
    FORWARDED,
    VIA,
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-client-ip"),
    HeaderName::from_static("x-cluster-client-ip"),
    HeaderName::from_static("x-original-forwarded-for"),
    HeaderName::from_static("x-envoy-external-address"),
    HeaderName::from_static("true-client-ip"),
    HeaderName::from_static("cf-connecting-ip"),
];

/// Whether a proxy tells, by any field, that it has forwarded the request: it comes from the proxy, and who has sent it is
/// somewhere else.
fn is_forwarded(request: &Parts) -> bool {
    let tells =
        |name: &HeaderName| name.as_str().starts_with("x-forwarded") || FORWARDING.contains(name);
    request.headers.keys().any(tells)
}

/// Why a request is refused for want of the token; none where it has it, or there is none.
pub(super) fn token_refusal(request: &Parts, token: Option<&Token>) -> Option<AdminResponse> {
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
pub(super) fn csrf_refusal(request: &Parts) -> Option<AdminResponse> {
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
fn has_known_host(request: &Parts, hosts: &[String]) -> bool {
    let host = host(request).map(host::without_port);
    let is_named = host.is_some_and(|host| {
        let mut hosts = hosts.iter();
        hosts.any(|name| host.eq_ignore_ascii_case(name))
    });
    is_named || names_an_address(request)
}

fn names_an_address(request: &Parts) -> bool {
    let authority = host(request).and_then(|host| host.parse::<Authority>().ok());
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

/// The host a request is for, port and all; empty if it names none. `None` if target and `Host` name two.
fn host(request: &Parts) -> Option<&str> {
    let host = request.headers.get(HOST);
    let host = host.and_then(|value| value.to_str().ok());
    let host = host.unwrap_or_default();
    let authority = request.uri.authority();
    let is_named_twice = authority.is_some_and(|it| !it.as_str().eq_ignore_ascii_case(host));
    (!is_named_twice).then_some(host)
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn manager(local: bool, networks: &[&str]) -> Manager {
        let networks = networks.iter().map(|it| it.parse().expect("a network"));
        Manager {
            path: "/balancer-manager".to_owned(),
            hosts: Vec::new(),
            local,
            networks: networks.collect(),
            requires_token: false,
        }
    }

    /// Whether a request from there with such a field may use the manager.
    fn may(manager: &Manager, from: &str, field: Option<&str>) -> bool {
        let mut request = Request::get("/balancer-manager").header(HOST, "localhost");
        if let Some(name) = field {
            request = request.header(name, "192.0.2.7");
        }
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let from = SocketAddr::new(from.parse().expect("an address"), 1234);
        manager_refusal(&parts, from, manager).is_none()
    }

    #[test]
    fn a_request_that_was_forwarded_is_not_local() {
        let local = manager(true, &[]);
        for from in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert!(may(&local, from, None), "{from}");
            assert!(may(&local, from, Some("accept")), "{from}");
            for field in [
                "Forwarded",
                "Via",
                "X-Forwarded-For",
                "X-Forwarded-Host",
                "X-Forwarded-Proto",
                "X-Forwarded-Port",
                "X-Forwarded-Server",
                "X-Forwarded-Anything",
                "X-Forwarded",
                "X-Real-IP",
                "X-Client-IP",
                "X-Cluster-Client-IP",
                "True-Client-IP",
                "CF-Connecting-IP",
            ] {
                assert!(!may(&local, from, Some(field)), "{from} {field}");
            }
        }
        assert!(!may(&local, "192.0.2.1", None));
    }

    /// The network is that of the connection, whatever the headers say.
    #[test]
    fn a_proxy_may_ask_that_is_named_by_its_address() {
        let table: [(&[&str], bool, &str, bool); 6] = [
            (&["127.0.0.1/32"], false, "127.0.0.1", true),
            (&["127.0.0.1/32"], true, "127.0.0.1", true),
            (&["10.0.0.0/8"], true, "127.0.0.1", false),
            (&["10.0.0.0/8"], true, "10.1.1.1", true),
            (&["10.0.0.0/8"], false, "11.1.1.1", false),
            // The token alone is asked for.
            (&[], false, "192.0.2.1", true),
        ];
        for (networks, local, from, expected) in table {
            let manager = manager(local, networks);
            let may = may(&manager, from, Some("X-Forwarded-For"));
            assert_eq!(may, expected, "{networks:?} {local} {from}");
        }
    }
}
