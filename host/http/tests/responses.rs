//! What members may send: rules as tables, each with its reason.

use equipoise_http::http1::{BodyEvent, Framing, HeadEvent, Phase, ResponseReader};
use equipoise_http::transcript::{self, Transcript};
use equipoise_http::{Fields, Head, Limits, Method, Section, Violation};

/// Reads this at once, and byte by byte, which has to come to the same.
#[track_caller]
fn read_within(bytes: &[u8], method: Method, limits: Limits) -> Transcript {
    let whole = transcript::responses(bytes, usize::MAX, limits, &[method]);
    for cut in [1, 2, 3, 7] {
        let pieces = transcript::responses(bytes, cut, limits, &[method]);
        assert_eq!(pieces, whole, "{} cut at {cut}", bytes.escape_ascii());
    }
    whole
}

#[track_caller]
fn read(response: &str) -> Transcript {
    read_within(response.as_bytes(), Method::Get, Limits::default())
}

#[test]
fn answers_as_the_rfc_wants_them_pass() {
    use Framing::{Chunked, Close, Length, None, Tunnel};
    let table: [(&str, &str, Framing, &str, bool); 17] = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            "HTTP/1.1 200 OK",
            Length(2),
            "ok",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length:2 \r\n\r\n\n\r",
            "HTTP/1.1 200 OK",
            Length(2),
            "\n\r",
            true,
        ),
        (
            "HTTP/1.0 200 \r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.0 200 ",
            Length(0),
            "",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.0 200 OK",
            Length(0),
            "",
            true,
        ),
        (
            "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 ",
            Length(0),
            "",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 200 OK",
            Length(0),
            "",
            false,
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\nuntil the end\n\0",
            "HTTP/1.1 200 OK",
            Close,
            "until the end\n\0",
            false,
        ),
        (
            "HTTP/1.0 200 OK\r\nX: 1\r\n\r\nuntil the end",
            "HTTP/1.0 200 OK",
            Close,
            "until the end",
            false,
        ),
        (
            "HTTP/1.1 204 No Content\r\n\r\n",
            "HTTP/1.1 204 No Content",
            None,
            "",
            true,
        ),
        (
            "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 204 No Content",
            None,
            "",
            true,
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            "HTTP/1.1 304 Not Modified",
            None,
            "",
            true,
        ),
        (
            "HTTP/1.1 999 ?\t\u{e9}\r\nContent-Length: 1\r\n\r\nx",
            "HTTP/1.1 999 ?\\t\\xc3\\xa9",
            Length(1),
            "x",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK",
            Chunked,
            "abc",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
            "HTTP/1.1 200 OK",
            Chunked,
            "0123456789",
            true,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\0\n\r",
            "HTTP/1.1 101 Switching Protocols",
            Tunnel,
            "\0\n\r",
            false,
        ),
        (
            "HTTP/1.1 500 \r\nContent-Length: 0\r\n\r\n",
            "HTTP/1.1 500 ",
            Length(0),
            "",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 200 OK",
            Chunked,
            "",
            true,
        ),
    ];
    for (response, start, framing, body, is_reusable) in table {
        let read = read(response);
        assert_eq!(read.refused, Option::None, "{response:?}");
        let [message] = &read.messages[..] else {
            panic!("{response:?}: {read:?}");
        };
        assert_eq!(
            (&message.start[..], message.framing),
            (start, Some(framing)),
            "{response:?}"
        );
        assert_eq!(message.body, body.as_bytes(), "{response:?}");
        assert_eq!(
            (message.is_whole, message.is_reusable),
            (true, is_reusable),
            "{response:?}"
        );
    }
}

#[test]
fn the_request_says_whether_there_is_a_body() {
    for framing in ["Content-Length: 5", "Transfer-Encoding: chunked", "X: 1"] {
        let response = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
        let read = read_within(response.as_bytes(), Method::Head, Limits::default());
        let message = &read.messages[0];
        assert_eq!(
            (message.framing, message.is_reusable),
            (Some(Framing::None), true)
        );
        assert_eq!((message.is_whole, read.refused), (true, None), "{framing}");
        let read = read_within(response.as_bytes(), Method::Connect, Limits::default());
        assert_eq!(read.messages[0].framing, Some(Framing::Tunnel));
    }
    let refusal = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno";
    let read = read_within(refusal, Method::Connect, Limits::default());
    assert_eq!(read.messages[0].framing, Some(Framing::Length(2)));
}

