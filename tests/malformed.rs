//! A message of HTTP/2 that is malformed costs itself alone (RFC 9113, 8.1.1): the others on its connection finish.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

use crate::harness::frames::{
    ACK, END_HEADERS, END_STREAM, GET, HEADERS, POST, PREFACE, SETTINGS, Speaker, data, frame,
    headers, literal, settings,
};
use crate::harness::peers::{Member, Message, Peer, Reply, Version};
use crate::harness::{Proxy, eventually};

const ALL: u8 = END_HEADERS | END_STREAM;

/// The member's answer to what it is asked.
fn echo(request: &Message) -> Reply {
    Reply::Whole(Message::of("200").body(request.start.clone()))
}

fn before(member: &Member) -> Proxy {
    Proxy::before(&[])
        .member_at(&member.url(), "timeout = \"10s\"")
        .start()
}

/// Fields that no message may have, by what is wrong with them.
fn wrong_fields() -> Vec<(&'static str, Vec<u8>)> {
    let table: [(&str, &[u8], &[u8]); 24] = [
        ("upper case", b"X-Foo", b"1"),
        ("a space in a name", b"x foo", b"1"),
        ("a tab in a name", b"x\tfoo", b"1"),
        ("NUL in a name", b"x\0foo", b"1"),
        ("LF in a name", b"x\nfoo", b"1"),
        ("CR in a name", b"x\rfoo", b"1"),
        ("a colon in a name", b"x:foo", b"1"),
        ("no ASCII in a name", b"x\xe9", b"1"),
        ("DEL in a name", b"x\x7f", b"1"),
        ("no name", b"", b"1"),
        ("NUL in a value", b"x", b"a\0b"),
        ("LF in a value", b"x", b"a\nb"),
        ("CR in a value", b"x", b"a\rb"),
        ("a line in a value", b"x", b"a\r\nhost: b"),
        ("a space before a value", b"x", b" a"),
        ("a space behind a value", b"x", b"a "),
        ("a pseudo-field that is none", b":foo", b"1"),
        ("a pseudo-field without a name", b":", b"1"),
        ("a late pseudo-field", b":path", b"/late"),
        ("a connection's", b"connection", b"close"),
        ("a coding of transfer", b"transfer-encoding", b"chunked"),
        ("keep-alive", b"keep-alive", b"timeout=5"),
        ("proxy-connection", b"proxy-connection", b"close"),
        ("an upgrade", b"upgrade", b"h2c"),
    ];
    let lines = table.map(|(what, name, value)| (what, literal(name, value)));
    lines.into()
}

/// Header blocks that are no request.
fn wrong_requests() -> Vec<(&'static str, Vec<u8>)> {
    const HOST: &[u8] = b"\x41\x07lb.test";
    let mut table = vec![
        ("two paths", [b"\x82\x86\x84\x84", HOST].concat()),
        ("two methods", [b"\x82\x82\x86\x84", HOST].concat()),
        ("two schemes", [b"\x82\x86\x86\x84", HOST].concat()),
        ("two hosts", [b"\x82\x86\x84", HOST, HOST].concat()),
        ("no path", [b"\x82\x86", HOST].concat()),
        ("no method", [b"\x86\x84", HOST].concat()),
        ("no scheme", [b"\x82\x84", HOST].concat()),
        ("no host", b"\x82\x86\x84".to_vec()),
        ("a status", [GET, b"\x88"].concat()),
        ("another status", [b"\x88", GET].concat()),
        ("CONNECT", literal(b":method", b"CONNECT")),
        ("te", [GET, &literal(b"te", b"gzip")].concat()),
        (
            "a length that does not come",
            [GET, &literal(b"content-length", b"5")].concat(),
        ),
        (
            "another host",
            [GET, &literal(b"host", b"other.test")].concat(),
        ),
    ];
    let path = |path: &[u8]| [b"\x82\x86", HOST, &literal(b":path", path)].concat();
    table.extend([
        ("an empty path", path(b"")),
        ("a path that is none", path(b"a")),
        ("an URL as a path", path(b"http://lb.test/")),
        ("a space in a path", path(b"/a b")),
        ("NUL in a path", path(b"/a\0")),
        ("LF in a path", path(b"/a\nb")),
        ("a fragment in a path", path(b"/a#b")),
        ("a star for GET", path(b"*")),
    ]);
    let host = |host: &[u8]| [b"\x82\x86\x84", &literal(b":authority", host)[..]].concat();
    table.extend([
        ("no ASCII in a host", host(b"lb\xe9.test")),
        ("a user in a host", host(b"me@lb.test")),
        ("a space in a host", host(b"lb test")),
        ("an empty host", host(b"")),
    ]);
    let method = |name: &[u8]| [b"\x86\x84", HOST, &literal(b":method", name)].concat();
    table.extend([
        ("no ASCII in a method", method(b"G\xc9T")),
        ("a space in a method", method(b"GET /")),
        ("an empty method", method(b"")),
    ]);
    let fields = wrong_fields().into_iter();
    table.extend(fields.map(|(what, line)| (what, [GET, &line].concat())));
    table
}

