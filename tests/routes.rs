//! Which requests go where: hosts, paths, exclusions, and the path on the member's side.

use crate::harness::port;
use crate::harness::proxy::server;
use crate::harness::{Origin, Proxy};

/// A proxy with these routes; balancer `NAME` has one member, which answers with `NAME`.
fn routed(names: &[&str], routes: &[(&str, &str)]) -> (Vec<Origin>, Proxy) {
    let origins: Vec<_> = names
        .iter()
        .map(|name| Origin::named(name).start())
        .collect();
    let mut toml = "[[listen]]\naddress = \"127.0.0.1:0\"\n".to_owned();
    for (name, keys) in routes {
        toml += &format!("[[route]]\nbalancer = \"{name}\"\n{keys}\n");
    }
    for (name, origin) in names.iter().zip(&origins) {
        toml += &format!("[[balancer.{name}.member]]\nurl = \"{}\"\n", origin.url());
    }
    (origins, Proxy::with(&toml).start())
}

/// Who serves a `GET` of this target at this host.
#[track_caller]
fn ask(proxy: &Proxy, host: &str, target: &str) -> String {
    let mut client = proxy.client();
    client.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
    server(&client.response())
}

#[test]
fn hosts_match_exactly_or_below() {
    let routes = [
        ("shop", "path = \"/\"\nhost = \"shop.example.com\""),
        ("below", "path = \"/\"\nhost = \"*.example.com\""),
        ("any", "path = \"/any\""),
    ];
    let (_origins, proxy) = routed(&["shop", "below", "any"], &routes);
    let table = [
        ("shop.example.com", "/", "shop"),
        ("SHOP.Example.COM", "/", "shop"),
        ("shop.example.com:8080", "/", "shop"),
        ("shop.example.com.", "/", "shop"),
        ("www.example.com", "/", "below"),
        ("a.b.example.com", "/x", "below"),
        ("x.shop.example.com", "/", "below"),
        ("example.com", "/", "404"),
        ("notexample.com", "/", "404"),
        ("shop.example.com.evil.test", "/", "404"),
        ("elsewhere.test", "/any", "any"),
        ("127.0.0.1", "/any", "any"),
        ("[::1]:80", "/any", "any"),
    ];
    for (host, target, expected) in table {
        assert_eq!(ask(&proxy, host, target), expected, "{host} {target}");
    }
}

#[test]
fn the_first_route_that_matches_wins() {
    let routes = [
        ("deep", "path = \"/a/b\""),
        ("wide", "path = \"/a\""),
        ("late", "path = \"/a/c\""),
    ];
    let (_origins, proxy) = routed(&["deep", "wide", "late"], &routes);
    for (target, expected) in [
        ("/a/b", "deep"),
        ("/a/b/c", "deep"),
        ("/a", "wide"),
        ("/a/c", "wide"),
    ] {
        assert_eq!(ask(&proxy, "lb.test", target), expected, "{target}");
    }
}

#[test]
fn a_path_matches_at_segment_boundaries() {
    let (_origins, proxy) = routed(&["app"], &[("app", "path = \"/app\"")]);
    let table = [
        ("/app", "app"),
        ("/app/", "app"),
        ("/app/x", "app"),
        ("/app?x=1", "app"),
        ("/app/x?y=/z", "app"),
        ("/", "404"),
        ("/apple", "404"),
        ("/ap", "404"),
        ("/APP", "404"),
        ("/x/app", "404"),
        ("/x?/app", "404"),
    ];
    for (target, expected) in table {
        assert_eq!(ask(&proxy, "lb.test", target), expected, "{target}");
    }
}

/// Applications whose clients take no cookies write their sessions there.
#[test]
fn parameters_of_a_path_lead_to_no_other_route() {
    let routes = [
        ("app", "path = \"/app\"\nexclude = [\"/app/private\"]"),
        ("root", "path = \"/\""),
    ];
    let (_origins, proxy) = routed(&["app", "root"], &routes);
    let table = [
        ("/app;jsessionid=1.r1", "app"),
        ("/app;jsessionid=1.r1?x", "app"),
        ("/app;v=1/x;w=2", "app"),
        ("/;v=1/app", "app"),
        ("/app;v=1/private;w=2", "root"),
        ("/apple;v=1", "root"),
        ("/app%3Bv=1", "root"),
    ];
    for (target, expected) in table {
        assert_eq!(ask(&proxy, "lb.test", target), expected, "{target}");
    }
}

