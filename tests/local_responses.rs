//! Responses that the proxy gives itself: redirects, fixed responses, and pages for errors, its own and members'.

use std::fs;

use crate::admin::ask as ask_admin;
use crate::harness::client::request;
use crate::harness::peers::{Message, Peer, Reply, Version};
use crate::harness::{Origin, Proxy};
use crate::matrix::{Between, over_all};
use crate::metrics::{metrics, number};

const VERSIONS: [Version; 2] = [Version::Http1, Version::Http2];

/// A proxy with these routes, and a member behind `balancer = "cluster"` that refuses connections.
fn local(routes: &str) -> Proxy {
    let dead = Origin::dead();
    Proxy::before(&[&dead])
        .balancer("forcerecovery = false")
        .routes(routes)
        .start()
}

#[track_caller]
fn ask(proxy: &Proxy, version: Version, request: &Message) -> Message {
    let answer = Peer::connect(version, proxy.address()).exchange(request);
    let answer = answer.expect("an answer");
    assert!(answer.is_whole, "{answer:?}");
    answer
}

fn get(target: &str) -> Message {
    Message::of(&format!("GET {target}"))
}

#[test]
fn a_redirect_sends_clients_elsewhere() {
    let proxy = local(
        "[[route]]\npath = \"/old\"\nredirect = { to = \"https://www.test${path}${?query}\", status = 301 }\n\
         [[route]]\nmatch = '^/a/([^/]*)/(.*)$'\nredirect = { to = \"/b/$2/$1\" }\n\
         [[route]]\npath = \"/\"\nredirect = { to = \"${scheme}://${host}:81/x?${query}\", status = 308 }\n\
         response-headers = { set = { X-Route = \"${route}\" } }\n",
    );
    let table = [
        ("/old", "301", "https://www.test/old"),
        (
            "/old/x%20y?q=1&$1",
            "301",
            "https://www.test/old/x%20y?q=1&$1",
        ),
        ("/a/x/y/z?q", "302", "/b/y/z/x"),
        ("/a/x%2Fy/%22", "302", "/b/%22/x%2Fy"),
        ("/?a", "308", "http://lb.test:81/x?a"),
        ("/", "308", "http://lb.test:81/x?"),
    ];
    for version in VERSIONS {
        for (target, status, place) in table {
            let answer = ask(&proxy, version, &get(target));
            assert_eq!(answer.start, status, "{version} {target}");
            assert_eq!(answer.value("location"), Some(place), "{version} {target}");
            let route = (status == "308").then_some("/");
            assert_eq!(answer.value("x-route"), route);
        }
        let answer = ask(&proxy, version, &Message::of("POST /old").body("body"));
        assert_eq!(answer.start, "301");
        let answer = ask(&proxy, version, &Message::of("HEAD /old"));
        assert_eq!((&*answer.start, answer.body.len()), ("301", 0));
    }
}

/// Goal: what a client asks for never makes a redirect one to another host, nor a field more. Method: paths that are hosts to browsers,
/// and bytes that no URL may hold.
#[test]
fn a_redirect_cannot_be_made_one_to_another_host() {
    let proxy = local(
        "[[route]]\npath = \"/p\"\nredirect = { to = \"${path}/\" }\n\
         [[route]]\nmatch = '^/c/(.*)$'\nredirect = { to = \"/$1\" }\n\
         [[route]]\npath = \"/\"\nredirect = { to = \"${path}\" }\n",
    );
    let table = [
        ("//evil.test", "/evil.test"),
        ("///evil.test/x", "/evil.test/x"),
        ("/c//evil.test", "/evil.test"),
        ("/c///evil.test", "/evil.test"),
        ("/c/%2Fevil.test", "/%2Fevil.test"),
        ("/c/a%0d%0aX-Evil:1", "/a%0d%0aX-Evil:1"),
        ("/c/\u{e9}\"<>", "/%C3%A9%22%3C%3E"),
        ("/c/a\\b", "/a%5Cb"),
        ("/p//x", "/p//x/"),
    ];
    for (target, place) in table {
        let mut client = proxy.client();
        client.send(request(&format!("GET {target}"), &[], ""));
        let response = client.response();
        assert_eq!(response.status(), 302, "{target}");
        assert_eq!(response.field("location"), Some(place), "{target}");
        assert_eq!(response.head.all("x-evil"), [""; 0]);
    }
    for target in ["/c/\\evil.test", "/\\evil.test"] {
        let response = proxy.get(target);
        let place = response.field("location").unwrap_or("/");
        assert!(
            place.starts_with('/') && !place.starts_with("//"),
            "{place}"
        );
    }
}

