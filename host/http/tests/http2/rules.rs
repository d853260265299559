//! What a peer may say, and what becomes of what it may not.

use equipoise_http::http2::{ErrorCode, Options, Role, SendError};
use equipoise_http::transcript::http2::Session;
use equipoise_http::{Edit, Fields, Limits, Section, Violation};

use crate::frames::*;
use crate::{ask, begin, client, request, respond, response, sent_in_words, server, server_with};

/// What is told of these bytes, which is the same however they are cut, by sessions that are made anew.
#[track_caller]
fn told(make: impl Fn() -> Session, bytes: &[u8]) -> (Vec<String>, Vec<String>) {
    let read = |cut| {
        let mut session = make();
        let told = session.receive(bytes, cut);
        (told, sent_in_words(&mut session))
    };
    let whole = read(usize::MAX);
    for cut in [1, 2, 3, 7, 10] {
        assert_eq!(read(cut), whole, "cut at {cut}");
    }
    whole
}

fn block(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

/// A request, and what is wrong behind it.
fn behind(request: Vec<u8>, frames: &[Vec<u8>]) -> Vec<u8> {
    [request, frames.concat()].concat()
}

#[test]
fn messages_come_with_payload_and_trailers() {
    let table: [(&str, Vec<u8>, &[&str]); 9] = [
        ("a request", get(1), &["1 GET / HTTP/2.0 host=a end"]),
        (
            "padding and an old priority",
            headers(
                WHOLE | PADDED | 0x20,
                1,
                &block(&[b"\x03\x80\0\0\x03\xff", GET, b"\0\0\0"]),
            ),
            &["1 GET / HTTP/2.0 host=a end"],
        ),
        (
            "a body with a length",
            behind(
                headers(END_HEADERS, 1, &block(&[POST, THREE])),
                &[data(0, 1, b"ab"), data(END_STREAM, 1, b"c")],
            ),
            &[
                "1 POST / HTTP/2.0 host=a content-length=3",
                "1 data abc end",
            ],
        ),
        (
            "a body that ends by itself",
            behind(post(1), &[data(0, 1, b"ab"), data(END_STREAM, 1, b"")]),
            &["1 POST / HTTP/2.0 host=a", "1 data ab end"],
        ),
        (
            "padded payload",
            behind(
                post(1),
                &[
                    data(PADDED, 1, b"\x02ab.."),
                    data(PADDED, 1, b"\x00c"),
                    data(PADDED, 1, b"\x03..."),
                    data(PADDED | END_STREAM, 1, b"\x00"),
                ],
            ),
            &["1 POST / HTTP/2.0 host=a", "1 data abc end"],
        ),
        (
            "trailers",
            behind(post(1), &[data(0, 1, b"ab"), headers(WHOLE, 1, X)]),
            &["1 POST / HTTP/2.0 host=a", "1 data ab", "1 trailers x=1"],
        ),
        (
            "trailers of nothing",
            behind(post(1), &[headers(WHOLE, 1, b"")]),
            &["1 POST / HTTP/2.0 host=a", "1 data  end"],
        ),
        (
            "a header block in many frames",
            [
                headers(END_STREAM, 1, &GET[..2]),
                frame(CONTINUATION, 0, 1, b""),
                frame(CONTINUATION, 0, 1, &GET[2..3]),
                frame(CONTINUATION, END_HEADERS, 1, &GET[3..]),
            ]
            .concat(),
            &["1 GET / HTTP/2.0 host=a end"],
        ),
        (
            "requests side by side",
            [
                post(1),
                get(5),
                data(0, 1, b"a"),
                frame(0xbe, 0xff, 1, b"grease"),
                frame(PRIORITY, 0, 9, b"\0\0\0\x07\0"),
                data(END_STREAM, 1, b"b"),
            ]
            .concat(),
            &[
                "1 POST / HTTP/2.0 host=a",
                "5 GET / HTTP/2.0 host=a end",
                "1 data ab end",
            ],
        ),
    ];
    for (name, bytes, expected) in table {
        let (told, sent) = told(server, &bytes);
        assert_eq!(told, expected, "{name}");
        assert!(sent.is_empty(), "{name}: {sent:?}");
    }
}

#[test]
fn responses_come_behind_interim_ones() {
    let get = || {
        let mut session = client();
        begin(&mut session, "GET", true);
        sent_in_words(&mut session);
        session
    };
    let early = b"\x08\x03103";
    let bytes = [
        headers(END_HEADERS, 1, early),
        headers(END_HEADERS, 1, &block(&[OK, THREE])),
        data(0, 1, b"abc"),
        headers(WHOLE, 1, X),
    ]
    .concat();
    let (told, sent) = told(get, &bytes);
    assert_eq!(
        told,
        [
            "1 HTTP/2.0 103 Early Hints",
            "1 HTTP/2.0 200 OK content-length=3",
            "1 data abc",
            "1 trailers x=1"
        ]
    );
    assert!(sent.is_empty(), "{sent:?}");
}

#[test]
fn a_response_to_head_has_a_length_and_no_body() {
    let head = || {
        let mut session = client();
        begin(&mut session, "HEAD", true);
        sent_in_words(&mut session);
        session
    };
    let response = headers(WHOLE, 1, &block(&[OK, THREE]));
    assert_eq!(
        told(head, &response).0,
        ["1 HTTP/2.0 200 OK content-length=3 end"]
    );
    let open = headers(END_HEADERS, 1, &block(&[OK, THREE]));
    let (told, sent) = told(head, &behind(open, &[data(0, 1, b"abc")]));
    assert_eq!(told[1], "1 refused: body-length, gone");
    assert_eq!(sent, ["1 RST_STREAM 1"]);
}

#[test]
fn what_breaks_the_connection_of_a_client_is_told_in_goaway() {
    const PROTOCOL: u32 = 1;
    const FLOW: u32 = 3;
    const CLOSED: u32 = 5;
    const SIZE: u32 = 6;
    const COMPRESSION: u32 = 9;
    const CALM: u32 = 11;
    let large = 16_385;
    let table: [(&str, Vec<u8>, u32, u32); 44] = [
        ("frame-size", frame(0xbe, 0, 0, &vec![0; large]), 0, SIZE),
        ("frame-size", frame(PING, 0, 0, b"1234567"), 0, SIZE),
        ("frame-size", frame(SETTINGS, 0, 0, b"12345"), 0, SIZE),
        ("frame-size", frame(SETTINGS, ACK, 0, b"123456"), 0, SIZE),
        ("frame-size", frame(RST_STREAM, 0, 1, b"123"), 0, SIZE),
        ("frame-size", frame(WINDOW_UPDATE, 0, 0, b"123"), 0, SIZE),
        ("frame-size", frame(PRIORITY, 0, 1, b"123"), 0, SIZE),
        ("frame-size", frame(GOAWAY, 0, 0, b"1234567"), 0, SIZE),
        (
            "frame-size",
            behind(post(1), &[data(PADDED, 1, b"")]),
            1,
            SIZE,
        ),
        ("stream-id", data(0, 0, b"a"), 0, PROTOCOL),
        ("stream-id", headers(WHOLE, 0, GET), 0, PROTOCOL),
        ("stream-id", headers(WHOLE, 2, GET), 0, PROTOCOL),
        ("stream-id", frame(PRIORITY, 0, 0, b"12345"), 0, PROTOCOL),
        (
            "stream-id",
            frame(PRIORITY, 0, 3, b"\0\0\0\x03\0"),
            0,
            PROTOCOL,
        ),
        ("stream-id", rst_stream(0, 0), 0, PROTOCOL),
        ("stream-id", frame(SETTINGS, 0, 1, b""), 0, PROTOCOL),
        ("stream-id", frame(PING, 0, 1, b"12345678"), 0, PROTOCOL),
        ("stream-id", frame(GOAWAY, 0, 1, b"12345678"), 0, PROTOCOL),
        ("stream-id", priority_update(0, "u=1"), 0, PROTOCOL),
        ("stream-id", priority_update(2, "u=1"), 0, PROTOCOL),
        (
            "push",
            frame(PUSH_PROMISE, 4, 1, b"\0\0\0\x02"),
            0,
            PROTOCOL,
        ),
        ("idle-stream", data(0, 1, b"a"), 0, PROTOCOL),
        ("idle-stream", window_update(1, 1), 0, PROTOCOL),
        ("idle-stream", rst_stream(1, 0), 0, PROTOCOL),
        (
            "idle-stream",
            behind(get(1), &[rst_stream(3, 0)]),
            1,
            PROTOCOL,
        ),
        ("continuation", frame(CONTINUATION, 4, 1, b""), 0, PROTOCOL),
        (
            "continuation",
            behind(headers(0, 1, GET), &[frame(PING, 0, 0, b"12345678")]),
            0,
            PROTOCOL,
        ),
        (
            "continuation",
            behind(headers(0, 1, GET), &[frame(CONTINUATION, 4, 3, b"")]),
            0,
            PROTOCOL,
        ),
        (
            "continuation",
            behind(get(1), &[frame(CONTINUATION, 4, 1, b"")]),
            1,
            PROTOCOL,
        ),
        ("padding", headers(WHOLE | PADDED, 1, b"\x01"), 0, PROTOCOL),
        (
            "padding",
            behind(post(1), &[data(PADDED, 1, b"\x03ab")]),
            1,
            PROTOCOL,
        ),
        ("setting", settings(&[(2, 2)]), 0, PROTOCOL),
        ("setting", settings(&[(5, 16_383)]), 0, PROTOCOL),
        ("window-overflow", settings(&[(4, 1 << 31)]), 0, FLOW),
        (
            "window-overflow",
            behind(
                post(1),
                &[
                    window_update(1, (1 << 31) - 1 - 65_535),
                    settings(&[(4, 65_536)]),
                ],
            ),
            1,
            FLOW,
        ),
        ("increment", window_update(0, 0), 0, PROTOCOL),
        ("window-overflow", window_update(0, (1 << 31) - 1), 0, FLOW),
        (
            "compression",
            headers(WHOLE, 1, b"\xff\xff\xff"),
            1,
            COMPRESSION,
        ),
        (
            "compression",
            headers(WHOLE, 1, b"\x82\x40"),
            1,
            COMPRESSION,
        ),
        (
            "compression",
            behind(get(1), &[headers(WHOLE, 1, b"\x80")]),
            1,
            COMPRESSION,
        ),
        ("closed-stream", behind(get(3), &[get(1)]), 3, CLOSED),
        (
            "closed-stream",
            behind(post(1), &[rst_stream(1, 8), data(0, 1, b"a")]),
            1,
            CLOSED,
        ),
        (
            "closed-stream",
            behind(post(1), &[rst_stream(1, 8), headers(WHOLE, 1, X)]),
            1,
            CLOSED,
        ),
        (
            "block-too-large",
            [
                headers(END_STREAM, 1, &vec![0x82; 16_384]),
                frame(CONTINUATION, 0, 1, &vec![0x82; 16_384]).repeat(9),
            ]
            .concat(),
            0,
            CALM,
        ),
    ];
    for (name, bytes, last, code) in table {
        let (told, sent) = told(server, &bytes);
        assert_eq!(told.last(), Some(&format!("over: {name}")), "{told:?}");
        let goaway = format!("GOAWAY {last} {code}");
        assert_eq!(sent.last(), Some(&goaway), "{name}");
        let mut session = server();
        session.receive(&bytes, usize::MAX);
        assert!(session.connection.is_done(), "{name}");
        let again = session.receive(&get(99), usize::MAX);
        assert_eq!(again, [format!("over: {name}")], "nothing more is read");
    }
}

#[test]
fn a_connection_begins_as_it_has_to() {
    let fresh = |role| move || Session::new(role, Options::default());
    let begin = [PREFACE, &settings(&[])].concat();
    let table: [(Role, Vec<u8>, &str); 7] = [
        (
            Role::Server,
            b"GET / HTTP/1.1\r\n".to_vec(),
            "over: preface",
        ),
        (
            Role::Server,
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rx".to_vec(),
            "over: preface",
        ),
        (
            Role::Server,
            [PREFACE, &get(1)].concat(),
            "over: first-frame",
        ),
        (
            Role::Server,
            [PREFACE, &frame(SETTINGS, ACK, 0, b"")].concat(),
            "over: first-frame",
        ),
        (
            Role::Server,
            [&begin[..], &get(1)].concat(),
            "1 GET / HTTP/2.0 host=a end",
        ),
        (
            Role::Client,
            frame(PING, 0, 0, b"12345678"),
            "over: first-frame",
        ),
        (Role::Client, begin, "over: first-frame"),
    ];
    for (role, bytes, expected) in table {
        let (told, _) = told(fresh(role), &bytes);
        assert_eq!(told, [expected]);
    }
}

#[test]
fn what_breaks_the_connection_of_a_member_is_told_in_goaway() {
    let asking = || {
        let mut session = client();
        begin(&mut session, "GET", true);
        sent_in_words(&mut session);
        session
    };
    let answered = || headers(WHOLE, 1, OK);
    let table: [(&str, Vec<u8>, u32); 9] = [
        ("stream-id", headers(WHOLE, 3, OK), 1),
        ("stream-id", headers(WHOLE, 2, OK), 1),
        ("idle-stream", data(0, 3, b"a"), 1),
        ("idle-stream", data(0, 2, b"a"), 1),
        ("push", frame(PUSH_PROMISE, 4, 1, b"\0\0\0\x02"), 1),
        ("setting", settings(&[(2, 1)]), 1),
        ("stream-id", priority_update(1, "u=1"), 1),
        ("closed-stream", behind(answered(), &[answered()]), 5),
        ("closed-stream", behind(answered(), &[data(0, 1, b"a")]), 5),
    ];
    for (name, bytes, code) in table {
        let (told, sent) = told(asking, &bytes);
        assert_eq!(told.last(), Some(&format!("over: {name}")));
        assert_eq!(sent.last(), Some(&format!("GOAWAY 0 {code}")), "{name}");
    }
}

#[test]
fn a_malformed_request_may_be_answered_and_the_connection_goes_on() {
    let table: [(&str, Vec<u8>); 13] = [
        ("host-missing", headers(WHOLE, 1, b"\x82\x86\x84")),
        (
            "dependency",
            headers(WHOLE | 0x20, 1, &block(&[b"\0\0\0\x01\xff", GET])),
        ),
        (
            "dependency",
            behind(
                headers(END_STREAM | PADDED | 0x20, 1, b"\0\x80\0\0\x01\xff"),
                &[frame(CONTINUATION, END_HEADERS, 1, GET)],
            ),
        ),
        (
            "upper-case",
            headers(WHOLE, 1, &block(&[GET, b"\x00\x01X\x011"])),
        ),
        (
            "connection-field",
            headers(WHOLE, 1, &block(&[GET, b"\x00\x07upgrade\x01a"])),
        ),
        ("body-length", headers(WHOLE, 1, &block(&[POST, THREE]))),
        (
            "body-length",
            behind(
                headers(END_HEADERS, 1, &block(&[POST, THREE])),
                &[data(END_STREAM, 1, b"ab")],
            ),
        ),
        (
            "body-length",
            behind(
                headers(END_HEADERS, 1, &block(&[POST, THREE])),
                &[data(0, 1, b"ab"), data(0, 1, b"cd")],
            ),
        ),
        (
            "body-length",
            behind(
                headers(END_HEADERS, 1, &block(&[POST, THREE])),
                &[data(0, 1, b"ab"), headers(WHOLE, 1, X)],
            ),
        ),
        ("headers", behind(post(1), &[headers(END_HEADERS, 1, X)])),
        (
            "trailer",
            behind(post(1), &[headers(WHOLE, 1, b"\x00\x04host\x01a")]),
        ),
        (
            "pseudo-late",
            behind(post(1), &[headers(WHOLE, 1, b"\x84")]),
        ),
        (
            "host-missing",
            behind(
                headers(END_HEADERS, 1, b"\x83\x86\x84"),
                &[
                    data(0, 1, b"a"),
                    headers(END_HEADERS, 1, X),
                    data(END_STREAM, 1, b""),
                ],
            ),
        ),
    ];
    for (name, bytes) in table {
        let (told_of, sent) = told(server, &bytes);
        let refused = format!("1 refused: {name}");
        assert_eq!(
            told_of.iter().filter(|it| **it == refused).count(),
            1,
            "{told_of:?}"
        );
        assert_eq!(sent, [""; 0], "{name}");
        let mut session = server();
        session.receive(&bytes, usize::MAX);
        let stream = session.streams[&1];
        respond(&mut session, stream, 400, true);
        let sent = sent_in_words(&mut session);
        let expected = ["1 HEADERS end", "1 RST_STREAM 0"];
        assert!(
            sent == expected || sent == expected[..1],
            "{name}: {sent:?}"
        );
        assert_eq!(session.connection.open_streams(), 0, "{name}");
        assert_eq!(session.receive(&get(3), 5), ["3 GET / HTTP/2.0 host=a end"]);
    }
}

#[test]
fn a_request_that_was_not_over_is_reset_behind_its_answer_and_what_still_comes_is_ignored() {
    let mut session = server();
    let stream = ask(&mut session, &headers(END_HEADERS, 1, b"\x83\x86\x84"), 1);
    respond(&mut session, stream, 400, true);
    assert_eq!(
        sent_in_words(&mut session),
        ["1 HEADERS end", "1 RST_STREAM 0"]
    );
    let late = [
        data(0, 1, b"late"),
        window_update(1, 1),
        headers(WHOLE, 1, X),
        rst_stream(1, 8),
    ];
    assert_eq!(session.receive(&late.concat(), 3), [""; 0]);
    assert_eq!(session.receive(&get(3), 5), ["3 GET / HTTP/2.0 host=a end"]);
}

#[test]
fn what_is_wrong_on_a_stream_resets_it_and_no_other() {
    let window = 65_535;
    let options = Options {
        stream_window: window,
        ..Options::default()
    };
    let make = || {
        let mut session = server_with(options, &settings(&[]));
        session.consumes = false;
        session
    };
    let too_much: Vec<_> = (0..4).map(|_| data(0, 1, &[0; 16_384])).collect();
    let table: [(&str, Vec<u8>, u32); 5] = [
        ("increment", behind(post(1), &[window_update(1, 0)]), 1),
        (
            "window-overflow",
            behind(post(1), &[window_update(1, (1 << 31) - 1)]),
            3,
        ),
        ("stream-window", behind(post(1), &too_much), 3),
        ("after-end", behind(get(1), &[data(0, 1, b"a")]), 5),
        ("after-end", behind(get(1), &[headers(WHOLE, 1, X)]), 5),
    ];
    for (name, bytes, code) in table {
        let (told, sent) = told(make, &[bytes, get(3)].concat());
        let refused = format!("1 refused: {name}, gone");
        assert_eq!(told[told.len() - 2], refused);
        assert_eq!(told[told.len() - 1], "3 GET / HTTP/2.0 host=a end");
        assert_eq!(sent, [format!("1 RST_STREAM {code}")], "{name}");
    }
}

#[test]
fn a_malformed_response_is_reset_and_never_answered() {
    let asking = || {
        let mut session = client();
        begin(&mut session, "GET", true);
        sent_in_words(&mut session);
        session
    };
    let ok = |flags, more: &[u8]| headers(flags, 1, &block(&[OK, more]));
    let interim = || headers(END_HEADERS, 1, b"\x08\x03103");
    let table: [(&str, Vec<u8>); 8] = [
        ("pseudo-missing", headers(WHOLE, 1, X)),
        ("status", headers(WHOLE, 1, b"\x08\x0220")),
        ("switching", headers(END_HEADERS, 1, b"\x08\x03101")),
        ("headers", data(0, 1, b"a")),
        ("body-length", ok(WHOLE, THREE)),
        (
            "body-length",
            behind(ok(END_HEADERS, THREE), &[data(0, 1, b"abcd")]),
        ),
        ("truncated", headers(WHOLE, 1, b"\x08\x03103")),
        ("too-many-interims", interim().repeat(65)),
    ];
    for (name, bytes) in table {
        let (told, sent) = told(asking, &bytes);
        assert_eq!(told.last(), Some(&format!("1 refused: {name}, gone")));
        assert_eq!(sent, ["1 RST_STREAM 1"], "{name}");
    }
}

#[test]
fn tables_stay_right_whatever_becomes_of_a_message() {
    // Each block adds a field to the table; the last request has them all.
    let field = |name: &[u8]| [b"\x40\x01", name, b"\x011"].concat();
    let limits = Limits {
        head: Section::new(4096, 4),
        ..Limits::default()
    };
    let options = Options {
        streams: 1,
        limits,
        ..Options::default()
    };
    let make = || server_with(options, &settings(&[]));
    let many = X.repeat(10);
    let bytes = [
        headers(WHOLE, 1, &block(&[GET, &field(b"A")])),
        headers(WHOLE, 3, &block(&[GET, &field(b"b")])),
        headers(WHOLE, 1, &block(&[&field(b"c")])),
        headers(WHOLE, 5, &block(&[GET, &many, &field(b"d")])),
        rst_stream(5, 8),
        headers(WHOLE, 7, &block(&[GET, b"\xbe\xbf\xc0"])),
    ]
    .concat();
    let (told, sent) = told(make, &bytes);
    assert_eq!(
        told,
        [
            "1 refused: upper-case",
            "1 refused: after-end, gone",
            "5 refused: too-many-fields",
            "5 reset: CANCEL",
            "7 GET / HTTP/2.0 host=a d=1 c=1 b=1 end",
        ]
    );
    assert_eq!(sent, ["3 RST_STREAM 7", "1 RST_STREAM 5"]);
}

#[test]
fn tables_stay_right_behind_headers_where_none_may_be() {
    let field = |name: &[u8]| [b"\x40\x01", name, b"\x011"].concat();
    let bytes = [
        post(1),
        headers(END_HEADERS, 1, &field(b"a")),
        headers(END_HEADERS, 1, &field(b"b")),
        headers(WHOLE, 1, &field(b"c")),
        headers(WHOLE, 3, &block(&[GET, b"\xbe\xbf\xc0"])),
    ];
    let (told, _) = told(server, &bytes.concat());
    assert_eq!(
        told[1..],
        [
            "1 refused: headers",
            "3 GET / HTTP/2.0 host=a c=1 b=1 a=1 end"
        ]
    );
}

#[test]
fn no_more_streams_are_open_than_may_be() {
    let options = Options {
        streams: 2,
        ..Options::default()
    };
    let mut session = server_with(options, &settings(&[]));
    let all = [
        get(1),
        post(3),
        post(5),
        data(END_STREAM, 5, b"late"),
        get(7),
    ]
    .concat();
    assert_eq!(session.receive(&all, 4).len(), 2);
    assert_eq!(
        sent_in_words(&mut session),
        ["5 RST_STREAM 7", "7 RST_STREAM 7"]
    );
    let stream = session.streams[&1];
    respond(&mut session, stream, 200, true);
    assert_eq!(session.receive(&get(9), 4), ["9 GET / HTTP/2.0 host=a end"]);
}

#[test]
fn no_more_is_asked_than_the_member_takes() {
    let mut session = client();
    assert_eq!(session.connection.room_for_requests(), 100);
    session.receive(&settings(&[(3, 1)]), usize::MAX);
    begin(&mut session, "GET", true);
    let (head, edit) = (request("GET"), Edit::new());
    let second = session.connection.request(&head, &edit, true, None, true);
    assert_eq!(second, Err(SendError::Full));
    session.receive(&headers(WHOLE, 1, OK), usize::MAX);
    assert_eq!(session.connection.room_for_requests(), 1);
    assert_eq!(begin(&mut session, "GET", true).number(), 3);
}

#[test]
fn a_message_is_sent_in_its_order_and_not_behind_its_end() {
    let mut session = server();
    let stream = ask(&mut session, &get(1), 1);
    let connection = &mut session.connection;
    let (head, edit) = (response(200), Edit::new());
    assert_eq!(
        connection.send_data(stream, b"a", false),
        Err(SendError::Closed)
    );
    let early = response(103);
    connection.interim(stream, &early, &edit).unwrap();
    let switching = response(101);
    assert_eq!(
        connection.respond(stream, &switching, &edit, true),
        Err(SendError::Invalid(Violation::Switching))
    );
    connection.respond(stream, &head, &edit, false).unwrap();
    assert_eq!(
        connection.respond(stream, &head, &edit, true),
        Err(SendError::Closed)
    );
    assert_eq!(connection.send_data(stream, b"abc", false), Ok(3));
    let mut trailers = Fields::default();
    trailers.push(b"x", b"1").unwrap();
    connection.send_trailers(stream, &trailers).unwrap();
    assert_eq!(
        connection.send_data(stream, b"a", true),
        Err(SendError::Closed)
    );
    connection.reset(stream, ErrorCode::CANCEL);
    assert_eq!(
        sent_in_words(&mut session),
        ["1 HEADERS", "1 HEADERS", "1 DATA 3", "1 HEADERS end"]
    );
}

#[test]
fn extended_connect_is_taken_where_it_was_allowed_and_its_stream_has_no_trailers() {
    let connect = [
        &b"\x02\x07CONNECT\x86\x84\x01\x01a"[..],
        b"\x00\x09:protocol\x09websocket",
    ];
    let connect = headers(END_HEADERS, 1, &connect.concat());
    let (told_of, _) = told(
        server,
        &behind(connect.clone(), &[data(0, 1, b"ab"), headers(WHOLE, 1, X)]),
    );
    assert_eq!(
        told_of[0],
        "1 GET / HTTP/2.0 host=a upgrade=websocket connection=upgrade"
    );
    assert_eq!(told_of[1..], ["1 data ab", "1 refused: headers"]);
    let options = Options {
        takes_connect: false,
        ..Options::default()
    };
    let refused = told(|| server_with(options, &settings(&[])), &connect);
    assert_eq!(refused.0, ["1 refused: pseudo-unknown"]);

    let mut session = client();
    let (head, edit) = (request("GET"), Edit::new());
    let connect = |session: &mut Session| {
        let connection = &mut session.connection;
        connection.request(&head, &edit, true, Some(b"websocket"), false)
    };
    assert_eq!(connect(&mut session), Err(SendError::NoConnect));
    session.receive(&settings(&[(8, 1)]), usize::MAX);
    connect(&mut session).unwrap();
    let respond = [headers(END_HEADERS, 1, OK), data(END_STREAM, 1, b"ab")].concat();
    let told = session.receive(&respond, 3);
    assert_eq!(told, ["1 HTTP/2.0 200 OK", "1 data ab end"]);
}

#[test]
fn pings_are_answered_and_answers_told() {
    let mut session = server();
    session.connection.ping(*b"are you ");
    let pings = [
        frame(PING, 0, 0, b"12345678"),
        frame(PING, ACK, 0, b"are you "),
    ];
    assert_eq!(session.receive(&pings.concat(), 5), ["pong are you "]);
    assert_eq!(
        sent_in_words(&mut session),
        ["PING are you ", "PING ACK 12345678"]
    );
}

#[test]
fn a_head_larger_than_a_frame_is_sent_in_several() {
    let mut session = server();
    let stream = ask(&mut session, &get(1), 1);
    let mut head = response(200);
    let value = "v".repeat(1000);
    (0..40).for_each(|_| head.push(b"x", value.as_bytes()).unwrap());
    let edit = Edit::new();
    session
        .connection
        .respond(stream, &head, &edit, true)
        .unwrap();
    let out = session.connection.output().to_vec();
    assert_eq!(
        sent_in_words(&mut session),
        ["1 HEADERS end", "1 CONTINUATION", "1 CONTINUATION"]
    );
    let mut other = client();
    begin(&mut other, "GET", true);
    let told = other.receive(&out, 1000);
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].matches(&format!("x={value}")).count(), 40);
}