#[test]
fn interim_responses_come_in_order() {
    let read = read(
        "HTTP/1.1 100 Continue\r\nA: 1\r\n\r\nHTTP/1.1 103 Early\r\nLink:  <a> \r\nLink: <b>\r\n\r\n\
         HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let starts: Vec<_> = read
        .messages
        .iter()
        .map(|it| (&it.start[..], it.fields.len()))
        .collect();
    let expected = [
        ("HTTP/1.1 100 Continue", 1),
        ("HTTP/1.1 103 Early", 2),
        ("HTTP/1.1 102 Wait", 0),
        ("HTTP/1.1 200 OK", 1),
    ];
    assert_eq!(starts, expected);
    assert_eq!(read.messages[3].body, b"ok");
}

#[test]
fn interim_responses_are_bounded() {
    let interim = "HTTP/1.1 103 Early\r\n\r\n";
    let ok = "HTTP/1.1 204 No\r\n\r\n";
    let most = read(&(interim.repeat(64) + ok));
    assert_eq!((most.messages.len(), most.refused), (65, None));
    let more = read(&(interim.repeat(65) + ok));
    assert_eq!(
        (more.messages.len(), more.refused),
        (64, Some(Violation::TooManyInterims))
    );
    // Each is a head of its own.
    let limits = Limits {
        head: Section::new(30, 2),
        ..Limits::default()
    };
    let heads = interim.repeat(10) + ok;
    assert_eq!(
        read_within(heads.as_bytes(), Method::Get, limits).refused,
        None
    );
}

#[test]
fn what_is_no_response_is_refused() {
    use Violation::*;
    let table: [(&str, Violation); 56] = [
        ("hello\r\n\r\n", StatusLine),
        ("\0\0\0\0\r\n\r\n", StatusLine),
        ("<html>HTTP/0.9 has no head</html>", StatusLine),
        ("SSH-2.0-OpenSSH_9.2\r\n", StatusLine),
        ("200 OK\r\n\r\n", StatusLine),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.1\r\n\r\n", StatusLine),
        ("HTTP/1.1\t200 OK\r\n\r\n", StatusLine),
        ("HTTP/1.2 200 OK\r\n\r\n", StatusLine),
        ("HTTP/2.0 200 OK\r\n\r\n", StatusLine),
        ("HTTP/2 200\r\n\r\n", StatusLine),
        ("HTTP/3.9 200 OK\r\n\r\n", StatusLine),
        ("HTTP 200 OK\r\n\r\n", StatusLine),
        ("http/1.1 200 OK\r\n\r\n", StatusLine),
        ("ICY 200 OK\r\n\r\n", StatusLine),
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", StatusLine),
        ("HTTP/1.1 \r\n\r\n", Status),
        ("HTTP/1.1 20\r\n\r\n", Status),
        ("HTTP/1.1 99 No\r\n\r\n", Status),
        ("HTTP/1.1 099 No\r\n\r\n", Status),
        ("HTTP/1.1 2x0 OK\r\n\r\n", Status),
        ("HTTP/1.1 2000 OK\r\n\r\n", Status),
        ("HTTP/1.1 -20 OK\r\n\r\n", Status),
        ("HTTP/1.1  200 OK\r\n\r\n", Status),
        ("HTTP/1.1 200\tOK\r\n\r\n", Status),
        ("HTTP/1.1 200 O\0K\r\n\r\n", Reason),
        ("HTTP/1.1 200 OK\n\r\n", BareLf),
        ("HTTP/1.1 200 OK\n\n", BareLf),
        ("HTTP/1.1 200 O\rK\r\n\r\n", BareCr),
        ("HTTP/1.1 200 OK\r\nX: 1\n\r\n", BareLf),
        ("HTTP/1.1 200 OK\r\nX: 1\r\n\n", BareLf),
        ("HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", BareCr),
        ("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", NoColon),
        ("HTTP/1.1 200 OK\r\nX Y: 1\r\n\r\n", FieldName),
        ("HTTP/1.1 200 OK\r\nX : 1\r\n\r\n", BlankBeforeColon),
        ("HTTP/1.1 200 OK\r\n: 1\r\n\r\n", FieldName),
        ("HTTP/1.1 200 OK\r\nX\u{e9}: 1\r\n\r\n", FieldName),
        ("HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n", FieldValue),
        ("HTTP/1.1 200 OK\r\nX: a\u{1}b\r\n\r\n", FieldValue),
        ("HTTP/1.1 200 OK\r\nX: a\u{7f}b\r\n\r\n", FieldValue),
        ("HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n", Folded),
        ("HTTP/1.1 200 OK\r\n\tfolded\r\n\r\n", Folded),
        ("HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2x\r\n\r\nok", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nok", Length),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok", Length),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
            Length,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
            LengthRepeated,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
            LengthRepeated,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nTransfer-Encoding: chunked\r\n\r\n",
            LengthAndCoding,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            Coding,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: ,chunked\r\n\r\n",
            Coding,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            CodingUnknown,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\n",
            CodingUnknown,
        ),
        (
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            CodingInHttp10,
        ),
    ];
    for (response, violation) in table {
        let read = read(response);
        assert_eq!(read.refused, Some(violation), "{response:?}");
        assert!(read.messages.is_empty(), "{response:?}");
    }
}

