//! Connections of HTTP/2 to members: how they end, whether members live, and what members may cost.

use std::io::Write as _;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use crate::harness::frames::{
    END_HEADERS, END_STREAM, POST, data, frame, headers, hello, settings,
};
use crate::harness::proxy::{Start, server};
use crate::harness::raw::{
    GOAWAY, HEADERS, OK, PING, RST_STREAM, RawConnection, RawMember, answer, field,
};
use crate::harness::{Client, MEMORY, Origin, Proxy};

/// One worker before these members, so that there is one connection to each.
fn before(urls: &[String], keys: &str) -> Start {
    let mut start = Proxy::before(&[]).top("workers = 1");
    for url in urls {
        start = start.member_at(url, keys);
    }
    start
}

/// A client that has asked.
fn asking(proxy: &Proxy, target: &str) -> Client {
    let mut client = proxy.client();
    client.ask(&format!("GET {target}"), &[]);
    client
}

fn goaway(last: u32) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
}

/// Goal: what a member has not looked at goes elsewhere at no risk, a POST, too; what it has looked at it may finish; and the
/// connection is used no more.
#[test]
fn goaway_ends_a_connection_in_peace() {
    let member = RawMember::start(b"");
    let proxy = before(&[member.url()], "").start();
    let mut seen = asking(&proxy, "/seen");
    let mut connection = member.connection();
    let first = connection.request();
    let mut unseen = proxy.client();
    unseen.send("POST /unseen HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\norder");
    assert_eq!(connection.request(), first + 2);
    connection.send(goaway(first));
    let mut next = member.connection();
    let stream = next.request();
    let body = next.next_of(&[0]);
    assert_eq!((&*body.payload, body.flags), (&b"order"[..], END_STREAM));
    next.send(answer(stream, "elsewhere"));
    assert_eq!(unseen.response().text(), "elsewhere");
    let mut later = asking(&proxy, "/later");
    let stream = next.request();
    next.send(answer(stream, "later"));
    assert_eq!(later.response().text(), "later");
    connection.send(answer(first, "finished"));
    assert_eq!(seen.response().text(), "finished");
    connection.expect_closed();
}

/// Without a word: what was under way there may have been done, and is not repeated unless that is safe.
#[test]
fn a_connection_that_breaks_takes_along_what_was_sent_on_it() {
    let member = RawMember::start(b"");
    let proxy = before(&[member.url()], "retry = \"0s\"").start();
    let mut post = proxy.client();
    post.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\norder");
    let mut connection = member.connection();
    connection.request();
    drop(connection);
    assert_eq!(post.response().status(), 502);
    let mut get = asking(&proxy, "/");
    let mut connection = member.connection();
    let stream = connection.request();
    connection.send(answer(stream, "again"));
    assert_eq!(get.response().text(), "again");
}

/// RFC 9113, 5.1.2: fewer than were open before the member said so, or none at all.
#[test]
fn a_member_that_takes_no_more_at_once_is_asked_on_another_connection() {
    let member = RawMember::start(b"\0\x03\0\0\0\x02");
    let proxy = before(&[member.url()], "").start();
    let mut clients = Vec::new();
    let mut first = None;
    for target in ["/1", "/2"] {
        clients.push(asking(&proxy, target));
        let connection = first.get_or_insert_with(|| member.connection());
        connection.request();
    }
    let third = asking(&proxy, "/3");
    let mut second = member.connection();
    let stream = second.request();
    second.send(answer(stream, "third"));
    let mut third = third;
    assert_eq!(third.response().text(), "third");
}

/// Goal: a GET that was reset by the client of HTTP/2 is reset at the member for the client's reason, and costs nothing else.
/// Method: NO_ERROR, which no library would make up.
#[test]
fn a_clients_reason_to_end_a_request_is_told_to_the_member() {
    let member = RawMember::start(b"");
    let proxy = before(&[member.url()], "").start();
    for code in [0_u32, 5, 8, 0xbad] {
        let mut client = TcpStream::connect(proxy.address()).expect("it listens");
        client.write_all(&hello(b"")).expect("there is room");
        let request = headers(END_HEADERS, 1, POST);
        client.write_all(&request).expect("there is room");
        let mut connection = member.connection();
        let stream = connection.request();
        let reset = frame(3, 0, 1, &code.to_be_bytes());
        client.write_all(&reset).expect("there is room");
        let told = connection.next_of(&[RST_STREAM]);
        assert_eq!(told.stream, stream);
        assert_eq!(told.payload, code.to_be_bytes());
        connection.send(goaway(stream));
        connection.expect_closed();
    }
}

