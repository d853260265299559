//! Routes: which requests they are for.

use super::*;

fn route(lines: &str) -> Route {
    good(&with(ROUTE, lines).0).routes.remove(0)
}

/// A route that has a pattern in place of its path.
fn matching(lines: &str) -> String {
    GOOD.replace("path = \"/app\"", lines)
}

#[track_caller]
fn refused(text: &str, remedy: &str) {
    let told = mistakes(text);
    assert!(
        told.iter().any(|it| it.contains(remedy)),
        "{remedy}: {told:#?}"
    );
}

#[test]
fn a_route_is_for_one_host_or_several() {
    let exact = |host: &str| HostPattern::Exact(host.to_owned());
    assert_eq!(route("host = \"a.test\"").hosts, [exact("a.test")]);
    let several = route("host = [\"a.test\", \"*.B.test\"]").hosts;
    assert_eq!(
        several,
        [exact("a.test"), HostPattern::Below(".b.test".into())]
    );
    refused(
        &with(ROUTE, "host = []").0,
        "route[0].host = []: must not be empty",
    );
    refused(
        &with(ROUTE, "host = [\"a.test\", \"*\"]").0,
        "route[0].host[1] = \"*\": leave it out",
    );
    refused(&with(ROUTE, "host = \"a.test:80\"").0, "says `listener`");
}

#[test]
fn a_route_is_for_listeners_that_there_are() {
    let address = "127.0.0.1:8080".parse().unwrap();
    assert_eq!(route("listener = \"127.0.0.1:8080\"").listeners, [address]);
    assert_eq!(
        route("listener = [\"127.0.0.1:8080\"]").listeners,
        [address]
    );
    let unknown = "is the address of no [[listen]]; there are 127.0.0.1:8080";
    refused(&with(ROUTE, "listener = [\"127.0.0.1:80\"]").0, unknown);
    refused(
        &with(ROUTE, "listener = [\"http\"]").0,
        "must be an IP address and a port",
    );
}

#[test]
fn a_route_is_called_by_what_it_is_for() {
    let table = [
        ("path = \"/x\"", "/x"),
        ("path = \"/x\"\nhost = \"a.test\"", "a.test/x"),
        (
            "path = \"/\"\nhost = [\"a.test\", \"*.b.test\"]",
            "a.test,*.b.test/",
        ),
        (
            "path = \"/\"\nlistener = \"127.0.0.1:8080\"",
            "/ on 127.0.0.1:8080",
        ),
        ("match = \"^/(a|b)\"", "~^/(a|b)"),
        ("match = \"^/a\"\nhost = \"a.test\"", "a.test~^/a"),
    ];
    for (lines, label) in table {
        let config = good(&matching(lines));
        assert_eq!(config.routes[0].label(), label, "{lines}");
    }
}

#[test]
fn a_pattern_stands_in_place_of_a_path() {
    let config = good(&matching(
        "match = '^/(api|rest)/(.*)$'\nmember-path = '/$1/${2}'",
    ));
    let route = &config.routes[0];
    let pattern = route.pattern.as_ref().unwrap();
    assert_eq!((&*route.path, &*route.member_path), ("/", "/"));
    assert_eq!(pattern.regex.as_str(), "^/(api|rest)/(.*)$");
    let slash = || Piece::Text("/".to_owned());
    let pieces = [slash(), Piece::Capture(1), slash(), Piece::Capture(2)];
    assert_eq!(pattern.member_path.as_ref().unwrap().pieces(), pieces);
}

