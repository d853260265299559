//! Who stops before the end: the other side learns of it, and never takes a part for the whole.

use std::thread;

use crate::harness::client::{is_gone, request};
use crate::harness::origin::{Act, State};
use crate::harness::proxy::server;
use crate::harness::{BUFFERED, Client, Exchange, Gate, MEGABYTE, Origin, Proxy};

/// Goal: what a client did not finish never looks finished to the member. Method: clients that leave, half-close or reset
/// within a body of either framing.
#[test]
fn an_upload_that_breaks_off_breaks_off_at_the_member() {
    let starts = [
        "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 1000\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n0\r\n",
    ];
    type Leave = fn(Client) -> Option<Client>;
    let ends: [(&str, Leave); 3] = [
        ("leaves", |client| {
            drop(client);
            None
        }),
        ("half-closes", |client| {
            client.finish_sending();
            Some(client)
        }),
        ("resets", |client| {
            client.reset();
            None
        }),
    ];
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut index = 0;
    for start in starts {
        for (end, leave) in &ends {
            let mut client = proxy.client();
            client.send(start);
            b1.await_hits(index + 1);
            let _client = leave(client);
            let request = b1.request(index);
            assert_eq!(
                request.state,
                State::Aborted,
                "a client that {end} after {start:?}"
            );
            index += 1;
            assert_eq!(server(&proxy.get("/")), "b1", "the member is not blamed");
            index += 1;
        }
    }
}

/// Goal: what a member did not finish never looks finished to the client. Method: members that begin well and then, once
/// the client has the beginning, leave, go silent or send nonsense.
#[test]
fn a_download_that_breaks_off_breaks_off_at_the_client() {
    let counted = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf";
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let closing = "HTTP/1.1 200 OK\r\n\r\nhalf";
    let table: &[(&str, &str, Act)] = &[
        (counted, "", Exchange::close),
        (counted, "", Exchange::reset),
        (counted, "", Exchange::stall),
        (chunked, "", Exchange::close),
        (chunked, "", Exchange::reset),
        (chunked, "", Exchange::stall),
        (closing, "", Exchange::reset),
        (closing, "", Exchange::stall),
        (chunked, "0\r\n", Exchange::close),
        (chunked, "x\r\nmore\r\n0\r\n\r\n", Exchange::stall),
        (chunked, "-1\r\nmore\r\n0\r\n\r\n", Exchange::stall),
        (chunked, "+4\r\nmore\r\n0\r\n\r\n", Exchange::stall),
        (chunked, "0x4\r\nmore\r\n0\r\n\r\n", Exchange::stall),
        (
            chunked,
            "10000000000000004\r\nmore\r\n0\r\n\r\n",
            Exchange::stall,
        ),
        (chunked, "4\r\nmore than said\r\n0\r\n\r\n", Exchange::stall),
    ];
    for (index, (begin, rest, end)) in table.iter().copied().enumerate() {
        let (gate, b1) = (Gate::closed(), Origin::named("b1"));
        let held = gate.clone();
        let b1 = b1.answering(move |exchange| {
            if exchange.target() != "/half" {
                return exchange.answer("b1");
            }
            exchange.send(begin);
            held.wait();
            exchange.send(rest);
            end(exchange);
        });
        let b1 = b1.start();
        let proxy = Proxy::before(&[])
            .member(&b1, "timeout = \"500ms\"")
            .start();
        let mut client = proxy.client();
        client.ask("GET /half", &[]);
        client.await_text("half");
        gate.open();
        let response = client.try_response("GET").expect("a head");
        assert!(!response.complete, "row {index}: {response:?}");
        assert_eq!(
            server(&proxy.get("/")),
            "b1",
            "row {index}: the member is not blamed"
        );
    }
}

#[test]
fn a_client_that_leaves_frees_the_member() {
    let b1 = Origin::named("b1")
        .answering(|exchange| exchange.stream(1_000 * MEGABYTE))
        .start();
    let proxy = Proxy::before(&[&b1]).start();
    for leave in [drop::<Client>, Client::reset] {
        let mut client = proxy.client();
        client.ask("GET /", &[]);
        client.await_text("HTTP/1.1 200");
        leave(client);
        b1.await_no_connection();
        assert!(b1.streamed() < 2 * BUFFERED, "{} bytes", b1.streamed());
    }
}

/// A client may say that it sends nothing more and still wait for its answer.
#[test]
fn a_client_that_half_closes_is_answered() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        held.wait();
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    for body in ["", "order"] {
        let mut client = proxy.client();
        client.send(request("POST /", &[], body));
        client.finish_sending();
        b1.await_hits(1);
        gate.open();
        assert_eq!(server(&client.response()), "b1");
        client.expect_closed();
    }
}

