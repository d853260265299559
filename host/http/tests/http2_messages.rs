//! Messages of HTTP/2 as header blocks: rules as tables, each with its reason.

use equipoise_http::edit::HOP_BY_HOP;
use equipoise_http::http1::{Framing, Sender};
use equipoise_http::http2::hpack::{Decoder, Encoder, TABLE_SIZE};
use equipoise_http::http2::message::{Reader, Request, Response, Writer};
use equipoise_http::{Edit, Fields, Head, Known, Limits, Method, Section, Version, Violation};

type Lines<'l> = &'l [(&'l str, &'l str)];

/// What every request has.
const GET: Lines<'static> = &[
    (":method", "GET"),
    (":scheme", "https"),
    (":path", "/a?b"),
    (":authority", "a.example"),
];

fn block(lines: Lines<'_>) -> Vec<u8> {
    let (mut encoder, mut out) = (Encoder::new(), Vec::new());
    encoder.begin(&mut out);
    for (name, value) in lines {
        encoder.field(name.as_bytes(), value.as_bytes(), false, &mut out);
    }
    out
}

/// A block of literals that are what they are: names that no encoder writes.
fn raw(lines: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in lines {
        for part in [
            &[0, name.len() as u8][..],
            name,
            &[value.len() as u8],
            value,
        ] {
            out.extend_from_slice(part);
        }
    }
    out
}

fn read_within(block: &[u8], limits: &Limits) -> (Head, Result<Request, Violation>) {
    let mut head = Head::new();
    let request = Reader::new(TABLE_SIZE).request(block, limits, true, &mut head);
    (head, request.expect("the block is right"))
}

fn read(lines: Lines<'_>) -> (Head, Result<Request, Violation>) {
    read_within(&block(lines), &Limits::default())
}

fn get_with(lines: Lines<'_>) -> (Head, Result<Request, Violation>) {
    read(&[GET, lines].concat())
}

/// A head as HTTP/1 has it.
fn text(head: &Head) -> String {
    let mut out = Vec::new();
    let mut edit = Edit::new();
    edit.set_version(head.version());
    edit.write(head, &mut out);
    String::from_utf8(out).unwrap()
}

const PLAIN: Request = Request {
    framing: Framing::None,
    is_tls: true,
    is_connect: false,
};

#[test]
fn a_request_becomes_the_head_that_http1_would_have_had() {
    let (head, request) = get_with(&[("accept", "*/*"), ("te", "trailers"), ("x-other", "")]);
    assert_eq!(request, Ok(PLAIN));
    assert_eq!(
        text(&head),
        "GET /a?b HTTP/2.0\r\nhost: a.example\r\naccept: */*\r\nte: trailers\r\nx-other: \r\n\r\n"
    );
    assert_eq!((head.method(), head.target()), (Method::Get, &b"/a?b"[..]));
    assert_eq!(head.authority(), Some(&b"a.example"[..]));
    assert_eq!(head.get(Known::Accept), Some(&b"*/*"[..]));
    assert_eq!(head.get("X-Other"), Some(&b""[..]));
    assert_eq!(head.version(), Version::Http2);
    assert!(head.takes_trailers());
}

#[test]
fn pseudo_fields_come_in_any_order_and_host_may_say_the_same() {
    let request = |lines| read(lines).1;
    let table: [Lines<'_>; 6] = [
        &[
            (":authority", "a"),
            (":path", "/"),
            (":scheme", "http"),
            (":method", "GET"),
        ],
        &[
            (":path", "/"),
            (":scheme", "HTTP"),
            (":method", "GET"),
            ("host", "a"),
        ],
        &[
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "A:80"),
            ("host", "a"),
        ],
        &[
            (":method", "BREW"),
            (":scheme", "http"),
            (":path", "//b"),
            (":authority", "[::1]:80"),
        ],
        &[
            (":method", "OPTIONS"),
            (":scheme", "http"),
            (":path", "*"),
            (":authority", "a"),
        ],
        &[
            (":method", "OPTIONS"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
        ],
    ];
    for lines in table {
        let plain = Request {
            is_tls: false,
            ..PLAIN
        };
        assert_eq!(request(lines), Ok(plain), "{lines:?}");
        let (head, _) = read(lines);
        assert_eq!(head.all(Known::Host).count(), 1, "{lines:?}");
    }
}