/// Goal: each malformed request is refused, and costs nothing but itself. Method: one after the other beside an upload on the
/// same connection, which then ends. The program refuses a flood of them, so that a connection has no more than some.
#[test]
fn a_malformed_request_is_refused_and_its_neighbour_finishes() {
    for version in [Version::Http1, Version::Http2] {
        let member = Member::start(version, echo);
        let proxy = before(&member);
        let requests = wrong_requests();
        for requests in requests.chunks(20) {
            let mut client = Speaker::connect(proxy.address(), b"");
            client.send(headers(END_HEADERS, 1, POST));
            client.send(data(0, 1, b"half"));
            for ((what, block), stream) in requests.iter().zip((3..).step_by(2)) {
                client.send(headers(ALL, stream, block));
                match client.end_of(stream) {
                    Ok(status) => assert_eq!(status, 400, "{what}"),
                    Err(code) => assert_eq!(code, 1, "PROTOCOL_ERROR for {what}"),
                }
            }
            client.send(data(END_STREAM, 1, b"half"));
            assert_eq!(client.end_of(1), Ok(200), "{version}");
        }
        let whole = requests.chunks(20).count();
        assert_eq!(member.whole_requests(), whole, "{version}");
        for number in 0..whole {
            assert_eq!(member.request(number).text(), "halfhalf");
        }
    }
}

/// As by HTTP/1: what a browser of old sends.
#[test]
fn bytes_that_are_no_ascii_pass_in_a_path() {
    for version in [Version::Http1, Version::Http2] {
        let member = Member::start(Version::Http1, echo);
        let proxy = before(&member);
        match version {
            Version::Http1 => {
                let mut client = proxy.client();
                client.send(b"GET /caf\xe9 HTTP/1.1\r\nHost: lb.test\r\n\r\n");
                assert_eq!(client.response().status(), 200);
            }
            Version::Http2 => {
                let mut client = Speaker::connect(proxy.address(), b"");
                let block = [&GET[..2], &GET[3..], &literal(b":path", b"/caf\xe9")].concat();
                client.send(headers(ALL, 1, &block));
                assert_eq!(client.end_of(1), Ok(200));
            }
        }
    }
}

/// The same where it is the body that is malformed, or what is behind it.
#[test]
fn a_request_that_ends_malformed_is_refused_and_its_neighbour_finishes() {
    let length = |length: &[u8]| [POST, &literal(b"content-length", length)].concat();
    let mut rows: Vec<(&str, Vec<u8>, Vec<Vec<u8>>)> = vec![
        (
            "less than its length",
            length(b"5"),
            vec![data(END_STREAM, 0, b"four")],
        ),
        (
            "more than its length",
            length(b"3"),
            vec![data(END_STREAM, 0, b"four")],
        ),
        (
            "trailers before its length",
            length(b"5"),
            vec![
                data(0, 0, b"four"),
                headers(ALL, 0, &literal(b"x-sum", b"1")),
            ],
        ),
        (
            "a head in the middle",
            POST.to_vec(),
            vec![data(0, 0, b"four"), headers(END_HEADERS, 0, GET)],
        ),
    ];
    let trailers: [(&str, &[u8], &[u8]); 6] = [
        ("a pseudo-field", b":path", b"/"),
        ("a status", b":status", b"200"),
        ("a length", b"content-length", b"4"),
        ("a host", b"host", b"lb.test"),
        ("a framing", b"trailer", b"x"),
        ("the client's address", b"x-forwarded-for", b"1.2.3.4"),
    ];
    let trailers = trailers.map(|(what, name, value)| (what, literal(name, value)));
    for (what, line) in trailers.into_iter().chain(wrong_fields()) {
        let frames = vec![data(0, 0, b"four"), headers(ALL, 0, &line)];
        rows.push((what, POST.to_vec(), frames));
    }
    for version in [Version::Http1, Version::Http2] {
        let member = Member::start(version, echo);
        let proxy = before(&member);
        for rows in rows.chunks(12) {
            let mut client = Speaker::connect(proxy.address(), b"");
            client.send(headers(END_HEADERS, 1, POST));
            client.send(data(0, 1, b"half"));
            for ((what, block, frames), stream) in rows.iter().zip((3_u32..).step_by(2)) {
                client.send(headers(END_HEADERS, stream, block));
                for bytes in frames {
                    let mut bytes = bytes.clone();
                    bytes[5..9].copy_from_slice(&stream.to_be_bytes());
                    client.send(bytes);
                }
                match client.end_of(stream) {
                    Ok(status) => assert_eq!(status, 400, "{what}"),
                    Err(code) => assert_eq!(code, 1, "PROTOCOL_ERROR for {what}"),
                }
            }
            client.send(data(END_STREAM, 1, b"half"));
            assert_eq!(client.end_of(1), Ok(200), "{version}");
        }
        let neighbours = rows.chunks(12).count();
        assert_eq!(member.whole_requests(), neighbours, "{version}");
    }
}

