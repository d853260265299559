//! Requests of HTTP/2 as HTTP/1.1 says them.
//!
//! In between there is one form only, that of HTTP/1.1: `Host` names the host, the target is a path, cookies stand on one
//! line, and a wish for another protocol is `Upgrade`. So routes, policies, plugins and logs know of one kind of request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use equipoise_http::http1::{Framing, request_framing};
use equipoise_http::{Head, Version, Violation, host};
use h2::ext::Protocol;
use http::header::{CONTENT_LENGTH, COOKIE, HOST};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, Method};

/// Gives a client's request of HTTP/2 the form that one of HTTP/1.1 has (RFC 9113, 8.3.1 and 8.2.3; RFC 8441, 4 and 5); says how
/// long its body is, as far as it says so.
///
/// # Errors
/// It says two things, or what no request may say, or has more than `most_fields`.
pub(super) fn read(
    parts: &Parts,
    head: &mut Head,
    most_fields: usize,
) -> Result<Framing, Violation> {
    let upgrade = match parts.method {
        Method::CONNECT => Some(protocol(parts)?),
        _ => None,
    };
    let method = match upgrade {
        Some(_) => "GET",
        None => parts.method.as_str(),
    };
    let target = parts.uri.path_and_query().map(PathAndQuery::as_str);
    let target = target.ok_or(Violation::RequestLine)?;
    if target == "*" && parts.method != Method::OPTIONS {
        return Err(Violation::TargetForm);
    }
    head.begin_request(method.as_bytes(), target.as_bytes(), Version::Http2)?;
    // Of HTTP/1 the engine holds heads to it.
    if parts.headers.len() > most_fields {
        return Err(Violation::TooManyFields);
    }
    head.push(b"host", authority(parts)?)?;
    for (name, value) in &parts.headers {
        // Behind extended CONNECT there is no body.
        let is_length = upgrade.is_some() && *name == CONTENT_LENGTH;
        if *name != HOST && *name != COOKIE && !is_length {
            head.push(name.as_str().as_bytes(), value.as_bytes())?;
        }
    }
    push_cookies(head, &parts.headers)?;
    if let Some(protocol) = upgrade {
        wish_for(head, protocol)?;
    }
    request_framing(head)
}

/// The host that a request is for.
fn authority(parts: &Parts) -> Result<&[u8], Violation> {
    let scheme = parts.uri.scheme();
    if !scheme.is_none_or(|scheme| *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS) {
        return Err(Violation::TargetForm);
    }
    let is_tls = scheme == Some(&Scheme::HTTPS);
    let mut named = parts.headers.get_all(HOST).iter().map(|it| it.as_bytes());
    let Some(authority) = parts.uri.authority() else {
        let host = named.next().ok_or(Violation::HostMissing)?;
        return match named.next() {
            None => Ok(host),
            Some(_) => Err(Violation::HostRepeated),
        };
    };
    let authority = authority.as_str().as_bytes();
    match named.all(|it| host::is_same(it, authority, is_tls)) {
        true => Ok(authority),
        false => Err(Violation::HostMismatch),
    }
}

/// The protocol that extended CONNECT wishes for; CONNECT alone is for forward proxies.
fn protocol(parts: &Parts) -> Result<&[u8], Violation> {
    let protocol = parts.extensions.get::<Protocol>();
    protocol.map(AsRef::as_ref).ok_or(Violation::Connect)
}

/// Extended CONNECT is a GET with `Upgrade`.
fn wish_for(head: &mut Head, protocol: &[u8]) -> Result<(), Violation> {
    head.push(b"upgrade", protocol)?;
    head.push(b"connection", b"upgrade")?;
    // Of HTTP/1.1 only, where it shows that the answer is to this request.
    let key: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    head.push(b"sec-websocket-key", STANDARD.encode(key).as_bytes())
}

/// HTTP/2 may say each cookie on a line of its own, to compress them better.
fn push_cookies(head: &mut Head, headers: &HeaderMap) -> Result<(), Violation> {
    let mut cookies = headers.get_all(COOKIE).iter().map(|it| it.as_bytes());
    match (cookies.next(), cookies.next()) {
        (None, _) => Ok(()),
        (Some(only), None) => head.push(b"cookie", only),
        (Some(_), Some(_)) => {
            let lines = headers.get_all(COOKIE).iter().map(|it| it.as_bytes());
            let joined = lines.collect::<Vec<_>>().join(&b"; "[..]);
            head.push(b"cookie", &joined)
        }
    }
}