#[test]
fn bytes_above_ascii_pass_as_in_http1() {
    let (head, request) = read(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/\u{e9}"),
        (":authority", "a"),
    ]);
    assert!(request.is_ok());
    assert_eq!(head.target(), "/\u{e9}".as_bytes());
    let block = [block(GET), raw(&[(b"x-a", b"\xff\xe9")])].concat();
    assert!(read_within(&block, &Limits::default()).1.is_ok());
}

#[test]
fn what_rfc_9113_calls_malformed_is_refused_with_its_reason() {
    let method = (":method", "GET");
    let scheme = (":scheme", "http");
    let path = (":path", "/");
    let authority = (":authority", "a");
    let table: [(Lines<'_>, Violation); 40] = [
        // Pseudo-fields (8.3 and 8.3.1).
        (&[scheme, path, authority], Violation::PseudoMissing),
        (&[method, path, authority], Violation::PseudoMissing),
        (&[method, scheme, authority], Violation::PseudoMissing),
        (&[], Violation::PseudoMissing),
        (&[("accept", "a")], Violation::PseudoMissing),
        (&[method, scheme, path], Violation::HostMissing),
        (
            &[method, method, scheme, path, authority],
            Violation::PseudoRepeated,
        ),
        (
            &[method, scheme, path, path, authority],
            Violation::PseudoRepeated,
        ),
        (
            &[method, scheme, path, authority, authority],
            Violation::PseudoRepeated,
        ),
        (
            &[method, scheme, path, authority, ("accept", "a"), path],
            Violation::PseudoLate,
        ),
        (
            &[method, scheme, path, ("accept", "a"), authority],
            Violation::PseudoLate,
        ),
        (
            &[method, scheme, path, authority, (":status", "200")],
            Violation::PseudoUnknown,
        ),
        (
            &[method, scheme, path, authority, (":protocol", "websocket")],
            Violation::Protocol,
        ),
        (&[("", "a")], Violation::FieldName),
        // Methods, targets, hosts.
        (
            &[(":method", ""), scheme, path, authority],
            Violation::Method,
        ),
        (
            &[(":method", "G T"), scheme, path, authority],
            Violation::Method,
        ),
        (
            &[(":method", "GET\r\n"), scheme, path, authority],
            Violation::Method,
        ),
        (
            &[method, (":scheme", "ftp"), path, authority],
            Violation::TargetForm,
        ),
        (
            &[method, (":scheme", ""), path, authority],
            Violation::TargetForm,
        ),
        (
            &[method, scheme, (":path", ""), authority],
            Violation::TargetForm,
        ),
        (
            &[method, scheme, (":path", "a"), authority],
            Violation::TargetForm,
        ),
        (
            &[method, scheme, (":path", "http://a/"), authority],
            Violation::TargetForm,
        ),
        (
            &[method, scheme, (":path", "*"), authority],
            Violation::TargetForm,
        ),
        (
            &[method, scheme, (":path", "/ HTTP/1.1\r\nx: "), authority],
            Violation::TargetByte,
        ),
        (
            &[method, scheme, (":path", "/\0"), authority],
            Violation::TargetByte,
        ),
        (
            &[method, scheme, (":path", "/#a"), authority],
            Violation::Fragment,
        ),
        (
            &[method, scheme, path, (":authority", "")],
            Violation::HostInvalid,
        ),
        (
            &[method, scheme, path, (":authority", "u@a")],
            Violation::HostInvalid,
        ),
        (
            &[method, scheme, path, (":authority", "a/b")],
            Violation::HostInvalid,
        ),
        (
            &[method, scheme, path, (":authority", "a\r\nx: y")],
            Violation::HostInvalid,
        ),
        (
            &[method, scheme, path, authority, ("host", "b")],
            Violation::HostMismatch,
        ),
        (
            &[method, scheme, path, authority, ("host", "a:443")],
            Violation::HostMismatch,
        ),
        (
            &[method, scheme, path, authority, ("host", "")],
            Violation::HostMismatch,
        ),
        (
            &[
                method,
                scheme,
                path,
                authority,
                ("host", "a"),
                ("host", "a"),
            ],
            Violation::HostRepeated,
        ),
        (
            &[method, scheme, path, ("host", "a"), ("host", "a")],
            Violation::HostRepeated,
        ),
        (
            &[method, scheme, path, ("host", "a,b")],
            Violation::HostInvalid,
        ),
        // CONNECT, with and without a protocol (RFC 8441, 4).
        (&[(":method", "CONNECT"), authority], Violation::Connect),
        (
            &[(":method", "CONNECT"), scheme, path, authority],
            Violation::Connect,
        ),
        (
            &[
                (":method", "CONNECT"),
                (":protocol", "a b"),
                scheme,
                path,
                authority,
            ],
            Violation::Protocol,
        ),
        (
            &[(":method", "CONNECT"), (":protocol", "a"), authority],
            Violation::PseudoMissing,
        ),
    ];
    for (lines, violation) in table {
        let (_, request) = read(lines);
        assert_eq!(request, Err(violation), "{lines:?}");
    }
}

#[test]
fn fields_that_could_mislead_are_refused() {
    let table: [(&[u8], &[u8], Violation); 33] = [
        // Names (8.2.1).
        (b"Accept", b"a", Violation::UpperCase),
        (b"X-Other", b"a", Violation::UpperCase),
        (b"a b", b"", Violation::FieldName),
        (b"a ", b"", Violation::FieldName),
        (b" a", b"", Violation::FieldName),
        (b"a:", b"", Violation::FieldName),
        (b"a\r\nb", b"", Violation::FieldName),
        (b"a\0", b"", Violation::FieldName),
        (b"a\x7f", b"", Violation::FieldName),
        (b"\xe9", b"", Violation::FieldName),
        (b":", b"", Violation::PseudoUnknown),
        (b":other", b"", Violation::PseudoUnknown),
        (b":Method", b"GET", Violation::PseudoUnknown),
        // Values.
        (b"a", b"\r", Violation::FieldValue),
        (b"a", b"b\nc", Violation::FieldValue),
        (b"a", b"b\r\nc: d", Violation::FieldValue),
        (b"a", b"\0", Violation::FieldValue),
        (b"a", b"b\x7f", Violation::FieldValue),
        (b"a", b" b", Violation::BlankAround),
        (b"a", b"b ", Violation::BlankAround),
        (b"a", b"\tb", Violation::BlankAround),
        // What is of the connection (8.2.2).
        (b"connection", b"close", Violation::ConnectionField),
        (b"keep-alive", b"timeout=5", Violation::ConnectionField),
        (
            b"proxy-connection",
            b"keep-alive",
            Violation::ConnectionField,
        ),
        (b"transfer-encoding", b"chunked", Violation::ConnectionField),
        (b"upgrade", b"h2c", Violation::ConnectionField),
        (b"te", b"gzip", Violation::Te),
        (b"te", b"trailers, gzip", Violation::Te),
        // Lengths.
        (b"content-length", b"", Violation::Length),
        (b"content-length", b"-1", Violation::Length),
        (b"content-length", b"5,5", Violation::Length),
        (b"content-length", b"0x5", Violation::Length),
        (b"cookie", b"a\0", Violation::FieldValue),
    ];
    for (name, value, violation) in table {
        let block = [block(GET), raw(&[(name, value)])].concat();
        let (head, request) = read_within(&block, &Limits::default());
        let shown = format!("{}: {}", name.escape_ascii(), value.escape_ascii());
        assert_eq!(request, Err(violation), "{shown}");
        assert_eq!(head.target(), b"/a?b", "what was right is there: {shown}");
        // The same of responses and trailers, but for what only requests say.
        if matches!(violation, Violation::Te | Violation::Length) || name == b"cookie" {
            continue;
        }
        let mut reader = Reader::new(TABLE_SIZE);
        let response = [&b"\x88"[..], &raw(&[(name, value)])].concat();
        let read = reader.response(&response, &Limits::default(), Method::Get, &mut Head::new());
        assert_eq!(read.unwrap().err(), Some(violation), "{shown}");
        let trailers = raw(&[(b"x-sum", b"1"), (name, value)]);
        for sender in [Sender::Client, Sender::Member] {
            let read = reader.trailers(
                &trailers,
                &Limits::default(),
                sender,
                &mut Fields::default(),
            );
            assert_eq!(read.unwrap().err(), Some(violation), "{shown}");
        }
    }
}

#[test]
fn lengths_are_told_and_equal_ones_are_one() {
    let length = ("content-length", "5");
    for lines in [
        &[length][..],
        &[length, length],
        &[length, ("content-length", "05")],
    ] {
        let (head, request) = get_with(lines);
        assert_eq!(request.map(|it| it.framing), Ok(Framing::Length(5)));
        assert_eq!(head.all(Known::ContentLength).count(), 1);
    }
    let (_, request) = get_with(&[length, ("content-length", "6")]);
    assert_eq!(request, Err(Violation::LengthRepeated));
}

#[test]
fn cookies_on_lines_of_their_own_are_put_together() {
    let table: [(Lines<'_>, &str); 5] = [
        (&[("cookie", "a=1")], "a=1"),
        (
            &[("cookie", "a=1"), ("cookie", "b=2; c=3")],
            "a=1; b=2; c=3",
        ),
        (
            &[("cookie", "a=1"), ("accept", "a"), ("cookie", "b=2")],
            "a=1; b=2",
        ),
        (&[("cookie", ""), ("cookie", "")], ""),
        (&[("cookie", ""), ("cookie", "a=1"), ("cookie", "")], "a=1"),
    ];
    let mut reader = Reader::new(TABLE_SIZE);
    for (lines, cookie) in table {
        let (mut head, limits) = (Head::new(), Limits::default());
        let block = block(&[GET, lines].concat());
        assert!(
            reader
                .request(&block, &limits, true, &mut head)
                .unwrap()
                .is_ok()
        );
        let cookies: Vec<_> = head.all(Known::Cookie).collect();
        assert_eq!(cookies, [cookie.as_bytes()]);
    }
}

#[test]
fn extended_connect_is_a_get_that_wishes_for_an_upgrade() {
    let connect: Lines<'_> = &[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "of no use"),
        ("content-length", "7"),
    ];
    let (head, request) = read(connect);
    assert_eq!(
        request,
        Ok(Request {
            is_connect: true,
            ..PLAIN
        })
    );
    assert_eq!(head.upgrades().collect::<Vec<_>>(), [b"websocket"]);
    assert_eq!(
        text(&head),
        "GET /chat HTTP/2.0\r\nhost: a\r\nsec-websocket-version: 13\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n"
    );
    let (mut reader, limits) = (Reader::new(TABLE_SIZE), Limits::default());
    let refused = reader.request(&block(connect), &limits, false, &mut Head::new());
    assert_eq!(
        refused,
        Ok(Err(Violation::PseudoUnknown)),
        "where it was not allowed"
    );
}

/// Small ones, so that they are met.
fn tight() -> Limits {
    Limits {
        head: Section {
            bytes: 200,
            line: 100,
            fields: 4,
        },
        target: 20,
        trailers: Section {
            bytes: 60,
            line: 30,
            fields: 2,
        },
        ..Limits::default()
    }
}

#[test]
fn limits_are_those_of_http1_and_the_block_is_decoded_to_its_end() {
    let long = "x".repeat(90);
    let huge = "x".repeat(150);
    let path = format!("/{}", "x".repeat(20));
    let target = [
        (":method", "GET"),
        (":scheme", "https"),
        (":path", &path),
        (":authority", "a"),
    ];
    fn with<'l>(lines: &[(&'l str, &'l str)]) -> Vec<(&'l str, &'l str)> {
        [GET, lines].concat()
    }
    let table = [
        (target.to_vec(), Violation::TargetTooLong, 414),
        (
            with(&[("x-a", &long), ("x-b", &long)]),
            Violation::HeadTooLarge,
            431,
        ),
        (
            with(&[("cookie", &long), ("cookie", &long)]),
            Violation::HeadTooLarge,
            431,
        ),
        (
            with(&[("cookie", &long[..60]), ("cookie", &long[..60])]),
            Violation::LineTooLong,
            431,
        ),
        (with(&[("x-a", &huge)]), Violation::LineTooLong, 431),
        (
            with(&[("a", ""), ("b", ""), ("c", ""), ("d", "")]),
            Violation::TooManyFields,
            431,
        ),
        (
            with(&[("a", ""), ("b", ""), ("c", ""), ("cookie", "")]),
            Violation::TooManyFields,
            431,
        ),
    ];
    for (lines, violation, status) in table {
        let (mut encoder, mut reader) = (Encoder::new(), Reader::new(TABLE_SIZE));
        let mut send = |lines: Lines<'_>| {
            let mut block = Vec::new();
            encoder.begin(&mut block);
            for (name, value) in lines {
                encoder.field(name.as_bytes(), value.as_bytes(), false, &mut block);
            }
            let mut head = Head::new();
            let read = reader.request(&block, &tight(), true, &mut head).unwrap();
            (read, head.get("x-last").map(<[u8]>::to_vec))
        };
        // What comes behind the excess is in the table from the second time on, and what follows means what it should.
        let lines = [&lines[..], &[("x-last", "1")]].concat();
        for _ in 0..2 {
            assert_eq!(send(&lines).0, Err(violation), "{lines:?}");
        }
        assert_eq!(violation.status(), status);
        let (read, last) = send(&[GET, &[("x-last", "1")]].concat());
        assert_eq!((read, last), (Ok(PLAIN), Some(b"1".to_vec())));
    }
}