#[test]
fn a_request_that_no_route_matches_is_404_and_the_connection_goes_on() {
    let (_origins, proxy) = routed(&["app"], &[("app", "path = \"/app\"")]);
    let mut client = proxy.client();
    assert_eq!(client.get("/other").status(), 404);
    assert_eq!(
        client.exchange_body("POST /other", &[], "content").status(),
        404
    );
    assert_eq!(server(&client.get("/app")), "app");
}

#[test]
fn an_excluded_path_goes_to_the_next_route_that_matches() {
    let routes = [
        ("app", "path = \"/\"\nexclude = [\"/static\", \"/a/b\"]"),
        ("files", "path = \"/static\""),
    ];
    let (_origins, proxy) = routed(&["app", "files"], &routes);
    let table = [
        ("/", "app"),
        ("/static", "files"),
        ("/static/x", "files"),
        ("/statics", "app"),
        ("/a/b", "404"),
        ("/a/b/c", "404"),
        ("/a/bc", "app"),
    ];
    for (target, expected) in table {
        assert_eq!(ask(&proxy, "lb.test", target), expected, "{target}");
    }
}

/// Asks for each target behind an exclusion of `/private`; none may reach the member.
#[track_caller]
fn excluded(targets: &[&str]) {
    let routes = [("app", "path = \"/\"\nexclude = [\"/private\"]")];
    let (origins, proxy) = routed(&["app"], &routes);
    let served = |target: &&str| (target.to_string(), ask(&proxy, "lb.test", target));
    let mut table: Vec<_> = targets.iter().map(served).collect();
    table.retain(|(_, served)| served != "400" && served != "404");
    assert!(table.is_empty(), "not refused: {table:?}");
    assert_eq!(origins[0].hits(), 0);
}

/// Goal: an exclusion keeps requests from the member however the path is written. Method: ways to write `/private` that
/// mean the same by RFC 3986, or to members that take an encoded slash for a slash, or merge slashes.
#[test]
fn an_exclusion_is_not_fooled_by_how_a_path_is_written() {
    excluded(&[
        "/private",
        "/private/",
        "/private?x",
        "//private",
        "///private/x",
        "/./private",
        "/x/../private",
        "/x/y/../../private",
        "/../private",
        "/%70rivate",
        "/%70%72%69%76%61%74%65/x",
        "/%2e/private",
        "/%2E%2e/private",
        "/x/%2e%2e/private",
        "/x/.%2e/private",
        "/private%2fx",
        "/private%2Fx",
        "/x%2f..%2fprivate",
        "/%2fprivate",
    ]);
}

/// Servlet containers take what follows a semicolon out of a segment before they resolve dots.
#[test]
fn an_exclusion_is_not_fooled_by_path_parameters() {
    excluded(&[
        "/private;v=1",
        "/private;v=1/x",
        "/;/private",
        "/x/..;/private",
        "/x/..;v=1/private",
    ]);
}

/// Some members take a backslash for a slash, or a path to end at a zero byte.
#[test]
fn an_exclusion_is_not_fooled_by_what_no_url_may_hold() {
    excluded(&[
        "/private\\x",
        "/x\\..\\private",
        "/private%00",
        "/private%5Cx",
    ]);
}

/// Asks for each target through a route from `/app` to `/base`; what reaches the member must lie below `/base`.
#[track_caller]
fn kept_within(targets: &[&str]) {
    let keys = "path = \"/app\"\nmember-path = \"/base\"";
    let (origins, proxy) = routed(&["app"], &[("app", keys)]);
    for target in targets {
        ask(&proxy, "lb.test", target);
    }
    let requests = (0..origins[0].hits()).map(|index| origins[0].request(index));
    let mut seen: Vec<_> = requests
        .map(|request| request.target().to_owned())
        .collect();
    seen.retain(|target| {
        let plain = target.to_ascii_lowercase().replace("%2e", ".");
        plain.contains("..") || !(plain == "/base" || plain.starts_with("/base/"))
    });
    assert!(seen.is_empty(), "these reached the member: {seen:?}");
}