#[test]
fn an_upload_of_known_length_ends_with_its_last_piece() {
    let member = RawMember::start(b"");
    let proxy = before(&[member.url()], "").start();
    for size in [1, 3_000, 40_000] {
        let mut client = proxy.client();
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
        client.send(head + &"b".repeat(size));
        let mut connection = member.connection();
        let (stream, mut read) = (connection.request(), 0);
        while read < size {
            let piece = connection.next_of(&[0]);
            read += piece.payload.len();
            assert_eq!(piece.flags & END_STREAM != 0, read == size, "{size} {read}");
        }
        connection.send(answer(stream, "ok"));
        assert_eq!(client.response().text(), "ok");
        connection.send(goaway(stream));
        connection.expect_closed();
    }
}

/// A member with `ping` is asked whether it lives before it gets a request, with a body or without.
#[test]
fn ping_asks_a_member_of_http2_before_each_request() {
    let member = RawMember::start(b"");
    let proxy = before(&[member.url()], "ping = \"15s\"").start();
    let mut connection = None;
    for target in ["/1", "/2"] {
        let mut client = asking(&proxy, target);
        let connection = connection.get_or_insert_with(|| member.connection());
        let asked = connection.next_of(&[PING, HEADERS]);
        assert_eq!((asked.kind, asked.flags), (PING, 0));
        assert!(connection.is_silent_for(Duration::from_millis(100)));
        connection.pong(&asked.payload);
        let stream = connection.request();
        connection.send(answer(stream, target));
        assert_eq!(client.response().text(), target);
    }
    assert!(member.has_no_other());
}

#[test]
fn ping_takes_a_silent_member_of_http2_for_dead() {
    let member = RawMember::start(b"");
    let b2 = Origin::live("b2");
    let proxy = before(&[member.url()], "ping = \"200ms\"")
        .member(&b2, "")
        .start();
    let post = || proxy.client().exchange_body("POST /", &[], "order");
    assert_eq!(server(&post()), "b2");
    assert_eq!(b2.request(0).body.text(), "order");
    let mut connection = member.connection();
    connection.ping();
    connection.expect_closed();
    assert_eq!([server(&post()), server(&post())], ["b2", "b2"]);
    assert!(member.has_no_other(), "it is in error since");
}

#[test]
fn requests_that_come_at_once_share_a_ping() {
    let member = RawMember::start(b"");
    let proxy = before(&[member.url()], "ping = \"15s\"").start();
    let mut client = TcpStream::connect(proxy.address()).expect("it listens");
    let requests = [1, 3, 5].map(|stream| headers(END_HEADERS | END_STREAM, stream, POST));
    let bytes = [hello(b""), requests.concat()].concat();
    client.write_all(&bytes).expect("there is room");
    let mut connection = member.connection();
    let asked = connection.ping();
    connection.pong(&asked);
    for _ in 0..3 {
        let next = connection.next_of(&[PING, HEADERS]);
        assert_eq!(next.kind, HEADERS, "{next:?}");
    }
}

#[test]
fn a_connection_on_which_ping_finds_an_end_is_replaced() {
    let member = RawMember::start(b"");
    let proxy = before(&[member.url()], "ping = \"15s\"").start();
    let mut client = asking(&proxy, "/1");
    let mut connection = member.connection();
    let asked = connection.ping();
    connection.pong(&asked);
    let stream = connection.request();
    connection.send(answer(stream, "1"));
    assert_eq!(client.response().text(), "1");
    let mut post = proxy.client();
    post.send("POST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\norder");
    connection.ping();
    drop(connection);
    let mut connection = member.connection();
    let asked = connection.ping();
    connection.pong(&asked);
    let stream = connection.request();
    connection.send(answer(stream, "2"));
    assert_eq!(post.response().text(), "2");
}

/// Settings that do not come, a frame's header or a header block whose rest does not come: the connection is closed.
#[test]
fn what_a_member_begins_it_has_to_end_in_time() {
    let starts: [Vec<u8>; 4] = [
        Vec::new(),
        settings(b"")[..5].to_vec(),
        [settings(b""), b"\0\0".to_vec()].concat(),
        [settings(b""), headers(0, 1, OK)].concat(),
    ];
    for start in starts {
        let member = RawMember::beginning(start.clone());
        let proxy = before(&[member.url()], "timeout = \"300ms\"").start();
        let mut client = asking(&proxy, "/");
        let mut connection = member.connection();
        connection.expect_closed();
        let status = client.response().status();
        assert!(matches!(status, 502 | 504), "{start:?}: {status}");
    }
}