#[test]
fn a_head_of_the_very_limit_passes() {
    let (head, _) = get_with(&[("x-a", "1"), ("cookie", "a=1"), ("cookie", "b=2")]);
    let limits = |bytes| Limits {
        head: Section::new(bytes, 3),
        ..Limits::default()
    };
    let whole = text(&head).len() as u32;
    let block = block(&[GET, &[("x-a", "1"), ("cookie", "a=1"), ("cookie", "b=2")]].concat());
    assert_eq!(read_within(&block, &limits(whole)).1, Ok(PLAIN));
    assert_eq!(
        read_within(&block, &limits(whole - 1)).1,
        Err(Violation::HeadTooLarge)
    );
}

#[test]
fn memory_for_a_large_cookie_or_path_is_given_back() {
    let (mut reader, mut head) = (Reader::new(TABLE_SIZE), Head::new());
    let large = "x".repeat(30_000);
    let path = format!("/{large}");
    for lines in [
        [GET, &[("cookie", &large[..]), ("cookie", &large[..])]].concat(),
        [&[(":path", &path[..])], &GET[..2], &GET[3..]].concat(),
    ] {
        let read = reader.request(&block(&lines), &Limits::default(), true, &mut head);
        assert_eq!(read, Ok(Ok(PLAIN)));
        assert!(reader.capacity() < 1024, "{}", reader.capacity());
    }
}

