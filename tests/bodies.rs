//! Bodies and their framing: each message ends where it ends, and the next begins there.

use std::thread;

use crate::harness::client::request;
use crate::harness::proxy::server;
use crate::harness::{Gate, Origin, Proxy};

#[test]
fn a_chunked_body_passes_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                  3\r\nabc\r\nA;name=value\r\n0123456789\r\n0\r\n\r\n";
    let b1 = Origin::named("b1").saying(answer).start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    for method in ["POST", "GET"] {
        client.send(format!(
            "{method} / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n"
        ));
        client.send("5\r\nhello\r\n1;a=b;c=\"d\"\r\n!\r\n00\r\n\r\n");
        assert_eq!(client.response().text(), "abc0123456789");
    }
    assert_eq!(b1.request(0).body.text(), "hello!");
    assert_eq!(b1.request(1).body.text(), "hello!");
}

#[test]
fn trailers_pass_both_ways() {
    let answer = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
                  3\r\nabc\r\n0\r\nX-Sum: 294\r\n\r\n";
    let b1 = Origin::named("b1").saying(answer).start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: lb.test\r\nConnection: TE\r\nTE: trailers\r\nTrailer: X-Count\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Count: 3\r\n\r\n",
    );
    let lower = |fields: Vec<(String, String)>| -> Vec<_> {
        fields
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value))
            .collect()
    };
    let response = client.response();
    assert_eq!(
        lower(response.body.trailers),
        [("x-sum".to_owned(), "294".to_owned())]
    );
    let request = b1.only_request();
    assert_eq!(request.head.field("te"), Some("trailers"));
    assert_eq!(
        lower(request.body.trailers),
        [("x-count".to_owned(), "3".to_owned())]
    );
}

/// Goal: a response without a body has none, and the next response begins where it ends. Method: members that announce a
/// length, as they may, or even send the body, as they must not.
#[test]
fn responses_without_a_body_have_none() {
    let table = [
        ("HEAD /", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"),
        (
            "HEAD /",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        ("HEAD /", "HTTP/1.1 200 OK\r\n\r\n"),
        (
            "HEAD /",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabcde",
        ),
        ("GET /", "HTTP/1.1 204 No Content\r\n\r\n"),
        (
            "GET /",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "GET /",
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nabcde",
        ),
        (
            "GET /",
            "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        ("GET /", "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
        (
            "GET /",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
        ),
        (
            "GET /",
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\nabcde",
        ),
    ];
    for (line, answer) in table {
        let b1 = Origin::named("b1").answering(move |exchange| match exchange.target() {
            "/next" => exchange.answer("next"),
            _ => exchange.send(answer),
        });
        let b1 = b1.start();
        let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
        let mut client = proxy.client();
        let response = client.exchange(line, &[]);
        assert_eq!(
            response.status().to_string(),
            answer[9..12],
            "{line} {answer:?}"
        );
        assert_eq!(
            client.get("/next").text(),
            "next",
            "after {line} {answer:?}"
        );
        assert_eq!(proxy.get("/next").text(), "next", "after {line} {answer:?}");
    }
}

#[test]
fn head_tells_the_length_and_sends_nothing() {
    let b1 = Origin::named("b1")
        .saying("HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
        .start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        let response = client.exchange("HEAD /", &[]);
        assert_eq!(response.field("content-length"), Some("12345"));
    }
}

#[test]
fn every_method_may_have_a_body() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    for method in ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH", "REPORT"] {
        let line = format!("{method} /");
        for framing in ["Content-Length: 7", "Transfer-Encoding: chunked"] {
            let body = if framing.ends_with('7') {
                "content"
            } else {
                "7\r\ncontent\r\n0\r\n\r\n"
            };
            client.send(request(&line, &[framing], "") + body);
            assert_eq!(
                client.response_to(&line).status(),
                200,
                "{method}, {framing}"
            );
            let request = b1.request(b1.hits() - 1);
            assert_eq!(
                (request.method(), request.body.text().as_str()),
                (method, "content")
            );
        }
    }
}

#[test]
fn an_empty_body_is_announced() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 0\r\n\r\n");
    assert_eq!(server(&client.response()), "b1");
    assert_eq!(b1.only_request().head.field("content-length"), Some("0"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        if exchange.target() == "/0" {
            held.wait();
        }
        let target = exchange.target().to_owned();
        let body = exchange.read_body().text();
        exchange.answer(&(target + &body));
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let first = request("GET /0", &[], "") + &request("POST /1", &[], "body");
    let chunked = "POST /2 HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n!\r\n0\r\n\r\n";
    client.send(first + chunked + &request("HEAD /3", &[], "") + &request("GET /4", &[], ""));
    b1.await_hits(1);
    gate.open();
    let mut answer = |line| client.response_to(line).text();
    assert_eq!(answer("GET"), "/0");
    assert_eq!(answer("POST"), "/1body");
    assert_eq!(answer("POST"), "/2!");
    assert_eq!(answer("HEAD"), "");
    assert_eq!(answer("GET"), "/4");
}

#[test]
fn many_clients_get_their_own_answers() {
    let b1 = Origin::named("b1").answering(|exchange| {
        let target = exchange.target().to_owned();
        exchange.answer(&target);
    });
    let (b1, b2) = (
        b1.start(),
        Origin::named("b2").answering(|exchange| {
            let target = exchange.target().to_owned();
            exchange.answer(&target);
        }),
    );
    let b2 = b2.start();
    let proxy = Proxy::before(&[&b1, &b2]).start();
    thread::scope(|scope| {
        for client in 0..16 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut connection = proxy.client();
                for request in 0..50 {
                    let target = format!("/{client}/{request}");
                    assert_eq!(connection.get(&target).text(), target);
                }
            });
        }
    });
}