#[test]
fn dots_do_not_lead_out_of_the_members_path() {
    kept_within(&[
        "/app/../admin",
        "/app/%2e%2e/admin",
        "/app/x/../../admin",
        "/app/..",
        "/app/x/%2E%2E/%2e%2e/%2e%2e/admin",
    ]);
}

/// As above, for members that take encoded slashes or backslashes for slashes, or parameters out of segments.
#[test]
fn hidden_dots_do_not_lead_out_of_the_members_path() {
    kept_within(&[
        "/app/..%2fadmin",
        "/app%2f..%2fadmin",
        "/app/x%2f..%2f..%2fadmin",
        "/app/..\\admin",
        "/app/..%5cadmin",
        "/app/..;/admin",
    ]);
}

#[test]
fn the_path_is_mapped_to_the_members_side() {
    let table = [
        ("path = \"/app\"\nmember-path = \"/base\"", "/app", "/base"),
        (
            "path = \"/app\"\nmember-path = \"/base\"",
            "/app/",
            "/base/",
        ),
        (
            "path = \"/app\"\nmember-path = \"/base\"",
            "/app/x/y?q=/app",
            "/base/x/y?q=/app",
        ),
        (
            "path = \"/app\"\nmember-path = \"/base\"",
            "/app?q",
            "/base?q",
        ),
        (
            "path = \"/app\"\nmember-path = \"/base\"",
            "/app;v=1/x?q",
            "/base;v=1/x?q",
        ),
        ("path = \"/app\"\nmember-path = \"/\"", "/app;v=1", "/;v=1"),
        ("path = \"/app\"", "/app;v=1", "/app;v=1"),
        ("path = \"/app\"\nmember-path = \"/\"", "/app/x", "/x"),
        ("path = \"/app\"\nmember-path = \"/\"", "/app", "/"),
        ("path = \"/app\"\nmember-path = \"/\"", "/app?q", "/?q"),
        ("path = \"/\"\nmember-path = \"/base\"", "/x", "/base/x"),
        ("path = \"/\"\nmember-path = \"/base\"", "/", "/base/"),
        ("path = \"/app\"", "/app/x", "/app/x"),
        (
            "path = \"/\"",
            "/a%20b/c%2Cd?x=%2F&y=a+b",
            "/a%20b/c%2Cd?x=%2F&y=a+b",
        ),
        ("path = \"/\"", "/x?", "/x?"),
        ("path = \"/\"", "/a//b/", "/a//b/"),
        (
            "path = \"/\"",
            "/~a/b;c=1/$&'()*+,=:@!",
            "/~a/b;c=1/$&'()*+,=:@!",
        ),
    ];
    for (keys, asked, expected) in table {
        let (origins, proxy) = routed(&["app"], &[("app", keys)]);
        assert_eq!(ask(&proxy, "lb.test", asked), "app", "{keys}: {asked}");
        let request = origins[0].only_request();
        assert_eq!(request.target(), expected, "{keys}: {asked}");
    }
}

/// The path of the member's URL, then the member path, then what the request has behind the route's path.
#[test]
fn the_path_of_a_members_url_comes_first() {
    let table = [
        ("path = \"/\"", "/base", "/x?q=1", "/base/x?q=1"),
        (
            "path = \"/app\"\nmember-path = \"/\"",
            "/base",
            "/app/x",
            "/base/x",
        ),
        (
            "path = \"/app\"\nmember-path = \"/\"",
            "/base/",
            "/app",
            "/base/",
        ),
        ("path = \"/app\"", "/base", "/app/x", "/base/app/x"),
        (
            "path = \"/app\"\nmember-path = \"/b\"",
            "/base",
            "/app/x",
            "/base/b/x",
        ),
    ];
    for (keys, base, asked, expected) in table {
        let [b1] = Origin::some();
        let proxy = Proxy::before(&[])
            .member_at(&format!("{}{base}", b1.url()), "")
            .routes(&format!("[[route]]\nbalancer = \"cluster\"\n{keys}\n"))
            .start();
        assert_eq!(server(&proxy.get(asked)), "b1", "{keys} {base} {asked}");
        let seen = b1.only_request().target().to_owned();
        assert_eq!(
            seen.trim_end_matches('/'),
            expected.trim_end_matches('/'),
            "{keys} {base} {asked}"
        );
    }
}