#[test]
fn a_block_that_swells_costs_no_memory() {
    // 4 KiB in the table, and thousands of indices of it.
    let mut block = block(GET);
    block.extend([0x40, 1, b'a', 0x7f, 0x80, 0x1e]);
    block.resize(block.len() + 127 + 30 * 128, b'x');
    block.resize(block.len() + 10_000, 0xbe);
    let (mut reader, mut head) = (Reader::new(TABLE_SIZE), Head::new());
    let read = reader.request(&block, &Limits::default(), true, &mut head);
    assert_eq!(read, Ok(Err(Violation::HeadTooLarge)));
    assert!(head.capacity() <= 256 * 1024, "{}", head.capacity());
    assert!(reader.capacity() <= 32 * 1024, "{}", reader.capacity());
}

fn response(block: &[u8], method: Method) -> (Head, Result<Response, Violation>) {
    let (mut reader, mut head) = (Reader::new(TABLE_SIZE), Head::new());
    let read = reader.response(block, &Limits::default(), method, &mut head);
    (head, read.expect("the block is right"))
}

#[test]
fn a_response_becomes_the_head_that_http1_would_have_had() {
    let lines = block(&[
        (":status", "404"),
        ("content-length", "5"),
        ("set-cookie", "a"),
        ("set-cookie", "b"),
    ]);
    let (head, read) = response(&lines, Method::Get);
    assert_eq!(
        read,
        Ok(Response {
            framing: Framing::Length(5)
        })
    );
    assert_eq!(
        text(&head),
        "HTTP/2.0 404 Not Found\r\ncontent-length: 5\r\nset-cookie: a\r\nset-cookie: b\r\n\r\n"
    );
    let (head, read) = response(&block(&[(":status", "103"), ("link", "</a>")]), Method::Get);
    assert_eq!(
        read,
        Ok(Response {
            framing: Framing::None
        })
    );
    assert!(head.is_interim());
}

