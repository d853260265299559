//! What a peer may not do as often as it wants.

use std::time::Duration;

use equipoise_http::http2::{ErrorCode, Options, StreamId};
use equipoise_http::transcript::http2::Session;

use crate::frames::*;
use crate::{ask, begin, client, respond, sent, server, server_with};

fn number(round: u32) -> u32 {
    2 * round + 1
}

/// Hands over what `make` makes of the numbers from 0 until the connection is over; says after how many that was.
#[track_caller]
fn rounds(session: &mut Session, make: impl Fn(u32) -> Vec<u8>) -> (u32, String) {
    for round in 0..100_000 {
        let told = session.receive(&make(round), usize::MAX);
        if let Some(over) = told.iter().find(|it| it.starts_with("over: ")) {
            let goaway = sent(session).pop().unwrap();
            assert_eq!((goaway.kind, goaway.payload[7]), (GOAWAY, 11));
            return (round, over["over: ".len()..].to_owned());
        }
        sent(session);
    }
    panic!("the flood goes on");
}

#[test]
fn frames_that_make_no_progress_end_the_connection() {
    let table: [(&str, Vec<u8>, u32); 12] = [
        ("settings-flood", settings(&[(4, 65_535)]), 100),
        ("settings-flood", frame(SETTINGS, ACK, 0, b""), 2_000),
        ("ping-flood", frame(PING, 0, 0, b"12345678"), 2_000),
        ("ping-flood", frame(PING, ACK, 0, b"12345678"), 2_000),
        (
            "priority-flood",
            frame(PRIORITY, 0, 1, b"\0\0\0\x03\0"),
            2_000,
        ),
        ("priority-flood", priority_update(1, "u=1"), 1_000),
        ("window-update-flood", window_update(0, 1), 2_000),
        ("window-update-flood", window_update(1, 1), 2_000),
        ("data-flood", data(0, 1, b""), 500),
        ("data-flood", data(PADDED, 1, b"\x03\0\0\0"), 500),
        ("useless-flood", frame(0xbe, 0, 0, b"grease"), 500),
        ("useless-flood", frame(0xbe, 0, 9, b""), 500),
    ];
    for (name, bytes, most) in table {
        let mut session = server();
        ask(&mut session, &post(1), 1);
        let (count, over) = rounds(&mut session, |_| bytes.clone());
        assert_eq!(over, name);
        assert!((most - 25..most + 5).contains(&count), "{name}: {count}");
    }
}

#[test]
fn a_flood_may_go_on_slowly() {
    let mut session = server();
    for _ in 0..10_000 {
        session.now += Duration::from_millis(5);
        let told = session.receive(&frame(PING, 0, 0, b"12345678"), 20);
        assert!(told.is_empty(), "{told:?}");
        sent(&mut session);
    }
}

/// CVE-2023-44487.
#[test]
fn requests_that_are_reset_at_once_end_the_connection() {
    let mut session = server();
    let (count, over) = rounds(&mut session, |round| {
        let number = number(round);
        [get(number), rst_stream(number, 8)].concat()
    });
    assert_eq!(over, "reset-flood");
    assert!((300..600).contains(&count), "{count}");
}

/// CVE-2025-8671.
#[test]
fn streams_that_have_to_be_reset_end_the_connection() {
    type Make = fn(u32) -> Vec<u8>;
    let table: [(&str, Make); 4] = [
        ("a window of nothing", |number| window_update(number, 0)),
        ("too large a window", |number| {
            window_update(number, LARGEST)
        }),
        ("DATA behind the end", |number| {
            data(END_STREAM, number, b"a")
        }),
        ("HEADERS behind the end", |number| headers(WHOLE, number, X)),
    ];
    for (name, make) in table {
        let mut session = server();
        let (count, over) = rounds(&mut session, |round| {
            let number = number(round);
            [get(number), make(number)].concat()
        });
        assert_eq!(over, "fault-flood", "{name}");
        assert!((300..600).contains(&count), "{name}: {count}");
    }
}

const LARGEST: u32 = (1 << 31) - 1;

#[test]
fn malformed_requests_that_do_not_wait_for_answers_end_the_connection() {
    let mut session = server();
    let (count, _) = rounds(&mut session, |round| {
        let number = number(round);
        [headers(WHOLE, number, b"\x82"), rst_stream(number, 8)].concat()
    });
    assert!((150..300).contains(&count), "{count}");
}

#[test]
fn requests_beyond_the_bound_are_refused_and_many_end_the_connection() {
    let options = Options {
        streams: 1,
        ..Options::default()
    };
    let mut session = server_with(options, &settings(&[]));
    let (count, over) = rounds(&mut session, |round| get(number(round)));
    assert_eq!(over, "fault-flood");
    assert!((900..1_100).contains(&count), "{count}");
}

