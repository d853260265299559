use proptest::prelude::*;

use super::budget::{A_SECOND, MOST};
use super::*;

const TIMEOUT: Duration = Duration::from_secs(10);

/// A frame whose payload is zeros.
fn frame(length: usize, kind: u8, flags: u8, stream: u32) -> Vec<u8> {
    let [_, high, middle, low] = u32::try_from(length).unwrap().to_be_bytes();
    let mut frame = vec![high, middle, low, kind, flags];
    frame.extend(stream.to_be_bytes());
    frame.extend(vec![0; length]);
    frame
}

/// A guard that has seen a preface and a first SETTINGS.
fn guard(now: Instant) -> FrameGuard {
    let mut guard = FrameGuard::new(TIMEOUT, now);
    guard.scan(PREFACE, now).unwrap();
    guard.scan(&frame(18, kind::SETTINGS, 0, 0), now).unwrap();
    guard
}

/// How many times a client may send these bytes at once; `None` for a hundred thousand times.
fn how_often(bytes: &[u8]) -> Option<usize> {
    let now = Instant::now();
    let mut guard = guard(now);
    (0..100_000).position(|_| guard.scan(bytes, now).is_err())
}

#[test]
fn floods_end_the_connection() {
    let floods = [
        ("SETTINGS", frame(6, kind::SETTINGS, 0, 0)),
        ("empty SETTINGS", frame(0, kind::SETTINGS, 0, 0)),
        ("acknowledgements", frame(0, kind::SETTINGS, flag::ACK, 0)),
        ("PING", frame(8, kind::PING, 0, 0)),
        ("pongs", frame(8, kind::PING, flag::ACK, 0)),
        ("PRIORITY", frame(5, kind::PRIORITY, 0, 7)),
        ("WINDOW_UPDATE", frame(4, kind::WINDOW_UPDATE, 0, 0)),
        (
            "a stream's WINDOW_UPDATE",
            frame(4, kind::WINDOW_UPDATE, 0, 1),
        ),
        ("RST_STREAM", frame(4, kind::RST_STREAM, 0, 1)),
        ("empty DATA", frame(0, kind::DATA, 0, 1)),
        ("padding alone", frame(256, kind::DATA, flag::PADDED, 1)),
        ("CONTINUATION", frame(1, kind::CONTINUATION, 0, 1)),
        ("GOAWAY", frame(8, 7, 0, 0)),
        ("PUSH_PROMISE", frame(4, 5, flag::END_HEADERS, 1)),
        ("frames of an unknown kind", frame(100, 0xbe, 0, 0)),
        ("the same, empty", frame(0, 0xff, 0xff, 0)),
    ];
    for (name, bytes) in floods {
        let times = how_often(&bytes);
        assert!(
            times.is_some_and(|times| times <= MOST as usize),
            "{name}: {times:?}"
        );
        assert!(times.is_some_and(|times| times >= 50), "{name}: {times:?}");
    }
}

#[test]
fn requests_that_are_reset_at_once_end_the_connection() {
    let now = Instant::now();
    let mut guard = guard(now);
    let times = (0..100_000).position(|number| {
        let stream = 2 * number + 1;
        let opened = guard.scan(
            &frame(
                30,
                kind::HEADERS,
                flag::END_HEADERS | flag::END_STREAM,
                stream,
            ),
            now,
        );
        opened
            .and_then(|()| guard.scan(&frame(4, kind::RST_STREAM, 0, stream), now))
            .is_err()
    });
    assert!(
        times.is_some_and(|times| (400..=500).contains(&times)),
        "{times:?}"
    );
}

type Frames = Vec<Vec<u8>>;

