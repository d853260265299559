//! Bodies pass as they come: large ones in constant memory, and no faster than they are taken.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crate::harness::proxy::server;
use crate::harness::{BUFFERED, Client, Gate, MEGABYTE, MEMORY, Origin, Proxy, eventually};

#[test]
fn a_large_download_takes_constant_memory() {
    for framing in ["counted", "chunked"] {
        let b1 = Origin::named("b1").answering(move |exchange| match framing {
            "counted" => exchange.stream(300 * MEGABYTE),
            _ => exchange.stream_chunked(300 * MEGABYTE),
        });
        let b1 = b1.start();
        let proxy = Proxy::before(&[&b1]).start();
        let body = proxy.get("/").body;
        assert_eq!(
            (body.length, body.patterned),
            (300 * MEGABYTE, true),
            "{framing}"
        );
        assert!(
            proxy.peak_memory() < MEMORY,
            "{framing}: {} bytes",
            proxy.peak_memory()
        );
    }
}

#[test]
fn a_large_upload_takes_constant_memory() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let length = 300 * MEGABYTE;
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: {length}\r\n\r\n"
    ));
    client
        .send_pattern(length, |_| {})
        .expect("a proxy that reads");
    assert_eq!(server(&client.response()), "b1");
    let body = b1.only_request().body;
    assert_eq!((body.length, body.patterned), (length, true));
    assert!(
        proxy.peak_memory() < MEMORY,
        "{} bytes",
        proxy.peak_memory()
    );
}

#[test]
fn a_large_body_is_echoed_while_it_is_sent() {
    let b1 = Origin::named("b1").answering(|exchange| exchange.echo());
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let length = 20 * MEGABYTE;
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: {length}\r\n\r\n"
    ));
    let mut sender = Client::on(client.sender());
    let sending = thread::spawn(move || sender.send_pattern(length, |_| {}));
    let body = client.response().body;
    assert_eq!((body.length, body.patterned), (length, true));
    sending
        .join()
        .expect("no panic")
        .expect("everything is taken");
}

/// What a growing number is once it has not grown for a while.
fn settled(grown: impl Fn() -> u64) -> u64 {
    let mut last = grown();
    eventually("the flow stops", || {
        thread::sleep(Duration::from_millis(500));
        let now = grown();
        let stopped = now == std::mem::replace(&mut last, now) && now > 0;
        stopped.then_some(now)
    })
}

#[test]
fn a_client_that_does_not_read_stalls_the_member() {
    let b1 = Origin::named("b1")
        .answering(|exchange| exchange.stream(1_000 * MEGABYTE))
        .start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    let sent = settled(|| b1.streamed());
    assert!(sent < BUFFERED, "{sent} bytes were taken from the member");
    assert!(
        proxy.peak_memory() < MEMORY,
        "{} bytes",
        proxy.peak_memory()
    );
}

#[test]
fn a_member_that_does_not_read_stalls_the_client() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        held.wait();
        exchange.close();
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    let length = 1_000 * MEGABYTE;
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: {length}\r\n\r\n"
    ));
    let sent = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&sent);
    let sending = thread::spawn(move || {
        client.send_pattern(length, |count| {
            counted.fetch_add(count as u64, Ordering::Relaxed);
        })
    });
    let taken = settled(|| sent.load(Ordering::Relaxed));
    gate.open();
    assert!(taken < BUFFERED, "{taken} bytes were taken from the client");
    assert!(
        proxy.peak_memory() < MEMORY,
        "{} bytes",
        proxy.peak_memory()
    );
    assert!(
        sending.join().expect("no panic").is_err(),
        "the member left"
    );
}

#[test]
fn parts_of_a_body_are_passed_on_as_they_come() {
    let gate = Gate::closed();
    let held = gate.clone();
    let b1 = Origin::named("b1").answering(move |exchange| {
        exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n");
        held.wait();
        exchange.send("6\r\nsecond\r\n0\r\n\r\n");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.ask("GET /", &[]);
    client.await_text("first");
    gate.open();
    assert_eq!(client.response().text(), "firstsecond");
}

#[test]
fn parts_of_an_upload_are_passed_on_as_they_come() {
    let (seen, b1) = (Gate::closed(), Origin::named("b1"));
    let heard = seen.clone();
    let b1 = b1.answering(move |exchange| {
        if exchange.hears_within(Duration::from_secs(19)) {
            heard.open();
        }
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: lb.test\r\nContent-Length: 11\r\n\r\nfirst");
    assert!(seen.wait(), "the member hears of the body before its end");
    client.send("second");
    assert_eq!(server(&client.response()), "b1");
    assert_eq!(b1.only_request().body.text(), "firstsecond");
}

#[test]
fn a_response_that_ends_with_its_connection_passes_whole() {
    let b1 = Origin::named("b1").answering(|exchange| {
        exchange.send("HTTP/1.1 200 OK\r\n\r\n");
        exchange.send_pattern(5 * MEGABYTE);
        exchange.close();
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let mut client = proxy.client();
    for _ in 0..2 {
        let body = client.get("/").body;
        assert_eq!((body.length, body.patterned), (5 * MEGABYTE, true));
    }
}