/// A reader behind us may see a body there.
#[test]
fn a_response_without_a_body_has_no_two_framings_either() {
    let response = b"HTTP/1.1 204 No\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let read = read_within(response, Method::Head, Limits::default());
    assert_eq!(read.refused, Some(Violation::LengthAndCoding));
}

#[test]
fn what_speaks_something_else_is_refused_at_once() {
    for bytes in ["\0", "S", "HTTP/2", "HTTP/0", "h", "\r", " "] {
        assert_eq!(
            read(bytes).refused,
            Some(Violation::StatusLine),
            "{bytes:?}"
        );
    }
    for bytes in ["H", "HTTP/1.", "HTTP/1.7", "HTTP/1.1 200 OK\r\nX: 1\r\n\r"] {
        assert_eq!(read(bytes).refused, Some(Violation::Truncated), "{bytes:?}");
    }
}

#[test]
fn bodies_that_go_wrong_are_refused() {
    use Violation::*;
    let table: [(&str, Violation); 18] = [
        ("\r\n", ChunkSize),
        ("x\r\n", ChunkSize),
        ("-1\r\n", ChunkSize),
        ("0x2\r\nok\r\n0\r\n\r\n", ChunkSize),
        ("2 \r\nok\r\n0\r\n\r\n", ChunkSize),
        ("2;\r\nok\r\n0\r\n\r\n", ChunkExtension),
        ("2;a=\u{1}\r\nok\r\n0\r\n\r\n", ChunkExtension),
        ("2\nok\r\n0\r\n\r\n", BareLf),
        ("2\r\nok\n0\r\n\r\n", ChunkEnd),
        ("2\r\nokay\r\n0\r\n\r\n", ChunkEnd),
        ("fffffffffffffffff\r\nok\r\n0\r\n\r\n", ChunkSize),
        ("0\n\n", BareLf),
        ("0\r\nno colon\r\n\r\n", NoColon),
        ("0\r\nX : 1\r\n\r\n", BlankBeforeColon),
        ("0\r\nX: \0\r\n\r\n", FieldValue),
        ("0\r\nContent-Length: 2\r\n\r\n", Trailer),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Trailer),
        ("0\r\nConnection: close\r\n\r\n", Trailer),
    ];
    for (body, violation) in table {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst.\r\n";
        let read = read(&[head, body].concat());
        assert_eq!(read.refused, Some(violation), "{body:?}");
        assert!(read.messages[0].body.starts_with(b"first."), "{body:?}");
        assert!(!read.messages[0].is_whole, "{body:?}");
    }
}

#[test]
fn trailers_that_must_not_pass_are_left_out() {
    let read = read(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX-Sum: 1\r\nSet-Cookie: a\r\nHost: b\r\n\
         x-forwarded-for: c\r\nClient-Cert: d\r\ngrpc-status: 0\r\n\r\n",
    );
    let [message] = &read.messages[..] else {
        panic!("{read:?}");
    };
    let names: Vec<_> = message.trailers.iter().map(|(name, _)| &name[..]).collect();
    assert_eq!(names, [&b"X-Sum"[..], b"grpc-status"]);
    assert!(message.is_whole && message.is_reusable);
}

