//! What comes before an answer: `100 Continue` in both roles, and other interim responses.

use std::future::poll_fn;
use std::time::Duration;

use crate::harness::http2::{connect, get, wait_for, whole};
use crate::harness::peers::{Message, Peer, Version};
use crate::harness::proxy::server;
use crate::harness::{Gate, MEMORY, Origin, Proxy};

#[test]
fn a_client_that_waits_for_100_gets_it() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    for index in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: lb.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        );
        let interim = client.interim();
        assert!(interim.start.starts_with("HTTP/1.1 100"), "{interim:?}");
        client.send("order");
        assert_eq!(server(&client.response()), "b1");
        assert_eq!(b1.request(index).body.text(), "order");
    }
}

#[test]
fn a_client_that_waits_for_100_may_get_a_refusal() {
    let b1 = Origin::named("b1").answering(|exchange| {
        exchange.send("HTTP/1.1 401 Who\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        exchange.stall();
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: lb.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let response = client.response();
    assert_eq!((response.status(), response.text().as_str()), (401, "no"));
}

/// What a client expects and we do not know, we do not drop: it is refused, or the member is told (RFC 9110, 10.1.1).
#[test]
fn an_expectation_that_is_not_known_is_refused_or_passed_on() {
    for version in [Version::Http1, Version::Http2] {
        for expected in ["200-ok", "100-continue, 200-ok", "banana"] {
            for body in ["", "order"] {
                let [b1] = Origin::some();
                let proxy = Proxy::before(&[&b1]).start();
                let mut client = Peer::connect(version, proxy.address());
                let request = Message::of("POST /").field("Expect", expected).body(body);
                let answer = client.exchange(&request).expect("an answer");
                let told = format!("{expected} by {version}, {body:?}");
                if answer.start == "417" {
                    assert_eq!(b1.hits(), 0, "{told}");
                } else {
                    assert_eq!(answer.text(), "b1", "{told}");
                    let request = b1.only_request();
                    assert_eq!(request.head.all("expect").join(", "), expected, "{told}");
                    assert_eq!(request.body.text(), body, "{told}");
                }
                let next = client.exchange(&Message::of("GET /"));
                let next = next.expect("the connection goes on, or said that it does not");
                assert_eq!(next.text(), "b1", "{told}");
            }
        }
    }
}

const EARLY: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";

/// A member that says this before every answer.
fn saying_first(interim: impl Into<String>) -> Origin {
    let interim = interim.into();
    Origin::named("b1")
        .answering(move |exchange| {
            exchange.send(&interim);
            exchange.answer("b1");
        })
        .start()
}

#[test]
fn what_a_member_says_before_its_answer_reaches_the_client_before_it() {
    for times in [1, 20] {
        let b1 = saying_first(EARLY.repeat(times));
        let proxy = Proxy::before(&[&b1]).start();
        let mut client = proxy.client();
        for _ in 0..2 {
            client.ask("GET /", &[]);
            for _ in 0..times {
                let interim = client.interim();
                assert_eq!(interim.start, "HTTP/1.1 103 Early Hints");
                assert_eq!(interim.field("link"), Some("</a.css>"));
            }
            assert_eq!(server(&client.response()), "b1");
        }
    }
}

#[test]
fn it_reaches_the_client_while_the_answer_is_awaited() {
    let gate = Gate::closed();
    let opened = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        exchange.send(EARLY);
        opened.wait();
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    assert_eq!(client.interim().start, "HTTP/1.1 103 Early Hints");
    gate.open();
    assert_eq!(server(&client.response()), "b1");
}

#[test]
fn it_belongs_to_its_own_request_where_a_client_sends_many_at_once() {
    let b1 = Origin::named("b1").answering(|exchange| {
        let target = exchange.target().to_owned();
        exchange.send(format!("HTTP/1.1 103 Early\r\nLink: <{target}>\r\n\r\n"));
        exchange.stream(256 * 1024);
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let targets: Vec<_> = (0..10).map(|number| format!("/{number}")).collect();
    for target in &targets {
        client.ask(&format!("GET {target}"), &[]);
    }
    for target in &targets {
        assert_eq!(
            client.interim().field("link"),
            Some(&*format!("<{target}>"))
        );
        assert!(client.response().complete);
    }
}

#[test]
fn it_reaches_a_client_of_http2() {
    let b1 = saying_first(EARLY.repeat(2));
    let proxy = Proxy::before(&[&b1]).start();
    wait_for(async {
        let client = connect(proxy.address()).await;
        for _ in 0..2 {
            let mut client = client.clone().ready().await.unwrap();
            let (mut answer, _) = client.send_request(get("/"), true).unwrap();
            for _ in 0..2 {
                let interim = poll_fn(|context| answer.poll_informational(context)).await;
                let interim = interim.expect("an interim answer").unwrap();
                assert_eq!(interim.status(), 103);
                assert_eq!(interim.headers()["link"], "</a.css>");
            }
            assert_eq!(whole(answer.await.unwrap()).await.unwrap().text(), "b1");
        }
    });
}

#[test]
fn nothing_of_it_concerns_the_members_connection() {
    let b1 = saying_first(
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nConnection: x-hop\r\nX-Hop: 1\r\n\
         Keep-Alive: timeout=5\r\nContent-Length: 5\r\n\r\n",
    );
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    let interim = client.interim();
    assert_eq!(interim.field("link"), Some("</a.css>"));
    for name in ["connection", "x-hop", "keep-alive", "content-length"] {
        assert_eq!(interim.field(name), None, "{name}");
    }
    assert_eq!(server(&client.response()), "b1");
}

#[test]
fn clients_of_http_1_0_and_go_aheads_that_nobody_asked_for_get_none() {
    let b1 = saying_first(EARLY);
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.0\r\nHost: lb.test\r\n\r\n");
    assert_eq!(server(&client.response()), "b1");
    let b1 = saying_first("HTTP/1.1 100 Continue\r\n\r\n");
    let proxy = Proxy::before(&[&b1]).start();
    assert_eq!(server(&proxy.client().get("/")), "b1");
}

#[test]
fn a_member_that_says_something_now_and_then_is_waited_for() {
    let b1 = Origin::named("b1").answering(|exchange| {
        for _ in 0..3 {
            std::thread::sleep(Duration::from_millis(600));
            exchange.send("HTTP/1.1 102 Processing\r\n\r\n");
        }
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[]).member(&b1, "timeout = \"1s\"").start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    for _ in 0..3 {
        assert_eq!(client.interim().start, "HTTP/1.1 102 Processing");
    }
    assert_eq!(server(&client.response()), "b1");
}

#[test]
fn one_that_is_longer_than_a_head_may_be_is_502() {
    let line = format!("X: {}\r\n", "x".repeat(4_000));
    let b1 = saying_first(format!("HTTP/1.1 103 Early\r\n{}\r\n", line.repeat(10)));
    let proxy = Proxy::before(&[&b1])
        .limits("header-size = \"16KiB\"")
        .start();
    assert_eq!(proxy.get("/").status(), 502);
}

/// How many interim answers a request may have.
const MAX_INTERIM: usize = 64;

#[test]
fn a_flood_of_interim_responses_is_bounded() {
    let b1 = Origin::named("b1").answering(|exchange| {
        let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n".repeat(1_000);
        for _ in 0..200 {
            exchange.send(&early);
        }
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    for _ in 0..MAX_INTERIM {
        client.interim();
    }
    assert_eq!(client.response().status(), 502);
    assert!(
        proxy.peak_memory() < MEMORY,
        "{} bytes",
        proxy.peak_memory()
    );
}
