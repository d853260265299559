//! Flow control, both ways.

use equipoise_http::http2::{ErrorCode, Options, StreamId};
use equipoise_http::transcript::http2::Session;

use crate::frames::*;
use crate::{ask, begin, client, client_with, respond, sent, sent_in_words, server, server_with};

/// A server that is answering a request, whose client has said these settings.
fn answering(settings: &[u8]) -> (Session, StreamId) {
    let mut session = server_with(Options::default(), settings);
    let stream = ask(&mut session, &get(1), 1);
    respond(&mut session, stream, 200, false);
    sent(&mut session);
    (session, stream)
}

#[track_caller]
fn send(session: &mut Session, stream: StreamId, bytes: usize, ends: bool) -> usize {
    let payload = vec![b'x'; bytes];
    let sent = session.connection.send_data(stream, &payload, ends);
    sent.unwrap()
}

#[test]
fn no_more_is_sent_than_the_streams_window_allows() {
    let (mut session, stream) = answering(&settings(&[(4, 100)]));
    assert_eq!(send(&mut session, stream, 150, true), 100);
    assert_eq!(sent_in_words(&mut session), ["1 DATA 100"]);
    assert_eq!(send(&mut session, stream, 50, true), 0);
    assert_eq!(session.connection.next_writable(), None);
    session.receive(&window_update(1, 20), 3);
    assert_eq!(session.connection.next_writable(), Some(stream));
    assert_eq!(session.connection.next_writable(), None, "it is told once");
    assert_eq!(send(&mut session, stream, 50, true), 20);
    session.receive(&window_update(1, 100), 3);
    assert_eq!(session.connection.next_writable(), Some(stream));
    assert_eq!(send(&mut session, stream, 30, true), 30);
    assert_eq!(sent_in_words(&mut session), ["1 DATA 20", "1 DATA 30 end"]);
}

#[test]
fn no_more_is_sent_than_the_connections_window_allows() {
    let (mut session, first) = answering(&settings(&[(4, 1 << 20)]));
    let second = ask(&mut session, &get(3), 3);
    respond(&mut session, second, 200, false);
    sent(&mut session);
    assert_eq!(send(&mut session, first, 60_000, false), 60_000);
    sent(&mut session);
    assert_eq!(send(&mut session, second, 60_000, true), 5_535);
    sent(&mut session);
    assert_eq!(send(&mut session, first, 1, true), 0);
    assert_eq!(session.connection.next_writable(), None);
    session.receive(&window_update(0, 10), 3);
    assert_eq!(session.connection.next_writable(), Some(first));
    assert_eq!(send(&mut session, first, 1, true), 1);
    assert_eq!(session.connection.next_writable(), Some(second));
    assert_eq!(send(&mut session, second, 50_000, true), 9);
}

#[test]
fn the_end_needs_no_window() {
    let (mut session, stream) = answering(&settings(&[(4, 0)]));
    assert_eq!(send(&mut session, stream, 0, true), 0);
    assert_eq!(sent_in_words(&mut session), ["1 DATA 0 end"]);
    assert_eq!(session.connection.open_streams(), 0);
}

#[test]
fn a_change_of_settings_changes_the_windows_of_streams_also_below_zero() {
    let (mut session, stream) = answering(&settings(&[(4, 100)]));
    assert_eq!(send(&mut session, stream, 200, true), 100);
    session.receive(&settings(&[(4, 50)]), 4);
    session.receive(&window_update(1, 50), 4);
    assert_eq!(session.connection.next_writable(), None, "it is at zero");
    session.receive(&settings(&[(4, 60)]), 4);
    assert_eq!(session.connection.next_writable(), Some(stream));
    assert_eq!(send(&mut session, stream, 100, true), 10);
    let other = ask(&mut session, &get(3), 3);
    respond(&mut session, other, 200, false);
    assert_eq!(send(&mut session, other, 100, true), 60);
}

#[test]
fn frames_are_no_larger_than_all_take_them() {
    let (mut session, stream) = answering(&settings(&[(5, 1 << 20)]));
    assert_eq!(send(&mut session, stream, 40_000, true), 40_000);
    assert_eq!(
        sent_in_words(&mut session),
        ["1 DATA 16384", "1 DATA 16384", "1 DATA 7232 end"]
    );
}

#[test]
fn no_more_waits_to_be_written_than_there_is_room_for() {
    let (mut session, stream) = answering(&settings(&[(4, 1 << 20)]));
    session.receive(&window_update(0, 1 << 20), 4);
    let first = send(&mut session, stream, 200_000, false);
    assert_eq!(first, 64 * 1024);
    assert_eq!(send(&mut session, stream, 200_000, false), 0);
    assert_eq!(session.connection.next_writable(), None);
    session.connection.record_written(33 * 1024);
    assert_eq!(session.connection.next_writable(), Some(stream));
    let second = send(&mut session, stream, 200_000, false);
    assert!((32 * 1024..34 * 1024).contains(&second), "{second}");
    assert!(session.connection.capacity() < 300_000);
}

