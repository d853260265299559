//! A message of HTTP/2 that is malformed costs itself alone (RFC 9113, 8.1.1): the others on its connection finish.

use crate::harness::Proxy;
use crate::harness::frames::{END_HEADERS, END_STREAM, GET, POST, data, headers, literal};
use crate::harness::peers::{Member, Message, Reply, Version};
use crate::harness::raw::{RawConnection, RawMember, answer};
use crate::one_opinion_http2::nonsense;

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
            let mut client = RawConnection::connect(proxy.address(), b"");
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
                let mut client = RawConnection::connect(proxy.address(), b"");
                let block = [&GET[..2], &GET[3..], &literal(b":path", b"/caf\xe9")].concat();
                client.send(headers(ALL, 1, &block));
                assert_eq!(client.end_of(1), Ok(200));
            }
        }
    }
}

/// What is wrong with a request, its head, and the frames behind that, whose stream is yet to be said.
type Row = (&'static str, Vec<u8>, Vec<Vec<u8>>);

/// The same where it is the body that is malformed, or what is behind it.
#[test]
fn a_request_that_ends_malformed_is_refused_and_its_neighbour_finishes() {
    let length = |length: &[u8]| [POST, &literal(b"content-length", length)].concat();
    let mut rows: Vec<Row> = vec![
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
            let mut client = RawConnection::connect(proxy.address(), b"");
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

/// Goal: a malformed answer costs its own request alone. Method: three requests of one client on one connection to the member, whose
/// answer to the second is malformed, and comes first.
#[test]
fn a_malformed_answer_costs_its_own_request_where_clients_speak_http2() {
    let member = RawMember::start(b"");
    let proxy = Proxy::before(&[])
        .top("workers = 1")
        .limits("header-size = \"8KiB\"\nheaders = 20")
        .member_at(&member.url(), "retry = \"0s\"")
        .start();
    let mut client = RawConnection::connect(proxy.address(), b"");
    let mut connection = None;
    for (row, first) in nonsense().iter().zip((1..).step_by(6)) {
        let streams = [first, first + 2, first + 4];
        let asked = streams.map(|stream| {
            client.send(headers(ALL, stream, GET));
            let connection = connection.get_or_insert_with(|| member.connection());
            connection.request()
        });
        let connection = connection.as_mut().expect("a connection");
        connection.send(row.on(asked[1]));
        match client.end_of(streams[1]) {
            Ok(502) | Err(2) => {}
            other => panic!("{}: {other:?}", row.name),
        }
        for number in [0, 2] {
            connection.send(answer(asked[number], "ok"));
            assert_eq!(client.end_of(streams[number]), Ok(200), "{}", row.name);
        }
    }
    assert!(member.has_no_other(), "all went by one connection");
}