#[test]
fn where_a_response_ends_depends_on_what_was_asked() {
    use Framing::{Close, Length, None, Tunnel};
    let table: [(Lines<'_>, Method, Framing); 7] = [
        (
            &[(":status", "200"), ("content-length", "5")],
            Method::Get,
            Length(5),
        ),
        (
            &[(":status", "200"), ("content-length", "5")],
            Method::Head,
            None,
        ),
        (
            &[(":status", "304"), ("content-length", "5")],
            Method::Get,
            None,
        ),
        (&[(":status", "204")], Method::Get, None),
        (&[(":status", "200")], Method::Get, Close),
        (&[(":status", "200")], Method::Connect, Tunnel),
        (&[(":status", "403")], Method::Connect, Close),
    ];
    for (lines, method, framing) in table {
        assert_eq!(
            response(&block(lines), method).1,
            Ok(Response { framing }),
            "{lines:?}"
        );
    }
}

#[test]
fn responses_that_are_malformed_are_refused_with_their_reason() {
    let ok = (":status", "200");
    let table: [(Lines<'_>, Violation); 19] = [
        (&[], Violation::PseudoMissing),
        (&[("server", "a")], Violation::PseudoMissing),
        (&[("server", "a"), ok], Violation::PseudoMissing),
        (&[ok, ok], Violation::PseudoRepeated),
        (&[ok, ("server", "a"), ok], Violation::PseudoLate),
        (&[ok, (":path", "/")], Violation::PseudoUnknown),
        (&[(":path", "/"), ok], Violation::PseudoUnknown),
        (
            &[ok, ("server", "a"), (":path", "/")],
            Violation::PseudoLate,
        ),
        (&[(":status", "")], Violation::Status),
        (&[(":status", "20")], Violation::Status),
        (&[(":status", "099")], Violation::Status),
        (&[(":status", "2000")], Violation::Status),
        (&[(":status", "+20")], Violation::Status),
        (&[(":status", "200 OK")], Violation::Status),
        (&[(":status", "20\u{663}")], Violation::Status),
        (&[(":status", "101")], Violation::Switching),
        (&[ok, ("content-length", "a")], Violation::Length),
        (
            &[ok, ("content-length", "5"), ("content-length", "5")],
            Violation::LengthRepeated,
        ),
        (&[ok, ("connection", "close")], Violation::ConnectionField),
    ];
    for (lines, violation) in table {
        assert_eq!(
            response(&block(lines), Method::Get).1,
            Err(violation),
            "{lines:?}"
        );
    }
}

#[test]
fn trailers_pass_or_not_as_by_http1() {
    let read = |lines: Lines<'_>, sender| {
        let (mut reader, mut trailers) = (Reader::new(TABLE_SIZE), Fields::default());
        let read = reader
            .trailers(&block(lines), &tight(), sender, &mut trailers)
            .unwrap();
        let names = trailers
            .iter()
            .map(|it| String::from_utf8(it.name.to_vec()).unwrap());
        read.map(|()| names.collect::<Vec<_>>())
    };
    let sum = ("x-sum", "7");
    for sender in [Sender::Client, Sender::Member] {
        assert_eq!(
            read(&[sum, ("grpc-status", "0")], sender).unwrap(),
            ["x-sum", "grpc-status"]
        );
        let table: [(Lines<'_>, Violation); 6] = [
            (&[(":path", "/")], Violation::PseudoLate),
            (&[sum, (":status", "200")], Violation::PseudoLate),
            (&[sum, ("content-length", "1")], Violation::Trailer),
            (&[sum, ("keep-alive", "a")], Violation::ConnectionField),
            (&[sum, sum, sum], Violation::TrailersTooLarge),
            (
                &[("x", "a value of more bytes than may be")],
                Violation::TrailersTooLarge,
            ),
        ];
        for (lines, violation) in table {
            assert_eq!(read(lines, sender), Err(violation), "{lines:?}");
        }
    }
    for name in ["host", "cookie", "x-forwarded-for", "set-cookie", "te"] {
        assert_eq!(
            read(&[sum, (name, "1")], Sender::Client),
            Err(Violation::Trailer),
            "{name}"
        );
        assert_eq!(
            read(&[sum, (name, "1")], Sender::Member).unwrap(),
            ["x-sum"],
            "{name}"
        );
    }
    let left_out = [
        ("via", "1"),
        ("vary", "a value of 20 bytes"),
        ("age", "a value of 20 bytes"),
    ];
    assert_eq!(
        read(&left_out, Sender::Member),
        Err(Violation::TrailersTooLarge),
        "left out, but read"
    );
}

/// A head of HTTP/1, as a client or a member sends it.
fn head(start: &str, fields: Lines<'_>) -> Head {
    let mut head = Head::new();
    match start.split_once(' ') {
        Some((method, target)) => {
            head.begin_request(method.as_bytes(), target.as_bytes(), Version::Http11)
        }
        None => head.begin_response(start.parse().unwrap(), "Reason", Version::Http11),
    }
    .unwrap();
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes()).unwrap();
    }
    head
}

