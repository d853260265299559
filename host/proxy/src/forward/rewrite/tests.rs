//! Fields that name places, as tables.

use std::path::Path;

use super::*;

fn member(url: &str) -> config::Member {
    let text = format!(
        "listen = [{{ address = \"127.0.0.1:0\" }}]\nroute = [{{ path = \"/\", balancer = \"b\" }}]\n\
         [[balancer.b.member]]\nurl = \"{url}\"\n"
    );
    let mut config = config::Config::parse(&text, Path::new("test.toml")).unwrap();
    config.balancers.remove(0).members.remove(0)
}

/// What becomes of fields of `b1` behind a route from `/app` to `/base` with these keys, for a client of `https://lb.test:8443`.
fn rewritten(keys: &str, name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let text = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/app\"\nmember-path = \"/base\"\nbalancer = \"b\"\n{keys}\n\
         [[balancer.b.member]]\nurl = \"http://b1.internal:9001\"\n\
         [[balancer.b.member]]\nurl = \"https://b2.internal\"\n"
    );
    let config = config::Config::parse(&text, Path::new("test.toml"));
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let members = &config.balancers[0].members;
    let rewrite = Rewrite {
        scheme: "https",
        host: b"lb.test:8443",
        route: &config.routes[0],
        members,
        member: &members[0],
    };
    let known = Known::of(name.as_bytes()).expect("a known name");
    rewrite.field(known, value)
}

/// Of each value either what it becomes, or nothing where it stays.
#[track_caller]
fn assert_rewritten(keys: &str, name: &str, table: &[(&[u8], Option<&[u8]>)]) {
    for (value, expected) in table {
        let found = rewritten(keys, name, value);
        assert_eq!(
            found.map(|it| it.escape_ascii().to_string()),
            expected.map(|it| it.escape_ascii().to_string()),
            "{name}: {}",
            value.escape_ascii()
        );
    }
}

#[test]
fn places_of_members_become_ours_whatever_bytes_are_in_them() {
    let table: &[(&[u8], Option<&[u8]>)] = &[
        (b"/base/y", Some(b"/app/y")),
        (b"/base/caf\xc3\xa9", Some(b"/app/caf\xc3\xa9")),
        (
            b"/base/\xff\x80?q=\xe9#\xe9",
            Some(b"/app/\xff\x80?q=\xe9#\xe9"),
        ),
        (
            b"http://b1.internal:9001/base/\xe9",
            Some(b"https://lb.test:8443/app/\xe9"),
        ),
        (
            b"HTTPS://B2.internal:443/base;v=1/\xe9",
            Some(b"https://lb.test:8443/app;v=1/\xe9"),
        ),
        (
            b"http://b1.internal:9001/base?q=\xff",
            Some(b"https://lb.test:8443/app?q=\xff"),
        ),
        (
            b"//b1.internal:9001/base/y",
            Some(b"https://lb.test:8443/app/y"),
        ),
        (b"http://b1.internal:9001", None),
        (b"http://b1.internal:9001/other/\xe9", None),
        (b"http://\xe9.internal/base", None),
        (b"http://elsewhere.test/base/\xe9", None),
        (b"//elsewhere.test/base", None),
        (b"/basement", None),
        (b"/other?u=http://b1.internal:9001/base", None),
        (b"\xe9", None),
        (b"", None),
    ];
    for name in ["location", "content-location", "uri"] {
        assert_rewritten("", name, table);
    }
}

#[test]
fn targets_of_links_become_ours() {
    let table: &[(&[u8], Option<&[u8]>)] = &[
        (b"</base/a.css>; rel=preload", Some(b"</app/a.css>; rel=preload")),
        (
            b"</base/a>;rel=\"x\", <http://elsewhere.test/>; rel=y , <http://b1.internal:9001/base/\xe9>",
            Some(b"</app/a>;rel=\"x\", <http://elsewhere.test/>; rel=y , <https://lb.test:8443/app/\xe9>"),
        ),
        (
            b"</base/a>; title=\"\xe9 <\\\"/base/b>\", </base/c>",
            Some(b"</app/a>; title=\"\xe9 <\\\"/base/b>\", </app/c>"),
        ),
        (b"</base/a>, </base/unended", Some(b"</app/a>, </base/unended")),
        (b"</other>; rel=x", None),
        (b"<>", None),
        (b"</base/unended", None),
        (b"x=\"</base/quoted>\"", None),
        (b"/base/a", None),
    ];
    assert_rewritten("", "link", table);
}

#[test]
fn places_to_refresh_from_become_ours() {
    let table: &[(&[u8], Option<&[u8]>)] = &[
        (b"5; url=/base/\xe9", Some(b"5; url=/app/\xe9")),
        (b"5;URL = /base", Some(b"5;URL = /app")),
        (b"0, /base/x", Some(b"0, /app/x")),
        (b"1.5; url='/base/x' ", Some(b"1.5; url='/app/x' ")),
        (
            b"5; url=\"http://b1.internal:9001/base\"",
            Some(b"5; url=\"https://lb.test:8443/app\""),
        ),
        (b"5; url=\"/base/unended", Some(b"5; url=\"/app/unended")),
        (b"5; url=http://elsewhere.test/base", None),
        (b"5; url", None),
        (b"5", None),
        (b"", None),
    ];
    assert_rewritten("", "refresh", table);
}

