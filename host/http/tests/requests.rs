//! What clients may send: rules as tables, each with its reason.

use equipoise_http::http1::{Framing, HeadEvent, Phase, RequestReader};
use equipoise_http::transcript::{self, Transcript};
use equipoise_http::{Head, Known, Limits, Section, Violation};

/// Reads this at once, and byte by byte, which has to come to the same.
#[track_caller]
fn read_within(bytes: &[u8], limits: Limits) -> Transcript {
    let whole = transcript::requests(bytes, usize::MAX, limits);
    for cut in [1, 2, 3, 7] {
        let pieces = transcript::requests(bytes, cut, limits);
        assert_eq!(pieces, whole, "{} cut at {cut}", bytes.escape_ascii());
    }
    whole
}

#[track_caller]
fn read(bytes: &[u8]) -> Transcript {
    read_within(bytes, Limits::default())
}

/// Each is refused, for this reason and with this status, also before more of it; and whatever comes behind it is not read.
#[track_caller]
fn refused(table: &[(&[u8], Violation)]) {
    let behind = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (bytes, violation) in table {
        let all = [bytes, &behind[..]].concat();
        for bytes in [bytes, &all[..]] {
            let read = read(bytes);
            assert_eq!(read.refused, Some(*violation), "{}", bytes.escape_ascii());
            assert!(read.messages.is_empty(), "{}", bytes.escape_ascii());
        }
    }
}

/// A request with this between `Host` and the end of its head.
fn with(fields: &str) -> Vec<u8> {
    format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n\r\nhello").into_bytes()
}

#[test]
fn requests_as_the_rfc_wants_them_pass() {
    use Framing::{Chunked, Length, None};
    let table: [(&str, &str, Framing, &str); 13] = [
        (
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1",
            None,
            "",
        ),
        ("GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0", None, ""),
        (
            "\r\n\r\nGET / HTTP/1.1\r\nhost:a:8080\r\n\r\n",
            "GET / HTTP/1.1",
            None,
            "",
        ),
        (
            "BREW /pot HTTP/1.1\r\nHost:  \t a \t\r\nX:\r\nY:\t\r\n\r\n",
            "BREW /pot HTTP/1.1",
            None,
            "",
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
            "OPTIONS * HTTP/1.1",
            None,
            "",
        ),
        (
            "GET http://a/x HTTP/1.1\r\nHost: A:80\r\n\r\n",
            "GET http://a/x HTTP/1.1",
            None,
            "",
        ),
        (
            "GET https://a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET https://a:443 HTTP/1.1",
            None,
            "",
        ),
        (
            "GET / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n",
            "GET / HTTP/1.1",
            Length(0),
            "",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 003\r\n\r\n\n\r\0",
            "POST / HTTP/1.1",
            Length(3),
            "\n\r\0",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \t Chunked \r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            "POST / HTTP/1.1",
            Chunked,
            "abc",
        ),
        (
            "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n1\r\na\r\n00\r\nX-Sum: 1\r\n\r\n",
            "POST / HTTP/1.1",
            Chunked,
            "0123456789a",
        ),
        (
            "G!#$%&'*+-.^_`|~T / HTTP/1.1\r\nHost: a\r\nX!#$%&'*+-.^_`|~9: \t1\u{e9}\t2\r\n\r\n",
            "G!#$%&\\'*+-.^_`|~T / HTTP/1.1",
            None,
            "",
        ),
        (
            "get / HTTP/1.1\r\nHost: a\r\n\r\n",
            "get / HTTP/1.1",
            None,
            "",
        ),
    ];
    for (bytes, start, framing, body) in table {
        let read = read(bytes.as_bytes());
        assert_eq!(read.refused, Option::None, "{bytes:?}");
        let [message] = &read.messages[..] else {
            panic!("{bytes:?}: {read:?}");
        };
        assert_eq!(message.start, start);
        assert_eq!(message.framing, Some(framing), "{bytes:?}");
        assert_eq!(message.body, body.as_bytes(), "{bytes:?}");
        assert!(message.is_whole, "{bytes:?}");
        assert_eq!(message.is_reusable, !bytes.contains("1.0"), "{bytes:?}");
    }
}