#[test]
fn what_is_consumed_may_be_sent_again() {
    let options = Options {
        stream_window: 100_000,
        connection_window: 300_000,
        ..Options::default()
    };
    let mut session = server_with(options, &settings(&[]));
    session.consumes = false;
    let stream = ask(&mut session, &post(1), 1);
    session.receive(&data(0, 1, &[0; 16_000]).repeat(6), 999);
    assert!(sent(&mut session).is_empty());
    session.connection.consume(stream, 49_999);
    assert!(sent(&mut session).is_empty());
    session.connection.consume(stream, 1);
    assert_eq!(sent_in_words(&mut session), ["1 WINDOW_UPDATE 50000"]);
    // No more than has come.
    session.connection.consume(stream, 1 << 20);
    assert!(sent(&mut session).is_empty());
    let told = session.receive(&data(0, 1, &[0; 16_000]).repeat(3), 999);
    assert!(told[0].starts_with("1 data"), "{told:?}");
    session.connection.consume(stream, 48_000);
    assert_eq!(sent_in_words(&mut session), ["1 WINDOW_UPDATE 94000"]);
    let next = ask(&mut session, &post(3), 3);
    session.receive(&data(0, 3, &[0; 6_000]), 999);
    session.connection.consume(next, 6_000);
    assert_eq!(sent_in_words(&mut session), ["0 WINDOW_UPDATE 150000"]);
}

#[test]
fn more_than_the_connections_window_ends_the_connection() {
    let options = Options {
        connection_window: 65_535,
        ..Options::default()
    };
    let mut session = server_with(options, &settings(&[]));
    session.consumes = false;
    let bytes = [post(1), post(3), data(0, 1, &[0; 16_384]).repeat(3)].concat();
    session.receive(&bytes, 5000);
    let told = session.receive(&data(0, 3, &[0; 16_383]), 5000);
    assert!(told[0].starts_with("3 data"));
    let told = session.receive(&data(0, 3, &[0; 1]), 5000);
    assert_eq!(told, ["over: window"]);
}

#[test]
fn nothing_is_given_to_a_stream_whose_end_has_come() {
    let options = Options {
        stream_window: 65_535,
        connection_window: 131_072,
        ..Options::default()
    };
    let mut session = server_with(options, &settings(&[]));
    let bytes = [
        post(1),
        data(0, 1, &[0; 16_384]).repeat(3),
        data(END_STREAM, 1, &[0; 16_383]),
    ];
    session.consumes = false;
    session.receive(&bytes.concat(), usize::MAX);
    let stream = session.streams[&1];
    session.connection.consume(stream, 65_535);
    assert!(sent(&mut session).is_empty());
    let more = [post(3), data(0, 3, &[0; 10])].concat();
    session.receive(&more, usize::MAX);
    let stream = session.streams[&3];
    session.connection.consume(stream, 10);
    assert_eq!(sent_in_words(&mut session), ["0 WINDOW_UPDATE 65545"]);
}

#[test]
fn padding_and_what_no_owner_gets_is_given_back_at_once() {
    let options = Options {
        stream_window: 65_535,
        connection_window: 65_535,
        ..Options::default()
    };
    let make = || {
        let mut session = server_with(options, &settings(&[]));
        session.consumes = false;
        session
    };
    let padding = data(PADDED, 1, &[&[255, b'x'][..], &[0; 255]].concat());
    let window = |session: &mut Session| -> u32 {
        let sent = sent(session).into_iter();
        let updates = sent.filter(|it| (it.kind, it.stream) == (WINDOW_UPDATE, 0));
        let increments = updates.map(|it| u32::from_be_bytes(it.payload.try_into().unwrap()));
        increments.sum()
    };
    let mut session = make();
    let stream = ask(&mut session, &post(1), 1);
    let told = session.receive(&padding.repeat(128), 1000);
    assert_eq!(told, [format!("1 data {}", "x".repeat(128))]);
    assert_eq!(window(&mut session), 128 * 256);
    // Of a stream that is reset, also what its owner has not consumed, and what comes later.
    session.connection.consume(stream, 64);
    session.connection.reset(stream, ErrorCode::CANCEL);
    session.receive(&data(0, 1, &[0; 16_384]).repeat(2), 1000);
    assert_eq!(window(&mut session), 128 + 32_768);
    // On a stream where none may be.
    let mut session = make();
    let told = session.receive(&[get(1), data(0, 1, &[0; 16_384])].concat(), 999);
    assert_eq!(told[1], "1 refused: after-end, gone");
    session.receive(&[get(3), data(0, 3, &[0; 16_384])].concat(), 999);
    assert_eq!(window(&mut session), 32_768);
    // Of a message that was refused.
    let mut session = make();
    let malformed = headers(END_HEADERS, 1, b"\x83\x86\x84");
    let told = session.receive(
        &[malformed, data(0, 1, &[0; 16_384]).repeat(2)].concat(),
        999,
    );
    assert_eq!(told, ["1 refused: host-missing"]);
    assert_eq!(window(&mut session), 32_768);
}