#[test]
fn what_real_clients_send_goes_on_for_ever() {
    let end = flag::END_HEADERS | flag::END_STREAM;
    // What the client sends, and what is sent to it, again and again; `0` stands for the stream.
    let exchanges: [(&str, Frames, Frames); 6] = [
        (
            "a request with a priority and a window, answered and reset",
            vec![
                frame(30, kind::HEADERS, end, 0),
                frame(5, kind::PRIORITY, 0, 0),
                frame(4, kind::WINDOW_UPDATE, 0, 0),
                frame(4, kind::RST_STREAM, 0, 0),
            ],
            vec![frame(30, kind::HEADERS, end, 0)],
        ),
        (
            "a unary call of gRPC",
            vec![
                frame(30, kind::HEADERS, flag::END_HEADERS, 0),
                frame(5, kind::DATA, 0, 0),
                frame(0, kind::DATA, flag::END_STREAM, 0),
                frame(8, kind::PING, 0, 0),
                frame(8, kind::PING, flag::ACK, 0),
            ],
            vec![
                frame(30, kind::HEADERS, flag::END_HEADERS, 0),
                frame(7, kind::DATA, 0, 0),
                frame(30, kind::HEADERS, end, 0),
            ],
        ),
        (
            "small messages from us, with a PING and a WINDOW_UPDATE for each",
            vec![
                frame(8, kind::PING, 0, 0),
                frame(4, kind::WINDOW_UPDATE, 0, 1),
            ],
            vec![frame(7, kind::DATA, 0, 1)],
        ),
        (
            "Go reads a large answer",
            (0..8)
                .map(|_| frame(4, kind::WINDOW_UPDATE, 0, 1))
                .collect(),
            vec![frame(16_384, kind::DATA, 0, 1)],
        ),
        (
            "a large body with a PING for each frame",
            vec![frame(16_384, kind::DATA, 0, 1), frame(8, kind::PING, 0, 0)],
            vec![frame(4, kind::WINDOW_UPDATE, 0, 1)],
        ),
        (
            "padded data",
            vec![frame(1_000, kind::DATA, flag::PADDED, 1)],
            vec![],
        ),
    ];
    for (name, client, ours) in exchanges {
        let now = Instant::now();
        let mut guard = guard(now);
        for number in 0..10_000_u32 {
            let stream = (2 * number + 1).to_be_bytes();
            let numbered = |bytes: &[u8]| {
                let mut bytes = bytes.to_vec();
                if bytes[5..9] == [0; 4] && bytes[3] != kind::PING {
                    bytes[5..9].copy_from_slice(&stream);
                }
                bytes
            };
            for bytes in &client {
                assert_eq!(
                    guard.scan(&numbered(bytes), now),
                    Ok(()),
                    "{name}, {number}"
                );
            }
            for bytes in &ours {
                guard.sent(&numbered(bytes), now);
            }
        }
    }
}

#[test]
fn a_few_pings_a_second_go_on_for_ever() {
    let mut now = Instant::now();
    let mut guard = guard(now);
    for number in 0..100_000 {
        now += Duration::from_secs(1) / A_SECOND;
        assert_eq!(
            guard.scan(&frame(8, kind::PING, 0, 0), now),
            Ok(()),
            "{number}"
        );
    }
}

#[test]
fn pongs_earn_nothing() {
    let now = Instant::now();
    let mut guard = guard(now);
    let times = (0..100_000).position(|_| {
        guard.sent(&frame(8, kind::PING, flag::ACK, 0), now);
        guard.sent(&frame(0, kind::SETTINGS, flag::ACK, 0), now);
        guard.sent(&frame(0, kind::DATA, flag::END_STREAM, 1), now);
        guard.scan(&frame(8, kind::PING, 0, 0), now).is_err()
    });
    assert!(times.is_some());
}

#[test]
fn what_is_no_preface_is_refused_at_its_first_byte() {
    for bytes in [
        &b"GET / HTTP/1.1\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\r",
        b"PRI * HTTP/1",
    ] {
        let now = Instant::now();
        let mut guard = FrameGuard::new(TIMEOUT, now);
        let (start, last) = bytes.split_at(bytes.len() - 1);
        if PREFACE.starts_with(start) {
            assert_eq!(guard.scan(start, now), Ok(()));
        }
        assert!(guard.scan(last, now).is_err());
    }
}

