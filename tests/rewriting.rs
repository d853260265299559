//! What members say of themselves in responses, turned into what the client can use.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use crate::harness::{Origin, Proxy, Response};

/// The response of a member that answers with one field, behind a route from `/app` to `/base` with these keys. In the
/// value `{b1}` and `{b2}` stand for the addresses of the member itself and of another one.
#[track_caller]
fn answered(keys: &str, name: &str, value: &str) -> Response {
    let addresses: Arc<OnceLock<[SocketAddr; 2]>> = Arc::default();
    let (known, name, value) = (Arc::clone(&addresses), name.to_owned(), value.to_owned());
    let b1 = Origin::named("b1").answering(move |exchange| {
        let [b1, b2] = known
            .get()
            .expect("the addresses")
            .map(|address| address.to_string());
        let value = value.replace("{b1}", &b1).replace("{b2}", &b2);
        exchange.respond(&format!("302 Found\r\n{name}: {value}"), "");
    });
    let (b1, b2) = (b1.start(), Origin::live("b2"));
    addresses
        .set([b1.address(), b2.address()])
        .expect("set once");
    let route = "[[route]]\npath = \"/app\"\nmember-path = \"/base\"\nbalancer = \"cluster\"\n";
    let proxy = Proxy::before(&[&b1, &b2])
        .routes(&(route.to_owned() + keys))
        .start();
    let response = proxy.get("/app/x");
    assert_eq!(response.status(), 302);
    response
}

/// A location that leads to the balancer, as seen by a client that asked `http://lb.test`.
fn ours(location: &str) -> &str {
    location.strip_prefix("http://lb.test").unwrap_or(location)
}

#[test]
fn locations_of_members_become_ours() {
    let table = [
        ("http://{b1}/base/y?q=1#f", "/app/y?q=1#f"),
        ("http://{b2}/base/y", "/app/y"),
        ("HTTP://{b1}/base", "/app"),
        ("http://{b1}/base/", "/app/"),
        ("/base/y", "/app/y"),
        ("/base?q=1", "/app?q=1"),
        ("/base/é?q=é", "/app/é?q=é"),
        ("http://{b1}/base/é", "/app/é"),
        ("//{b1}/base/y", "/app/y"),
    ];
    for name in ["Location", "Content-Location", "URI"] {
        for (value, expected) in table {
            let response = answered("", name, value);
            let field = response.field(name).unwrap_or_default();
            assert_eq!(ours(field), expected, "{name}: {value}");
        }
    }
}

/// No address of a member reaches a client by any field that browsers follow.
#[test]
fn links_and_refreshes_of_members_become_ours() {
    let table = [
        (
            "Link",
            "<http://{b1}/base/é>; rel=x, </base/a.css>",
            "<http://lb.test/app/é>; rel=x, </app/a.css>",
        ),
        (
            "Refresh",
            "5; url=http://{b2}/base/é",
            "5; url=http://lb.test/app/é",
        ),
    ];
    for (name, value, expected) in table {
        let response = answered("", name, value);
        assert_eq!(response.field(name), Some(expected), "{value}");
        let response = answered("rewrite-location = false", name, value);
        let field = response.field(name).unwrap_or_default();
        assert!(field.contains("http://127.0.0.1:"), "{field}");
    }
}

#[test]
fn locations_elsewhere_stay() {
    let table = [
        "http://elsewhere.test/base/y",
        "http://elsewhere.test:9001/base",
        "http://{b1}.evil.test/base/y",
        "https://elsewhere.test/base",
        "y",
        "./y",
        "../y?base=/base",
        "?q=/base",
        "#f",
        "//elsewhere.test/base",
        "mailto:me@base.test",
        "/basement",
    ];
    for value in table {
        if value.contains("{b1}") {
            let response = answered("", "Location", value);
            let field = response.field("location").unwrap_or_default().to_owned();
            assert!(field.contains(".evil.test/base/y"), "{value}: {field}");
            continue;
        }
        let response = answered("", "Location", value);
        assert_eq!(response.field("location"), Some(value));
    }
}

#[test]
fn a_location_outside_the_members_path_is_not_mapped_into_ours() {
    let response = answered("", "Location", "http://{b1}/other");
    let field = ours(response.field("location").unwrap_or_default()).to_owned();
    assert!(!field.starts_with("/app"), "{field}");
}