fn lines(block: &[u8]) -> Vec<String> {
    let mut lines = Vec::new();
    let decoded = Decoder::new(TABLE_SIZE).decode(block, |line| {
        let never = if line.is_never_indexed() {
            " (never indexed)"
        } else {
            ""
        };
        let (name, value) = (line.name().escape_ascii(), line.value().escape_ascii());
        lines.push(format!("{name}: {value}{never}"));
    });
    assert_eq!(decoded, Ok(()));
    lines
}

fn written(head: &Head, edit: &Edit, protocol: Option<&[u8]>) -> Result<Vec<String>, Violation> {
    let (mut writer, mut out) = (Writer::new(), Vec::new());
    match head.is_request() {
        true => writer.request(head, edit, true, protocol, &mut out)?,
        false => writer.response(head, edit, &mut out)?,
    }
    Ok(lines(&out))
}

#[test]
fn requests_are_written_as_they_are_edited() {
    let head = head(
        "POST /a",
        &[
            ("Host", "a.example"),
            ("Connection", "keep-alive"),
            ("X-Two", "2"),
            ("TE", "gzip"),
            ("Transfer-Encoding", "chunked"),
            ("Authorization", "Basic YTpi"),
            ("X-One", "1"),
            ("Upgrade", "h2c"),
        ],
    );
    let mut edit = Edit::new();
    edit.set(&head, Known::Host, b"10.0.0.1:80");
    edit.set(&head, "x-one", b"one");
    edit.leave_out_name("x-two");
    edit.add(Known::Via, b"1.1 a");
    edit.add("X-Added", b" 3 ");
    edit.set_target(b"/b?c").unwrap();
    assert_eq!(
        written(&head, &edit, None).unwrap(),
        [
            ":method: POST",
            ":scheme: https",
            ":authority: 10.0.0.1:80",
            ":path: /b?c",
            "authorization: Basic YTpi (never indexed)",
            "x-one: one",
            "via: 1.1 a",
            "x-added: 3",
        ]
    );
}

