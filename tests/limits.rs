//! Bounds on what clients may do.

use std::thread;
use std::time::{Duration, Instant};

use crate::harness::client::request;
use crate::harness::origin::State;
use crate::harness::proxy::server;
use crate::harness::{Client, Exchange, MEMORY, Origin, Proxy};

/// Sends a head that is too large, and expects to be told so by this status; no member hears of it.
#[track_caller]
fn too_large(limits: &str, head: &str, status: u16) {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).limits(limits).start();
    let mut client = proxy.client();
    let _ = client.try_send(head);
    let response = client.response();
    assert_eq!(response.status(), status);
    assert_eq!(response.field("connection"), Some("close"));
    client.expect_closed();
    assert_eq!(b1.hits(), 0);
    assert_eq!(server(&proxy.get("/")), "b1");
}

#[test]
fn the_size_of_a_head_is_bounded() {
    let long = |bytes| {
        format!(
            "GET / HTTP/1.1\r\nHost: lb.test\r\nX: {}\r\n\r\n",
            "x".repeat(bytes)
        )
    };
    too_large("", &long(100_000), 431);
    too_large("", &long(10_000_000), 431);
    too_large("header-size = \"8KiB\"", &long(9_000), 431);
    let many = format!(
        "GET / HTTP/1.1\r\nHost: lb.test\r\n{}\r\n",
        "X: 0123456789\r\n".repeat(700)
    );
    too_large("header-size = \"8KiB\"\nheaders = 1000", &many, 431);
    let target = |bytes| {
        let path = "x".repeat(bytes);
        format!("GET /{path} HTTP/1.1\r\nHost: lb.test\r\n\r\n")
    };
    too_large("", &target(100_000), 414);
    too_large("header-size = \"8KiB\"", &target(9_000), 414);
}

#[test]
fn a_head_within_the_bound_passes() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    for bytes in [7_000, 20_000, 50_000] {
        let field = format!("X: {}", "x".repeat(bytes));
        assert_eq!(server(&proxy.exchange("GET /", &[&field])), "b1", "{bytes}");
    }
}

#[test]
fn the_number_of_header_fields_is_bounded() {
    let head = |count| {
        format!(
            "GET / HTTP/1.1\r\nHost: lb.test\r\n{}\r\n",
            "X: 1\r\n".repeat(count)
        )
    };
    too_large("", &head(120), 431);
    too_large("", &head(5_000), 431);
    too_large("headers = 10", &head(11), 431);
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send(head(90));
    assert_eq!(server(&client.response()), "b1");
}

/// What a slow client is told: 408, or nothing; and its connection is closed.
#[track_caller]
fn timed_out(client: &mut Client) {
    match client.try_response("GET") {
        Ok(response) => assert_eq!(response.status(), 408),
        Err(error) => assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "stays open"),
    }
    client.expect_closed();
}

#[test]
fn a_head_must_come_in_time() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .limits("header-timeout = \"500ms\"")
        .start();
    for part in [
        "",
        "GET",
        "GET / HTTP/1.1\r\nHost: lb.test\r\n",
        "GET / HTTP/1.1\r\nHost: lb.test\r\n\r",
    ] {
        let start = Instant::now();
        let mut client = proxy.client();
        client.send(part);
        timed_out(&mut client);
        assert!(start.elapsed() >= Duration::from_millis(450), "{part:?}");
    }
    let mut client = proxy.client();
    assert_eq!(server(&client.get("/")), "b1");
    client.send("GET / HT");
    timed_out(&mut client);
    assert_eq!(b1.hits(), 1);
}

/// Goal: dripping does not prolong the time for a head. Method: a byte now and then, each well within the bound.
#[test]
fn a_head_that_drips_must_come_in_time() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .limits("header-timeout = \"500ms\"")
        .start();
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: lb.test\r\nX: ");
    let dripped = (0..400).take_while(|_| {
        let heard = client.hears_within(Duration::from_millis(50));
        !heard && client.try_send("x").is_ok()
    });
    assert!(dripped.count() < 400);
    timed_out(&mut client);
    assert_eq!(b1.hits(), 0);
}

