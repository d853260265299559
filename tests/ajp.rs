//! Members by AJP: what containers are told, how bodies pass both ways, and what becomes of those that break the rules.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use crate::harness::ajp::{Container, Exchange};
use crate::harness::proxy::server;
use crate::harness::wire::pattern;
use crate::harness::{Origin, Proxy, eventually};

/// A container that answers with what it was sent.
fn echo() -> Container {
    Container::start(None, |exchange| {
        let body = exchange.read_body();
        exchange.answer(200, &[], &body);
    })
}

fn proxy_of(container: &Container, keys: &str) -> Proxy {
    Proxy::before(&[]).member_at(&container.url(), keys).start()
}

#[test]
fn containers_are_told_what_is_known_of_a_request() {
    let container = Container::named("c1");
    let proxy = proxy_of(&container, "route = \"jvm1\"\nsecret = \"s3cret\"");
    let mut client = proxy.client();
    let fields = [
        "Accept: text/html",
        "X-Own: 1",
        "Connection: x-hop",
        "X-Hop: 1",
    ];
    for _ in 0..2 {
        let response = client.exchange("GET /a%20b?c=d", &fields);
        assert_eq!((response.status(), server(&response).as_str()), (200, "c1"));
    }
    assert_eq!(container.connections(), 1, "connections are kept");
    for request in container.requests() {
        assert_eq!((request.method, &*request.uri), (2, "/a%20b"));
        assert_eq!(
            (&*request.client, &*request.server),
            ("127.0.0.1", "lb.test")
        );
        assert_eq!((request.port, request.is_tls), (80, false));
        assert_eq!(request.field("accept"), Some("text/html"));
        assert_eq!(request.field("x-own"), Some("1"));
        assert_eq!(request.field("x-hop"), None);
        assert_eq!(request.field("connection"), None);
        assert_eq!(request.attribute("query_string"), Some("c=d"));
        assert_eq!(request.attribute("jvm_route"), Some("jvm1"));
        assert_eq!(request.attribute("secret"), Some("s3cret"));
        assert_eq!(request.attribute("AJP_LOCAL_ADDR"), Some("127.0.0.1"));
        assert!(request.attribute("AJP_REMOTE_PORT").is_some());
    }
}

#[test]
fn bodies_pass_both_ways_in_any_framing() {
    let container = echo();
    let proxy = proxy_of(&container, "");
    let mut client = proxy.client();
    for size in [0, 1, 8186, 8187, 100_000, 1_000_000_usize] {
        let body: Vec<u8> = (0..size).map(|it| (it % 251) as u8).collect();
        let length = format!("Content-Length: {size}");
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: lb.test\r\n{length}\r\n\r\n"
        ));
        client.send(&body);
        let response = client.response();
        assert_eq!(response.status(), 200);
        assert!(response.body.bytes == body, "{size} with a length");
        client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n");
        for piece in body.chunks(30_000) {
            client.send(format!("{:x}\r\n", piece.len()));
            client.send(piece);
            client.send("\r\n");
        }
        client.send("0\r\n\r\n");
        let response = client.response();
        assert_eq!(response.status(), 200);
        assert!(response.body.bytes == body, "{size} in chunks");
    }
    assert_eq!(container.connections(), 1, "each is over before the next");
}

#[test]
fn responses_without_a_body_keep_the_connection() {
    let container = Container::start(None, |exchange| match &*exchange.request.uri {
        "/204" => {
            exchange.head(204, &[]);
            exchange.end(true);
        }
        "/304" => {
            exchange.head(304, &[("ETag", "\"1\"")]);
            exchange.end(true);
        }
        _ => exchange.answer(200, &[], b"body"),
    });
    let proxy = proxy_of(&container, "");
    let mut client = proxy.client();
    for (line, status, length) in [
        ("HEAD /", 200, Some("4")),
        ("GET /204", 204, None),
        ("GET /304", 304, None),
        ("GET /", 200, Some("4")),
    ] {
        let response = client.exchange(line, &[]);
        assert_eq!(response.status(), status, "{line}");
        assert_eq!(response.field("content-length"), length, "{line}");
    }
    assert_eq!(container.connections(), 1);
}