/// RFC 9112 3.2.2: the host of an absolute target counts, not the field, and the member gets the usual form.
#[test]
fn an_absolute_target_is_understood() {
    let routes = [(
        "shop",
        "path = \"/\"\nhost = \"shop.test\"\npreserve-host = true",
    )];
    let (origins, proxy) = routed(&["shop"], &routes);
    assert_eq!(ask(&proxy, "shop.test", "http://shop.test/x?q=1"), "shop");
    let request = origins[0].request(0);
    assert_eq!(request.head.start, "GET /x?q=1 HTTP/1.1");
    assert_eq!(request.head.field("host"), Some("shop.test"));
    let served = ask(&proxy, "other.test", "http://shop.test/");
    assert!(["shop", "400"].contains(&served.as_str()), "{served}");
    let served = ask(&proxy, "shop.test", "http://other.test/");
    assert!(["404", "400"].contains(&served.as_str()), "{served}");
}

#[test]
fn every_listener_serves_every_route() {
    let [b1] = Origin::some();
    let listen = "[[listen]]\naddress = \"127.0.0.1:0\"\n";
    let toml = format!(
        "{listen}{listen}[[route]]\npath = \"/\"\nbalancer = \"b\"\n[[balancer.b.member]]\nurl = \"{}\"\n",
        b1.url()
    );
    let proxy = Proxy::with(&toml).start();
    let addresses = proxy.addresses();
    assert_eq!(addresses.len(), 2);
    assert_ne!(addresses[0], addresses[1]);
    for address in addresses {
        let mut client = crate::harness::Client::connect(*address);
        assert_eq!(server(&client.get("/")), "b1");
    }
}

#[test]
fn a_route_may_be_for_several_hosts() {
    let routes = [
        ("shop", "path = \"/\"\nhost = [\"a.test\", \"*.b.test\"]"),
        ("any", "path = \"/any\""),
    ];
    let (_origins, proxy) = routed(&["shop", "any"], &routes);
    for (host, target, expected) in [
        ("a.test", "/", "shop"),
        ("A.test:80", "/any", "shop"),
        ("x.b.test", "/", "shop"),
        ("b.test", "/", "404"),
        ("c.test", "/any", "any"),
    ] {
        assert_eq!(ask(&proxy, host, target), expected, "{host} {target}");
    }
}

#[test]
fn a_route_is_for_the_listeners_that_it_names() {
    let [b1, b2] = Origin::some();
    let (first, second) = (port::free(), port::free());
    let route = |keys: &str| format!("[[route]]\npath = \"/\"\n{keys}\n");
    let toml = format!(
        "[[listen]]\naddress = \"{first}\"\n[[listen]]\naddress = \"{second}\"\n{}{}\
         [[balancer.one.member]]\nurl = \"{}\"\n[[balancer.two.member]]\nurl = \"{}\"\n",
        route(&format!("balancer = \"one\"\nlistener = [\"{second}\"]")),
        route("balancer = \"two\""),
        b1.url(),
        b2.url(),
    );
    let _proxy = Proxy::with(&toml).start();
    for (address, expected) in [(first, "b2"), (second, "b1")] {
        let mut client = crate::harness::Client::connect(address);
        assert_eq!(server(&client.get("/")), expected);
    }
}