#[test]
fn slow_heads_do_not_hold_up_others() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let mut client = proxy.client();
            client.send("GET / HTTP/1.1\r\nHost: lb.");
            client
        })
        .collect();
    assert_eq!(proxy.served(20), ["b1"; 20]);
    for mut client in slow {
        client.send("test\r\n\r\n");
        assert_eq!(server(&client.response()), "b1");
    }
}

#[test]
fn an_idle_connection_is_closed() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .limits("keepalive-timeout = \"500ms\"")
        .start();
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(server(&client.get("/")), "b1");
    }
    let start = Instant::now();
    client.expect_closed();
    assert!(start.elapsed() >= Duration::from_millis(300));
}

#[test]
fn a_request_in_flight_is_not_idle() {
    let b1 = Origin::named("b1").answering(|exchange| {
        exchange.hears_within(Duration::from_millis(1_000));
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let limits =
        "keepalive-timeout = \"300ms\"\nheader-timeout = \"300ms\"\nclient-timeout = \"300ms\"";
    let proxy = Proxy::before(&[&b1]).limits(limits).start();
    let mut client = proxy.client();
    assert_eq!(server(&client.exchange_body("POST /", &[], "order")), "b1");
    assert_eq!(server(&client.get("/")), "b1");
}

#[test]
fn connections_beyond_the_bound_wait() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).limits("connections = 2").start();
    let (mut one, mut two) = (proxy.client(), proxy.client());
    assert_eq!([server(&one.get("/")), server(&two.get("/"))], ["b1", "b1"]);
    let mut three = proxy.client();
    three.ask("GET /", &[]);
    assert!(
        !three.hears_within(Duration::from_millis(300)),
        "beyond the bound"
    );
    drop(one);
    assert_eq!(server(&three.response()), "b1");
    assert_eq!(server(&two.get("/")), "b1");
}

/// Goal: without free file descriptors the program serves who is connected, does not spin, and recovers. Method: far more
/// connections than descriptors.
#[test]
fn without_file_descriptors_it_waits_and_recovers() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .top("workers = 1")
        .start_with_descriptors(40);
    let mut client = proxy.client();
    assert_eq!(server(&client.get("/")), "b1");
    let many: Vec<_> = (0..100).map(|_| proxy.client()).collect();
    let before = proxy.processor_time();
    for _ in 0..10 {
        assert_eq!(server(&client.get("/")), "b1");
        assert!(!client.hears_within(Duration::from_millis(100)));
    }
    let used = proxy.processor_time() - before;
    assert!(
        used < Duration::from_millis(500),
        "{used:?} of about a second"
    );
    drop(many);
    assert_eq!(proxy.served(3), ["b1"; 3]);
}

#[test]
fn an_upload_that_stalls_is_given_up() {
    let starts = [
        "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 100\r\n\r\nhalf",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
        "POST / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n8\r\nhalf",
    ];
    for start in starts {
        let [b1] = Origin::some();
        let proxy = Proxy::before(&[&b1])
            .limits("client-timeout = \"500ms\"")
            .balancer("forcerecovery = false")
            .start();
        let mut client = proxy.client();
        client.send(start);
        timed_out(&mut client);
        assert_eq!(b1.request(0).state, State::Aborted, "{start:?}");
        assert_eq!(server(&proxy.get("/")), "b1", "the member is not blamed");
    }
}

/// A slow upload is none that stalls: each part renews the time.
#[test]
fn an_upload_that_goes_on_is_not_given_up() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .limits("client-timeout = \"2s\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 30\r\n\r\n");
    for _ in 0..30 {
        assert!(!client.hears_within(Duration::from_millis(100)));
        client.send("x");
    }
    assert_eq!(server(&client.response()), "b1");
}

