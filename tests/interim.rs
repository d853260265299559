//! What comes before an answer: `100 Continue` in both roles, and other interim responses.

use crate::harness::proxy::server;
use crate::harness::{MEMORY, Origin, Proxy};

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

#[test]
fn an_answer_comes_through_what_comes_before_it() {
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n";
    let continued = "HTTP/1.1 100 Continue\r\n\r\n";
    let table = [("", 1), (early, 1), (continued, 1), (early, 20)];
    for (interim, times) in table {
        let b1 = Origin::named("b1").answering(move |exchange| {
            exchange.send(interim.repeat(times));
            exchange.answer("b1");
        });
        let b1 = b1.start();
        let proxy = Proxy::before(&[&b1]).start();
        let mut client = proxy.client();
        for _ in 0..2 {
            assert_eq!(server(&client.get("/")), "b1", "{times} times {interim:?}");
        }
    }
}

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
    let response = client.response();
    assert_eq!(response.status(), 502);
    assert!(
        proxy.peak_memory() < MEMORY,
        "{} bytes",
        proxy.peak_memory()
    );
}