#[test]
fn a_preface_has_to_come_in_time() {
    let start = Instant::now();
    let mut guard = FrameGuard::new(TIMEOUT, start);
    assert_eq!(guard.deadline(), Some(start + TIMEOUT));
    for (at, byte) in PREFACE.iter().enumerate().take(20) {
        let now = start + Duration::from_millis(500 * at as u64);
        assert_eq!(guard.scan(&[*byte], now), Ok(()));
        assert_eq!(guard.deadline(), Some(start + TIMEOUT));
    }
    let late = start + TIMEOUT + Duration::from_millis(1);
    assert!(guard.scan(&PREFACE[20..], late).is_err());
}

#[test]
fn a_header_block_has_to_end_in_time() {
    let start = Instant::now();
    let second = Duration::from_secs(1);
    let mut guard = guard(start);
    assert_eq!(guard.deadline(), None);
    let headers = frame(20, kind::HEADERS, 0, 1);
    assert_eq!(guard.scan(&headers[..1], start), Ok(()));
    assert_eq!(guard.deadline(), Some(start + TIMEOUT));
    assert_eq!(guard.scan(&headers[1..], start + second), Ok(()));
    assert_eq!(guard.deadline(), Some(start + TIMEOUT));
    let more = frame(20, kind::CONTINUATION, 0, 1);
    assert_eq!(guard.scan(&more, start + 2 * second), Ok(()));
    assert_eq!(guard.deadline(), Some(start + TIMEOUT));
    let last = frame(0, kind::CONTINUATION, flag::END_HEADERS, 1);
    assert_eq!(guard.scan(&last, start + 3 * second), Ok(()));
    assert_eq!(guard.deadline(), None);
}

#[test]
fn a_frame_of_data_may_take_its_time() {
    let start = Instant::now();
    let mut guard = guard(start);
    let data = frame(100, kind::DATA, 0, 1);
    assert_eq!(guard.scan(&data[..50], start), Ok(()));
    assert_eq!(guard.deadline(), None);
    assert_eq!(guard.scan(&data[50..], start + 6 * TIMEOUT), Ok(()));
    assert_eq!(guard.deadline(), None);
}

#[test]
fn a_farewell_comes_between_two_frames() {
    let now = Instant::now();
    let mut guard = guard(now);
    guard
        .scan(&frame(3, kind::HEADERS, flag::END_HEADERS, 5), now)
        .unwrap();
    let expected = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 11];
    assert_eq!(guard.farewell(), Some(expected));
    let answer = frame(10, kind::HEADERS, flag::END_HEADERS, 5);
    guard.sent(&answer[..4], now);
    assert_eq!(guard.farewell(), None);
    guard.sent(&answer[4..], now);
    assert_eq!(guard.farewell(), Some(expected));
}

proptest! {
    #[test]
    fn where_reads_are_cut_makes_no_difference(
        frames in proptest::collection::vec((0_usize..40, 0_u8..12, any::<u8>(), 0_u32..9), 0..300),
        cut in 1_usize..50,
    ) {
        let now = Instant::now();
        let bytes: Vec<u8> = frames.iter().flat_map(|&(length, kind, flags, stream)| frame(length, kind, flags, stream)).collect();
        let (mut whole, mut cuts) = (guard(now), guard(now));
        let expected = whole.scan(&bytes, now);
        let read = bytes.chunks(cut).try_for_each(|piece| cuts.scan(piece, now));
        prop_assert_eq!(read, expected);
        if expected.is_ok() {
            prop_assert_eq!(cuts.deadline(), whole.deadline());
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..500)) {
        let now = Instant::now();
        let _ = guard(now).scan(&bytes, now);
        guard(now).sent(&bytes, now);
    }
}