#[test]
fn a_fixed_response_is_always_the_same() {
    let proxy = local(
        "[[route]]\npath = \"/gone\"\nrespond = { status = 410, body = \"gone\", content-type = \"text/html\" }\n\
         response-headers = { set = { X-A = \"${method}\" }, append = { Vary = \"b\" } }\n\
         [[route]]\npath = \"/none\"\nrespond = { status = 204 }\n\
         [[route]]\npath = \"/empty\"\nrespond = {}\n",
    );
    for version in VERSIONS {
        let mut client = Peer::connect(version, proxy.address());
        let mut ask = |line: &str, body: &str| {
            let request = Message::of(line).body(body);
            client.exchange(&request).expect("an answer")
        };
        for (line, body) in [
            ("GET /gone/x", ""),
            ("POST /gone", "some"),
            ("DELETE /gone?q", ""),
        ] {
            let answer = ask(line, body);
            assert_eq!((&*answer.start, &*answer.text()), ("410", "gone"));
            assert_eq!(answer.value("content-type"), Some("text/html"));
            assert_eq!(answer.value("content-length"), Some("4"));
            assert_eq!(answer.value("x-a"), line.split(' ').next());
            assert_eq!(answer.value("vary"), Some("b"));
        }
        let answer = ask("HEAD /gone", "");
        assert_eq!(
            (&*answer.start, answer.value("content-length")),
            ("410", Some("4"))
        );
        assert_eq!(answer.text(), "");
        let answer = ask("GET /none", "");
        assert_eq!(
            (&*answer.start, answer.value("content-length")),
            ("204", None)
        );
        let answer = ask("GET /empty", "");
        assert_eq!((&*answer.start, &*answer.text()), ("200", ""));
    }
}

#[test]
fn what_the_proxy_answers_itself_is_logged_and_bounded_by_network() {
    let proxy = Proxy::before(&[])
        .top(
            "access-log = { file = \"stdout\", format = \"json\" }\n[explain]\ndecisions = 10\n\
             [admin]\naddress = \"127.0.0.1:0\"",
        )
        .member_at("http://127.0.0.1:1", "")
        .routes(
            "[[route]]\npath = \"/a\"\nrespond = { status = 418, body = \"teapot\" }\n\
             [[route]]\npath = \"/\"\nrespond = {}\nrequire = [\"192.0.2.1\"]\n",
        )
        .start();
    assert_eq!(proxy.get("/a").status(), 418);
    let line = proxy.stdout.line_with("\"status\":418");
    assert!(
        line.contains("\"error\":null") && line.contains("\"bytes\":6"),
        "{line}"
    );
    assert_eq!(proxy.get("/").status(), 403);
    let counted = metrics(&proxy);
    for (series, expected) in [
        (
            "equipoise_requests_total{route=\"/a\",balancer=\"\",class=\"4xx\"}",
            1.0,
        ),
        (
            "equipoise_requests_total{route=\"/\",balancer=\"\",class=\"4xx\"}",
            1.0,
        ),
        (
            "equipoise_refused_requests_total{reason=\"forbidden\"}",
            1.0,
        ),
    ] {
        assert_eq!(number(&counted, series), expected, "{series}");
    }
    let told = |target: &str| -> serde_json::Value {
        let told = ask_admin(&proxy, &format!("GET /api/v1/explain{target}"), &[]);
        serde_json::from_str(&told.text()).expect("JSON")
    };
    let list = told("");
    let routes = list["decisions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|it| {
            let id = it["id"].as_str().expect("an id");
            told(&format!("?id={id}"))["route"].clone()
        });
    let routes: Vec<_> = routes.collect();
    assert_eq!(routes, ["/", "/a"]);
}

