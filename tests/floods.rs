//! HTTP/2 floods end their own connection, and no other.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::frames::{
    END_HEADERS, END_STREAM, GET, POST, PREFACE, cancel, data, frame, headers, hello, settings,
};
use crate::harness::proxy::server;
use crate::harness::{Exchange, MEMORY, Origin, Proxy, WAIT_TIMEOUT};

/// A connection of HTTP/2, begun with these settings.
fn begin(proxy: &Proxy, payload: &[u8]) -> TcpStream {
    let mut client = TcpStream::connect(proxy.address()).expect("it listens");
    client
        .set_read_timeout(Some(WAIT_TIMEOUT))
        .expect("a timeout");
    client
        .set_write_timeout(Some(WAIT_TIMEOUT))
        .expect("a timeout");
    client.write_all(&hello(payload)).expect("there is room");
    client
}

/// Sends what `piece` makes of the numbers from 0, all the while reading what comes, until the connection is closed.
#[track_caller]
fn sends_until_closed(mut client: TcpStream, piece: impl Fn(u32) -> Vec<u8>) {
    let mut reader = client.try_clone().expect("a second handle");
    let reading = std::thread::spawn(move || {
        let mut buffer = [0; 64 * 1024];
        while reader.read(&mut buffer).is_ok_and(|bytes| bytes > 0) {}
    });
    let is_stopped = (0..1_000_000).any(|number| client.write_all(&piece(number)).is_err());
    reading.join().expect("no panic");
    assert!(is_stopped, "the flood goes on");
}

/// The stream of the request with this number, from 0.
fn stream(number: u32) -> u32 {
    2 * number + 1
}

/// Goal: frames that are no use end the connection, others go on. Method: each kind of them, as fast as they go.
#[test]
fn floods_of_useless_frames_end_the_connection() {
    let floods: [(&str, Vec<u8>); 9] = [
        ("SETTINGS", settings(b"\0\x04\0\0\xff\xff")),
        ("empty SETTINGS", settings(b"")),
        ("PING", frame(6, 0, 0, &[0; 8])),
        ("pongs", frame(6, 1, 0, &[0; 8])),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 3, 0])),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1])),
        ("empty DATA", data(0, 1, b"")),
        ("padding", frame(0, 8, 1, b"\x03\0\0\0")),
        ("unknown frames", frame(0xbe, 0, 0, b"grease")),
    ];
    let b1 = Origin::named("b1").answering(|exchange: &mut Exchange| {
        if exchange.method() == "POST" {
            exchange.read_body();
        }
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    for (name, bytes) in floods {
        let mut client = begin(&proxy, b"");
        let request = headers(END_HEADERS, 1, POST);
        client.write_all(&request).expect("there is room");
        sends_until_closed(client, |_| bytes.repeat(100));
        assert_eq!(server(&proxy.get("/")), "b1", "{name}");
    }
    let lines = proxy.stderr.text();
    assert!(lines.lines().count() < 10, "{lines}");
    assert!(proxy.peak_memory() < MEMORY, "{}", proxy.peak_memory());
}

/// CVE-2023-44487: each request is reset as soon as it is sent.
#[test]
fn requests_that_are_reset_at_once_end_the_connection() {
    let b1 = Origin::named("b1").answering(|exchange: &mut Exchange| {
        if exchange.target() == "/" {
            exchange.answer("b1");
        }
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).start();
    let pair = |number| {
        let request = headers(END_HEADERS | END_STREAM, stream(number), GET);
        [request, cancel(stream(number))].concat()
    };
    sends_until_closed(begin(&proxy, b""), |number| {
        (100 * number..100 * (number + 1)).flat_map(pair).collect()
    });
    assert_eq!(server(&proxy.get("/")), "b1");
    assert!(proxy.peak_memory() < MEMORY, "{}", proxy.peak_memory());
}

/// CVE-2025-8671: the client has us reset its requests, by frames that are wrong on them.
#[test]
fn requests_that_we_have_to_reset_end_the_connection() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let pair = |number| {
        let request = headers(END_HEADERS | END_STREAM, stream(number), GET);
        [request, frame(8, 0, stream(number), &[0, 0, 0, 0])].concat()
    };
    sends_until_closed(begin(&proxy, b""), |number| {
        (10 * number..10 * (number + 1)).flat_map(pair).collect()
    });
    assert_eq!(server(&proxy.get("/")), "b1");
}

/// A header block that never ends, in CONTINUATION frames of a byte or of many.
#[test]
fn a_header_block_without_an_end_ends_the_connection() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    for block in [&b""[..], b"\x82", &[0x82; 16_000]] {
        let mut client = begin(&proxy, b"");
        let start = headers(END_STREAM, 1, GET);
        client.write_all(&start).expect("there is room");
        sends_until_closed(client, |_| frame(9, 0, 1, block));
        assert_eq!(server(&proxy.get("/")), "b1");
    }
    assert_eq!(b1.hits(), 3);
    assert!(proxy.peak_memory() < MEMORY, "{}", proxy.peak_memory());
}

