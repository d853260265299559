//! AJP/1.3: packets that are written, and responses as they are told, wherever reads are cut.

use equipoise_http::ajp::{
    DEFAULT_PACKET, Event, MAX_PACKET, PING, Request, ResponseReader, Tls, max_chunk, write_chunk,
};
use equipoise_http::http1::Framing;
use equipoise_http::{Edit, Head, Limits, Method, Section, Version, Violation};
use proptest::collection::vec;
use proptest::prelude::*;

fn request(method: &str, target: &str, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::new();
    head.begin_request(method.as_bytes(), target.as_bytes(), Version::Http11)
        .unwrap();
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes()).unwrap();
    }
    head
}

fn text(text: &str) -> Vec<u8> {
    let length = u16::try_from(text.len()).unwrap().to_be_bytes();
    [&length, text.as_bytes(), b"\0"].concat()
}

/// A packet of a container.
fn packet(payload: &[u8]) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    [b"AB", &length[..], payload].concat()
}

fn headers(status: u16, fields: &[(Vec<u8>, &str)]) -> Vec<u8> {
    let mut payload = vec![4];
    payload.extend(status.to_be_bytes());
    payload.extend(text("a phrase of its own"));
    payload.extend(u16::try_from(fields.len()).unwrap().to_be_bytes());
    for (name, value) in fields {
        payload.extend(name);
        payload.extend(text(value));
    }
    packet(&payload)
}

fn chunk(payload: &str) -> Vec<u8> {
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    packet(&[&[3], &length[..], payload.as_bytes(), b"\0"].concat())
}

fn end(is_reusable: bool) -> Vec<u8> {
    packet(&[5, u8::from(is_reusable)])
}

fn reader(method: Method) -> ResponseReader {
    let mut reader = ResponseReader::new(Limits::default(), DEFAULT_PACKET);
    reader.expect_response_to(method);
    reader
}

/// What is told of these bytes, read no more than `cut` at once, in words.
fn told(reader: &mut ResponseReader, bytes: &[u8], cut: usize) -> Vec<String> {
    let mut head = Head::new();
    let (mut told, mut body) = (Vec::new(), Vec::new());
    for mut piece in bytes.chunks(cut.max(1)) {
        loop {
            let (used, event) = reader.read(piece, &mut head);
            if let Event::Data(range) = &event {
                body.extend_from_slice(&piece[range.clone()]);
                piece = &piece[used..];
                continue;
            }
            piece = &piece[used..];
            if event == Event::More {
                break;
            }
            if !body.is_empty() {
                told.push(format!("{:?}", String::from_utf8_lossy(&body)));
                body.clear();
            }
            told.push(match event {
                Event::Head | Event::Interim => {
                    let fields = head.iter().map(|it| {
                        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
                        format!(" {}={}", text(it.name), text(it.value))
                    });
                    format!("{event:?} {}{}", head.status(), fields.collect::<String>())
                }
                Event::Refused(_) => {
                    told.push(format!("{event:?}"));
                    return told;
                }
                event => format!("{event:?}"),
            });
        }
    }
    if !body.is_empty() {
        told.push(format!("{:?}", String::from_utf8_lossy(&body)));
    }
    told
}