#[cfg(test)]
mod tests {
    use equipoise_http::Known;
    use http::Request;

    use super::*;

    fn request(method: &Method, uri: &str, fields: &[(&'static str, &'static str)]) -> Parts {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn get(
        uri: &str,
        fields: &[(&'static str, &'static str)],
    ) -> (Head, Result<Framing, Violation>) {
        let mut head = Head::new();
        let framing = read(&request(&Method::GET, uri, fields), &mut head, 3);
        (head, framing)
    }

    #[test]
    fn the_authority_becomes_host_and_the_target_a_path() {
        let (head, framing) = get("https://shop.example:8443/a?b=c", &[]);
        assert_eq!(framing, Ok(Framing::None));
        assert_eq!(head.get(Known::Host), Some(&b"shop.example:8443"[..]));
        assert_eq!(head.target(), b"/a?b=c");
    }

    #[test]
    fn a_host_that_is_no_host_or_not_the_authority_is_refused() {
        let host = |host| vec![("host", host)];
        let table = [
            ("https://user@shop.example/", vec![]),
            ("https://shop.example/", host("other.example")),
            (
                "https://shop.example/",
                vec![("host", "shop.example"), ("host", "other.example")],
            ),
            ("/", vec![]),
            ("/", host("a,b")),
            ("/", host("")),
            ("ftp://shop.example/", vec![]),
        ];
        for (uri, fields) in table {
            assert!(get(uri, &fields).1.is_err(), "{uri} {fields:?}");
        }
        assert!(
            get("https://shop.example/", &host("SHOP.example"))
                .1
                .is_ok()
        );
        assert!(
            get("https://shop.example/", &host("shop.example:443"))
                .1
                .is_ok()
        );
    }

    #[test]
    fn more_fields_than_may_be_are_refused() {
        let fields = [("a", "1"), ("b", "2"), ("b", "3"), ("c", "4")];
        assert!(get("https://a/", &fields[..3]).1.is_ok());
        assert_eq!(get("https://a/", &fields).1, Err(Violation::TooManyFields));
    }

    #[test]
    fn equal_lengths_are_one_and_others_are_refused() {
        let length = ("content-length", "3");
        let (head, framing) = get("https://a/", &[length, length]);
        assert_eq!(framing, Ok(Framing::Length(3)));
        assert_eq!(head.all(Known::ContentLength).count(), 1);
        let (_, framing) = get("https://a/", &[length, ("content-length", "4")]);
        assert_eq!(framing, Err(Violation::LengthRepeated));
    }

    #[test]
    fn the_server_as_a_whole_is_asked_for_its_options_alone() {
        let mut head = Head::new();
        let mut parts = request(&Method::OPTIONS, "*", &[("host", "a")]);
        assert_eq!(read(&parts, &mut head, 9), Ok(Framing::None));
        parts.method = Method::GET;
        assert_eq!(read(&parts, &mut head, 9), Err(Violation::TargetForm));
    }

    #[test]
    fn cookies_on_lines_of_their_own_are_put_together() {
        let (head, _) = get("https://a/", &[("cookie", "a=1"), ("cookie", "b=2; c=3")]);
        let cookies: Vec<_> = head.all(Known::Cookie).collect();
        assert_eq!(cookies, [b"a=1; b=2; c=3"]);
    }

    #[test]
    fn extended_connect_is_a_get_that_wishes_for_an_upgrade_and_connect_alone_is_refused() {
        let mut head = Head::new();
        let mut connect = request(&Method::CONNECT, "https://a/chat", &[]);
        assert_eq!(read(&connect, &mut head, 9), Err(Violation::Connect));
        let websocket = Protocol::from_static("websocket");
        connect.extensions.insert(websocket);
        assert_eq!(read(&connect, &mut head, 9), Ok(Framing::None));
        assert_eq!(head.method_bytes(), b"GET");
        assert_eq!(head.upgrades().collect::<Vec<_>>(), [b"websocket"]);
        let key = head.get(Known::SecWebsocketKey);
        assert_eq!(key.map(<[u8]>::len), Some(24));
    }
}