/// CVE-2024-27316.
#[test]
fn a_header_block_without_an_end_ends_the_connection() {
    for fragment in [&b""[..], b"\x82", &[0x82; 16_000]] {
        let mut session = server();
        session.receive(&headers(END_STREAM, 1, GET), usize::MAX);
        let (count, over) = rounds(&mut session, |_| frame(CONTINUATION, 0, 1, fragment));
        let is_large = fragment.len() > 1;
        let expected = if is_large {
            "block-too-large"
        } else {
            "continuation-flood"
        };
        assert_eq!(over, expected);
        assert!(count <= 500, "{count}");
        assert!(session.connection.capacity() < 400_000);
    }
}

/// CVE-2019-9511: a window that is opened by a byte.
#[test]
fn a_window_that_is_opened_by_a_byte_ends_the_connection() {
    let mut session = server_with(Options::default(), &settings(&[(4, 0)]));
    let stream = ask(&mut session, &get(1), 1);
    respond(&mut session, stream, 200, false);
    sent(&mut session);
    let payload = [b'x'; 10_000];
    for round in 0..10_000 {
        let told = session.receive(&window_update(1, 1), usize::MAX);
        if !told.is_empty() {
            assert_eq!(told, ["over: window-update-flood"]);
            assert!(round >= 1_900, "{round}");
            return;
        }
        let sent = session.connection.send_data(stream, &payload, false);
        assert_eq!(sent, Ok(1));
    }
    panic!("it goes on");
}

/// CVE-2019-9512 and others: what is to be answered, and the answers are not taken.
#[test]
fn answers_that_are_not_taken_are_bounded() {
    let table = [
        ("unread", frame(PING, 0, 0, b"12345678")),
        ("settings-flood", settings(&[])),
    ];
    for (name, bytes) in table {
        let mut session = server();
        let mut over = Vec::new();
        for _ in 0..100_000 {
            session.now += Duration::from_millis(5);
            over = session.receive(&bytes, usize::MAX);
            if !over.is_empty() {
                break;
            }
        }
        assert_eq!(over, [format!("over: {name}")]);
        assert!(session.connection.output().len() < 20_000);
    }
}

#[test]
fn what_comes_for_a_stream_that_we_have_reset_is_bounded() {
    let mut session = server();
    let stream = ask(&mut session, &post(1), 1);
    session.connection.reset(stream, ErrorCode::CANCEL);
    let (count, over) = rounds(&mut session, |_| data(0, 1, b"a"));
    assert_eq!(over, "useless-flood");
    assert!((1_900..2_100).contains(&count), "{count}");
}

#[test]
fn what_we_have_reset_long_ago_is_not_taken_for_an_offence() {
    let mut session = server();
    let streams: Vec<StreamId> = (0..300)
        .map(|round| {
            let stream = ask(&mut session, &post(number(round)), number(round));
            session.connection.reset(stream, ErrorCode::CANCEL);
            sent(&mut session);
            stream
        })
        .collect();
    for stream in streams {
        let told = session.receive(&data(0, stream.number(), b"late"), usize::MAX);
        assert!(told.is_empty(), "{told:?}");
    }
}

/// A client that answers each piece with two WINDOW_UPDATEs and a PING is no attacker, however long it goes on.
#[test]
fn a_peer_that_takes_what_it_asked_for_may_say_so() {
    let mut session = server_with(Options::default(), &settings(&[(4, LARGEST)]));
    session.receive(&window_update(0, LARGEST - 65_535), usize::MAX);
    let stream = ask(&mut session, &get(1), 1);
    respond(&mut session, stream, 200, false);
    for _ in 0..10_000 {
        let sent_now = session.connection.send_data(stream, &[0; 4096], false);
        assert_eq!(sent_now, Ok(4096));
        sent(&mut session);
        let thanks = [
            window_update(0, 4096),
            window_update(1, 4096),
            frame(PING, 0, 0, b"12345678"),
        ];
        assert_eq!(session.receive(&thanks.concat(), usize::MAX), [""; 0]);
    }
}

#[test]
fn requests_that_were_answered_may_be_reset() {
    let mut session = server();
    for round in 0..10_000 {
        let stream = ask(&mut session, &get(number(round)), number(round));
        respond(&mut session, stream, 200, false);
        sent(&mut session);
        let told = session.receive(&rst_stream(number(round), 8), usize::MAX);
        assert_eq!(told.len(), 1);
    }
}

/// Members that reset each request behind an early answer.
#[test]
fn a_member_may_reset_what_it_has_answered() {
    let mut session = client();
    for round in 0..10_000 {
        begin(&mut session, "POST", false);
        sent(&mut session);
        let number = number(round);
        let respond = [headers(WHOLE, number, OK), rst_stream(number, 0)];
        let told = session.receive(&respond.concat(), usize::MAX);
        assert_eq!(told[1], format!("{number} reset: NO_ERROR"));
    }
}