/// The member refuses at once and reads nothing; the client is told although it is still sending.
#[test]
fn an_early_answer_reaches_a_client_that_is_still_sending() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        exchange.send("HTTP/1.1 413 Large\r\nContent-Length: 5\r\nConnection: close\r\n\r\nlarge");
        held.wait();
        exchange.close();
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let length = 100 * MEGABYTE;
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut sender = Client::on(client.sender());
    // It may be cut off or taken to its end.
    let sending = thread::spawn(move || sender.send_pattern(length, |_| {}));
    let response = client.response();
    assert_eq!(
        (response.status(), response.text().as_str()),
        (413, "large")
    );
    gate.open();
    drop(client);
    let _ = sending.join().expect("no panic");
    assert_eq!(b1.hits(), 1);
}

/// Goal: a client that is answered while it still sends its body knows what becomes of its connection (RFC 9112, 9.6): it is
/// told that it is closed, or it may go on. Method: answers of ours and of members, to bodies of which a part has been sent; then
/// comes the rest, and another request.
#[test]
fn an_early_answer_says_that_the_connection_is_closed_or_the_next_request_is_served() {
    let b1 = Origin::named("b1").answering(|exchange| match exchange.target() {
        "/kept" => exchange.send("HTTP/1.1 413 Large\r\nContent-Length: 5\r\n\r\nlarge"),
        "/closed" => {
            exchange.send("HTTP/1.1 413 Large\r\nConnection: close\r\n\r\nlarge");
            exchange.close();
        }
        _ => exchange.answer("b1"),
    });
    let b1 = b1.start();
    let toml = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nexclude = [\"/none\", \"/full\"]\nbalancer = \"one\"\n\
         [[route]]\npath = \"/full\"\nbalancer = \"none\"\n\
         [[balancer.one.member]]\nurl = \"{url}\"\n\
         [[balancer.none.member]]\nurl = \"{url}\"\nstatus = \"+D\"\n",
        url = b1.url()
    );
    let proxy = Proxy::with(&toml).start();
    let targets = [
        ("/kept", 413),
        ("/closed", 413),
        ("/none", 404),
        ("/full", 503),
        ("/%zz", 400),
    ];
    let small = ("Content-Length: 1000", "half", "x".repeat(996));
    let large = ("Content-Length: 3000000", "half", "x".repeat(2_999_996));
    let piece = format!("{:x}\r\n{}\r\n0\r\n\r\n", 1_000, "x".repeat(1_000));
    let chunked = ("Transfer-Encoding: chunked", "4\r\nhalf\r\n", piece);
    let expecting = (
        "Expect: 100-continue\r\nContent-Length: 1000",
        "",
        "x".repeat(1_000),
    );
    for (target, status) in targets {
        for (fields, begin, rest) in [&small, &large, &chunked, &expecting] {
            let mut client = proxy.client();
            client.send(request(&format!("POST {target}"), &[fields], "") + begin);
            let response = client.response();
            let told = format!("{target} {fields}");
            assert_eq!(response.status(), status, "{told}");
            let says_close = response.field("connection") == Some("close");
            let _ = client.try_send(rest);
            let _ = client.try_send(request("GET /", &[], ""));
            if says_close {
                assert!(client.is_closed(), "{told}: it said so");
            } else {
                let next = client.try_response("GET");
                let next = next.map(|it| server(&it));
                assert!(next.as_ref().is_ok_and(|it| it == "b1"), "{told}: {next:?}");
            }
        }
    }
}

/// Goal: the rest of a body that was not read is taken neither for a request of the client nor for one to the member.
/// Method: the member answers before the body is sent, and goes on reading on its connection; the body looks like a request.
#[test]
fn the_rest_of_a_body_after_an_early_answer_is_not_taken_for_a_request() {
    let smuggled = request("GET /smuggled", &[], "");
    let early = "HTTP/1.1 413 Large\r\nContent-Length: 5\r\n\r\nlarge";
    let b1 = Origin::named("b1").answering(move |exchange| match exchange.target() {
        "/early" => exchange.send(early),
        _ => exchange.answer("b1"),
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
    for _ in 0..5 {
        let mut client = proxy.client();
        let length = smuggled.len();
        client.send(format!(
            "POST /early HTTP/1.1\r\nHost: lb.test\r\nContent-Length: {length}\r\n\r\n"
        ));
        assert_eq!(client.response().status(), 413);
        let _ = client.try_send(&smuggled);
        let _ = client.try_send(request("GET /next", &[], ""));
        match client.try_response("GET /next") {
            Ok(response) => assert_eq!(server(&response), "b1"),
            Err(error) => assert!(is_gone(&error), "{error}"),
        }
        assert_eq!(
            server(&proxy.get("/")),
            "b1",
            "others get their own answers"
        );
    }
    b1.when("requests", |log| {
        let mut targets = log.requests.iter().map(|request| request.target());
        assert!(!targets.any(|target| target == "/smuggled"));
        Some(())
    });
}