#[test]
fn a_request_is_a_packet_with_codes_for_what_has_some() {
    let head = request(
        "POST",
        "/app/x?a=b&c",
        &[
            ("Host", "shop.test:8080"),
            ("X-Own", "v"),
            ("Connection", "close"),
            ("Transfer-Encoding", "chunked"),
            ("Content-Type", "a/b"),
        ],
    );
    let request = Request {
        client_address: "10.0.0.9",
        client_port: 4711,
        local_address: "10.0.0.1",
        server_name: "shop.test",
        server_port: 8080,
        tls: Some(Tls {
            cipher: "TLS13_AES_128_GCM_SHA256",
            key_size: 128,
            protocol: "TLSv1.3",
            certificate: None,
        }),
        route: Some("jvm1"),
        secret: Some("s3cret"),
    };
    let mut out = b"before".to_vec();
    request
        .write(&head, &Edit::new(), DEFAULT_PACKET, &mut out)
        .unwrap();
    let payload = [
        &[2, 4][..],
        &text("HTTP/1.1"),
        &text("/app/x"),
        &text("10.0.0.9"),
        &[0xff, 0xff],
        &text("shop.test"),
        &8080_u16.to_be_bytes(),
        &[1],
        &[0, 3],
        &[0xa0, 0x0b],
        &text("shop.test:8080"),
        &text("X-Own"),
        &text("v"),
        &[0xa0, 0x07],
        &text("a/b"),
        &[5],
        &text("a=b&c"),
        &[6],
        &text("jvm1"),
        &[12],
        &text("s3cret"),
        &[10],
        &text("AJP_REMOTE_PORT"),
        &text("4711"),
        &[10],
        &text("AJP_LOCAL_ADDR"),
        &text("10.0.0.1"),
        &[8],
        &text("TLS13_AES_128_GCM_SHA256"),
        &[11, 0, 128],
        &[10],
        &text("AJP_SSL_PROTOCOL"),
        &text("TLSv1.3"),
        &[0xff],
    ]
    .concat();
    let length = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let expected = [b"before\x12\x34", &length[..], &payload].concat();
    assert_eq!(out, expected);
}

#[test]
fn a_method_without_a_code_is_an_attribute() {
    let mut out = Vec::new();
    let head = request("PATCH", "/", &[("Host", "a")]);
    let written = Request::default().write(&head, &Edit::new(), DEFAULT_PACKET, &mut out);
    written.unwrap();
    assert_eq!(out[5], 0xff);
    let stored = [&[13][..], &text("PATCH")].concat();
    assert!(out.windows(stored.len()).any(|it| it == stored));
}

#[test]
fn what_no_packet_can_say_is_refused_and_nothing_is_written() {
    let long = "v".repeat(9_000);
    let longer = "v".repeat(41_000);
    let table = [
        (request("OPTIONS", "*", &[]), Violation::TargetForm),
        (request("GET", "http://a/", &[]), Violation::TargetForm),
        (
            request("GET", "/", &[("x", &long)]),
            Violation::HeadTooLarge,
        ),
        (
            request("GET", &format!("/{long}"), &[]),
            Violation::HeadTooLarge,
        ),
    ];
    let mut out = b"before".to_vec();
    for (head, expected) in table {
        let written = Request::default().write(&head, &Edit::new(), DEFAULT_PACKET, &mut out);
        assert_eq!(written, Err(expected));
        assert_eq!(out, b"before");
    }
    // A larger packet takes it; a text whose length would read as a code fits none.
    let head = request("GET", "/", &[("x", &long)]);
    let written = Request::default().write(&head, &Edit::new(), MAX_PACKET, &mut out);
    assert_eq!(written, Ok(()));
    let head = request("GET", "/", &[("x", &longer)]);
    let written = Request::default().write(&head, &Edit::new(), MAX_PACKET, &mut out);
    assert_eq!(written, Err(Violation::HeadTooLarge));
}

#[test]
fn chunks_of_a_body_have_their_length_twice_and_the_last_is_empty() {
    let mut out = Vec::new();
    write_chunk(b"abc", &mut out);
    write_chunk(b"", &mut out);
    assert_eq!(out, b"\x12\x34\0\x05\0\x03abc\x12\x34\0\0");
    let mut out = Vec::new();
    write_chunk(&vec![b'x'; max_chunk(DEFAULT_PACKET)], &mut out);
    assert_eq!(out.len(), DEFAULT_PACKET);
}