#[test]
fn a_response_without_a_length_ends_where_the_container_says() {
    let container = Container::start(None, |exchange| {
        exchange.head(200, &[("Content-Type", "text/plain")]);
        exchange.body(b"one ");
        exchange.body(b"two");
        exchange.end(false);
    });
    let proxy = proxy_of(&container, "");
    let mut client = proxy.client();
    for count in 1..3 {
        assert_eq!(client.get("/").text(), "one two");
        assert_eq!(container.connections(), count, "it wants no other request");
    }
}

/// The container responds without reading what it is sent, and after the first chunk.
#[test]
fn a_container_may_respond_before_it_has_the_body() {
    let container = Container::start(None, |exchange| {
        let first = exchange.chunk().map_or(0, |it| it.len());
        assert!(first > 0);
        exchange.answer(413, &[], b"too large");
    });
    let proxy = proxy_of(&container, "");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 1000000\r\n\r\n");
    client.send(pattern(0, 20_000));
    let response = client.response();
    assert_eq!((response.status(), &*response.text()), (413, "too large"));
}

#[test]
fn sessions_stay_with_their_jvm() {
    let (one, other) = (Container::named("c1"), Container::named("c2"));
    let proxy = Proxy::before(&[])
        .balancer("stickysession = \"JSESSIONID|jsessionid\"")
        .member_at(&one.url(), "route = \"jvm1\"")
        .member_at(&other.url(), "route = \"jvm2\"")
        .start();
    for (route, expected) in [("jvm1", "c1"), ("jvm2", "c2")] {
        let cookie = format!("Cookie: JSESSIONID=abc.{route}");
        assert_eq!(proxy.served_to(4, "GET /", &[&cookie]), [expected; 4]);
        let target = format!("GET /a;jsessionid=abc.{route}");
        assert_eq!(proxy.served_to(4, &target, &[]), [expected; 4]);
    }
}

#[test]
fn another_member_is_asked_where_one_refuses() {
    let (dead, container) = (Origin::dead(), Container::named("c1"));
    let dead = dead.url().replace("http", "ajp");
    let proxy = Proxy::before(&[])
        .member_at(&dead, "")
        .member_at(&container.url(), "")
        .start();
    assert_eq!(proxy.served(3), ["c1"; 3]);
}

/// A kept connection that was closed is found out with the next request, which goes over a new one, whatever it is.
#[test]
fn a_connection_that_the_container_closes_costs_no_request() {
    let container = Container::start(None, |exchange| {
        exchange.read_body();
        exchange.answer(200, &[], b"c1");
        exchange.close();
    });
    let proxy = proxy_of(&container, "");
    let mut client = proxy.client();
    for _ in 0..5 {
        let response = client.exchange_body("PUT /", &[], "body");
        assert_eq!(&*response.text(), "c1");
    }
}

/// The first connection is reset when the request has come, and before anything is said.
#[test]
fn an_idempotent_request_is_sent_again_with_its_body() {
    let count = AtomicUsize::new(0);
    let faulty = Container::start(None, move |exchange| {
        count.fetch_add(1, SeqCst);
        exchange.close();
    });
    let echo = echo();
    let proxy = Proxy::before(&[])
        .member_at(&faulty.url(), "")
        .member_at(&echo.url(), "")
        .start();
    let mut client = proxy.client();
    let response = client.exchange_body("PUT /", &[], "content");
    assert_eq!((response.status(), &*response.text()), (200, "content"));
}

#[test]
fn a_wrong_secret_is_the_containers_to_refuse() {
    let container = Container::start(Some("right"), |exchange| {
        exchange.answer(200, &[], b"c1");
    });
    for (keys, status) in [
        ("secret = \"right\"", 200),
        ("secret = \"wrong\"", 403),
        ("", 403),
    ] {
        let proxy = proxy_of(&container, keys);
        assert_eq!(proxy.get("/").status(), status, "{keys}");
    }
}

