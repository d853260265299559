//! What becomes of the header fields of requests and responses on their way.

use crate::harness::origin::Request;
use crate::harness::{Origin, Proxy, Response};

/// What a member gets when a client sends these fields, with these keys of the route.
#[track_caller]
fn passed(keys: &str, fields: &[&str]) -> Request {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).route(keys).start();
    let response = proxy.exchange("GET /", fields);
    assert_eq!(response.status(), 200, "{fields:?}");
    b1.only_request()
}

/// What a client gets when a member answers 200 with these fields, with these keys of the route.
#[track_caller]
fn returned(keys: &str, fields: &str) -> Response {
    let answer = format!("HTTP/1.1 200 OK\r\n{fields}Content-Length: 2\r\n\r\nok");
    let b1 = Origin::named("b1").saying(answer).start();
    let proxy = Proxy::before(&[&b1]).route(keys).start();
    let response = proxy.get("/");
    assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    response
}

#[test]
fn what_concerns_one_hop_does_not_reach_the_member() {
    let request = passed(
        "",
        &[
            "Connection: keep-alive, X-Secret, x-other",
            "X-Secret: 1",
            "X-Other: 2",
            "Keep-Alive: timeout=5",
            "Proxy-Connection: keep-alive",
            "TE: gzip",
            "Upgrade: h2c",
            "X-End-To-End: 3",
        ],
    );
    for name in [
        "x-secret",
        "x-other",
        "keep-alive",
        "proxy-connection",
        "te",
        "upgrade",
    ] {
        assert_eq!(request.head.field(name), None, "{name}");
    }
    assert_eq!(request.head.field("x-end-to-end"), Some("3"));
    let connection = request.head.field("connection").unwrap_or("keep-alive");
    assert!(
        connection.eq_ignore_ascii_case("keep-alive"),
        "{connection}"
    );
}

#[test]
fn what_concerns_one_hop_does_not_reach_the_client() {
    let response = returned(
        "",
        "Connection: keep-alive, X-Internal\r\nX-Internal: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nUpgrade: h2c\r\nX-End-To-End: 3\r\n",
    );
    for name in ["x-internal", "keep-alive", "proxy-connection", "upgrade"] {
        assert_eq!(response.field(name), None, "{name}");
    }
    assert_eq!(response.field("x-end-to-end"), Some("3"));
    let connection = response.field("connection").unwrap_or("keep-alive");
    assert!(
        connection.eq_ignore_ascii_case("keep-alive"),
        "{connection}"
    );
}

/// Goal: `Connection` must not take away what the member relies on. Method: name what the proxy itself sends, and the
/// session's cookie.
#[test]
fn connection_cannot_name_what_the_member_relies_on() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let named = "Connection: keep-alive, Host, Content-Length, X-Forwarded-For, X-Forwarded-Host, \
                 X-Forwarded-Proto";
    let response = proxy.client().exchange_body("POST /", &[named], "order");
    if response.status() == 400 {
        assert_eq!(b1.hits(), 0);
        return;
    }
    let request = b1.only_request();
    assert_eq!(request.body.text(), "order");
    let authority = b1.address().to_string();
    assert_eq!(request.head.field("host"), Some(authority.as_str()));
    assert_eq!(request.head.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.head.field("x-forwarded-host"), Some("lb.test"));
    assert_eq!(request.head.field("x-forwarded-proto"), Some("http"));
}

/// CGI makes the variable HTTP_PROXY of it, which programs take for their proxy (httpoxy).
#[test]
fn the_proxy_field_does_not_reach_the_member() {
    assert_eq!(
        passed("", &["Proxy: http://evil.test/"])
            .head
            .field("proxy"),
        None
    );
}

#[test]
fn te_reaches_the_member_for_trailers_only() {
    let te = |value| {
        passed("", &["Connection: TE", value])
            .head
            .field("te")
            .map(str::to_owned)
    };
    assert!([None, Some("trailers".to_owned())].contains(&te("TE: trailers, deflate")));
    assert_eq!(te("TE: deflate"), None);
}