#[test]
fn responses_are_told_as_containers_say_them() {
    let coded = |code: u8| vec![0xa0, code];
    let table = [
        (
            Method::Get,
            [
                headers(
                    200,
                    &[(coded(1), "a/b"), (text("X-Own"), "v"), (coded(7), "a=b")],
                ),
                chunk("hello "),
                chunk(""),
                chunk("world"),
                end(true),
            ]
            .concat(),
            vec![
                "Head 200 Content-Type=a/b X-Own=v Set-Cookie=a=b",
                "\"hello world\"",
                "End",
            ],
            Framing::Chunked,
            true,
        ),
        (
            Method::Get,
            [headers(200, &[(coded(3), "2")]), chunk("ab"), end(false)].concat(),
            vec!["Head 200 Content-Length=2", "\"ab\"", "End"],
            Framing::Length(2),
            false,
        ),
        (
            Method::Post,
            [
                packet(&[6, 0x1f, 0xfa]),
                headers(100, &[]),
                headers(
                    404,
                    &[
                        (text("Connection"), "close"),
                        (text("Transfer-Encoding"), "chunked"),
                    ],
                ),
                packet(&[6, 0, 1]),
                end(true),
            ]
            .concat(),
            vec![
                "BodyWanted(8186)",
                "Interim 100",
                "Head 404",
                "BodyWanted(1)",
                "End",
            ],
            Framing::Chunked,
            true,
        ),
        (
            Method::Head,
            [headers(200, &[(coded(3), "20")]), end(true)].concat(),
            vec!["Head 200 Content-Length=20", "End"],
            Framing::None,
            true,
        ),
    ];
    for (method, bytes, expected, framing, is_reusable) in table {
        for cut in 1..=bytes.len() {
            let mut reader = reader(method);
            assert_eq!(told(&mut reader, &bytes, cut), expected, "{cut}");
            assert_eq!(reader.framing(), framing);
            assert_eq!(reader.is_reusable(), is_reusable);
            assert_eq!(reader.end(), Ok(()));
        }
    }
}

#[test]
fn what_must_not_pass_is_refused_with_its_reason() {
    let ok = || headers(200, &[]);
    let with = |name: &str, value: &'static str| headers(200, &[(text(name), value)]);
    let table: Vec<(Vec<u8>, Violation)> = vec![
        (b"HTTP/1.1 200 OK\r\n".to_vec(), Violation::AjpPacket),
        (b"AB\0\0".to_vec(), Violation::AjpPacket),
        (b"AB\xff\xff\x04".to_vec(), Violation::AjpPacketTooLarge),
        (b"AB\x1f\xfd\x04".to_vec(), Violation::AjpPacketTooLarge),
        (b"\x12\x34\0\x01\x0a".to_vec(), Violation::AjpPacket),
        (packet(&[7]), Violation::AjpPacket),
        // Out of order.
        (chunk("early"), Violation::AjpPacket),
        (end(true), Violation::AjpPacket),
        ([ok(), ok()].concat(), Violation::AjpPacket),
        (packet(&[9]), Violation::AjpPacket),
        (
            [ok(), end(true), chunk("late")].concat(),
            Violation::Unasked,
        ),
        (
            [ok(), end(true), packet(&[6, 0, 1])].concat(),
            Violation::Unasked,
        ),
        // Cut short, or with more than they say.
        (packet(&[4, 0, 200]), Violation::AjpPacket),
        (packet(&[5]), Violation::AjpPacket),
        (packet(&[6, 0]), Violation::AjpPacket),
        (
            [ok(), packet(&[3, 0, 9, b'a', 0])].concat(),
            Violation::AjpPacket,
        ),
        (
            [ok(), packet(&[3, 0, 1, b'a', 0, 0])].concat(),
            Violation::AjpPacket,
        ),
        ([ok(), packet(&[3, 0])].concat(), Violation::AjpPacket),
        // Heads.
        (headers(99, &[]), Violation::Status),
        (headers(101, &[]), Violation::Switching),
        (with("a b", "v"), Violation::FieldName),
        (with("", "v"), Violation::FieldName),
        (with("a", "v\r\nb: c"), Violation::FieldValue),
        (with("a", "v\0"), Violation::FieldValue),
        (headers(200, &[(vec![0xa0, 99], "v")]), Violation::AjpPacket),
        (with("Content-Length", "x"), Violation::Length),
        (
            headers(200, &[(vec![0xa0, 3], "1"), (text("content-length"), "2")]),
            Violation::LengthRepeated,
        ),
        // Bodies.
        (
            [with("Content-Length", "2"), chunk("abc")].concat(),
            Violation::BodyLength,
        ),
        (
            [with("Content-Length", "2"), chunk("a"), end(true)].concat(),
            Violation::Truncated,
        ),
        (
            [headers(204, &[]), chunk("a")].concat(),
            Violation::BodyLength,
        ),
        (headers(103, &[]).repeat(65), Violation::TooManyInterims),
    ];
    for (bytes, violation) in table {
        for cut in [1, 3, usize::MAX] {
            let told = told(&mut reader(Method::Get), &bytes, cut);
            let expected = format!("Refused({violation:?})");
            assert_eq!(told.last(), Some(&expected), "{bytes:?}");
        }
    }
}