#[test]
fn errors_of_the_proxy_get_the_routes_page() {
    let page = |status: u16| {
        format!("\"{status}\" = {{ body = \"page {status}\", content-type = \"text/html\" }}")
    };
    let pages: Vec<_> = [403, 413, 502, 503, 504].map(page).into();
    let pages = pages.join(", ");
    over_all(|cell| {
        let keys = format!("max-body = \"10B\"\nerror-pages = {{ {pages} }}");
        let mut between = Between::of(cell, &keys, |request| match &*request.start {
            "GET /broken" => Reply::Nothing,
            _ => Reply::Whole(Message::of("502").body("the member's")),
        });
        let answer = between.ask(&Message::of("POST /").body("more than ten bytes"));
        assert_eq!((&*answer.start, &*answer.text()), ("413", "page 413"));
        assert_eq!(answer.value("content-type"), Some("text/html"));
        let answer = between.get("/broken");
        assert_eq!((&*answer.start, &*answer.text()), ("502", "page 502"));
        // What members say themselves stays.
        let answer = between.get("/");
        assert_eq!((&*answer.start, &*answer.text()), ("502", "the member's"));
    });
    let slow = Origin::named("slow")
        .answering(|exchange| exchange.stall())
        .start();
    let keys = format!("timeout = \"200ms\"\nerror-pages = {{ {pages} }}");
    let proxy = Proxy::before(&[&slow]).route(&keys).start();
    for version in VERSIONS {
        let answer = ask(&proxy, version, &get("/"));
        assert_eq!((&*answer.start, &*answer.text()), ("504", "page 504"));
    }
    for version in VERSIONS {
        let pages = format!("error-pages = {{ {pages} }}");
        let proxy = local(&format!(
            "[[route]]\npath = \"/x\"\nbalancer = \"cluster\"\nrequire = [\"192.0.2.1\"]\n{pages}\n\
                                    [[route]]\npath = \"/\"\nbalancer = \"cluster\"\n{pages}\n"
        ));
        let first = ask(&proxy, version, &get("/"));
        assert_eq!((&*first.start, &*first.text()), ("503", "page 503"));
        let answer = ask(&proxy, version, &get("/"));
        assert_eq!((&*answer.start, &*answer.text()), ("503", "page 503"));
        assert!(answer.value("retry-after").is_some(), "{answer:?}");
        let answer = ask(&proxy, version, &get("/x"));
        assert_eq!((&*answer.start, &*answer.text()), ("403", "page 403"));
        let answer = ask(&proxy, version, &Message::of("HEAD /"));
        assert_eq!(
            (answer.value("content-length"), answer.body.len()),
            (Some("8"), 0)
        );
    }
}

#[test]
fn an_error_page_may_be_elsewhere() {
    let proxy = local(
        "[[route]]\npath = \"/\"\nbalancer = \"cluster\"\n\
         error-pages = { \"503\" = { redirect = \"https://status.test/?from=${path}\" } }\n",
    );
    for version in VERSIONS {
        let answer = ask(&proxy, version, &get("/a"));
        assert_eq!((&*answer.start, &*answer.text()), ("302", ""));
        assert_eq!(
            answer.value("location"),
            Some("https://status.test/?from=/a")
        );
        assert_eq!(answer.value("content-type"), None);
    }
}

#[test]
fn errors_of_members_are_replaced() {
    let keys = "replace-member-errors = true\n\
                error-pages = { \"404\" = { body = \"page 404\", content-type = \"text/html\" } }";
    over_all(|cell| {
        let mut between = Between::of(cell, keys, |request| {
            let (_, target) = request.start.split_once(' ').unwrap();
            let answer = match target {
                "/404" => Message::of("404")
                    .field("x-secret", "1")
                    .field("set-cookie", "a=b"),
                "/401" => Message::of("401").field("www-authenticate", "Basic realm=x"),
                "/503" => Message::of("503").field("retry-after", "7").untold(),
                _ => Message::of("302").field("location", "/x"),
            };
            Reply::Whole(answer.body("the member's"))
        });
        let answer = between.get("/404");
        assert_eq!((&*answer.start, &*answer.text()), ("404", "page 404"));
        assert_eq!(answer.value("content-type"), Some("text/html"));
        assert_eq!(
            (answer.value("x-secret"), answer.value("set-cookie")),
            (None, None)
        );
        let answer = between.get("/401");
        assert_eq!(
            (&*answer.start, &*answer.text()),
            ("401", "401 Unauthorized\n")
        );
        assert_eq!(answer.value("www-authenticate"), Some("Basic realm=x"));
        let answer = between.get("/503");
        assert_eq!(
            (&*answer.start, &*answer.text()),
            ("503", "503 Service Unavailable\n")
        );
        assert_eq!(answer.value("retry-after"), Some("7"));
        let answer = between.get("/other");
        assert_eq!((&*answer.start, &*answer.text()), ("302", "the member's"));
        let answer = between.ask(&Message::of("HEAD /404"));
        assert_eq!((&*answer.start, answer.body.len()), ("404", 0));
    });
}

