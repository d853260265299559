//! `replay-buffer`: bodies that are kept to be sent again, in memory that is bounded whatever they come in.

use std::io;

use crate::harness::frames::{self, END_HEADERS, END_STREAM, POST};
use crate::harness::peers::{Message, Peer, Version};
use crate::harness::proxy::server;
use crate::harness::{Client, Exchange, MEGABYTE, Origin, Proxy};

/// Payload, each byte in a chunk of its own.
fn chunks(payload: &[u8]) -> Vec<u8> {
    let chunks = payload.iter().flat_map(|&byte| {
        let chunk = [b'1', b'\r', b'\n', byte, b'\r', b'\n'];
        chunk.into_iter()
    });
    chunks.collect()
}

const HEAD: &str = "PUT / HTTP/1.1\r\nHost: lb.test\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A member whose answer to the first request is one after which another is asked.
fn busy() -> Origin {
    Origin::named("busy")
        .answering(|exchange: &mut Exchange| exchange.respond("503 Busy", "busy"))
        .start()
}

#[test]
fn a_body_of_tiny_pieces_is_sent_again_whole() {
    let payload: Vec<u8> = (0..20_000_u32).map(|it| b'a' + (it % 26) as u8).collect();
    let (dead, busy, b3) = (Origin::dead(), busy(), Origin::live("b3"));
    let proxy = Proxy::before(&[&dead, &busy, &b3])
        .balancer("retry-on = [\"503\"]")
        .start();
    let mut client = proxy.client();
    client.send([HEAD.as_bytes(), &chunks(&payload), b"0\r\n\r\n"].concat());
    assert_eq!(server(&client.response()), "b3");
    for member in [&busy, &b3] {
        assert!(member.only_request().body.bytes == payload);
    }
}

#[test]
fn trailers_are_sent_again_with_the_body() {
    for version in [Version::Http1, Version::Http2] {
        let (busy, b2) = (busy(), Origin::live("b2"));
        let proxy = Proxy::before(&[&busy, &b2])
            .balancer("retry-on = [\"503\"]")
            .start();
        let mut client = Peer::connect(version, proxy.address());
        let request = Message::of("PUT /").body("content").trailer("x-sum", "7");
        let answer = client.exchange(&request).expect("an answer");
        assert_eq!(answer.text(), "b2", "{version}");
        for member in [&busy, &b2] {
            let body = member.only_request().body;
            assert_eq!(body.text(), "content", "{version}");
            let trailers = body.trailers.iter();
            let trailers: Vec<_> = trailers
                .map(|(name, value)| format!("{name}={value}"))
                .collect();
            assert_eq!(trailers, ["x-sum=7"], "{version}");
        }
    }
}

/// How many bytes of a body are kept where memory is looked at.
const KEPT: usize = 1 << 19;

/// What the program may need besides what it keeps: buffers, and what is on its way through them.
const BESIDES: u64 = 8 * MEGABYTE;

/// How much more memory the program needs at most while a client uploads, once others have done so with little.
fn growth(upload: impl Fn(&Proxy)) -> u64 {
    let b1 = Origin::live("b1");
    let proxy = Proxy::before(&[&b1])
        .top("workers = 1")
        .balancer(&format!("replay-buffer = \"{KEPT}B\""))
        .start();
    for _ in 0..3 {
        let response = proxy
            .client()
            .exchange_body("PUT /", &[], &"x".repeat(10_000));
        assert_eq!(server(&response), "b1");
    }
    let before = proxy.peak_memory();
    upload(&proxy);
    proxy.peak_memory() - before
}

/// Goal: the bound is one of memory, not of payload. Method: as much as may be kept, a byte in each chunk.
#[test]
fn memory_is_bounded_where_each_byte_comes_in_its_own_chunk() {
    let grown = growth(|proxy| {
        let piece = chunks(&[b'x'; 1 << 14]);
        let mut client = proxy.client();
        client.send(HEAD);
        for _ in 0..KEPT >> 14 {
            client.send(&piece);
        }
        client.send("0\r\n\r\n");
        assert_eq!(server(&client.response()), "b1");
    });
    assert!(grown < KEPT as u64 + BESIDES, "{grown} bytes");
}

/// The same for frames of HTTP/2. A client that sends them faster than they are passed on may be sent away.
#[test]
fn memory_is_bounded_where_each_byte_comes_in_its_own_frame() {
    let grown = growth(|proxy| {
        let piece = frames::data(0, 1, b"x").repeat(1 << 10);
        for _ in 0..4 {
            let mut client = proxy.client();
            let head = frames::headers(END_HEADERS, 1, POST);
            client.send([frames::hello(b""), head].concat());
            let mut windows = Windows::default();
            let sent = (0..KEPT >> 10).take_while(|_| {
                let room = windows.await_room(&mut client, 1 << 10);
                room.is_ok() && client.try_send(&piece).is_ok()
            });
            assert!(sent.count() > 0);
            let _ = client.try_send(frames::data(END_STREAM, 1, b""));
        }
        assert_eq!(server(&proxy.get("/")), "b1");
    });
    assert!(grown < KEPT as u64 + BESIDES, "{grown} bytes");
}

/// How much may be sent by HTTP/2: at first as much as each connection begins with.
struct Windows {
    stream: i64,
    connection: i64,
}

impl Default for Windows {
    fn default() -> Self {
        Self {
            stream: 65_535,
            connection: 65_535,
        }
    }
}

impl Windows {
    /// Reads frames until so many bytes may be sent, and takes them from the windows.
    fn await_room(&mut self, client: &mut Client, bytes: i64) -> io::Result<()> {
        while self.stream.min(self.connection) < bytes {
            let header = client.take(9)?;
            let length = usize::from(header[1]) << 8 | usize::from(header[2]);
            let payload = client.take(length)?;
            let number = |at: usize| {
                let bytes = payload[at..at + 4].try_into().expect("four bytes");
                i64::from(u32::from_be_bytes(bytes))
            };
            match (header[3], header[8]) {
                (8, 0) => self.connection += number(0),
                (8, _) => self.stream += number(0),
                // The window that each stream begins with.
                (4, _) if header[4] & 1 == 0 => {
                    let settings = (0..length / 6).map(|it| 6 * it);
                    let initial = settings.filter(|&at| payload[at..at + 2] == [0, 4]);
                    self.stream += initial.map(|at| number(at + 2) - 65_535).sum::<i64>();
                }
                _ => {}
            }
        }
        self.stream -= bytes;
        self.connection -= bytes;
        Ok(())
    }
}
