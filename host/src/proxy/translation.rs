//! Requests of HTTP/2 as HTTP/1.1 says them, and for members that speak HTTP/2 the other way round.
//!
//! In between there is one form only, that of HTTP/1.1: `Host` names the host, the target is a path, cookies stand on one
//! line, and a wish for another protocol is `Upgrade`. So routes, policies, plugins and logs know of one kind of request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use h2::ext::Protocol;
use http::header::{CONNECTION, COOKIE, HOST, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, Uri, Version};

use super::Failure;
use crate::server::is_host;

/// Gives a client's request of HTTP/2 the form that one of HTTP/1.1 has (RFC 9113, 8.3.1 and 8.2.3; RFC 8441, 4 and 5).
///
/// # Errors
/// It says two things, or what no request may say, or has more than `most_fields`.
pub(super) fn from_http2<B>(request: &mut Request<B>, most_fields: usize) -> Result<(), Failure> {
    // Whoever speaks HTTP/1 is held to it by hyper.
    if request.headers().len() > most_fields {
        return Err(Failure::TooManyFields);
    }
    if request.method() == Method::CONNECT {
        wish_for_upgrade(request)?;
    }
    let host = match request.uri().authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => request.headers().get(HOST).cloned(),
    };
    let host = host.ok_or(Failure::BadRequest("the request names no host"))?;
    let mut named = request.headers().get_all(HOST).iter();
    if !is_host(host.as_bytes())
        || named.any(|it| !it.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
    {
        let reason = "the host is no host name with an optional port, or is named twice";
        return Err(Failure::BadRequest(reason));
    }
    let scheme = request.uri().scheme();
    if !scheme.is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
        return Err(Failure::BadRequest("the scheme is not http or https"));
    }
    let path = request.uri().path_and_query().cloned();
    let path = path.ok_or(Failure::BadRequest("the request has no path"))?;
    *request.uri_mut() = Uri::from(path);
    let headers = request.headers_mut();
    headers.insert(HOST, host);
    join_cookies(headers);
    Ok(())
}

/// Extended CONNECT is a GET with `Upgrade`; CONNECT alone is for forward proxies.
fn wish_for_upgrade<B>(request: &mut Request<B>) -> Result<(), Failure> {
    let protocol = request.extensions().get::<Protocol>();
    let protocol = protocol.ok_or(Failure::BadRequest("CONNECT is for forward proxies"))?;
    let protocol = HeaderValue::from_bytes(protocol.as_ref())
        .map_err(|_| Failure::BadRequest("the protocol is no token"))?;
    *request.method_mut() = Method::GET;
    let headers = request.headers_mut();
    headers.insert(UPGRADE, protocol);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    // Of HTTP/1.1 only, where it shows that the answer is to this request.
    let key: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    if let Ok(key) = HeaderValue::try_from(STANDARD.encode(key)) {
        headers.insert(SEC_WEBSOCKET_KEY, key);
    }
    Ok(())
}

/// HTTP/2 may say each cookie on a line of its own, to compress them better.
fn join_cookies(headers: &mut HeaderMap) {
    let mut cookies = headers.get_all(COOKIE).iter();
    if cookies.next().is_none() || cookies.next().is_none() {
        return;
    }
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let joined = lines.collect::<Vec<_>>().join(&b"; "[..]);
    // What stood on several lines may stand on one.
    if let Ok(joined) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, joined);
    }
}

/// Gives a request for a member the form that one of HTTP/2 has.
///
/// # Errors
/// What stands in `Host` is no authority.
pub(super) fn to_http2<B>(request: &mut Request<B>, is_secure: bool) -> Result<(), Failure> {
    let headers = request.headers_mut();
    let host = headers.remove(HOST);
    let authority = host.and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let authority = authority.ok_or(Failure::BadRequest("Host is no authority"))?;
    for name in [CONNECTION, TRANSFER_ENCODING, UPGRADE] {
        headers.remove(name);
    }
    if headers.contains_key(TE) {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.scheme = Some(match is_secure {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    });
    uri.authority = Some(authority);
    *request.uri_mut() =
        Uri::from_parts(uri).map_err(|_| Failure::BadRequest("the request target is no URI"))?;
    *request.version_mut() = Version::HTTP_2;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(uri: &str, fields: &[(&'static str, &'static str)]) -> Request<()> {
        let mut request = Request::builder().version(Version::HTTP_2).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap()
    }

    #[test]
    fn the_authority_becomes_host_and_the_target_a_path() {
        let mut request = request("https://shop.example:8443/a?b=c", &[]);
        from_http2(&mut request, 100).unwrap();
        assert_eq!(request.headers()[HOST], "shop.example:8443");
        assert_eq!(request.uri(), "/a?b=c");
    }

    #[test]
    fn a_host_that_is_no_host_or_not_the_authority_is_refused() {
        let table = [
            ("https://user@shop.example/", vec![]),
            ("https://shop.example/", vec![("host", "other.example")]),
            (
                "https://shop.example/",
                vec![("host", "shop.example"), ("host", "other.example")],
            ),
            ("/", vec![]),
            ("/", vec![("host", "a,b")]),
            ("/", vec![("host", "")]),
            ("ftp://shop.example/", vec![]),
        ];
        for (uri, fields) in table {
            let refused = from_http2(&mut request(uri, &fields), 100);
            assert!(
                matches!(refused, Err(Failure::BadRequest(_))),
                "{uri} {fields:?}"
            );
        }
        let mut same = request("https://shop.example/", &[("host", "SHOP.example")]);
        assert!(from_http2(&mut same, 100).is_ok());
    }

    #[test]
    fn more_fields_than_may_be_are_refused() {
        let fields = [("a", "1"), ("b", "2"), ("b", "3")];
        assert!(from_http2(&mut request("https://a/", &fields), 3).is_ok());
        let refused = from_http2(&mut request("https://a/", &fields), 2);
        assert!(matches!(refused, Err(Failure::TooManyFields)));
    }

    #[test]
    fn cookies_on_lines_of_their_own_are_put_together() {
        let mut request = request("https://a/", &[("cookie", "a=1"), ("cookie", "b=2; c=3")]);
        from_http2(&mut request, 100).unwrap();
        let cookies: Vec<_> = request.headers().get_all(COOKIE).iter().collect();
        assert_eq!(cookies, ["a=1; b=2; c=3"]);
    }

    #[test]
    fn extended_connect_is_a_get_that_wishes_for_an_upgrade_and_connect_alone_is_refused() {
        let mut plain = request("https://a/chat", &[]);
        *plain.method_mut() = Method::CONNECT;
        assert!(from_http2(&mut plain, 100).is_err());
        let mut extended = request("https://a/chat", &[]);
        *extended.method_mut() = Method::CONNECT;
        extended
            .extensions_mut()
            .insert(Protocol::from_static("websocket"));
        from_http2(&mut extended, 100).unwrap();
        assert_eq!(extended.method(), Method::GET);
        assert_eq!(extended.headers()[UPGRADE], "websocket");
        assert_eq!(extended.headers()[SEC_WEBSOCKET_KEY].len(), 24);
    }

    #[test]
    fn for_a_member_host_becomes_the_authority_and_nothing_is_said_of_connections() {
        let mut request = request(
            "/a",
            &[
                ("host", "app:81"),
                ("connection", "te"),
                ("te", "trailers"),
                ("transfer-encoding", "chunked"),
            ],
        );
        to_http2(&mut request, false).unwrap();
        assert_eq!(request.uri(), "http://app:81/a");
        let names: Vec<_> = request.headers().keys().map(|name| name.as_str()).collect();
        assert_eq!(names, ["te"]);
    }
}