#[test]
fn the_host_that_is_added_is_the_authority() {
    let head = head("GET /", &[("Host", "a"), ("Te", "Trailers")]);
    let mut edit = Edit::new();
    edit.leave_out(equipoise_http::KnownSet::of(&[Known::Host]));
    assert_eq!(written(&head, &edit, None), Err(Violation::HostMissing));
    edit.add(Known::Host, b"b");
    assert_eq!(
        written(&head, &edit, None).unwrap(),
        [
            ":method: GET",
            ":scheme: https",
            ":authority: b",
            ":path: /",
            "te: Trailers"
        ]
    );
}

#[test]
fn what_http2_cannot_say_is_not_written() {
    let (edit, mut out) = (Edit::new(), Vec::new());
    let mut writer = Writer::new();
    let host = [("host", "a")];
    for (start, protocol, violation) in [
        ("GET http://a/", None, Violation::TargetForm),
        ("GET *", None, Violation::TargetForm),
        ("CONNECT a:80", None, Violation::TargetForm),
        ("GET /", Some(&b"a b"[..]), Violation::Protocol),
    ] {
        let request = writer.request(&head(start, &host), &edit, true, protocol, &mut out);
        assert_eq!(request, Err(violation), "{start}");
    }
    let response = writer.response(&head("101", &[]), &edit, &mut out);
    assert_eq!(response, Err(Violation::Switching));
    assert!(out.is_empty());
    assert!(written(&head("OPTIONS *", &host), &edit, None).is_ok());
}

