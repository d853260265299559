//! What happens when a member cannot be reached, breaks off or answers nonsense: who is asked next, and what the client gets.

use std::thread;
use std::time::Duration;

use crate::harness::origin::Act;
use crate::harness::proxy::server;
use crate::harness::{Blackhole, Exchange, Origin, Proxy};

#[test]
fn a_refused_connection_goes_to_the_next_member() {
    let (b1, b2) = (Origin::dead(), Origin::live("b2"));
    for line in ["GET /", "POST /", "PATCH /", "DELETE /"] {
        let proxy = Proxy::before(&[&b1, &b2]).start();
        assert_eq!(server(&proxy.exchange(line, &[])), "b2", "{line}");
    }
}

#[test]
fn a_body_reaches_the_next_member_whole() {
    for size in [1, 5_000, 64 * 1024, 1_000_000] {
        let (b1, b2) = (Origin::dead(), Origin::live("b2"));
        let proxy = Proxy::before(&[&b1, &b2]).start();
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: {size}\r\n\r\n"
        ));
        client
            .send_pattern(size, |_| {})
            .expect("a proxy that reads");
        assert_eq!(server(&client.response()), "b2");
        let body = b2.only_request().body;
        assert_eq!((body.length, body.patterned), (size, true));
    }
}

#[test]
fn a_chunked_body_reaches_the_next_member_whole() {
    let (b1, b2) = (Origin::dead(), Origin::live("b2"));
    let proxy = Proxy::before(&[&b1, &b2]).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    assert_eq!(server(&client.response()), "b2");
    assert_eq!(b2.only_request().body.text(), "abcdefg");
}

#[test]
fn a_connection_that_is_not_accepted_in_time_goes_to_the_next_member() {
    let (blackhole, b2) = (Blackhole::open(), Origin::live("b2"));
    let proxy = Proxy::before(&[])
        .member_at(&blackhole.url(), "connectiontimeout = \"200ms\"")
        .member(&b2, "")
        .start();
    assert_eq!(proxy.served(3), ["b2"; 3]);
}

#[test]
fn a_name_that_does_not_resolve_goes_to_the_next_member() {
    let b2 = Origin::live("b2");
    let proxy = Proxy::before(&[])
        .member_at("http://nobody.invalid:80", "connectiontimeout = \"5s\"")
        .member(&b2, "")
        .start();
    assert_eq!(proxy.served(2), ["b2", "b2"]);
}

/// Apache's measured sequences for three dead members before one that lives.
#[test]
fn maxattempts_bounds_the_tries_of_a_request() {
    let table: &[(&str, &[&str])] = &[
        ("", &["live", "live"]),
        ("maxattempts = 3", &["live", "live"]),
        ("maxattempts = 1", &["503", "live"]),
        ("maxattempts = 0", &["503", "503", "503", "live"]),
    ];
    for (keys, expected) in table {
        let (dead, live) = ([(); 3].map(|()| Origin::dead()), Origin::live("live"));
        let proxy = Proxy::before(&[&dead[0], &dead[1], &dead[2], &live])
            .balancer(keys)
            .start();
        assert_eq!(proxy.served(expected.len()), *expected, "{keys}");
    }
}

/// A member that breaks off on a new connection may do so because of the request: one other is asked, not all.
#[test]
fn a_member_that_breaks_off_on_a_new_connection_costs_an_idempotent_request_one_more_try() {
    let breaking = || {
        Origin::named("b")
            .answering(|exchange| {
                exchange.read_body();
                exchange.close();
            })
            .start()
    };
    for (line, tries) in [("GET /", 2), ("PUT /", 2), ("POST /", 1)] {
        let members = [breaking(), breaking(), breaking(), breaking()];
        let [b1, b2, b3, b4] = &members;
        let proxy = Proxy::before(&[b1, b2, b3, b4]).start();
        assert_eq!(
            proxy.client().exchange_body(line, &[], "content").status(),
            502,
            "{line}"
        );
        assert_eq!(
            members.iter().map(Origin::hits).sum::<usize>(),
            tries,
            "{line}"
        );
        assert!(
            members.iter().all(|member| member.hits() < 2),
            "{line}: no member twice"
        );
    }
    let (b1, b2) = (breaking(), Origin::live("b2"));
    let proxy = Proxy::before(&[&b1, &b2]).start();
    assert_eq!(server(&proxy.get("/")), "b2");
}