#[test]
fn end_to_end_fields_pass_as_they_are() {
    let fields = [
        "Cookie: a=1; b=2",
        "Authorization: Basic dTpw",
        "Accept: text/html",
        "Accept: text/plain",
        "X-Empty:",
        "X-Spaces: a  b",
        "Cache-Control: no-cache",
        "Range: bytes=0-1",
        "User-Agent: test/1",
    ];
    let request = passed("", &fields);
    for field in fields {
        let (name, value) = field.split_once(':').expect("a colon");
        assert!(request.head.all(name).contains(&value.trim()), "{field}");
    }
    assert_eq!(
        request.head.all("accept"),
        ["text/html", "text/plain"],
        "in order"
    );

    let response = returned(
        "",
        "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nETag: \"x\"\r\nX-Spaces: a  b\r\nX-Empty:\r\n\
         Server: origin/1\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
    );
    assert_eq!(response.head.all("set-cookie"), ["a=1; Path=/", "b=2"]);
    assert_eq!(response.field("etag"), Some("\"x\""));
    assert_eq!(response.field("x-spaces"), Some("a  b"));
    assert_eq!(response.field("x-empty"), Some(""));
    assert_eq!(response.field("server"), Some("origin/1"));
    assert_eq!(
        response.field("date"),
        Some("Sun, 06 Nov 1994 08:49:37 GMT")
    );
}

#[test]
fn bytes_beyond_ascii_pass_in_values() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send(b"GET / HTTP/1.1\r\nHost: lb.test\r\nX-Name: caf\xe9\r\n\r\n");
    assert_eq!(client.response().status(), 200);
    let raw = b1.only_request().raw;
    assert!(raw.windows(4).any(|window| window == b"caf\xe9"));
}

#[test]
fn the_reason_and_unusual_statuses_pass() {
    for status in ["299 Fine", "418 Teapot", "599 Odd", "200"] {
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n");
        let b1 = Origin::named("b1").saying(answer).start();
        let response = Proxy::before(&[&b1]).start().get("/");
        assert_eq!(response.status().to_string(), status[..3]);
    }
}

#[test]
fn host_is_the_members_own_unless_preserved() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    proxy.get("/");
    let authority = b1.address().to_string();
    assert_eq!(
        b1.only_request().head.field("host"),
        Some(authority.as_str())
    );
    assert_eq!(
        passed("preserve-host = true", &[]).head.field("host"),
        Some("lb.test")
    );
}

#[test]
fn x_forwarded_fields_tell_of_the_client() {
    let sent = [
        "X-Forwarded-For: 9.9.9.9",
        "X-Forwarded-Host: front.test",
        "X-Forwarded-Proto: https",
    ];
    let names = ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"];
    let ours = ["127.0.0.1", "lb.test", "http"];
    let table = [
        ("", &[][..], ours.map(Some)),
        (
            "",
            &sent,
            [
                Some("9.9.9.9, 127.0.0.1"),
                Some("front.test, lb.test"),
                Some("https, http"),
            ],
        ),
        ("x-forwarded = \"replace\"", &[], ours.map(Some)),
        ("x-forwarded = \"replace\"", &sent, ours.map(Some)),
        ("x-forwarded = \"off\"", &[], [None; 3]),
        (
            "x-forwarded = \"off\"",
            &sent,
            [Some("9.9.9.9"), Some("front.test"), Some("https")],
        ),
    ];
    for (keys, fields, expected) in table {
        let request = passed(keys, fields);
        let values = names.map(|name| {
            let values = request.head.all(name).join(", ");
            (!values.is_empty()).then_some(values)
        });
        assert_eq!(
            values.each_ref().map(Option::as_deref),
            expected,
            "{keys:?} {fields:?}"
        );
    }
}