#[test]
fn what_ends_early_is_truncated() {
    for response in [
        "",
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        assert_eq!(
            read(response).refused,
            Some(Violation::Truncated),
            "{response:?}"
        );
    }
}

#[test]
fn what_was_not_asked_for_is_refused_and_the_response_is_not() {
    let response = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    for extra in [
        "\r\n",
        "x",
        "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled",
    ] {
        let read = read(&[response, extra].concat());
        assert_eq!(read.refused, Some(Violation::Unasked), "{extra:?}");
        assert_eq!(
            (read.messages.len(), &read.messages[0].body[..]),
            (1, &b"ok"[..])
        );
    }
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let read = read_within(head, Method::Head, Limits::default());
    assert_eq!(
        (read.messages.len(), read.refused),
        (1, Some(Violation::Unasked))
    );

    let (mut reader, mut head) = (ResponseReader::new(Limits::default()), Head::new());
    assert_eq!((reader.phase(), reader.is_reusable()), (Phase::Idle, true));
    assert_eq!(reader.head(b"", &mut head), (0, HeadEvent::More));
    assert_eq!(
        reader.head(b"H", &mut head),
        (0, HeadEvent::Refused(Violation::Unasked))
    );
    assert!(!reader.is_reusable());
    reader.expect_response_to(Method::Get);
    assert_eq!(
        reader.head(b"H", &mut head),
        (0, HeadEvent::Refused(Violation::Unasked))
    );
}

#[test]
fn a_response_has_to_be_over_before_the_next_is_asked_for() {
    let (mut reader, mut head) = (ResponseReader::new(Limits::default()), Head::new());
    reader.expect_response_to(Method::Get);
    assert!(!reader.is_reusable());
    reader.expect_response_to(Method::Get);
    let refused = HeadEvent::Refused(Violation::Unasked);
    assert_eq!(
        reader.head(b"HTTP/1.1 204 No\r\n\r\n", &mut head).1,
        refused
    );

    // One that ends with the connection has no next.
    let mut reader = ResponseReader::new(Limits::default());
    let mut trailers = Fields::default();
    reader.expect_response_to(Method::Get);
    let response = b"HTTP/1.1 200 OK\r\n\r\n";
    assert_eq!(
        reader.head(response, &mut head),
        (response.len(), HeadEvent::Head)
    );
    assert_eq!(
        reader.body(b"ok", &mut trailers),
        (2, BodyEvent::Data(0..2))
    );
    assert_eq!(reader.end(), Ok(()));
    reader.expect_response_to(Method::Get);
    assert_eq!(reader.head(response, &mut head).1, refused);
}

#[test]
fn limits_hold_to_the_byte() {
    let response = |value: usize, fields: usize| {
        let (value, fields) = ("y".repeat(value), "a: b\r\n".repeat(fields));
        format!("HTTP/1.1 204 No\r\nX: {value}\r\n{fields}\r\n").into_bytes()
    };
    let limits = |bytes: usize, line: u32, fields: u16| Limits {
        head: Section {
            bytes: bytes as u32,
            line,
            fields,
        },
        ..Limits::default()
    };
    let least = response(0, 0).len();
    let table = [
        (
            limits(least + 50, 1000, 100),
            response(50, 0),
            response(51, 0),
            Violation::HeadTooLarge,
        ),
        (
            limits(1000, 55, 100),
            response(50, 0),
            response(51, 0),
            Violation::LineTooLong,
        ),
        (
            limits(1000, 100, 11),
            response(0, 10),
            response(0, 11),
            Violation::TooManyFields,
        ),
    ];
    for (limits, within, beyond, violation) in table {
        let read = read_within(&within, Method::Get, limits);
        assert_eq!(
            (read.messages.len(), read.refused),
            (1, None),
            "{violation}"
        );
        let read = read_within(&beyond, Method::Get, limits);
        assert_eq!((read.messages.len(), read.refused), (0, Some(violation)));
    }
    let long = [&b"HTTP/1.1 200 "[..], &[b'x'; 1000]].concat();
    let read = read_within(&long, Method::Get, limits(1000, 1000, 100));
    assert_eq!(read.refused, Some(Violation::HeadTooLarge));
}