#[test]
fn extended_connect_is_written_from_a_get_and_read_as_one() {
    let websocket = head(
        "GET /chat",
        &[
            ("Host", "a"),
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "AAAA"),
            ("Sec-WebSocket-Version", "13"),
        ],
    );
    let (mut edit, mut out) = (Edit::new(), Vec::new());
    edit.leave_out(HOP_BY_HOP);
    let written = Writer::new().request(&websocket, &edit, false, Some(b"websocket"), &mut out);
    assert_eq!(written, Ok(()));
    assert_eq!(
        lines(&out),
        [
            ":method: CONNECT",
            ":scheme: http",
            ":authority: a",
            ":path: /chat",
            ":protocol: websocket",
            "sec-websocket-version: 13",
        ]
    );
    let (head, request) = read_within(&out, &Limits::default());
    assert!(request.is_ok_and(|request| request.is_connect));
    assert_eq!(head.upgrades().collect::<Vec<_>>(), [b"websocket"]);
}

#[test]
fn responses_and_trailers_are_written() {
    let mut edit = Edit::new();
    edit.leave_out(HOP_BY_HOP);
    let fields = [
        ("Server", "a"),
        ("Keep-Alive", "timeout=5"),
        ("X-Other", "b"),
    ];
    let response = head("299", &fields);
    assert_eq!(
        written(&response, &edit, None).unwrap(),
        [":status: 299", "server: a", "x-other: b"]
    );
    edit.set_status(502, "Bad Gateway").unwrap();
    assert_eq!(written(&response, &edit, None).unwrap()[0], ":status: 502");
    for status in 100..=999 {
        edit.set_status(status, "").unwrap();
        match written(&response, &edit, None) {
            Ok(lines) => assert_eq!(lines[0], format!(":status: {status}")),
            Err(violation) => assert_eq!((violation, status), (Violation::Switching, 101)),
        }
    }
    let mut trailers = Fields::default();
    trailers.push(b"X-Sum", b"7").unwrap();
    trailers.push(b"Connection", b"close").unwrap();
    let mut out = Vec::new();
    Writer::new().trailers(&trailers, &mut out);
    assert_eq!(lines(&out), ["x-sum: 7"]);
}

#[test]
fn what_is_never_indexed_stays_so_wherever_it_is_passed_on() {
    let (mut encoder, mut block) = (Encoder::new(), Vec::new());
    encoder.begin(&mut block);
    for (name, value, never_indexed) in [
        (":method", "GET", false),
        (":scheme", "https", false),
        (":authority", "a", true),
        (":path", "/secret", true),
        ("x-one", "1", true),
        ("x-two", "2", false),
        ("cookie", "a=0123456789abcdefghij", false),
        ("cookie", "b=0123456789abcdefghij", true),
    ] {
        encoder.field(name.as_bytes(), value.as_bytes(), never_indexed, &mut block);
    }
    let (head, request) = read_within(&block, &Limits::default());
    assert_eq!(request, Ok(PLAIN));
    let mut edit = Edit::new();
    edit.set(&head, "x-one", b"another");
    assert_eq!(
        written(&head, &edit, None).unwrap(),
        [
            ":method: GET",
            ":scheme: https",
            ":authority: a (never indexed)",
            ":path: /secret (never indexed)",
            "x-one: another (never indexed)",
            "x-two: 2",
            "cookie: a=0123456789abcdefghij; b=0123456789abcdefghij (never indexed)",
        ]
    );
}