#[test]
fn heads_are_bounded() {
    let fields: Vec<_> = (0..10).map(|_| (text("x"), "0123456789")).collect();
    let refused = |head: Section| {
        let limits = Limits {
            head,
            ..Limits::default()
        };
        let mut reader = ResponseReader::new(limits, DEFAULT_PACKET);
        reader.expect_response_to(Method::Get);
        told(&mut reader, &headers(200, &fields), usize::MAX).pop()
    };
    let bounds = |bytes, line, fields| Section {
        bytes,
        line,
        fields,
    };
    assert!(refused(bounds(150, 15, 10)).unwrap().starts_with("Head"));
    let table = [
        (bounds(149, 149, 10), Violation::HeadTooLarge),
        (bounds(150, 14, 10), Violation::LineTooLong),
        (bounds(150, 150, 9), Violation::TooManyFields),
    ];
    for (bounds, violation) in table {
        assert_eq!(refused(bounds), Some(format!("Refused({violation:?})")));
    }
}

#[test]
fn a_ping_is_answered_once() {
    assert_eq!(PING, *b"\x12\x34\0\x01\x0a");
    let mut reader = ResponseReader::new(Limits::default(), DEFAULT_PACKET);
    reader.pinged();
    assert!(!reader.is_reusable());
    assert_eq!(told(&mut reader, &packet(&[9]), 1), ["Pong"]);
    assert!(reader.is_reusable());
    let told = told(&mut reader, &packet(&[9]), 1);
    assert_eq!(told, ["Refused(Unasked)"]);
}

#[test]
fn an_end_within_a_response_is_one_too_early() {
    let bytes = [headers(200, &[]), chunk("abc")].concat();
    for length in 0..bytes.len() {
        let mut reader = reader(Method::Get);
        told(&mut reader, &bytes[..length], usize::MAX);
        assert_eq!(reader.end(), Err(Violation::Truncated));
        assert!(!reader.is_reusable());
    }
}

proptest! {
    #[test]
    fn any_bytes_are_told_alike_wherever_they_are_cut(
        pieces in vec(
            prop_oneof![
                vec(any::<u8>(), 0..20),
                vec(any::<u8>(), 0..20).prop_map(|payload| packet(&payload)),
                Just(headers(200, &[(vec![0xa0, 3], "5"), (text("x"), "y")])),
                Just(headers(100, &[])),
                "[a-z]{0,9}".prop_map(|payload| chunk(&payload)),
                any::<bool>().prop_map(end),
                any::<u16>().prop_map(|it| packet(&[&[6][..], &it.to_be_bytes()].concat())),
            ],
            0..8,
        ),
        cut in 1_usize..30,
    ) {
        let bytes = pieces.concat();
        let whole = told(&mut reader(Method::Get), &bytes, usize::MAX);
        prop_assert_eq!(told(&mut reader(Method::Get), &bytes, cut), whole);
    }
}