/// Every field that tells of a client passes from those that are trusted, and from others none.
#[test]
fn fields_that_tell_of_the_client_pass_from_trusted_networks_only() {
    let listed = [
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "X-Forwarded-Server",
        "X-Real-IP",
        "Forwarded",
    ];
    let underscored = listed.map(|name| name.replace('-', "_"));
    let names = listed.iter().copied();
    let names = names.chain(underscored[..6].iter().map(String::as_str));
    let fields: Vec<_> = names.map(|name| format!("{name}: forged")).collect();
    let fields: Vec<_> = fields.iter().map(String::as_str).collect();
    let forged = |keys: &str| {
        let head = passed(keys, &fields).head;
        let passes = |name: &&str| head.all(name).iter().any(|value| value.contains("forged"));
        assert!(!underscored[..6].iter().any(|name| passes(&name.as_str())));
        listed.into_iter().filter(passes).collect::<Vec<_>>()
    };
    let nothing: [&str; 0] = [];
    assert_eq!(
        forged("x-forwarded = { trust = [\"127.0.0.0/8\"] }"),
        listed
    );
    assert_eq!(
        forged("x-forwarded = { trust = [\"10.0.0.0/8\"] }"),
        nothing
    );
    assert_eq!(
        forged("forwarded = { trust = [\"10.0.0.0/8\"] }\nx-forwarded = \"off\""),
        nothing
    );
    assert_eq!(forged("x-forwarded = \"replace\""), ["Forwarded"]);
    let request = passed("x-forwarded = { trust = [\"10.0.0.0/8\"] }", &fields);
    assert_eq!(request.head.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn forwarded_tells_of_the_client_when_it_is_on() {
    let sent: &[&str] = &["Forwarded: for=9.9.9.9"];
    let forwarded = |keys: &str, fields: &[&str]| {
        passed(keys, fields)
            .head
            .all("forwarded")
            .join(", ")
            .to_ascii_lowercase()
    };
    assert_eq!(forwarded("", &[]), "");
    assert_eq!(forwarded("", sent), "for=9.9.9.9");
    for (keys, fields, before) in [
        ("forwarded = \"append\"", &[][..], ""),
        ("forwarded = \"append\"", sent, "for=9.9.9.9,"),
        ("forwarded = \"replace\"", sent, ""),
    ] {
        let value = forwarded(keys, fields);
        let ours = value
            .strip_prefix(before)
            .unwrap_or_else(|| panic!("{keys}: {value}"));
        let mut pairs: Vec<_> = ours
            .trim()
            .split(';')
            .map(|pair| pair.replace('"', ""))
            .collect();
        pairs.retain(|pair| !pair.starts_with("by="));
        pairs.sort();
        assert_eq!(
            pairs,
            ["for=127.0.0.1", "host=lb.test", "proto=http"],
            "{keys}: {value}"
        );
    }
}

#[test]
fn via_is_added_or_removed_as_told() {
    let sent = &["Via: 1.0 front"];
    assert_eq!(passed("", sent).head.all("via"), ["1.0 front"]);
    assert_eq!(passed("via = \"block\"", sent).head.field("via"), None);
    let added = passed("via = \"on\"", sent).head.all("via").join(", ");
    assert!(added.starts_with("1.0 front, 1.1 "), "{added}");
    let alone = passed("via = \"on\"", &[]).head.all("via").join(", ");
    assert!(alone.starts_with("1.1 "), "{alone}");

    assert_eq!(
        returned("", "Via: 1.1 inner\r\n").field("via"),
        Some("1.1 inner")
    );
    let added = returned("via = \"on\"", "Via: 1.1 inner\r\n")
        .head
        .all("via")
        .join(", ");
    assert!(added.starts_with("1.1 inner, 1.1 "), "{added}");
}

#[test]
fn an_http_1_0_client_gets_what_it_understands() {
    let chunked =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde";
    for answer in [chunked, counted] {
        let b1 = Origin::named("b1").saying(answer).start();
        let proxy = Proxy::before(&[&b1]).start();
        let mut client = proxy.client();
        client.send("GET / HTTP/1.0\r\n\r\n");
        let response = client.response();
        assert_eq!(response.text(), "abcde");
        assert_eq!(response.field("transfer-encoding"), None);
        client.expect_closed();
        assert!(b1.only_request().head.start.ends_with(" HTTP/1.1"));
    }
}

#[test]
fn an_http_1_0_client_may_keep_its_connection() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2]).start();
    let mut client = proxy.client();
    for expected in ["b1", "b2", "b1"] {
        client.send("GET / HTTP/1.0\r\nHost: lb.test\r\nConnection: keep-alive\r\n\r\n");
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn an_http_1_0_member_is_understood() {
    let answers = [
        "HTTP/1.0 200 OK\r\n\r\nabcde",
        "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcde",
    ];
    for answer in answers {
        let b1 = Origin::named("b1").saying_last(answer).start();
        let proxy = Proxy::before(&[&b1]).start();
        let mut client = proxy.client();
        for _ in 0..3 {
            assert_eq!(client.get("/").text(), "abcde", "{answer:?}");
        }
    }
}

#[test]
fn a_client_that_asks_to_close_is_closed() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let response = client.exchange("GET /", &["Connection: close"]);
    assert_eq!(response.text(), "b1");
    client.expect_closed();
    assert_eq!(proxy.get("/").text(), "b1");
}