#[test]
fn a_header_block_must_end_in_time() {
    let [b1] = Origin::some();
    let limits = "header-timeout = \"500ms\"";
    let proxy = Proxy::before(&[&b1]).limits(limits).start();
    let starts: [&[u8]; 4] = [b"", &PREFACE[..10], b"\0", &headers(END_STREAM, 1, GET)];
    for start in starts {
        let mut client = if start == b"" || PREFACE.starts_with(start) {
            TcpStream::connect(proxy.address()).expect("it listens")
        } else {
            begin(&proxy, b"")
        };
        client
            .set_read_timeout(Some(WAIT_TIMEOUT))
            .expect("a timeout");
        client.write_all(start).expect("there is room");
        let ended = client.read_to_end(&mut Vec::new());
        let kind = ended.map_err(|error| error.kind());
        assert_ne!(kind, Err(std::io::ErrorKind::WouldBlock), "{start:?}");
    }
    assert_eq!(b1.hits(), 0);
}

/// Goal: a small header block does not become a large one in memory. Method: a field of 4 KB in the table of HPACK, and 16 000
/// times the byte that stands for it; again and again.
#[test]
fn a_header_block_that_grows_when_it_is_read_is_bounded() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    let field = [b"\x40\x01x\x7f\xa1\x1e".to_vec(), vec![b'v'; 4000]].concat();
    let bomb = [GET, &field, &vec![0xbe; 11_000]].concat();
    let mut client = begin(&proxy, b"");
    for number in 0..100 {
        let request = headers(END_HEADERS | END_STREAM, stream(number), &bomb);
        if client.write_all(&request).is_err() {
            break;
        }
    }
    drop(client);
    assert_eq!(server(&proxy.get("/")), "b1");
    assert_eq!(b1.hits(), 1);
    assert!(proxy.peak_memory() < MEMORY, "{}", proxy.peak_memory());
}

/// Goal: clients that ask for much and take nothing cost no more memory than their windows, and are given up after
/// `client-timeout`. Method: a hundred requests for a gigabyte each, with a window of nothing, of 64 KiB and nothing after it, or
/// as large as may be, where it is the socket that is not read.
#[test]
fn answers_that_are_not_taken_are_given_up() {
    let b1 = Origin::named("b1")
        .answering(|exchange| match exchange.target() {
            "/" => exchange.stream(1_000_000_000),
            _ => exchange.answer("b1"),
        })
        .start();
    let proxy = Proxy::before(&[&b1])
        .limits("client-timeout = \"500ms\"\nclient-rate = \"1MiB\"")
        .start();
    let none = [0, 4, 0, 0, 0, 0];
    let most = [0, 4, 0x7f, 0xff, 0xff, 0xff];
    for payload in [&none[..], b"", &most] {
        let mut client = begin(&proxy, payload);
        if payload == most {
            let widened = frame(8, 0, 0, &[0x7f, 0xff, 0, 0]);
            client.write_all(&widened).expect("there is room");
        }
        for number in 0..100 {
            let request = headers(END_HEADERS | END_STREAM, stream(number), GET);
            client.write_all(&request).expect("there is room");
        }
        b1.await_hits(1);
        b1.await_no_connection();
        assert_eq!(server(&proxy.get("/other")), "b1");
    }
    assert!(proxy.peak_memory() < 2 * MEMORY, "{}", proxy.peak_memory());
}

/// More requests at once than `streams`: those beyond it are refused, the others answered.
#[test]
fn requests_beyond_the_bound_are_refused() {
    let b1 = Origin::named("b1").answering(|exchange: &mut Exchange| {
        exchange.hears_within(Duration::from_millis(300));
        exchange.answer("b1");
    });
    let b1 = b1.start();
    let proxy = Proxy::before(&[&b1]).limits("streams = 2").start();
    let mut client = begin(&proxy, b"");
    let requests: Vec<u8> = (0..10)
        .flat_map(|number| headers(END_HEADERS | END_STREAM, stream(number), GET))
        .collect();
    client.write_all(&requests).expect("there is room");
    let (mut answered, mut refused) = (0, 0);
    while answered + refused < 10 {
        let mut header = [0; 9];
        client.read_exact(&mut header).expect("a frame");
        let mut payload = vec![0; usize::from(header[1]) << 8 | usize::from(header[2])];
        client.read_exact(&mut payload).expect("a whole frame");
        match header[3] {
            1 => answered += 1,
            3 => {
                assert_eq!(payload, [0, 0, 0, 7], "REFUSED_STREAM");
                refused += 1;
            }
            _ => {}
        }
    }
    assert_eq!((answered, refused, b1.hits()), (2, 8, 2));
    assert_eq!(server(&proxy.get("/")), "b1");
}