/// Apache, nginx and HAProxy pass them on, for browsers and scripts send them.
#[test]
fn bytes_that_no_uri_may_have_and_many_have_pass_in_a_target() {
    for target in [
        &b"/?q={}|\"'<>\\^`"[..],
        b"/\"<>{}|\\^`",
        b"/\xff\x80?\xc3\xa9",
    ] {
        let request = [b"GET ", target, b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat();
        let read = read(&request);
        assert_eq!(read.messages.len(), 1, "{}", target.escape_ascii());
        let expected = format!("GET {} HTTP/1.1", target.escape_ascii());
        assert_eq!(read.messages[0].start, expected);
    }
}

#[test]
fn requests_follow_each_other() {
    let read = read(
        b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok\r\n\
          POST /3 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\na: b\r\n\r\n\
          GET /4 HTTP/1.0\r\n\r\n",
    );
    let seen: Vec<_> = read
        .messages
        .iter()
        .map(|it| {
            (
                &it.start[..],
                &it.body[..],
                it.trailers.len(),
                it.is_reusable,
            )
        })
        .collect();
    let expected = [
        ("GET /1 HTTP/1.1", &b""[..], 0, true),
        ("POST /2 HTTP/1.1", b"ok", 0, true),
        ("POST /3 HTTP/1.1", b"x", 1, true),
        ("GET /4 HTTP/1.0", b"", 0, false),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn names_keep_their_case_and_values_lose_the_blanks_around_them() {
    let read = read(b"GET / HTTP/1.1\r\nhOsT:\t a \t \r\nX-oNe: 1 2\r\nx-One:\r\n\r\n");
    let expected: [(&[u8], &[u8]); 3] = [(b"hOsT", b"a"), (b"X-oNe", b"1 2"), (b"x-One", b"")];
    let fields = &read.messages[0].fields;
    let fields: Vec<_> = fields
        .iter()
        .map(|(name, value)| (&name[..], &value[..]))
        .collect();
    assert_eq!(fields, expected);
}

#[test]
fn lines_end_in_cr_and_lf() {
    use Violation::{BareCr, BareLf, EmptyLines};
    refused(&[
        (b"GET / HTTP/1.1\nHost: a\r\n\r\n", BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\n", BareLf),
        (b"GET / HTTP/1.1\nHost: a\n\n", BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\nUseless:\n\n", BareLf),
        (b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareLf),
        (b"\r\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareLf),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\rY: c\r\n\r\n", BareCr),
        (b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", BareCr),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX: b\r\r\n\r\n", BareCr),
        (b"GET /\r HTTP/1.1\r\nHost: a\r\n\r\n", BareCr),
        (b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", BareCr),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", BareCr),
        (b"\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareCr),
        (b"\r\rGET / HTTP/1.1\r\nHost: a\r\n\r\n", BareCr),
        (
            &[&b"\r\n".repeat(9)[..], b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            EmptyLines,
        ),
    ]);
    // A CR alone is no line end, so this has no end yet; it is refused with the first LF.
    let read = read(b"GET / HTTP/1.1\rHost: a\r\r");
    assert_eq!(read, Transcript::default());
}

#[test]
fn a_request_line_is_a_method_a_target_and_a_version() {
    use Violation::*;
    refused(&[
        (b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", Connect),
        (b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n", Connect),
        (b"GET\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET  HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
        (b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", RequestLine),
        (b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET /\r\n\r\n", RequestLine),
        (b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
        (b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
        (b"G\xc3\xa9T / HTTP/1.1\r\nHost: a\r\n\r\n", Method),
        (b"* HTTP/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"HTTP/1.1 200 OK\r\nHost: a\r\n\r\n", Method),
        (b"GET /a\0 HTTP/1.1\r\nHost: a\r\n\r\n", TargetByte),
        (b"GET /a\x01 HTTP/1.1\r\nHost: a\r\n\r\n", TargetByte),
        (b"GET /a\x7f HTTP/1.1\r\nHost: a\r\n\r\n", TargetByte),
        (b"GET /a\tb HTTP/1.1\r\nHost: a\r\n\r\n", TargetByte),
        (b"GET /#fragment HTTP/1.1\r\nHost: a\r\n\r\n", Fragment),
        (b"GET ?q HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm),
        (b"GET a HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm),
        (b"GET * HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm),
        (b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm),
        (b"GET http:/// HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm),
        (b"GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm),
        (
            b"GET http://user@a/ HTTP/1.1\r\nHost: a\r\n\r\n",
            TargetForm,
        ),
        (b"GET http://a,b/ HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm),
        (
            b"GET http://[::1/ HTTP/1.1\r\nHost: [::1]\r\n\r\n",
            TargetForm,
        ),
        (b"GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n", TargetForm),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", Version),
        (b"GET / HTTP/1.2\r\nHost: a\r\n\r\n", Version),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", Version),
        (b"GET / HTTP/3.9\r\nHost: a\r\n\r\n", Version),
        (b"GET / HTTP/11\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET / HTTP/1.10\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET / HTTP/1\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET / http/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET / HTTPS/1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"GET / HTTP/+1.1\r\nHost: a\r\n\r\n", RequestLine),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Preface),
    ]);
}

/// What is no HTTP at all has no LF to wait for.
#[test]
fn a_first_byte_that_begins_no_request_is_refused_at_once() {
    for (bytes, violation) in [
        (&b"\x16\x03\x01"[..], Violation::Method),
        (b"\0", Violation::Method),
        (b"\xff", Violation::Method),
        (b" ", Violation::Method),
        (b"\"", Violation::Method),
        (b"\r\n(", Violation::Method),
        (b"\n", Violation::BareLf),
    ] {
        assert_eq!(
            read(bytes).refused,
            Some(violation),
            "{}",
            bytes.escape_ascii()
        );
    }
    for bytes in [
        "",
        "G",
        "PRI * HTTP/2.0",
        "\r\n",
        "\r",
        "0",
        "GET / HTTP/1.1\r\nHost: a\r\n\r",
    ] {
        assert_eq!(read(bytes.as_bytes()), Transcript::default(), "{bytes:?}");
    }
}

#[test]
fn a_field_is_a_token_a_colon_and_text() {
    use Violation::*;
    let table: [(&str, Violation); 21] = [
        ("X : 1", BlankBeforeColon),
        ("X\t: 1", BlankBeforeColon),
        ("Content-Length : 5", BlankBeforeColon),
        ("Transfer-Encoding : chunked", BlankBeforeColon),
        (": 1", FieldName),
        ("X Y: 1", FieldName),
        ("X(Y): 1", FieldName),
        ("\"X\": 1", FieldName),
        ("X\0: 1", FieldName),
        ("X\u{e9}: 1", FieldName),
        ("no colon", NoColon),
        ("nocolon", NoColon),
        ("X: 1\r\n folded", Folded),
        ("X: 1\r\n\tfolded", Folded),
        ("X: \r\n ", Folded),
        (" X: 1", Folded),
        ("X: a\0b", FieldValue),
        ("X: a\u{1}b", FieldValue),
        ("X: a\u{b}b", FieldValue),
        ("X: a\u{1b}b", FieldValue),
        ("X: a\u{7f}b", FieldValue),
    ];
    for (fields, violation) in table {
        refused(&[(&with(fields), violation)]);
    }
    refused(&[
        (b"GET / HTTP/1.1\r\n X: 1\r\nHost: a\r\n\r\n", Folded),
        (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", BlankBeforeColon),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\xff: 1\r\n\r\n", FieldName),
    ]);
}

#[test]
fn a_request_names_one_host() {
    use Violation::*;
    let table: [(&str, Violation); 28] = [
        ("/ HTTP/1.1", HostMissing),
        ("/ HTTP/1.1\r\nX: 1", HostMissing),
        ("http://a/ HTTP/1.1", HostMissing),
        ("http://b/ HTTP/1.0", HostMissing),
        ("/ HTTP/1.1\r\nHost: a\r\nHost: a", HostRepeated),
        ("/ HTTP/1.1\r\nHost: a\r\nHost: b", HostRepeated),
        ("/ HTTP/1.1\r\nHost: a\r\nX: 1\r\nhost: b", HostRepeated),
        ("/ HTTP/1.0\r\nHost: a\r\nHost: b", HostRepeated),
        ("/ HTTP/1.1\r\nHost:", HostInvalid),
        ("/ HTTP/1.0\r\nHost:", HostInvalid),
        ("/ HTTP/1.1\r\nHost: user@a", HostInvalid),
        ("/ HTTP/1.1\r\nHost: a/b", HostInvalid),
        ("/ HTTP/1.1\r\nHost: a,b", HostInvalid),
        ("/ HTTP/1.1\r\nHost: a b", HostInvalid),
        ("/ HTTP/1.1\r\nHost: a:b", HostInvalid),
        ("/ HTTP/1.1\r\nHost: a:80:80", HostInvalid),
        ("/ HTTP/1.1\r\nHost: a?b", HostInvalid),
        ("/ HTTP/1.1\r\nHost: a#b", HostInvalid),
        ("/ HTTP/1.1\r\nHost: a\\b", HostInvalid),
        ("/ HTTP/1.1\r\nHost: [::1", HostInvalid),
        ("/ HTTP/1.1\r\nHost: http://a", HostInvalid),
        ("/ HTTP/1.1\r\nHost: \u{ff}", HostInvalid),
        ("http://b/ HTTP/1.1\r\nHost: a", HostMismatch),
        ("http://a/ HTTP/1.1\r\nHost: a:8080", HostMismatch),
        ("http://a:443/ HTTP/1.1\r\nHost: a", HostMismatch),
        ("https://a:80/ HTTP/1.1\r\nHost: a", HostMismatch),
        ("http://b/ HTTP/1.0\r\nHost: a", HostMismatch),
        ("http://a/ HTTP/1.1\r\nHost: a.", HostMismatch),
    ];
    for (rest, violation) in table {
        refused(&[(format!("GET {rest}\r\n\r\n").as_bytes(), violation)]);
    }
}

#[test]
fn a_length_is_digits_and_said_once() {
    for length in [
        "5,5",
        "5, 5",
        "5 5",
        "+5",
        "-5",
        "-0",
        "0x5",
        "5.0",
        "5e0",
        "five",
        "",
        "5;",
        "\"5\"",
        "_5",
        "\u{665}",
        "99999999999999999999",
        "18446744073709551621",
    ] {
        let head = with(&format!("Content-Length: {length}"));
        refused(&[(&head, Violation::Length)]);
        // Also where it is the same twice.
        let head = with(&format!(
            "Content-Length: {length}\r\nContent-Length: {length}"
        ));
        refused(&[(&head, Violation::Length)]);
    }
    refused(&[
        (&with("Content-Length: 5\u{b}"), Violation::FieldValue),
        (
            &with("Content-Length: 5\r\nContent-Length: 6"),
            Violation::LengthRepeated,
        ),
        (
            &with("Content-Length: 5\r\nX: 1\r\nCONTENT-LENGTH: 0"),
            Violation::LengthRepeated,
        ),
        (
            &with("Content-Length: 5\r\nContent-Length: five"),
            Violation::Length,
        ),
    ]);
}

/// A member then reads it once: what is not in the head is not passed on.
#[test]
fn of_equal_lengths_the_first_stays() {
    let read = read(&with(
        "Content-Length: 5\r\nX: 1\r\ncontent-length: 005\r\nContent-Length: 5",
    ));
    let names: Vec<_> = read.messages[0]
        .fields
        .iter()
        .map(|(name, _)| &name[..])
        .collect();
    assert_eq!(names, [&b"Host"[..], b"Content-Length", b"X"]);
    assert_eq!(read.messages[0].framing, Some(Framing::Length(5)));
    assert_eq!(
        (&read.messages[0].body[..], read.refused),
        (&b"hello"[..], None)
    );
}

#[test]
fn a_body_has_one_framing() {
    use Violation::*;
    let table: [(&str, Violation, u16); 24] = [
        (
            "Content-Length: 5\r\nTransfer-Encoding: chunked",
            LengthAndCoding,
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nContent-Length: 5",
            LengthAndCoding,
            400,
        ),
        (
            "content-length: 5\r\ntransfer-encoding: CHUNKED",
            LengthAndCoding,
            400,
        ),
        (
            "Content-Length: 5\r\nTransfer-Encoding: identity",
            LengthAndCoding,
            400,
        ),
        (
            "Content-Length: 0\r\nTransfer-Encoding: chunked",
            LengthAndCoding,
            400,
        ),
        ("Transfer-Encoding: identity", CodingUnknown, 501),
        ("Transfer-Encoding: gzip", CodingUnknown, 501),
        ("Transfer-Encoding: gzip, chunked", CodingUnknown, 501),
        ("Transfer-Encoding: xchunked", CodingUnknown, 501),
        ("Transfer-Encoding: chunkedx", CodingUnknown, 501),
        ("Transfer-Encoding: chunked, identity", Coding, 400),
        ("Transfer-Encoding: chunked, gzip", Coding, 400),
        ("Transfer-Encoding: chunked, chunked", Coding, 400),
        ("Transfer-Encoding: ,chunked", Coding, 400),
        ("Transfer-Encoding: chunked,", Coding, 400),
        ("Transfer-Encoding: \"chunked\"", Coding, 400),
        ("Transfer-Encoding: chunked;q=1", Coding, 400),
        ("Transfer-Encoding: chun ked", Coding, 400),
        ("Transfer-Encoding: \u{b}chunked", FieldValue, 400),
        ("Transfer-Encoding:", Coding, 400),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            Coding,
            400,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            Coding,
            400,
        ),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            Coding,
            400,
        ),
        ("Transfer-Encoding: chun\r\n ked", Folded, 400),
    ];
    for (fields, violation, status) in table {
        refused(&[(&with(fields), violation)]);
        assert_eq!(violation.status(), status, "{fields}");
    }
    let request = b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    refused(&[(request, CodingInHttp10)]);
}

#[test]
fn chunks_are_as_long_as_they_say() {
    use Violation::*;
    let table: [(&str, Violation); 39] = [
        ("x\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("-5\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("+5\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("0x5\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("5_\r\nhello\r\n0\r\n\r\n", ChunkSize),
        (" 5\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("5 \r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("5 a\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("00000000000000005\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("fffffffffffffffff\r\nhello\r\n0\r\n\r\n", ChunkSize),
        ("5\nhello\r\n0\r\n\r\n", BareLf),
        ("5\rhello\r\n0\r\n\r\n", BareCr),
        ("5\r\nhello\n0\r\n\r\n", ChunkEnd),
        ("5\r\nhello\r0\r\n\r\n", ChunkEnd),
        ("5\r\nhello!\r\n0\r\n\r\n", ChunkEnd),
        ("5\r\nhello0\r\n\r\n", ChunkEnd),
        ("5\r\nhello\r\n0\n\n", BareLf),
        ("5\r\nhello\r\n0\r\n\n", BareLf),
        ("5\r\nhello\r\n-0\r\n\r\n", ChunkSize),
        ("5\r\nhello\r\n0;\r\n\r\n", ChunkExtension),
        ("5;\r\nhello\r\n0\r\n\r\n", ChunkExtension),
        ("5;a=\u{1}\r\nhello\r\n0\r\n\r\n", ChunkExtension),
        ("5;a=b\n\r\nhello\r\n0\r\n\r\n", BareLf),
        ("5;a=\"b\r\nhello\r\n0\r\n\r\n", ChunkExtension),
        ("5\r\nhello\r\n0\r\nno colon\r\n\r\n", NoColon),
        ("5\r\nhello\r\n0\r\nX : 1\r\n\r\n", BlankBeforeColon),
        ("5\r\nhello\r\n0\r\nX: 1\n\r\n", BareLf),
        ("5\r\nhello\r\n0\r\nX: \0\r\n\r\n", FieldValue),
        ("5\r\nhello\r\n0\r\nX: 1\r\n folded\r\n\r\n", Folded),
        ("5\r\nhello\r\n0\r\n: b\r\n\r\n", FieldName),
        ("5\r\nhello\r\n0\r\nX\u{e9}: b\r\n\r\n", FieldName),
        ("5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n", Trailer),
        (
            "5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n",
            Trailer,
        ),
        ("5\r\nhello\r\n0\r\nHost: b\r\n\r\n", Trailer),
        (
            "5\r\nhello\r\n0\r\nX-Forwarded-For: 10.0.0.1\r\n\r\n",
            Trailer,
        ),
        ("5\r\nhello\r\n0\r\nClient_Cert: x\r\n\r\n", Trailer),
        ("5\r\nhello\r\n0\r\nA: b\r\nCookie: a=b\r\n\r\n", Trailer),
        ("5\r\nhello\r\n0\r\nConnection: close\r\n\r\n", Trailer),
    ];
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, violation) in table {
        let read = read([head, body].concat().as_bytes());
        assert_eq!(read.refused, Some(violation), "{body:?}");
        assert_eq!(
            (read.messages.len(), read.messages[0].is_whole),
            (1, false),
            "{body:?}"
        );
        assert!(read.messages[0].trailers.is_empty());
    }
}

/// A limit, a request that is just within it, and what one that is a byte or a field beyond it is refused for.
#[test]
fn limits_hold_to_the_byte() {
    let head = |target: usize, value: usize, fields: usize| {
        let target = "x".repeat(target);
        let (value, fields) = ("y".repeat(value), "a: b\r\n".repeat(fields));
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\nX: {value}\r\n{fields}\r\n").into_bytes()
    };
    let least = head(0, 0, 0).len();
    let limits = |bytes: usize, line: u32, fields: u16, target: u32| Limits {
        head: Section {
            bytes: bytes as u32,
            line,
            fields,
        },
        target,
        ..Limits::default()
    };
    let wide = limits(1000, 1000, 100, 1000);
    use Violation::{HeadTooLarge, LineTooLong, TargetTooLong, TooManyFields};
    let table = [
        (
            limits(least + 50, 1000, 100, 1000),
            head(0, 50, 0),
            head(0, 51, 0),
            HeadTooLarge,
            431,
        ),
        (
            limits(least + 60, 1000, 100, 1000),
            head(0, 0, 10),
            head(0, 1, 10),
            HeadTooLarge,
            431,
        ),
        (
            limits(1000, 55, 100, 1000),
            head(0, 50, 0),
            head(0, 51, 0),
            LineTooLong,
            431,
        ),
        (
            limits(1000, 1000, 12, 1000),
            head(0, 0, 10),
            head(0, 0, 11),
            TooManyFields,
            431,
        ),
        (
            limits(1000, 1000, 100, 21),
            head(20, 0, 0),
            head(21, 0, 0),
            TargetTooLong,
            414,
        ),
        // A line that is too long is called so for its target.
        (
            limits(1000, 36, 100, 1000),
            head(20, 0, 0),
            head(21, 0, 0),
            TargetTooLong,
            414,
        ),
        (wide, head(900, 0, 0), head(1000, 0, 0), TargetTooLong, 414),
    ];
    for (limits, within, beyond, violation, status) in table {
        let read = read_within(&within, limits);
        assert_eq!(
            (read.messages.len(), read.refused),
            (1, None),
            "{violation}"
        );
        let read = read_within(&beyond, limits);
        assert_eq!(
            (read.messages.len(), read.refused),
            (0, Some(violation)),
            "{violation}"
        );
        assert_eq!(violation.status(), status);
        // No end has to come for it.
        let started = &beyond[..beyond.len() - 4];
        if violation != TooManyFields {
            let refused = read_within(started, limits).refused;
            assert!(refused.is_none() || refused == Some(violation));
        }
    }
    let endless = [&b"GET / HTTP/1.1\r\nHost: a\r\nX: "[..], &[b'x'; 1000]].concat();
    assert_eq!(read_within(&endless, wide).refused, Some(HeadTooLarge));
    assert_eq!(read_within(&[b'x'; 1000], wide).refused, None);
    assert_eq!(
        read_within(&[b'x'; 1001], wide).refused,
        Some(TargetTooLong)
    );

    let limits = Limits {
        empty_lines: 2,
        ..Limits::default()
    };
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let read = read_within(
        ["\r\n\r\n", request, "\r\n\r\n", request]
            .concat()
            .as_bytes(),
        limits,
    );
    assert_eq!((read.messages.len(), read.refused), (2, None));
    let read = read_within(["\r\n\r\n\r\n", request].concat().as_bytes(), limits);
    assert_eq!(read.refused, Some(Violation::EmptyLines));
}

#[test]
fn trailer_sections_have_limits() {
    let limits = |bytes, fields| Limits {
        trailers: Section::new(bytes, fields),
        ..Limits::default()
    };
    let request = |trailers: &str| {
        let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
        [head, trailers, "\r\n"].concat().into_bytes()
    };
    let three = request("a: 1\r\nb: 2\r\nc: 3\r\n");
    for (limits, refused) in [
        (limits(20, 3), None),
        (limits(19, 3), Some(Violation::TrailersTooLarge)),
        (limits(20, 2), Some(Violation::TrailersTooLarge)),
    ] {
        let read = read_within(&three, limits);
        assert_eq!(read.refused, refused);
        assert_eq!(
            read.messages[0].trailers.len(),
            if refused.is_none() { 3 } else { 0 }
        );
    }
    let long = request(&format!("a: {}\r\n", "x".repeat(100)));
    let refused = read_within(&long, limits(50, 3)).refused;
    assert_eq!(refused, Some(Violation::TrailersTooLarge));
}

/// The log can tell what was asked, where that was right.
#[test]
fn what_was_right_before_is_in_the_head_of_what_is_refused() {
    let request = b"GET /x HTTP/1.1\r\nHost: a\r\nX: \0\r\nY: 1\r\n\r\n";
    for cut in [1, 5, 1000] {
        let (mut reader, mut head) = (RequestReader::new(Limits::default()), Head::new());
        let mut refused = false;
        for piece in request.chunks(cut) {
            let (_, event) = reader.head(piece, &mut head);
            refused = event == HeadEvent::Refused(Violation::FieldValue);
            if refused {
                break;
            }
        }
        assert!(refused && reader.phase() == Phase::Over && !reader.is_reusable());
        assert_eq!(
            (head.target(), head.get(Known::Host)),
            (&b"/x"[..], Some(&b"a"[..]))
        );
        assert_eq!(head.len(), 1);
        let again = reader.head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &mut head);
        assert_eq!(again, (0, HeadEvent::Refused(Violation::FieldValue)));
    }
    let (mut reader, mut head) = (RequestReader::new(Limits::default()), Head::new());
    reader.head(b"GET /\0 HTTP/1.1\r\n", &mut head);
    assert!(!head.is_request() && head.target().is_empty());
}

#[test]
fn the_reader_tells_what_is_awaited() {
    let (mut reader, mut head) = (RequestReader::new(Limits::default()), Head::new());
    let mut trailers = equipoise_http::Fields::default();
    assert_eq!((reader.phase(), reader.is_reusable()), (Phase::Idle, true));
    reader.head(b"\r\n", &mut head);
    assert_eq!(reader.phase(), Phase::Idle);
    reader.head(b"G", &mut head);
    assert_eq!((reader.phase(), reader.is_reusable()), (Phase::Head, false));
    let rest = b"ET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhel";
    assert_eq!(
        reader.head(rest, &mut head),
        (rest.len() - 3, HeadEvent::Head)
    );
    assert_eq!((reader.phase(), reader.left()), (Phase::Body, 5));
    // A body that is not over has to be read first.
    assert_eq!(reader.head(b"hello", &mut head), (0, HeadEvent::More));
    let (used, _) = reader.body(b"hel", &mut trailers);
    assert_eq!((used, reader.left()), (3, 2));
    reader.body(b"lo", &mut trailers);
    reader.body(b"", &mut trailers);
    assert_eq!((reader.phase(), reader.is_reusable()), (Phase::Idle, true));
}
