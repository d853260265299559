//! The end of the program: it stops accepting, finishes what is in flight and exits with 0.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::proxy::server;
use crate::harness::{Exchange, Gate, Origin, Proxy, Signal, eventually};

const SIGNALS: [Signal; 2] = [Signal::TERM, Signal::INT];

/// Waits until connections to the proxy are refused.
fn refuses(proxy: &Proxy) {
    eventually("connections are refused", || {
        TcpStream::connect(proxy.address()).is_err().then_some(())
    });
}

#[test]
fn what_is_in_flight_is_finished() {
    for signal in SIGNALS {
        let gate = Gate::closed();
        let held = gate.clone();
        let b1 = Origin::named("b1").answering(move |exchange| {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nfirst");
            held.wait();
            exchange.send("second");
        });
        let (b1, waiting) = (b1.start(), Gate::closed());
        let held = waiting.clone();
        let b2 = Origin::named("b2").answering(move |exchange| {
            held.wait();
            exchange.answer("b2");
        });
        let b2 = b2.start();
        let mut proxy = Proxy::before(&[&b1, &b2]).start();
        let (mut streaming, mut waiter) = (proxy.client(), proxy.client());
        streaming.ask("GET /", &[]);
        streaming.await_text("first");
        waiter.ask("GET /", &[]);
        b2.await_hits(1);

        proxy.signal(signal);
        refuses(&proxy);
        assert!(proxy.is_running(), "requests are in flight");
        gate.open();
        assert_eq!(streaming.response().text(), "firstsecond");
        streaming.expect_closed();
        assert!(proxy.is_running(), "a request is in flight");
        waiting.open();
        assert_eq!(server(&waiter.response()), "b2");
        assert_eq!(proxy.wait().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn an_upload_in_flight_is_finished() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 11\r\n\r\nfirst");
    b1.await_hits(1);
    proxy.signal(Signal::TERM);
    refuses(&proxy);
    client.send("second");
    assert_eq!(server(&client.response()), "b1");
    assert_eq!(b1.only_request().body.text(), "firstsecond");
    assert_eq!(proxy.wait().code(), Some(0));
}

/// The bound on the drain is far beyond the test's patience, so that only closing them ends the program in time.
#[test]
fn idle_connections_do_not_hold_the_end_up() {
    for signal in SIGNALS {
        let [b1] = Origin::some();
        let mut proxy = Proxy::before(&[&b1])
            .top("shutdown-timeout = \"10m\"")
            .start();
        let mut idle = proxy.client();
        assert_eq!(server(&idle.get("/")), "b1");
        let mut silent = proxy.client();
        proxy.signal(signal);
        assert_eq!(proxy.wait().code(), Some(0), "{signal:?}");
        idle.expect_closed();
        silent.expect_closed();
        b1.await_no_connection();
    }
}

/// Goal: a client that asks one thing after the other on one connection loses none of it. Method: it asks from before the
/// signal until an answer says that it was the last.
#[test]
fn a_kept_connection_hears_of_the_end_with_an_answer() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    assert_eq!(server(&client.get("/")), "b1");
    proxy.signal(Signal::TERM);
    loop {
        let response = client.get("/");
        assert_eq!(server(&response), "b1");
        if response.field("connection") == Some("close") {
            break;
        }
    }
    client.expect_closed();
    assert_eq!(proxy.wait().code(), Some(0));
}

#[test]
fn shutdown_timeout_bounds_the_end() {
    let b1 = Origin::named("b1")
        .answering(|exchange: &mut Exchange| exchange.stall())
        .start();
    let mut proxy = Proxy::before(&[&b1])
        .top("shutdown-timeout = \"500ms\"")
        .start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    b1.await_hits(1);
    let start = Instant::now();
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(start.elapsed() >= Duration::from_millis(450));
    assert!(client.try_response("GET").is_err(), "cut off");
}

#[test]
fn a_second_signal_cuts_the_end_short() {
    let b1 = Origin::named("b1").answering(Exchange::stall).start();
    let mut proxy = Proxy::before(&[&b1])
        .top("shutdown-timeout = \"10m\"")
        .start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    b1.await_hits(1);
    proxy.signal(Signal::TERM);
    refuses(&proxy);
    proxy.signal(Signal::INT);
    assert_eq!(proxy.wait().code(), Some(1), "not everything was finished");
}

/// Goal: who is told that the program is ready may end it at once. Method: a signal right after the line that says so,
/// several times, because what could go wrong here is a race.
#[test]
fn a_program_that_is_ready_can_be_ended() {
    let [b1] = Origin::some();
    for signal in SIGNALS.repeat(10) {
        let mut proxy = Proxy::before(&[&b1])
            .top("shutdown-timeout = \"10m\"")
            .start();
        proxy.signal(signal);
        assert_eq!(proxy.wait().code(), Some(0), "{signal:?}");
    }
}

#[test]
fn the_port_is_free_afterwards() {
    let [b1] = Origin::some();
    let mut first = Proxy::before(&[&b1]).start();
    assert_eq!(server(&first.get("/")), "b1");
    let address = first.address();
    first.signal(Signal::TERM);
    assert_eq!(first.wait().code(), Some(0));
    let toml = format!(
        "[[listen]]\naddress = \"{address}\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n\
         [[balancer.b.member]]\nurl = \"{}\"\n",
        b1.url()
    );
    let second = Proxy::with(&toml).start();
    assert_eq!(second.address(), address);
    assert_eq!(server(&second.get("/")), "b1");
}

#[test]
fn whoever_has_connected_and_asked_for_nothing_does_not_keep_it() {
    let [b1] = Origin::some();
    let mut proxy = Proxy::before(&[&b1])
        .limits("header-timeout = \"1h\"")
        .start();
    let mut client = proxy.client();
    // Accepted before this one is answered: connections to one worker come in turn.
    for _ in 0..20 {
        assert_eq!(proxy.get("/").text(), "b1");
    }
    proxy.signal(Signal::TERM);
    client.expect_closed();
    assert_eq!(proxy.wait().code(), Some(0));
}
