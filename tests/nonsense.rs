//! What members send that is not HTTP goes no further.

use std::fmt::Write as _;
use std::time::Duration;

use crate::admin;
use crate::harness::origin::Act;
use crate::harness::proxy::server;
use crate::harness::{Exchange, Gate, Origin, Proxy, eventually};
use crate::metrics::{metrics, numbers};

/// A member that answers `/odd`, below any path, with these bytes, and all else with its name.
fn odd(bytes: impl AsRef<[u8]> + Send + Sync + 'static, then: Act) -> Origin {
    let answer = move |exchange: &mut Exchange| match exchange.target() {
        target if target.ends_with("/odd") => {
            exchange.read_body();
            exchange.send(&bytes);
            then(exchange);
        }
        _ => exchange.answer("b1"),
    };
    Origin::named("b1").answering(answer).start()
}

/// One program before all of these members, each in a balancer of its own for the paths below `/N`, N being its position.
fn before_each(members: &[Origin], top: &str, keys: &str) -> Proxy {
    let mut toml = format!("{top}\n[[listen]]\naddress = \"127.0.0.1:0\"\n");
    for (position, member) in members.iter().enumerate() {
        let url = member.url();
        let _ = writeln!(
            toml,
            "[[route]]\npath = \"/{position}/\"\nbalancer = \"b{position}\"\n\
             [[balancer.b{position}.member]]\nurl = \"{url}\"\n{keys}"
        );
    }
    Proxy::with(&toml).start()
}

#[test]
fn a_members_nonsense_is_502_and_the_next_answer_is_right() {
    let huge = format!(
        "HTTP/1.1 200 OK\r\nX: {}\r\nContent-Length: 2\r\n\r\nok",
        "x".repeat(1 << 20)
    );
    let many = format!(
        "HTTP/1.1 200 OK\r\n{}Content-Length: 2\r\n\r\nok",
        "X: 1\r\n".repeat(10_000)
    );
    let answers = [
        "hello\r\n\r\n",
        "\0\0\0\0\r\n\r\n",
        "<html>HTTP/0.9 has no head</html>",
        "200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 99 No\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 099 No\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 2x0 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 -20 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/3.9 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "ICY 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX Y: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX : 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\u{1}b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\nok",
        "HTTP/1.1 200 OK\r\nX: 1\r\n\tfolded\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX: a\u{7f}b\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nX\u{e9}: 1\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: ,chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
        &huge,
        &many,
    ];
    let ends = [Exchange::close as Act, Exchange::stall];
    let cases = answers
        .iter()
        .flat_map(|answer| ends.map(|then| (*answer, then)));
    let cases: Vec<_> = cases.collect();
    let members = cases
        .iter()
        .map(|(answer, then)| odd((*answer).to_owned(), *then));
    let members: Vec<_> = members.collect();
    let proxy = before_each(&members, "", "timeout = \"2s\"");
    let mut wrong = Vec::new();
    for (position, (answer, _)) in cases.iter().enumerate() {
        let mut client = proxy.client();
        client.ask(&format!("GET /{position}/odd"), &[]);
        let status = client.try_response("GET").map(|response| response.status());
        let next = server(&proxy.get(&format!("/{position}/")));
        if !matches!(status, Ok(502)) || next != "b1" {
            let start: String = answer.chars().take(60).collect();
            wrong.push(format!("{start:?}: {status:?}, next {next}"));
        }
    }
    assert!(wrong.is_empty(), "not treated so:\n{}", wrong.join("\n"));
}

/// Goal: an answer that goes wrong within its body is cut off for the client, never ended well, and counts against the
/// member. Method: bodies in chunks that go wrong behind the first.
#[test]
fn a_body_that_goes_wrong_is_cut_off() {
    let bodies = [
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "0x2\r\nok\r\n0\r\n\r\n",
        "2 \r\nok\r\n0\r\n\r\n",
        "2;\r\nok\r\n0\r\n\r\n",
        "2;a=\u{1}\r\nok\r\n0\r\n\r\n",
        "2\nok\r\n0\r\n\r\n",
        "2\r\nok\n0\r\n\r\n",
        "2\r\nokay\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nok\r\n0\r\n\r\n",
        "0\n\n",
        "0\r\nno colon\r\n\r\n",
        "0\r\nX : 1\r\n\r\n",
        "0\r\nX: \0\r\n\r\n",
        "0\r\nContent-Length: 2\r\n\r\n",
        "0\r\nTransfer-Encoding: chunked\r\n\r\n",
    ];
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst.\r\n";
    let members = bodies.map(|body| odd([head, body].concat(), Exchange::stall));
    let proxy = before_each(&members, "workers = 1", "timeout = \"5s\"");
    let mut wrong = Vec::new();
    for (position, body) in bodies.iter().enumerate() {
        let mut client = proxy.client();
        client.ask(&format!("GET /{position}/odd"), &[]);
        let ended = client.try_response("GET");
        let is_whole = ended
            .as_ref()
            .is_ok_and(|it| it.complete && it.status() == 200);
        if is_whole || server(&proxy.get(&format!("/{position}/"))) != "b1" {
            wrong.push(format!("{body:?}: {ended:?}"));
        }
    }
    assert!(wrong.is_empty(), "not treated so:\n{}", wrong.join("\n"));
}

