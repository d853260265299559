//! The same opinion about answers in HTTP/2; and what is malformed costs its own request, and no other on the connection.

use crate::harness::Proxy;
use crate::harness::frames::{END_HEADERS, END_STREAM, data, frame, headers};
use crate::harness::raw::{OK, RawMember, answer, field};
use crate::one_opinion::{Opinion, Trial};

/// A member's answer: its name, and its frames, whose streams are yet to be said.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    frames: Vec<(Kind, u8, Vec<u8>)>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Headers,
    Data,
    Other(u8),
}

impl Row {
    /// The frames of this stream.
    pub(crate) fn on(&self, stream: u32) -> Vec<u8> {
        let frames = self.frames.iter().map(|(kind, flags, payload)| match kind {
            Kind::Headers => headers(END_HEADERS | flags, stream, payload),
            Kind::Data => data(*flags, stream, payload),
            Kind::Other(kind) => frame(*kind, *flags, stream, payload),
        });
        frames.collect::<Vec<_>>().concat()
    }
}

/// An answer of these frames.
fn row(name: &'static str, frames: &[(Kind, u8, &[u8])]) -> Row {
    let frames = frames.iter();
    let frames = frames.map(|(kind, flags, payload)| (*kind, *flags, payload.to_vec()));
    Row {
        name,
        frames: frames.collect(),
    }
}

/// One with this header block, and `ok` behind it.
fn block(name: &'static str, block: &[u8]) -> Row {
    let frames = [
        (Kind::Headers, 0, block),
        (Kind::Data, END_STREAM, &b"ok"[..]),
    ];
    row(name, &frames)
}

/// One with this field beside its status.
fn with(name: &'static str, field_name: &str, value: &str) -> Row {
    block(name, &[OK, &field(field_name, value)].concat())
}

/// One with this status.
fn status(name: &'static str, status: &str) -> Row {
    block(name, &field(":status", status))
}

/// One whose body is as long as its head does not say.
fn length(name: &'static str, told: &str, body: &[u8]) -> Row {
    let head = [OK, &field("content-length", told)].concat();
    row(
        name,
        &[(Kind::Headers, 0, &head), (Kind::Data, END_STREAM, body)],
    )
}

/// One with these trailers behind a body.
fn trailers(name: &'static str, flags: u8, block: &[u8]) -> Row {
    let frames = [
        (Kind::Headers, 0, OK),
        (Kind::Data, 0, &b"ok"[..]),
        (Kind::Headers, flags, block),
    ];
    row(name, &frames)
}

/// What no member may say, and what is a fault of that answer alone.
/// What no member may say.
pub(crate) fn nonsense() -> Vec<Row> {
    let mut rows = nonsense_of_fields();
    rows.extend(nonsense_of_pseudo_fields());
    rows.extend(nonsense_of_bodies());
    rows
}

fn nonsense_of_fields() -> Vec<Row> {
    let many = field("x", "1").repeat(21);
    let large = field("x", &"v".repeat(100)).repeat(19);
    let larger: Vec<u8> = large.repeat(5);
    vec![
        with("a name in upper case", "X-Foo", "1"),
        with("one letter in upper case", "x-foO", "1"),
        with("no name", "", "1"),
        with("a name with a blank", "x y", "1"),
        with("a name with a colon", "x:y", "1"),
        with("a name with NUL", "x\0y", "1"),
        with("a name with LF", "x\ny", "1"),
        with("a name with CR", "x\ry", "1"),
        with("a name with a parenthesis", "x(y)", "1"),
        with("a name that is no ASCII", "x\u{e9}", "1"),
        with("a value with NUL", "x", "a\0b"),
        with("a value with LF", "x", "a\nb"),
        with("a value with CR", "x", "a\rb"),
        with("a value that splits the head", "x", "a\r\nset-cookie: b=c"),
        with("a value with ESC", "x", "a\u{1b}[31m"),
        with("a value with DEL", "x", "a\u{7f}b"),
        with("a value with a blank before it", "x", " 1"),
        with("a value with a tab behind it", "x", "1\t"),
        with("Connection", "connection", "close"),
        with("Keep-Alive", "keep-alive", "timeout=5"),
        with("Proxy-Connection", "proxy-connection", "close"),
        with("Transfer-Encoding", "transfer-encoding", "chunked"),
        with("Upgrade", "upgrade", "websocket"),
        block("more fields than may be", &[OK, &many].concat()),
        block("more bytes than may be", &[OK, &larger].concat()),
    ]
}

fn nonsense_of_pseudo_fields() -> Vec<Row> {
    let late = [&field("x", "1")[..], OK].concat();
    vec![
        block("no status", &field("x", "1")),
        block("an empty block", b""),
        block("a status twice", &[OK, OK].concat()),
        block("a status behind a field", &late),
        status("an empty status", ""),
        status("a status of two digits", "20"),
        status("a status of four digits", "2000"),
        status("a status below 100", "099"),
        status("a status with a letter", "2x0"),
        status("a status with a sign", "+20"),
        status("a status with a blank", " 200"),
        status("101", "101"),
        with("a pseudo-field of requests", ":path", "/"),
        with("an unknown pseudo-field", ":foo", "1"),
    ]
}