/// What is small is read to its end, so that the next request finds the connection; what never ends is not waited for.
#[test]
fn a_connection_behind_a_replaced_response_is_kept_if_that_ends() {
    let member = Origin::named("b1").answering(|exchange| match exchange.target() {
        "/small" => exchange.respond("500 Internal Server Error", &"x".repeat(10_000)),
        "/large" => exchange.respond("500 Internal Server Error", &"x".repeat(300_000)),
        "/endless" => {
            exchange.send("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 9\r\n\r\nsome");
            exchange.stall();
        }
        _ => exchange.answer("b1"),
    });
    let member = member.start();
    let proxy = Proxy::before(&[&member])
        .route("replace-member-errors = true")
        .top("workers = 1")
        .start();
    let mut client = proxy.client();
    for (target, connections) in [
        ("/small", 1),
        ("/small", 1),
        ("/", 1),
        ("/large", 1),
        ("/", 2),
        ("/endless", 2),
        ("/", 3),
    ] {
        let response = client.get(target);
        let expected = if target == "/" {
            "b1"
        } else {
            "500 Internal Server Error\n"
        };
        assert_eq!(response.text(), expected, "{target}");
        let made = member.when("connections", |log| Some(log.connections));
        assert_eq!(made, connections, "{target}");
    }
}

/// A response that `retry-on` has tried elsewhere is not replaced before.
#[test]
fn what_is_tried_again_is_not_replaced() {
    let failing =
        Origin::named("b1").answering(|exchange| exchange.respond("503 Service Unavailable", ""));
    let failing = failing.start();
    let [good] = Origin::some();
    let proxy = Proxy::before(&[])
        .member(&failing, "lbset = 0")
        .member(&good, "lbset = 1")
        .balancer("retry-on = [503]")
        .route("replace-member-errors = true")
        .start();
    assert_eq!(proxy.get("/").text(), "b1");
    let response = proxy.client().exchange_body("POST /", &[], "body");
    assert_eq!(response.text(), "503 Service Unavailable\n");
}

#[test]
fn bodies_in_files_are_read_again_when_they_change() {
    let proxy = Proxy::before(&[])
        .member_at("http://127.0.0.1:1", "")
        .file("gone.txt", "gone")
        .file("sorry.html", "sorry")
        .routes(
            "[[route]]\npath = \"/gone\"\nrespond = { status = 410, body-file = \"gone.txt\" }\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"\nerror-pages = { \"503\" = { body-file = \"sorry.html\" } }\n",
        )
        .start();
    assert_eq!(
        (proxy.get("/gone").text(), proxy.get("/").text()),
        ("gone".into(), "sorry".into())
    );
    fs::write(proxy.path("gone.txt"), "long gone").expect("a file can be written");
    proxy
        .stderr
        .line_with("the named files are read again and in force");
    assert_eq!(
        (proxy.get("/gone").text(), proxy.get("/").text()),
        ("long gone".into(), "sorry".into())
    );
    // What is of no use changes nothing.
    fs::write(proxy.path("sorry.html"), vec![b'x'; (1 << 20) + 1]).expect("a file can be written");
    let line = proxy
        .stderr
        .line_with("sorry.html: has 1048577 bytes, and may have 1048576");
    assert!(
        line.contains("route[1].error-pages.503.body-file"),
        "{line}"
    );
    assert_eq!(proxy.get("/").text(), "sorry");
}

#[test]
fn a_file_that_is_not_there_is_a_mistake() {
    let directory = tempfile::TempDir::new().expect("a directory");
    let toml = "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nrespond = { body-file = \"none.txt\" }\n\
                [[balancer.b.member]]\nurl = \"http://127.0.0.1:1\"\n";
    let path = crate::harness::proxy::write_config(directory.path(), toml);
    let checked = crate::harness::program(&["check"])
        .arg(path)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&checked.stderr).into_owned()
        + &String::from_utf8_lossy(&checked.stdout);
    assert!(!checked.status.success());
    assert!(
        told.contains("route[0].respond.body-file") && told.contains("none.txt: cannot be read"),
        "{told}"
    );
}