#[test]
fn retry_on_widens_to_statuses_for_idempotent_methods_only() {
    let table = [
        ("GET /", "", "b2"),
        ("HEAD /", "", ""),
        ("OPTIONS /", "", "b2"),
        ("DELETE /", "", "b2"),
        ("PUT /", "content", "b2"),
        ("POST /", "content", "503"),
        ("PATCH /", "content", "503"),
    ];
    for (line, body, expected) in table {
        let b1 = Origin::named("b1")
            .answering(|exchange| exchange.respond("503 Busy", "busy"))
            .start();
        let b2 = Origin::live("b2");
        let proxy = Proxy::before(&[&b1, &b2])
            .balancer("retry-on = [\"503\"]")
            .start();
        let response = proxy.client().exchange_body(line, &[], body);
        assert_eq!(server(&response), expected, "{line}");
        assert_eq!(b1.hits(), 1, "{line}");
        if expected != "503" {
            assert_eq!(b2.only_request().body.text(), body, "{line}");
        }
    }
}

#[test]
fn retry_on_asks_the_next_member_after_nonsense_and_a_timeout_if_it_names_their_status() {
    let nonsense = || Origin::named("b1").saying_last("nonsense\r\n\r\n").start();
    let silent = || Origin::named("b1").answering(Exchange::stall).start();
    let table = [
        (nonsense(), "GET /", "[\"502\"]", "b2"),
        (nonsense(), "GET /", "[\"503\", \"timeout\"]", "502"),
        (nonsense(), "POST /", "[\"502\"]", "502"),
        (silent(), "GET /", "[\"504\"]", "b2"),
        (silent(), "GET /", "[\"502\", \"503\"]", "504"),
        (silent(), "POST /", "[\"504\", \"timeout\"]", "504"),
    ];
    for (b1, line, retry_on, expected) in table {
        let b2 = Origin::live("b2");
        let proxy = Proxy::before(&[])
            .member(&b1, "timeout = \"300ms\"")
            .member(&b2, "")
            .balancer(&format!("retry-on = {retry_on}"))
            .start();
        let response = proxy.client().exchange_body(line, &[], "content");
        assert_eq!(server(&response), expected, "{line}, retry-on = {retry_on}");
    }
}

#[test]
fn retry_on_a_timeout_asks_the_next_member() {
    let b1 = Origin::named("b1").answering(Exchange::stall).start();
    let b2 = Origin::live("b2");
    let proxy = Proxy::before(&[])
        .member(&b1, "timeout = \"300ms\"")
        .member(&b2, "")
        .balancer("retry-on = [\"timeout\"]")
        .start();
    assert_eq!(server(&proxy.get("/")), "b2");
}

/// What the one before has used of its own time is not the next one's.
#[test]
fn the_next_member_has_all_of_its_time() {
    // Together longer than the time of one.
    let after = |time| move || thread::sleep(Duration::from_millis(time));
    let (fails, answers) = (after(2_500), after(2_000));
    let b1 = Origin::named("b1")
        .answering(move |exchange| {
            fails();
            exchange.close();
        })
        .start();
    let b2 = Origin::named("b2")
        .answering(move |exchange| {
            answers();
            exchange.answer("b2");
        })
        .start();
    let proxy = Proxy::before(&[])
        .member(&b1, "timeout = \"4s\"")
        .member(&b2, "timeout = \"4s\"")
        .start();
    assert_eq!(server(&proxy.get("/")), "b2");
}

#[test]
fn retry_on_a_timeout_does_not_repeat_a_post() {
    let b1 = Origin::named("b1").answering(Exchange::stall).start();
    let b2 = Origin::live("b2");
    let proxy = Proxy::before(&[])
        .member(&b1, "timeout = \"300ms\"")
        .member(&b2, "")
        .balancer("retry-on = [\"timeout\"]")
        .start();
    assert_eq!(
        proxy
            .client()
            .exchange_body("POST /", &[], "order")
            .status(),
        504
    );
    assert_eq!((b1.hits(), b2.hits()), (1, 0));
}

/// A body that is larger than the replay buffer is gone once it was sent: the answer passes, whatever `retry-on` says.
#[test]
fn retry_on_does_not_repeat_a_body_that_is_not_kept() {
    let busy = |exchange: &mut Exchange| exchange.respond("503 Busy", "busy");
    let (b1, b2) = (
        Origin::named("b1").answering(busy).start(),
        Origin::live("b2"),
    );
    let proxy = Proxy::before(&[&b1, &b2])
        .balancer("retry-on = [\"503\"]")
        .start();
    let response = proxy
        .client()
        .exchange_body("PUT /", &[], &"x".repeat(100_000));
    assert_eq!((response.status(), response.text().as_str()), (503, "busy"));
    assert_eq!((b1.request(0).body.length, b2.hits()), (100_000, 0));
}