#[test]
fn a_pattern_says_which_paths_a_route_takes_and_what_they_are_at_the_member() {
    let swap = "match = '^/(api|rest)/(.*)$'\nmember-path = '/v2/$2/${1}0'";
    let plain = "match = '\\.(jpe?g|png)$'";
    let rest = "match = '^/app(.*)$'\nmember-path = '/base$1'";
    let table = [
        (swap, "/api/x", "/v2/x/api0"),
        (swap, "/rest/x/y?q=$1", "/v2/x/y/rest0?q=$1"),
        (swap, "//api/x%20y", "/v2/x%20y/api0"),
        (swap, "/%61pi/x%2Fy", "/v2/x%2Fy/api0"),
        (swap, "/api;v=1/x", "/v2/x/api0"),
        (plain, "/a/b.jpeg?x", "/a/b.jpeg?x"),
        (plain, "/a.png;v=1", "/a.png;v=1"),
        (rest, "/app", "/base"),
        (rest, "/app;jsessionid=1.r1", "/base;jsessionid=1.r1"),
        (rest, "/app;v=1/x/?q", "/base;v=1/x/?q"),
    ];
    for (keys, asked, expected) in table {
        let (origins, proxy) = routed(&["app"], &[("app", keys)]);
        assert_eq!(ask(&proxy, "lb.test", asked), "app", "{keys}: {asked}");
        let request = origins[0].only_request();
        assert_eq!(request.target(), expected, "{keys}: {asked}");
    }
}

/// Goal: captures cannot lead out of the member's path. Method: paths whose parts mean something else when they are put together
/// anew, and ways to write a path by which it could miss a pattern.
#[test]
fn captures_lead_nowhere_else() {
    let keys = "match = '^/app/(.*)/(.*)$'\nmember-path = '/base/$2.$1'";
    let (origins, proxy) = routed(&["app"], &[("app", keys)]);
    for target in [
        "/app/./.",
        "/app/x/../y",
        "/app/../x",
        "/app/x/..%2fy",
        "/app/x/.",
        "/app/x/..;v",
        "/app/.%2F/x%2F",
        "/app/\\x/.",
        "/app/.//",
    ] {
        ask(&proxy, "lb.test", target);
    }
    let requests = (0..origins[0].hits()).map(|index| origins[0].request(index));
    let targets: Vec<_> = requests.map(|it| it.target().to_owned()).collect();
    let leads_out = |target: &&String| {
        let plain = target.replace("%2F", "/").replace("%2f", "/");
        let mut names = plain.split('/').map(|it| it.split(';').next());
        !target.starts_with("/base/") || names.any(|it| matches!(it, Some("." | "..")))
    };
    let out: Vec<_> = targets.iter().filter(leads_out).collect();
    assert!(out.is_empty(), "these reached the member: {out:?}");
}

#[test]
fn no_way_to_write_a_path_misses_a_pattern() {
    let routes = [
        ("inner", "match = '^/private(/.*)?$'"),
        ("open", "path = \"/\""),
    ];
    let (origins, proxy) = routed(&["inner", "open"], &routes);
    for target in [
        "/private",
        "/private/x",
        "//private//x",
        "/%70rivate/x",
        "/x/../private/x",
        "/private;v=1/x",
        "/private/x%0Ay",
        "/private/%ff",
        "/private/\u{e9}",
        "/private/x%E2%80%A8y",
    ] {
        assert_eq!(ask(&proxy, "lb.test", target), "inner", "{target}");
    }
    assert_eq!(ask(&proxy, "lb.test", "/privates"), "open");
    assert_eq!(origins[1].hits(), 1);
}

#[test]
fn a_location_behind_a_pattern_gets_the_clients_host() {
    let member = Origin::named("app").answering(|exchange| {
        let place = format!("http://{}/base/y?q", exchange.address());
        exchange.respond(&format!("302 Found\r\nLocation: {place}"), "");
    });
    let member = member.start();
    let proxy = Proxy::before(&[])
        .member_at(&format!("{}/base", member.url()), "")
        .routes("[[route]]\nbalancer = \"cluster\"\nmatch = '^/(x)$'\nmember-path = '/z/$1'\n")
        .start();
    let response = proxy.get("/x");
    assert_eq!(member.only_request().target(), "/base/z/x");
    assert_eq!(response.field("location"), Some("http://lb.test/y?q"));
}