/// Sends these bytes again and again, all the while reading what comes, until the other side closes.
#[track_caller]
fn sends_until_closed(name: &str, mut connection: RawConnection, bytes: &[u8]) {
    let mut reader = connection.twin();
    let reading = thread::spawn(move || reader.expect_closed());
    let is_stopped = (0..20_000).any(|_| reading.is_finished() || connection.try_send(bytes));
    assert!(is_stopped, "{name}: the flood goes on");
    assert!(reading.join().is_ok(), "{name}: it is not closed");
}

/// Goal: a member that floods us with frames that are of no use loses its connection, soon and at no cost. Method: each kind of
/// them, as fast as they go, behind a request that waits.
#[test]
fn floods_of_a_member_end_its_connection() {
    let early = headers(END_HEADERS, 1, &field(":status", "103"));
    let floods: [(&str, Vec<u8>); 11] = [
        ("SETTINGS", settings(b"\0\x04\0\0\xff\xff")),
        ("empty SETTINGS", settings(b"")),
        ("PING", frame(PING, 0, 0, &[0; 8])),
        ("pongs", frame(PING, 1, 0, &[0; 8])),
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 3, 0])),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1])),
        (
            "empty DATA",
            [headers(END_HEADERS, 1, OK), data(0, 1, b"").repeat(99)].concat(),
        ),
        ("RST_STREAM", frame(3, 0, 1, &[0, 0, 0, 8])),
        ("GOAWAY", frame(GOAWAY, 0, 0, &[0; 8])),
        ("unknown frames", frame(0xbe, 0, 0, b"grease")),
        ("interim answers", early),
    ];
    let b2 = Origin::live("b2");
    for (name, bytes) in floods {
        let member = RawMember::start(b"");
        let proxy = before(&[member.url()], "timeout = \"15s\"")
            .member(&b2, "status = \"+H\"")
            .start();
        let mut client = asking(&proxy, "/");
        let mut connection = member.connection();
        connection.request();
        sends_until_closed(name, connection, &bytes.repeat(100));
        let status = client.try_response("GET /").map(|it| it.status());
        assert!(status.is_ok(), "{name}: {status:?}");
        assert!(
            proxy.peak_memory() < MEMORY,
            "{name}: {}",
            proxy.peak_memory()
        );
        assert!(proxy.processor_time() < Duration::from_secs(4), "{name}");
        let lines = proxy.stderr.text();
        assert!(lines.lines().count() < 10, "{name}: {lines}");
    }
}

/// Goal: a small header block does not become a large one in memory. Method: a field of 4 KB in the table of HPACK, and thousands of
/// times the byte that stands for it, in answers to a hundred requests, interim ones and others.
#[test]
fn answers_that_grow_when_they_are_read_are_bounded() {
    let large = [b"\x40\x01x\x7f\xa1\x1e".to_vec(), vec![b'v'; 4000]].concat();
    let bomb = |status: &[u8]| [status, &[0xbe; 15]].concat();
    let member = RawMember::start(b"");
    let proxy = before(&[member.url()], "").start();
    let mut client = TcpStream::connect(proxy.address()).expect("it listens");
    let requests = (0..100).map(|number| headers(END_HEADERS | END_STREAM, 2 * number + 1, POST));
    let bytes = [hello(b""), requests.collect::<Vec<_>>().concat()].concat();
    client.write_all(&bytes).expect("there is room");
    let mut connection = member.connection();
    let streams: Vec<_> = (0..100).map(|_| connection.request()).collect();
    let mut bytes = headers(
        END_HEADERS,
        streams[0],
        &[&field(":status", "103")[..], &large].concat(),
    );
    for stream in &streams {
        let early = bomb(&field(":status", "103"));
        bytes.extend(headers(END_HEADERS, *stream, &early).repeat(60));
        bytes.extend(headers(END_HEADERS, *stream, &bomb(OK)));
        bytes.extend(data(END_STREAM, *stream, b"ok"));
    }
    connection.send(bytes);
    let asked = asking(&proxy, "/");
    let stream = connection.request();
    connection.send(answer(stream, "ok"));
    let mut asked = asked;
    assert_eq!(asked.response().text(), "ok");
    assert!(proxy.peak_memory() < 2 * MEMORY, "{}", proxy.peak_memory());
}