#[test]
fn statuses_pass_without_retry_on() {
    for status in ["500 No", "502 No", "503 No", "504 No", "404 No"] {
        let b1 = Origin::named("b1")
            .answering(move |exchange| exchange.respond(status, "no"))
            .start();
        let b2 = Origin::live("b2");
        let proxy = Proxy::before(&[&b1, &b2]).start();
        let response = proxy.get("/");
        assert!(
            status.starts_with(&response.status().to_string()),
            "{status}"
        );
        assert_eq!(response.text(), "no");
        assert_eq!(b2.hits(), 0);
    }
}

#[test]
fn the_last_answer_passes_when_every_member_gives_one_to_retry_on() {
    let busy = || {
        Origin::named("busy")
            .answering(|exchange| exchange.respond("503 Busy", "busy"))
            .start()
    };
    let members = [busy(), busy(), busy()];
    let proxy = Proxy::before(&[&members[0], &members[1], &members[2]])
        .balancer("retry-on = [\"503\"]")
        .start();
    let response = proxy.get("/");
    assert_eq!((response.status(), response.text().as_str()), (503, "busy"));
    assert_eq!(
        members.each_ref().map(Origin::hits),
        [1, 1, 1],
        "none is asked twice"
    );
}

/// Goal: who has failed the request is not asked again while another may be. Method: the failing member has by far the
/// greatest weight, so that its method would choose it again and again.
#[test]
fn a_retry_goes_to_a_member_that_was_not_tried_yet() {
    let busy = |name| {
        Origin::named(name)
            .answering(|exchange| exchange.respond("503 Busy", "busy"))
            .start()
    };
    let (b1, b2, b3) = (busy("b1"), busy("b2"), Origin::live("b3"));
    let proxy = Proxy::before(&[])
        .member(&b1, "loadfactor = 100")
        .member(&b2, "loadfactor = 10")
        .member(&b3, "")
        .balancer("retry-on = [\"503\"]\nmaxattempts = 5")
        .start();
    assert_eq!(proxy.served(3), ["b3"; 3]);
    assert_eq!((b1.hits(), b2.hits()), (3, 3));
}

#[test]
fn nobody_eligible_is_503_at_once() {
    for flag in ["D", "S", "N"] {
        let [b1, b2] = Origin::some();
        let status = format!("status = \"{flag}\"");
        let proxy = Proxy::before(&[])
            .member(&b1, &status)
            .member(&b2, &status)
            .start();
        let response = proxy.get("/");
        assert_eq!(response.status(), 503, "{flag}");
        assert!(
            (1..1_000).contains(&response.body.length),
            "a short body: {response:?}"
        );
        assert_eq!(b1.hits() + b2.hits(), 0, "{flag}");
    }
}

#[test]
fn nobody_reachable_is_503() {
    let (b1, b2) = (Origin::dead(), Origin::dead());
    let proxy = Proxy::before(&[&b1, &b2]).start();
    let mut client = proxy.client();
    for _ in 0..3 {
        let response = client.get("/");
        assert_eq!(response.status(), 503);
        assert!(
            !response.text().contains("127.0.0.1"),
            "internals are not disclosed"
        );
    }
    assert_eq!(client.exchange_body("POST /", &[], "order").status(), 503);
    assert_eq!(client.exchange("HEAD /", &[]).body.length, 0);
    assert_eq!(client.get("/").status(), 503);
}

/// Unlike Apache, which closes a reused client connection without a word.
#[test]
fn a_member_that_breaks_off_is_502_also_on_a_reused_client_connection() {
    let endings: [(&str, Act); 4] = [
        ("closes", |exchange| exchange.close()),
        ("resets", |exchange| exchange.reset()),
        ("closes within the status line", |exchange| {
            exchange.send("HTTP/1.1 20");
            exchange.close();
        }),
        ("closes within the head", |exchange| {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Le");
            exchange.close();
        }),
    ];
    for (ending, end) in endings {
        let b1 = Origin::named("b1").answering(move |exchange| match exchange.target() {
            "/broken" => end(exchange),
            _ => {
                // A new connection each time: what breaks off is none that was used before.
                exchange.respond("200 OK\r\nConnection: close", "b1");
                exchange.close();
            }
        });
        let b1 = b1.start();
        let proxy = Proxy::before(&[&b1]).start();
        assert_eq!(
            proxy.get("/broken").status(),
            502,
            "{ending}, first on its connection"
        );
        let mut client = proxy.client();
        assert_eq!(server(&client.get("/")), "b1", "{ending}");
        assert_eq!(
            client.get("/broken").status(),
            502,
            "{ending}, second on its connection"
        );
        assert_eq!(
            server(&proxy.get("/")),
            "b1",
            "{ending}: the member is not blamed"
        );
    }
}