#[test]
fn a_stream_that_is_reset_within_a_frame_loses_no_window() {
    let options = Options {
        connection_window: 65_535,
        ..Options::default()
    };
    let mut session = server_with(options, &settings(&[]));
    session.consumes = false;
    let stream = ask(&mut session, &post(1), 1);
    for number in 0..100 {
        let frame = data(0, 2 * number + 1, &[0; 16_384]);
        let stream = match number {
            0 => stream,
            _ => ask(&mut session, &post(2 * number + 1), 2 * number + 1),
        };
        let (first, rest) = frame.split_at(1000);
        let told = session.receive(first, usize::MAX);
        assert_eq!(told.len(), 1);
        session.connection.reset(stream, ErrorCode::CANCEL);
        assert_eq!(session.receive(rest, usize::MAX), [""; 0]);
        sent(&mut session);
    }
}

#[test]
fn a_response_that_is_over_counts_until_it_is_consumed_but_is_not_open() {
    let options = Options {
        connection_window: 65_535,
        ..Options::default()
    };
    let mut session = client_with(options, &settings(&[]));
    session.consumes = false;
    let stream = begin(&mut session, "GET", true);
    let bytes = [
        headers(END_HEADERS, 1, OK),
        data(0, 1, &[0; 16_384]).repeat(2),
        data(END_STREAM, 1, b""),
        rst_stream(1, 0),
    ];
    let told = session.receive(&bytes.concat(), 1000);
    assert_eq!(told.len(), 2, "what has come was not reset");
    sent(&mut session);
    assert_eq!(session.connection.open_streams(), 0);
    session.connection.consume(stream, 32_000);
    assert!(sent(&mut session).is_empty());
    session.connection.consume(stream, 768);
    assert_eq!(sent_in_words(&mut session), ["0 WINDOW_UPDATE 32768"]);
    session.connection.consume(stream, 768);
    assert!(sent(&mut session).is_empty());
}

#[test]
fn a_slot_is_free_again_when_its_stream_is_over() {
    let mut session = client();
    for round in 0..1_000 {
        let stream = begin(&mut session, "GET", true);
        assert_eq!((stream.slot(), stream.number()), (0, 2 * round + 1));
        session.receive(&headers(WHOLE, stream.number(), OK), 100);
        sent(&mut session);
    }
    let mut session = server();
    for round in 0..1_000 {
        let stream = ask(&mut session, &get(2 * round + 1), 2 * round + 1);
        assert_eq!(stream.slot(), 0);
        respond(&mut session, stream, 200, false);
        assert_eq!(send(&mut session, stream, 10, true), 10);
        sent(&mut session);
    }
}

#[test]
fn payload_that_is_not_copied_leaves_as_any_other_however_much_is_written() {
    let payload: Vec<u8> = (0..40_000).map(|at| (at % 251) as u8).collect();
    let (mut copying, stream) = answering(&settings(&[]));
    copying.connection.ping(*b"before  ");
    let sent = copying.connection.send_data(stream, &payload, true);
    assert_eq!(sent, Ok(40_000));
    let expected = copying.connection.output().to_vec();
    for written in (0..40).chain([16_400, 20_000, 40_000, usize::MAX]) {
        let (mut session, stream) = answering(&settings(&[]));
        session.connection.ping(*b"before  ");
        let mut wire = Vec::new();
        let sent = session
            .connection
            .send_data_by(stream, &payload, true, |slices| {
                let all = slices.iter().flat_map(|slice| slice.iter());
                wire.extend(all.take(written));
                wire.len()
            });
        assert_eq!(sent, Ok(40_000));
        wire.extend_from_slice(session.connection.output());
        assert!(wire == expected, "{written}");
        assert_eq!(session.connection.open_streams(), 0);
    }
}

#[test]
fn payload_that_is_not_copied_waits_for_windows_and_its_end_needs_none() {
    let (mut session, stream) = answering(&settings(&[(4, 100)]));
    let connection = &mut session.connection;
    let all = |slices: &[std::io::IoSlice<'_>]| slices.iter().map(|it| it.len()).sum();
    let sent = connection.send_data_by(stream, &[0; 150], true, all);
    assert_eq!((sent, connection.output().len()), (Ok(100), 0));
    let sent = connection.send_data_by(stream, &[0; 50], true, all);
    assert_eq!((sent, connection.output().len()), (Ok(0), 0));
    session.receive(&window_update(1, 50), 100);
    let connection = &mut session.connection;
    assert_eq!(connection.next_writable(), Some(stream));
    let sent = connection.send_data_by(stream, &[0; 50], false, all);
    assert_eq!((sent, connection.output().len()), (Ok(50), 0));
    assert_eq!(connection.send_data_by(stream, &[], true, all), Ok(0));
    assert_eq!(sent_in_words(&mut session), ["1 DATA 0 end"]);
}