#[test]
fn scopes_of_cookies_become_ours_and_nothing_else_of_them() {
    let table: &[(&[u8], Option<&[u8]>)] = &[
        (b"a=\xe9\xff; Path=/base", Some(b"a=\xe9\xff; Path=/app")),
        (
            b"a=1; Path=/base/\xe9; x=\xff",
            Some(b"a=1; Path=/app/\xe9; x=\xff"),
        ),
        (
            b"a=1;path = /base/ ;HttpOnly",
            Some(b"a=1;path =/app/;HttpOnly"),
        ),
        (
            b"a=\xe9; Domain=.B2.internal; Path=/base",
            Some(b"a=\xe9; Domain=lb.test; Path=/app"),
        ),
        (b"a=1; Domain=\xe9.internal", None),
        (b"path=/base; Secure", None),
        (b"a=1; Path=/; Secure", None),
        (b"a=1; Path", None),
        (b"\xff", None),
        (b"", None),
    ];
    assert_rewritten("", "set-cookie", table);
    assert_rewritten("rewrite-location = false", "set-cookie", table);
    let keys = "cookie-path = { \"/old\" = \"/new\" }\ncookie-domain = { \"old.internal\" = \"new.test\" }";
    let table: &[(&[u8], Option<&[u8]>)] = &[(
        b"a=\xe9; Path=/old/x; Domain=OLD.internal",
        Some(b"a=\xe9; Path=/new; Domain=new.test"),
    )];
    assert_rewritten(keys, "set-cookie", table);
}

#[test]
fn places_stay_where_they_are_not_to_be_rewritten() {
    for name in ["location", "content-location", "uri", "link", "refresh"] {
        for value in [&b"/base"[..], b"</base>", b"5; url=/base"] {
            assert_eq!(rewritten("rewrite-location = false", name, value), None);
        }
    }
    assert_eq!(rewritten("", "server", b"/base"), None);
}

#[test]
fn paths_are_mapped_with_the_parameters_of_segments() {
    let table = [
        ("/app", "/app", "http://m", "/app;p=1", "/app;p=1"),
        ("/app", "/shop", "http://m", "/app", "/shop"),
        ("/app", "/shop", "http://m", "/app;p=1", "/shop;p=1"),
        ("/app", "/shop", "http://m", "/app;p=1/x;q", "/shop;p=1/x;q"),
        (
            "/app",
            "/shop",
            "http://m/base",
            "/app;p=1",
            "/base/shop;p=1",
        ),
        ("/a/b", "/shop", "http://m", "/a;o/b;p/x", "/shop;p/x"),
        ("/app", "/", "http://m", "/app", "/"),
        ("/app", "/", "http://m", "/app/x", "/x"),
        ("/app", "/", "http://m", "/app;p=1", "/;p=1"),
        ("/app", "/", "http://m", "/app;p=1/x", "/x"),
        ("/app", "/", "http://m/base", "/app;p=1/x", "/base;p=1/x"),
        ("/", "/shop", "http://m", "/;p=1", "/shop/;p=1"),
    ];
    for (path, member_path, url, asked, expected) in table {
        let text = format!(
            "listen = [{{ address = \"127.0.0.1:0\" }}]\nroute = [{{ path = \"{path}\", member-path = \"{member_path}\", balancer = \"b\" }}]\n\
             [[balancer.b.member]]\nurl = \"{url}\"\n"
        );
        let config = config::Config::parse(&text, Path::new("test.toml")).unwrap();
        let (route, member) = (&config.routes[0], &config.balancers[0].members[0]);
        let rest = path::strip_prefix(asked.as_bytes(), path).unwrap();
        let found = path_at_member(asked.as_bytes(), rest, route, member);
        assert_eq!(
            found,
            expected.as_bytes(),
            "{path} {member_path} {url} {asked}"
        );
    }
}

#[test]
fn a_url_is_the_members_with_its_tls_and_its_port_written_or_not() {
    let table = [
        ("http://app", "http://app/x", true),
        ("http://app", "HTTP://APP:80/x", true),
        ("http://app", "http://app:81/x", false),
        ("http://app", "https://app/x", false),
        ("http://app:443", "http://app:443/x", true),
        ("http://app:443", "http://app/x", false),
        ("h2c://app", "http://app/x", true),
        ("ws://app", "http://app:80", true),
        ("https://app", "https://app/x", true),
        ("https://app", "https://app:443/x", true),
        ("https://app", "https://app:80/x", false),
        ("https://app", "http://app/x", false),
        ("https://app:80", "https://app:80/x", true),
        ("https://app:80", "https://app/x", false),
        ("h2://app:8443", "https://app:8443?x", true),
        ("wss://[::1]", "https://[::1]/x", true),
        ("unix:/a|http://app", "http://app/x", true),
        ("http://app", "ftp://app/x", false),
        ("https://app", "//app/x", true),
        ("http://app", "//app:80", true),
        ("http://app", "//app:443", false),
    ];
    for (url, location, expected) in table {
        let found = Url::split(location.as_bytes()).is_some_and(|it| it.is_at(&member(url)));
        assert_eq!(found, expected, "{url} {location}");
    }
}
