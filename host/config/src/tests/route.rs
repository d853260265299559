//! Routes: which requests they are for.

use std::time::Duration;

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

#[test]
fn bounds_of_a_route_are_read() {
    let bounded =
        route("require = [\"10.0.0.0/8\", \"::1\"]\ntimeout = \"5s\"\nmax-body = \"1KiB\"");
    assert_eq!(bounded.timeout, Some(Duration::from_secs(5)));
    assert_eq!(bounded.max_body, Some(1024));
    let admits = |client: &str| bounded.admits(client.parse().unwrap());
    assert!(admits("10.1.2.3") && admits("::ffff:10.1.2.3") && admits("::1"));
    assert!(!admits("11.0.0.1") && !admits("::2"));
    let open = route("max-body = \"0B\"");
    assert_eq!((open.timeout, open.max_body), (None, Some(0)));
    assert!(open.admits("192.0.2.1".parse().unwrap()));
    refused(&with(ROUTE, "require = []").0, "must name a network");
    refused(
        &with(ROUTE, "require = [\"local\"]").0,
        "write \"127.0.0.0/8\" and \"::1\"",
    );
    refused(
        &with(ROUTE, "require = [\"10.0.0.1/8\"]").0,
        "write 10.0.0.0/8",
    );
    refused(&with(ROUTE, "max-body = 100").0, "must have a unit");
}

/// A route that has this in place of its balancer.
fn acting(lines: &str) -> String {
    let (before, after) = GOOD.split_once("balancer = \"mycluster\"\n").unwrap();
    format!("{before}{lines}\n{after}")
}

#[test]
fn a_route_has_a_balancer_or_answers_itself() {
    let redirect = good(&acting(
        "redirect = { to = \"https://www.test${path}${?query}\" }",
    ));
    let Action::Redirect(redirect) = &redirect.routes[0].action else {
        panic!("no redirect");
    };
    assert_eq!((redirect.status, redirect.to.pieces().len()), (302, 3));
    let respond = good(&acting("respond = { status = 410, body = \"gone\" }"));
    let Action::Respond(respond) = &respond.routes[0].action else {
        panic!("no response");
    };
    let content = Content {
        body: Body::Text("gone".to_owned()),
        content_type: "text/plain; charset=utf-8".to_owned(),
    };
    assert_eq!((respond.status, &respond.content), (410, &Some(content)));
    let table = [
        (
            "# nothing",
            "route[0].balancer: is missing; write which balancer takes the requests",
        ),
        (
            "respond = {}\nredirect = { to = \"/\" }",
            "respond = {}: contradicts redirect",
        ),
        (
            "balancer = \"mycluster\"\nrespond = {}",
            "contradicts balancer",
        ),
        (
            "respond = {}\nmax-body = \"1B\"",
            "max-body = \"1B\": does nothing without a balancer",
        ),
        (
            "respond = { status = 100 }",
            "must be a whole number from 200 to 599",
        ),
        (
            "respond = { status = 204, body = \"x\" }",
            "has no place in a response with status 204",
        ),
        (
            "respond = { body = \"x\", body-file = \"y\" }",
            "contradicts body",
        ),
        (
            "respond = { content-type = \"text/html\" }",
            "is of no body",
        ),
        (
            "respond = { body = \"x\", content-type = \"html\" }",
            "must be a media type",
        ),
        (
            "respond = { body = \"x\", content-type = \"a/b\\r\\nc: d\" }",
            "must be a media type",
        ),
        ("redirect = {}", "redirect.to: is missing"),
        (
            "redirect = { to = \"/\", status = 304 }",
            "must be one of 301, 302, 303, 307, 308",
        ),
        (
            "redirect = { to = \"/${member}\" }",
            "only where a member is asked",
        ),
        (
            "respond = {}\nresponse-headers = { set = { X = \"${member}\" } }",
            "only where a member is asked",
        ),
        ("redirect = { to = \"/$1\" }", "no group in parentheses"),
    ];
    for (lines, remedy) in table {
        refused(&acting(lines), remedy);
    }
    let large = format!("respond = {{ body = \"{}\" }}", "x".repeat(65 * 1024));
    refused(&acting(&large), "must have at most 65536 bytes");
}

#[test]
fn requests_cannot_name_the_host_that_clients_are_sent_to() {
    let of = |to: &str| {
        let lines = format!("match = '^/old(.*)$'\nredirect = {{ to = \"{to}\" }}");
        acting(&lines).replace("path = \"/app\"\n", "")
    };
    for to in [
        "/new$1",
        "/",
        "${path}",
        "https://a.test",
        "https://a.test/$1",
        "http://a.test${path}",
        "https://${host}:8443${path}",
        "${scheme}://${authority}/x$1",
        "https://a.test?q=$1",
        "https://a.test${?query}",
        "https://[::1]:80/$1",
    ] {
        good(&of(to));
    }
    for to in [
        "https://a.test$1",
        "https://$1",
        "https://${query}/",
        "https://a${method}.test/",
        "https://${client-address}$1",
    ] {
        refused(&of(to), "must have a slash between its host and");
    }
    for to in [
        "$1",
        "ftp://a.test/",
        "a.test",
        "",
        "javascript:alert(1)",
        "${scheme}:$1",
        "${host}/x",
        "\\\\a",
    ] {
        refused(&of(to), "redirect");
    }
    refused(&of("//a.test/"), "must not begin with two slashes");
    refused(&of("https:///x"), "must have a host behind");
    refused(&of("https://u@a.test/"), "must have a host alone");
    refused(&of("https://a.test/ x"), "write it percent-encoded");
}

#[test]
fn error_pages_are_found_by_their_status() {
    let lines = "error-pages = { \"503\" = { body-file = \"sorry.html\", content-type = \"text/html\" }, \"404\" = { redirect = \"/x\" }, \"502\" = { body = \"b\" } }";
    let config = good(&with(ROUTE, lines).0);
    let pages = config.routes[0].error_pages.as_ref().unwrap();
    assert!(matches!(pages.page(404), Some(ErrorPage::Redirect(_))));
    assert!(matches!(pages.page(502), Some(ErrorPage::Content(_))));
    assert!(pages.page(500).is_none());
    let files: Vec<_> = config
        .body_files()
        .map(|it| (it.key, it.path, it.most))
        .collect();
    let file = Path::new("conf/sorry.html");
    assert_eq!(
        files,
        [(
            "route[0].error-pages.503.body-file".to_owned(),
            file,
            1 << 20
        )]
    );
    let table = [
        (
            "error-pages = { \"200\" = { body = \"x\" } }",
            "must be named by the status that it is for, from 400 to 599",
        ),
        (
            "error-pages = { \"0404\" = { body = \"x\" } }",
            "must be named by the status",
        ),
        (
            "error-pages = { \"404\" = {} }",
            "must have a body, a body-file or a redirect",
        ),
        (
            "error-pages = { \"404\" = { body = \"x\", redirect = \"/\" } }",
            "contradicts the body",
        ),
        (
            "error-pages = { \"404\" = \"x\" }",
            "must be a table such as",
        ),
        (
            "error-pages = { \"404\" = { redirect = \"https://$1\" } }",
            "only in `member-path` and `redirect`",
        ),
    ];
    for (line, remedy) in table {
        refused(&with(ROUTE, line).0, remedy);
    }
}
