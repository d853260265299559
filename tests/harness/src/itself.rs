//! The harness tested on itself, member and client face to face: a test is worth as much as what it is made of.

use std::net::TcpStream;

use super::{Client, Gate, Origin, State};

#[test]
fn a_member_answers_with_its_name_and_remembers_every_byte() {
    let origin = Origin::named("b1").start();
    let mut client = Client::connect(origin.address());
    assert_eq!(client.get("/a").text(), "b1");
    client.send(
        "POST /b HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nSum: 6\r\n\r\n",
    );
    assert_eq!(client.response().text(), "b1");

    let request = origin.request(1);
    assert_eq!(
        (request.method(), request.target(), request.position),
        ("POST", "/b", 1)
    );
    assert_eq!(request.body.text(), "abc");
    assert_eq!(request.body.trailers, [("Sum".to_owned(), "6".to_owned())]);
    assert!(
        request
            .raw
            .ends_with(b"\r\n\r\n3\r\nabc\r\n0\r\nSum: 6\r\n\r\n")
    );
    assert_eq!(origin.when("a connection", |log| Some(log.connections)), 1);
}

#[test]
fn a_member_tells_a_request_that_breaks_off_from_one_that_ends() {
    let origin = Origin::named("b1").start();
    for broken in [
        "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nabc",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let mut client = Client::connect(origin.address());
        client.send(broken);
        drop(client);
    }
    for index in [0, 1] {
        let request = origin.request(index);
        assert_eq!(
            (request.state, request.body.text().as_str()),
            (State::Aborted, "abc")
        );
    }
}

#[test]
fn a_client_tells_a_response_that_breaks_off_from_one_that_ends() {
    let table = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", true),
        ("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc", false),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
            false,
        ),
        ("HTTP/1.1 200 OK\r\n\r\nabc", true),
    ];
    for (answer, complete) in table {
        let origin = Origin::named("b1").saying_last(answer).start();
        let mut client = Client::connect(origin.address());
        client.ask("GET /", &[]);
        let response = client.try_response("GET /").expect("a head");
        assert_eq!(
            (response.complete, response.text().as_str()),
            (complete, "abc"),
            "{answer:?}"
        );
    }
}

#[test]
fn a_client_refuses_a_response_with_two_framings() {
    let answer =
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let origin = Origin::named("b1").saying_last(answer).start();
    let mut client = Client::connect(origin.address());
    client.ask("GET /", &[]);
    assert!(client.try_response("GET /").is_err());
}

#[test]
fn a_member_refuses_connections_while_it_does_not_listen() {
    let mut origin = Origin::named("b1").refusing();
    assert!(TcpStream::connect(origin.address()).is_err());
    origin.listen();
    let mut client = Client::connect(origin.address());
    assert_eq!(client.get("/").text(), "b1");
    origin.stop();
    client.expect_closed();
    assert!(TcpStream::connect(origin.address()).is_err());
    origin.listen();
    assert_eq!(Client::connect(origin.address()).get("/").text(), "b1");
}

#[test]
fn a_large_body_is_checked_to_its_last_byte() {
    let origin = Origin::named("b1")
        .answering(|exchange| exchange.stream(5_000_000))
        .start();
    let mut client = Client::connect(origin.address());
    let body = client.get("/").body;
    assert!(body.patterned && body.length == 5_000_000);

    client.send("POST / HTTP/1.1\r\nContent-Length: 5000001\r\n\r\n");
    client
        .send_pattern(5_000_000, |_| {})
        .expect("a member that reads");
    client.send("!");
    assert!(!origin.request(1).body.patterned);
}

#[test]
fn a_held_answer_comes_when_the_gate_opens() {
    let gate = Gate::closed();
    let held = gate.clone();
    let origin = Origin::named("b1")
        .answering(move |exchange| {
            held.wait();
            exchange.answer("late");
        })
        .start();
    let mut client = Client::connect(origin.address());
    client.ask("GET /", &[]);
    origin.await_hits(1);
    gate.open();
    assert_eq!(client.response().text(), "late");
}