/// Goal: a byte now and then is not enough. Method: each byte comes well within `client-timeout`, and all of them far below
/// `client-rate`, whose first ten seconds are not looked at.
#[test]
fn an_upload_that_drips_is_given_up() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .limits("client-timeout = \"5s\"\nclient-rate = \"10KiB\"")
        .balancer("forcerecovery = false")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 1000000\r\n\r\n");
    let dripped = (0..600).take_while(|_| {
        let heard = client.hears_within(Duration::from_millis(100));
        !heard && client.try_send("x").is_ok()
    });
    assert!((50..600).contains(&dripped.count()));
    timed_out(&mut client);
    assert_eq!(b1.request(0).state, State::Aborted);
    assert_eq!(server(&proxy.get("/")), "b1", "the member is not blamed");
}

/// The same for an answer: read slowly, but often enough that something goes on now and then.
#[test]
fn a_download_that_the_client_sips_is_given_up() {
    let b1 = Origin::named("b1")
        .answering(|exchange| exchange.stream(1_000_000_000))
        .start();
    let proxy = Proxy::before(&[&b1])
        .limits("client-timeout = \"300s\"\nclient-rate = \"1MiB\"")
        .start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    b1.await_hits(1);
    b1.await_no_connection();
    let cut = client.try_response("GET").map(|response| response.complete);
    assert!(!matches!(cut, Ok(true)));
}

#[test]
fn a_download_that_the_client_does_not_take_is_given_up() {
    let b1 = Origin::named("b1")
        .answering(|exchange| exchange.stream(1_000_000_000))
        .start();
    let proxy = Proxy::before(&[&b1])
        .limits("client-timeout = \"500ms\"")
        .start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    b1.await_hits(1);
    b1.await_no_connection();
    let cut = client.try_response("GET").map(|response| response.complete);
    assert!(!matches!(cut, Ok(true)));
}

/// What it has asked for behind that would be taken for the rest of the answer.
#[test]
fn a_client_that_is_given_up_within_an_answer_gets_no_other() {
    let b1 = Origin::named("b1")
        .answering(|exchange| match exchange.target() {
            "/next" => exchange.answer("b1"),
            _ => exchange.stream(1_000_000_000),
        })
        .start();
    let proxy = Proxy::before(&[&b1])
        .limits("client-timeout = \"500ms\"\nkeepalive-timeout = \"300s\"")
        .start();
    let mut client = proxy.client();
    client.send(request("GET /", &[], "") + &request("GET /next", &[], ""));
    b1.await_hits(1);
    b1.await_no_connection();
    let cut = client.try_response("GET").map(|response| response.complete);
    assert!(!matches!(cut, Ok(true)));
    client.expect_closed();
    assert_eq!(b1.hits(), 1);
}

#[test]
fn a_connection_that_floods_requests_without_reading_is_bounded() {
    let b1 = Origin::named("b1")
        .answering(|exchange| exchange.stream(100_000))
        .start();
    let proxy = Proxy::before(&[&b1])
        .limits("client-timeout = \"1s\"")
        .start();
    let client = proxy.client();
    let mut sender = Client::on(client.sender());
    sender.give_up_sending_after(Duration::from_secs(5));
    let flood = "GET / HTTP/1.1\r\nHost: lb.test\r\n\r\n".repeat(1_000);
    let flooding = thread::spawn(move || {
        let pieces = (0..2_000).take_while(|_| sender.try_send(&flood).is_ok());
        pieces.count()
    });
    assert!(
        flooding.join().expect("no panic") < 2_000,
        "the flood is stopped"
    );
    assert!(
        proxy.peak_memory() < MEMORY,
        "{} bytes",
        proxy.peak_memory()
    );
    assert_eq!(proxy.get("/").body.length, 100_000);
}

#[test]
fn a_member_that_never_answers_is_bounded_by_its_timeout_whatever_the_client_does() {
    let b1 = Origin::named("b1")
        .answering(|exchange: &mut Exchange| exchange.stall())
        .start();
    let proxy = Proxy::before(&[])
        .member(&b1, "timeout = \"500ms\"")
        .start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 5\r\n\r\norder");
    client.send("GET /next HTTP/1.1\r\nHost: lb.test\r\n\r\n");
    assert_eq!(client.response().status(), 504);
}