#[test]
fn a_pattern_that_cannot_be_is_refused() {
    let table = [
        ("path = \"/\"\nmatch = \"^/\"", "contradicts path"),
        (
            "match = \"^/(\"",
            "must be a regular expression, such as \"^/(api|rest)/(.*)$\": unclosed group",
        ),
        (
            "match = \"^/(a{1000}){1000}\"",
            "would take too much memory",
        ),
        ("match = '^/(\\w{100}){20}'", "would take too much memory"),
        ("match = \"^/a\\\\1\"", "backreferences are not supported"),
        (
            "match = \"^/\"\nmember-path = \"/$1\"",
            "no group in parentheses",
        ),
        (
            "match = \"^/(a)\"\nmember-path = \"/$2\"",
            "must be from $1 to $1",
        ),
        (
            "match = \"^/(a)\"\nmember-path = \"$1\"",
            "must start with a slash",
        ),
        (
            "match = \"^/(a)\"\nmember-path = \"/../$1\"",
            "must not contain `.` or `..`",
        ),
        ("match = \"^/(a)\"\nmember-path = \"/b?$1\"", "without `?`"),
        (
            "match = \"^/(a)\"\nmember-path = \"/${host}\"",
            "unknown variable `${host}`",
        ),
        (
            "match = \"^/\"\noptions-asterisk = true",
            "only a route with path = \"/\" can take it",
        ),
        ("# no path", "or match = \"…\" with a regular expression"),
    ];
    for (lines, remedy) in table {
        refused(&matching(lines), remedy);
    }
    let long = format!("match = \"{}\"", "a".repeat(4097));
    refused(&matching(&long), "must have at most 4096 bytes");
}

#[test]
fn header_rules_are_read_in_their_order() {
    let lines = "request-headers = { set = { \"X-B\" = \"${client-address}:${client-port}\", X-A = \"$$1\" }, append = { Via = \"x\" }, unset = [\"X-C\"] }";
    let rules = route(lines).request_headers.unwrap();
    let names: Vec<_> = rules.set.iter().map(|(name, _)| &**name).collect();
    assert_eq!(names, ["X-B", "X-A"]);
    assert_eq!(
        (&*rules.append[0].0, &*rules.unset),
        ("Via", &["X-C".to_owned()][..])
    );
    assert_eq!(rules.set[1].1.pieces(), [Piece::Text("$1".to_owned())]);
    assert_eq!(route("response-headers = {}").response_headers, None);
}

#[test]
fn fields_that_the_proxy_decides_have_no_rules() {
    let both = [
        "Connection",
        "keep-alive",
        "TE",
        "Trailer",
        "Upgrade",
        "Transfer-Encoding",
        "Content-Length",
        "Proxy-Authorization",
        "Proxy-Anything",
        "Proxy",
        "HTTP2-Settings",
        ":path",
        "a b",
        "",
    ];
    let requests = ["Host", "Expect", "Max-Forwards", "Client-Cert"];
    for name in both.iter().chain(&requests) {
        for rule in [
            format!("unset = [\"{name}\"]"),
            format!("set = {{ \"{name}\" = \"x\" }}"),
            format!("append = {{ \"{name}\" = \"x\" }}"),
        ] {
            refused(
                &with(ROUTE, &format!("request-headers = {{ {rule} }}")).0,
                "must ",
            );
            if both.contains(name) {
                refused(
                    &with(ROUTE, &format!("response-headers = {{ {rule} }}")).0,
                    "must ",
                );
            }
        }
    }
    let host = with(ROUTE, "request-headers = { set = { host = \"x\" } }").0;
    refused(
        &host,
        "request-headers.set.host = \"x\": must not be `host`, which the route's `preserve-host`",
    );
}

#[test]
fn header_rules_that_mean_nothing_are_refused() {
    let table = [
        (
            "request-headers = { set = { X-A = \"a\\r\\nb: c\" } }",
            "must not contain '\\r'",
        ),
        (
            "request-headers = { set = { X-A = \"a\\u0000\" } }",
            "must not contain '\\0'",
        ),
        (
            "request-headers = { set = { X-A = 1 } }",
            "must be a string in quotes",
        ),
        (
            "request-headers = { set = { X-A = \"$1\" } }",
            "only in `member-path` and `redirect`",
        ),
        (
            "response-headers = { set = { X-A = \"${user}\" } }",
            "unknown variable `${user}`; the variables here are",
        ),
        (
            "request-headers = { set = { X-A = \"1\", x-a = \"2\" } }",
            "names of fields are the same in either case",
        ),
        (
            "request-headers = { append = { Cookie = \"a=b\" } }",
            "write it in `set`",
        ),
        (
            "request-headers = { add = { X-A = \"1\" } }",
            "unknown key `add`",
        ),
        (
            "request-headers = { unset = \"X-A\" }",
            "must be a list such as [\"X-Powered-By\"]",
        ),
    ];
    for (line, remedy) in table {
        refused(&with(ROUTE, line).0, remedy);
    }
}
