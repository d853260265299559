//! Who may ask: requests that name this listener by an address, and know the token where there is one.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderValue, Response, StatusCode};
use subtle::ConstantTimeEq as _;

use super::{Peer, text};
use crate::config::Token;
use crate::router;

/// Why a request is refused; none where it may ask.
///
/// A page of somebody else's that has its name resolve to this address (DNS rebinding) asks by that name, which is none
/// that this listener has. No page can ask over a socket file.
pub(super) fn refusal(
    request: &Parts,
    from: Peer,
    token: Option<&Token>,
) -> Option<Response<String>> {
    if from != Peer::Unix && !names_an_address(request) {
        let reason = "ask by the listener's address, or as localhost\n";
        return Some(text(StatusCode::FORBIDDEN, reason));
    }
    let token = token?;
    if knows(request, token) {
        return None;
    }
    let mut response = text(
        StatusCode::UNAUTHORIZED,
        "send the admin token: `Authorization: Bearer …`\n",
    );
    let challenge = HeaderValue::from_static("Bearer realm=\"equipoise\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    Some(response)
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