#[test]
fn locations_stay_when_rewriting_is_off() {
    let response = answered("rewrite-location = false", "Location", "/base/y");
    assert_eq!(response.field("location"), Some("/base/y"));
    let response = answered("rewrite-location = false", "Location", "http://{b1}/base/y");
    let field = response.field("location").unwrap_or_default();
    assert!(
        field.starts_with("http://127.0.0.1:") && field.ends_with("/base/y"),
        "{field}"
    );
}

/// The location leads to where the client came from, not to where it pretends in other fields.
#[test]
fn a_location_names_the_host_the_client_asked() {
    let redirect = Origin::named("b1").answering(|exchange| {
        let host = exchange.head.field("host").unwrap_or_default().to_owned();
        exchange.respond(&format!("302 Found\r\nLocation: http://{host}/y"), "");
    });
    let b1 = redirect.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: lb.test:8080\r\nX-Forwarded-Host: evil.test\r\n\r\n");
    let response = client.response();
    let field = response.field("location").unwrap_or_default();
    assert!(["/y", "http://lb.test:8080/y"].contains(&field), "{field}");
}

/// The attributes of a cookie in any order, in lower case, and the cookie itself.
fn cookie(response: &Response) -> (String, Vec<String>) {
    let line = response.field("set-cookie").expect("a cookie");
    let mut parts = line.split(';').map(|part| part.trim().to_owned());
    let pair = parts.next().unwrap_or_default();
    (pair, parts.map(|part| part.to_ascii_lowercase()).collect())
}

#[test]
fn cookie_paths_and_domains_become_ours() {
    let domains = "cookie-domain = { \"backend.internal\" = \"shop.test\" }";
    let paths = "cookie-path = { \"/old\" = \"/new\" }";
    let table: &[(&str, &str, &str, &[&str])] = &[
        ("", "a=1; Path=/base", "a=1", &["path=/app"]),
        (
            "",
            "a=1; path=/base/; HttpOnly",
            "a=1",
            &["path=/app/", "httponly"],
        ),
        ("", "a=1; PATH=/base/z", "a=1", &["path=/app/z"]),
        ("", "a=é; Path=/base/é", "a=é", &["path=/app/é"]),
        ("", "a=1; Path=/basement", "a=1", &["path=/basement"]),
        ("", "a=1; Path=/; Secure", "a=1", &["path=/", "secure"]),
        ("", "a=1", "a=1", &[]),
        (
            "",
            "a=1; Domain=elsewhere.test",
            "a=1",
            &["domain=elsewhere.test"],
        ),
        (
            domains,
            "a=1; Domain=backend.internal",
            "a=1",
            &["domain=shop.test"],
        ),
        (
            domains,
            "a=1; DOMAIN=.Backend.Internal; Path=/base",
            "a=1",
            &["domain=shop.test", "path=/app"],
        ),
        (
            domains,
            "a=1; Domain=other.internal",
            "a=1",
            &["domain=other.internal"],
        ),
        // As ProxyPassReverseCookiePath: a prefix is compared, the whole attribute replaced.
        (paths, "a=1; Path=/old/x", "a=1", &["path=/new"]),
        (paths, "a=1; Path=/base", "a=1", &["path=/app"]),
        (
            domains,
            "domain=backend.internal; Path=/base",
            "domain=backend.internal",
            &["path=/app"],
        ),
        (paths, "path=/old; Secure", "path=/old", &["secure"]),
    ];
    for (keys, sent, pair, attributes) in table {
        let response = answered(keys, "Set-Cookie", sent);
        let (name_and_value, mut rest) = cookie(&response);
        assert_eq!(name_and_value, *pair, "{keys} {sent}");
        for attribute in &mut rest {
            *attribute = attribute.replace("domain=.", "domain=");
        }
        assert_eq!(rest, *attributes, "{keys} {sent}");
    }
}

/// A cookie for the member's own host would be refused by the client, which knows another.
#[test]
fn a_cookie_domain_that_is_the_members_host_becomes_ours() {
    let (_, attributes) = cookie(&answered("", "Set-Cookie", "a=1; Domain=127.0.0.1"));
    assert!(
        ["", "domain=lb.test"].contains(&attributes.join(";").as_str()),
        "{attributes:?}"
    );
}