/// Each breaks the rules in its own way: the client gets 502, and the connection is closed.
#[test]
fn containers_that_break_the_rules_are_cut_off() {
    type Act = fn(&mut Exchange<'_>);
    let table: [(&str, Act); 9] = [
        ("no magic", |it| it.send(b"HTTP/1.1 200 OK\r\n\r\n")),
        ("an empty packet", |it| it.send(b"AB\0\0")),
        ("a packet too large", |it| it.send(b"AB\xff\xff\x04")),
        ("a head cut off", |it| it.send(b"AB\0\x03\x04\0\xc8")),
        ("payload before a head", |it| it.body(b"early")),
        ("an end before a head", |it| it.end(true)),
        ("an answer to no ping", |it| it.send(b"AB\0\x01\x09")),
        ("101", |it| it.head(101, &[("Upgrade", "websocket")])),
        ("a field with a line break", |it| {
            it.head(200, &[("X", "a\r\nSet-Cookie: b")]);
        }),
    ];
    for (what, act) in table {
        let container = Container::start(None, move |exchange| {
            act(exchange);
            exchange.await_close();
        });
        let proxy = proxy_of(&container, "");
        assert_eq!(proxy.get("/").status(), 502, "{what}");
        container.await_closed(container.connections());
    }
}

/// It asks for more and more of a body that is none, or before it has what it asked for.
#[test]
fn a_container_that_asks_out_of_turn_is_cut_off() {
    let container = Container::start(None, |exchange| {
        for _ in 0..1000 {
            exchange.send(b"AB\0\x03\x06\x1f\xfa");
        }
        exchange.await_close();
    });
    let proxy = proxy_of(&container, "");
    assert_eq!(proxy.get("/").status(), 502);
    container.await_closed(container.connections());
}

#[test]
fn a_request_that_fits_no_packet_is_refused_and_a_larger_packet_takes_it() {
    let container = Container::named("c1");
    let field = format!("X-Large: {}", "x".repeat(9000));
    let proxy = proxy_of(&container, "");
    assert_eq!(proxy.exchange("GET /", &[&field]).status(), 431);
    let proxy = proxy_of(&container, "ajp-packet-size = \"16KiB\"");
    assert_eq!(proxy.exchange("GET /", &[&field]).status(), 200);
}

#[test]
fn a_ping_goes_before_each_request() {
    let container = echo();
    let proxy = proxy_of(&container, "ping = \"10s\"");
    let mut client = proxy.client();
    for count in 1..4 {
        let response = client.exchange_body("POST /", &[], "body");
        assert_eq!(&*response.text(), "body");
        assert_eq!(container.pings(), count);
    }
    assert_eq!(container.connections(), 1);
}

#[test]
fn a_container_that_answers_no_ping_gets_no_request() {
    let silent = Container::start_with(None, false, |exchange| {
        exchange.answer(200, &[], b"silent");
    });
    let other = Container::named("c2");
    let proxy = Proxy::before(&[])
        .member_at(&silent.url(), "ping = \"100ms\"")
        .member_at(&other.url(), "")
        .start();
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(&*client.exchange_body("POST /", &[], "body").text(), "c2");
    }
    assert!(silent.requests().is_empty());
}

#[test]
fn checks_are_pings() {
    let checked = "hcmethod = \"CPING\"\nhcinterval = \"100ms\"\nhctimeout = \"100ms\"";
    let well = Container::named("c1");
    let silent = Container::start_with(None, false, |exchange| {
        exchange.answer(200, &[], b"silent");
    });
    let proxy = Proxy::before(&[])
        .member_at(&well.url(), checked)
        .member_at(&silent.url(), checked)
        .start();
    proxy.stderr.line_with(&format!("member {} ", silent.url()));
    eventually("the ill one is left out", || {
        (proxy.served(4) == ["c1"; 4]).then_some(())
    });
    assert!(well.pings() > 0);
}