/// A member by hand: what it says to its requests, by their numbers. The first is answered with the last.
struct ByHand {
    url: String,
    /// How many requests have come.
    asked: Arc<AtomicUsize>,
    /// How many connections have come.
    connections: Arc<AtomicUsize>,
}

const OK: &[u8] = b"\x88";

impl ByHand {
    fn start(answers: Vec<Vec<Vec<u8>>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (asked, connections) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let member = Self {
            url: format!("h2c://{address}"),
            asked: asked.clone(),
            connections: connections.clone(),
        };
        thread::spawn(move || {
            let (stream, _) = listener.accept().expect("a connection");
            connections.fetch_add(1, SeqCst);
            let again = connections.clone();
            thread::spawn(move || {
                // Counted, and closed.
                while listener.accept().is_ok() {
                    again.fetch_add(1, SeqCst);
                }
            });
            let mut speaker = Speaker::on(stream);
            speaker.skip(PREFACE.len());
            speaker.send(settings(b""));
            let mut first = 0;
            while let Some(came) = speaker.frame() {
                if came.kind == SETTINGS && came.flags & ACK == 0 {
                    speaker.send(frame(SETTINGS, ACK, 0, b""));
                }
                if came.kind != HEADERS {
                    continue;
                }
                let number = asked.fetch_add(1, SeqCst);
                if number == 0 {
                    first = came.stream;
                    continue;
                }
                match answers.get(number - 1) {
                    Some(frames) => {
                        for bytes in frames {
                            let mut bytes = bytes.clone();
                            bytes[5..9].copy_from_slice(&came.stream.to_be_bytes());
                            speaker.send(bytes);
                        }
                    }
                    None => {
                        speaker.send(headers(ALL, came.stream, OK));
                        speaker.send(headers(ALL, first, OK));
                    }
                }
            }
        });
        member
    }
}

/// Frames that are no answer to a `GET`.
fn wrong_answers() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let status = |value: &[u8]| literal(b":status", value);
    let heads: [(&str, Vec<u8>); 13] = [
        ("no status", literal(b"x", b"1")),
        ("nothing", Vec::new()),
        ("two statuses", [OK, OK].concat()),
        ("a status that is no number", status(b"abc")),
        ("a status of two digits", status(b"20")),
        ("a status of four digits", status(b"2000")),
        ("a status with a space", status(b"200 ")),
        ("a negative status", status(b"-20")),
        ("an empty status", status(b"")),
        ("a status below 100", status(b"099")),
        ("101", status(b"101")),
        ("a path", [OK, b"\x84"].concat()),
        (
            "two lengths",
            [
                OK,
                &literal(b"content-length", b"2"),
                &literal(b"content-length", b"3"),
            ]
            .concat(),
        ),
    ];
    let fields = wrong_fields().into_iter();
    let fields = fields.map(|(what, line)| (what, [OK, &line].concat()));
    let heads = heads.into_iter().chain(fields);
    let mut rows: Vec<_> = heads
        .map(|(what, block)| (what, vec![headers(ALL, 0, &block)]))
        .collect();
    rows.extend([
        ("a body before its head", vec![data(END_STREAM, 0, b"body")]),
        (
            "an interim answer that is the end",
            vec![headers(ALL, 0, &status(b"103"))],
        ),
    ]);
    rows
}

/// Goal: each malformed answer is a 502 for the request that it is for, and for no other. Method: one after the other, while
/// an answer is awaited on the same connection, which then comes.
#[test]
fn a_malformed_answer_is_502_and_its_neighbour_finishes() {
    let rows = wrong_answers();
    for version in [Version::Http1, Version::Http2] {
        let member = ByHand::start(rows.iter().map(|(_, frames)| frames.clone()).collect());
        // Workers do not share connections.
        let proxy = Proxy::before(&[])
            .top("workers = 1")
            .member_at(&member.url, "timeout = \"10s\"\nretry = \"0s\"")
            .start();
        let address = proxy.address();
        let neighbour = thread::spawn(move || {
            let mut client = Peer::connect(version, address);
            client.exchange(&Message::of("GET /neighbour"))
        });
        eventually("the neighbour", || {
            (member.asked.load(SeqCst) > 0).then_some(())
        });
        let mut client = Peer::connect(version, address);
        for (what, _) in &rows {
            let answer = client.exchange(&Message::of("GET /"));
            let answer = answer.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(answer.start, "502", "{what}");
        }
        let last = client.exchange(&Message::of("GET /")).expect("an answer");
        assert_eq!(last.start, "200", "{version}");
        let neighbour = neighbour.join().expect("no panic").expect("an answer");
        assert_eq!(neighbour.start, "200", "{version}");
        assert_eq!(member.connections.load(SeqCst), 1, "{version}");
    }
}