fn nonsense_of_bodies() -> Vec<Row> {
    let lengths = [field("content-length", "2"), field("content-length", "3")].concat();
    let twice = field("content-length", "2").repeat(2);
    let told = [OK, &field("content-length", "2")].concat();
    vec![
        length("a shorter body than was told", "3", b"ok"),
        length("a longer body than was told", "1", b"ok"),
        length("a negative length", "-2", b"ok"),
        length("a length with a sign", "+2", b"ok"),
        length("an empty length", "", b"ok"),
        length("a length beyond 64 bits", "18446744073709551618", b"ok"),
        block("two lengths", &[OK, &lengths].concat()),
        block("a length twice", &[OK, &twice].concat()),
        row(
            "no body where a length is told",
            &[(Kind::Headers, END_STREAM, &told)],
        ),
        row("a body before its head", &[(Kind::Data, 0, b"ok")]),
        row(
            "an interim answer that ends the stream",
            &[(Kind::Headers, END_STREAM, &field(":status", "103"))],
        ),
        trailers("trailers with a status", END_STREAM, OK),
        trailers("trailers in upper case", END_STREAM, &field("X-Sum", "1")),
        trailers("trailers with NUL", END_STREAM, &field("x", "\0")),
        trailers("a block in the middle", 0, &field("x", "1")),
        row(
            "a window that is widened by nothing",
            &[(Kind::Other(8), 0, &[0, 0, 0, 0])],
        ),
    ]
}

/// What members do say.
fn right() -> Vec<Row> {
    let early = field(":status", "103");
    let fields = field("x", "1").repeat(19);
    let mut interims = vec![(Kind::Headers, 0, &early[..]); 64];
    interims.push((Kind::Headers, 0, OK));
    interims.push((Kind::Data, END_STREAM, b"ok"));
    let padded: &[u8] = b"\x03ok\0\0\0";
    vec![
        block("the plainest", OK),
        with("a value with no ASCII", "x", "caf\u{e9}"),
        with("an empty value", "x", ""),
        with("a tab in a value", "x", "a\tb"),
        block("as many fields as may be", &[OK, &fields].concat()),
        length("a length", "2", b"ok"),
        row("no body", &[(Kind::Headers, END_STREAM, &b"\x89"[..])]),
        row("an empty body", &[(Kind::Headers, END_STREAM, OK)]),
        row("interim answers", &interims),
        row(
            "padding",
            &[(Kind::Headers, 0, OK), (Kind::Data, 8 | END_STREAM, padded)],
        ),
        row(
            "an end by itself",
            &[
                (Kind::Headers, 0, OK),
                (Kind::Data, 0, b"ok"),
                (Kind::Data, END_STREAM, b""),
            ],
        ),
        row(
            "an unknown frame",
            &[
                (Kind::Other(0xbe), 0, b"grease"),
                (Kind::Headers, 0, OK),
                (Kind::Data, END_STREAM, b"ok"),
            ],
        ),
        trailers("trailers", END_STREAM, &field("x-sum", "1")),
        trailers("empty trailers", END_STREAM, b""),
        trailers(
            "trailers that are not passed on",
            END_STREAM,
            &field("set-cookie", "a=b"),
        ),
    ]
}

#[test]
fn a_check_and_a_request_accept_exactly_the_same_answers_in_http2() {
    let (nonsense, right) = (nonsense(), right());
    let judged = |rows: &[Row], opinion| {
        let names = rows.iter().map(|row| (row.name, opinion));
        names.collect::<Vec<_>>()
    };
    let refused = judged(&nonsense, &Opinion::Refused);
    let expected = [refused, judged(&right, &Opinion::Accepted)].concat();
    let rows = nonsense.into_iter().chain(right);
    let answering = |row: Row| RawMember::answering(move |stream| row.on(stream));
    let urls: Vec<_> = rows.map(answering).collect();
    let wrong = Trial::at(&urls).wrong(&expected);
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Goal: a malformed answer is a stream error (RFC 9113, 8.1.1). Method: three requests on one connection, the answer to the second
/// of which is malformed, and comes first.
#[test]
fn what_is_malformed_costs_its_own_request_and_its_neighbours_finish() {
    let member = RawMember::start(b"");
    let proxy = Proxy::before(&[])
        .top("workers = 1")
        .limits("header-size = \"8KiB\"\nheaders = 20")
        .member_at(&member.url(), "retry = \"0s\"")
        .start();
    let mut connection = None;
    for row in nonsense() {
        let mut clients = ["/1", "/2", "/3"].map(|target| {
            let mut client = proxy.client();
            client.ask(&format!("GET {target}"), &[]);
            let connection = connection.get_or_insert_with(|| member.connection());
            (client, connection.request())
        });
        let connection = connection.as_mut().expect("a connection");
        connection.send(row.on(clients[1].1));
        let (client, _) = &mut clients[1];
        match client.try_response("GET /2") {
            Ok(response) if response.status() == 502 || !response.complete => {}
            other => panic!("{}: {other:?}", row.name),
        }
        for number in [0, 2] {
            let (client, stream) = &mut clients[number];
            connection.send(answer(*stream, "ok"));
            let response = client.response();
            assert_eq!(response.text(), "ok", "{}", row.name);
        }
    }
    assert!(member.has_no_other(), "all went by one connection");
}