/// Goal: a client always hears something. Method: a first chunk that is none, with the head or behind it; then the client has a
/// 502, or the head of an answer that is cut off.
#[test]
fn a_first_chunk_that_is_none_is_502_and_never_an_empty_reply() {
    let bodies = [
        "\r\n",
        "x\r\n",
        " 2\r\nok\r\n0\r\n\r\n",
        "-2\r\nok\r\n0\r\n\r\n",
        "0x2\r\nok\r\n0\r\n\r\n",
        "2 \r\nok\r\n0\r\n\r\n",
        "2;\r\nok\r\n0\r\n\r\n",
        "2\nok\r\n0\r\n\r\n",
        "2\rok\r\n0\r\n\r\n",
        "fffffffffffffffff\r\nok\r\n0\r\n\r\n",
        "0\n\n",
        "0\r\nContent-Length: 2\r\n\r\n",
    ];
    let cases = bodies
        .iter()
        .flat_map(|body| [(*body, false), (*body, true)]);
    let cases: Vec<_> = cases.collect();
    let members = cases.iter().map(|&(body, is_late)| {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        Origin::named("b1")
            .answering(move |exchange| {
                if !exchange.target().ends_with("/odd") {
                    return exchange.answer("b1");
                }
                if is_late {
                    exchange.send(head);
                    exchange.hears_within(Duration::from_millis(50));
                    exchange.send(body);
                } else {
                    exchange.send([head, body].concat());
                }
                exchange.stall();
            })
            .start()
    });
    let members: Vec<_> = members.collect();
    let proxy = before_each(&members, "", "");
    for (position, (body, is_late)) in cases.iter().enumerate() {
        let mut client = proxy.client();
        client.ask(&format!("GET /{position}/odd"), &[]);
        let answer = client.try_response("GET");
        let is_right = answer.as_ref().is_ok_and(|it| match it.status() {
            502 => true,
            200 => *is_late && !it.complete,
            _ => false,
        });
        assert!(is_right, "{body:?}, late: {is_late}: {answer:?}");
        let next = server(&proxy.get(&format!("/{position}/")));
        assert_eq!(next, "b1", "{body:?}");
    }
}

/// Goal: what a member says unasked is an error of its, and what it may do is not. Method: what comes right behind an answer or
/// later, on a connection that is kept; and one that is closed.
#[test]
fn what_a_member_sends_unasked_is_counted() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    let table: [(&str, bool, u64); 4] = [
        (answer, false, 1),
        (answer, true, 1),
        ("x", true, 1),
        ("", true, 0),
    ];
    for (extra, is_late, errors) in table {
        let (gate, sent) = (Gate::closed(), Gate::closed());
        let (held, told) = (gate.clone(), sent.clone());
        let b1 = Origin::named("b1").answering(move |exchange| {
            if exchange.number > 0 {
                return exchange.answer("b1");
            }
            let behind = if is_late { "" } else { extra };
            exchange.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nb1{behind}"
            ));
            held.wait();
            if is_late {
                exchange.send(extra);
            }
            if extra.is_empty() {
                exchange.close();
            }
            told.open();
        });
        let b1 = b1.start();
        let proxy = admin::start(&[&b1]).top("workers = 1").start();
        assert_eq!(server(&proxy.get("/")), "b1");
        gate.open();
        assert!(sent.wait());
        assert_eq!(proxy.served(3), ["b1"; 3], "{extra:?}");
        let counted = eventually(&format!("{extra:?}, late: {is_late}"), || {
            let kinds = numbers(&metrics(&proxy), "equipoise_member_errors_total", "kind");
            let counted = kinds.values().sum::<u64>();
            (counted >= errors).then_some(counted)
        });
        assert_eq!(counted, errors, "{extra:?}, late: {is_late}");
        assert_eq!(admin::member(&proxy, 0)["state"], "ok", "{extra:?}");
    }
}

/// Goal: a response that was not requested goes to no client. Method: a second response right behind the first, or
/// later, when the connection is idle.
#[test]
fn what_nobody_asked_for_is_nobodys_answer() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let extra = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled";
    for extra in [
        extra,
        "\r\n",
        "x",
        "HTTP/1.1 408 Timeout\r\nContent-Length: 0\r\n\r\n",
    ] {
        let b1 = odd([answer, extra].concat(), |_| {});
        let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
        for _ in 0..5 {
            assert_eq!(server(&proxy.get("/odd")), "ok", "{extra:?}");
            assert_eq!(server(&proxy.get("/")), "b1", "{extra:?}");
        }
    }

    let (gate, sent) = (Gate::closed(), Gate::closed());
    let (held, told) = (gate.clone(), sent.clone());
    let b1 = Origin::named("b1").answering(move |exchange| {
        let is_first = exchange.number == 0;
        exchange.answer("b1");
        if is_first {
            held.wait();
            exchange.send(extra);
            told.open();
        }
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
    assert_eq!(server(&proxy.get("/")), "b1");
    gate.open();
    assert!(sent.wait());
    assert_eq!(proxy.served(5), ["b1"; 5]);
}

#[test]
fn a_members_answer_that_is_longer_than_it_says_is_cut() {
    let b1 = odd(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more",
        |_| {},
    );
    let proxy = Proxy::before(&[&b1]).top("workers = 1").start();
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.get("/odd").text(), "ok");
        assert_eq!(client.get("/").text(), "b1");
    }
}
