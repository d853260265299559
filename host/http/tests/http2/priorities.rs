//! In which order responses are sent (RFC 9218).

use equipoise_http::http2::{Options, Priority, StreamId};
use equipoise_http::transcript::http2::Session;
use equipoise_http::{Edit, Known};

use crate::frames::*;
use crate::{ask, respond, response, sent, server_with};

const PIECE: usize = 16 * 1024;

/// A request with this priority, as a block.
fn get_with(priority: &str) -> Vec<u8> {
    let length = priority.len() as u8;
    [GET, b"\x00\x08priority", &[length], priority.as_bytes()].concat()
}

/// A server with much room in all windows, which is answering requests with these priorities.
fn answering(priorities: &[&str]) -> (Session, Vec<StreamId>) {
    let mut session = server_with(Options::default(), &settings(&[(4, 1 << 30)]));
    session.receive(&window_update(0, 1 << 30), usize::MAX);
    let streams = priorities.iter().enumerate().map(|(index, priority)| {
        let number = 2 * index as u32 + 1;
        let block = get_with(priority);
        let stream = ask(&mut session, &headers(WHOLE, number, &block), number);
        respond(&mut session, stream, 200, false);
        stream
    });
    let streams = streams.collect();
    sent(&mut session);
    (session, streams)
}

/// Sends `pieces` of each, whenever it has room; says whose they were, without repeats.
fn order(session: &mut Session, streams: &[StreamId], pieces: usize) -> Vec<u32> {
    let mut left: Vec<_> = streams.iter().map(|it| (*it, pieces * PIECE)).collect();
    let payload = vec![0; pieces * PIECE];
    let mut order = Vec::new();
    let mut send = |session: &mut Session, stream: StreamId| {
        let entry = left.iter_mut().find(|(it, _)| *it == stream);
        let (_, left) = entry.unwrap();
        let sent = session
            .connection
            .send_data(stream, &payload[..*left], true);
        *left -= sent.unwrap();
    };
    for stream in streams {
        send(session, *stream);
    }
    loop {
        for frame in sent(session) {
            if order.last() != Some(&frame.stream) {
                order.push(frame.stream);
            }
        }
        let mut has_sent = false;
        while let Some(stream) = session.connection.next_writable() {
            send(session, stream);
            has_sent = true;
        }
        if !has_sent {
            assert_eq!(session.connection.open_streams(), 0);
            return order;
        }
    }
}

#[test]
fn responses_as_urgent_come_one_after_the_other() {
    let (mut session, streams) = answering(&["", "", ""]);
    assert_eq!(order(&mut session, &streams, 10), [1, 3, 5]);
}

#[test]
fn the_more_urgent_comes_before_others() {
    // The first has begun when the others are asked for.
    let (mut session, streams) = answering(&["u=5", "u=7", "u=1", "u=2"]);
    assert_eq!(order(&mut session, &streams, 10), [1, 5, 7, 1, 3]);
}

#[test]
fn incremental_responses_are_sent_by_turns() {
    let (mut session, streams) = answering(&["i", "i", "u=4, i"]);
    let order = order(&mut session, &streams, 10);
    let (last, turns) = order.split_last().unwrap();
    assert_eq!(*last, 5);
    assert!(turns.len() > 10, "{order:?}");
    assert!(turns.iter().all(|stream| [1, 3].contains(stream)));
}

#[test]
fn an_update_counts_also_before_its_request() {
    let (mut session, mut streams) = answering(&["u=5", "u=5"]);
    let updates = [priority_update(3, "u=0"), priority_update(5, "u=0, i")];
    session.receive(&updates.concat(), 3);
    let stream = ask(&mut session, &headers(WHOLE, 5, &get_with("u=7")), 5);
    respond(&mut session, stream, 200, false);
    sent(&mut session);
    streams.push(stream);
    assert_eq!(order(&mut session, &streams, 8), [1, 3, 5, 1]);
}

#[test]
fn a_members_response_may_say_otherwise() {
    let (mut session, mut streams) = answering(&["", ""]);
    let stream = ask(&mut session, &get(5), 5);
    let mut head = response(200);
    head.push(b"priority", b"u=0").unwrap();
    assert!(head.has(Known::Priority));
    let edit = Edit::new();
    session
        .connection
        .respond(stream, &head, &edit, false)
        .unwrap();
    sent(&mut session);
    streams.push(stream);
    assert_eq!(order(&mut session, &streams, 10), [1, 5, 1, 3]);
}

#[test]
fn a_window_that_is_closed_keeps_no_other_waiting() {
    let mut session = server_with(Options::default(), &settings(&[(4, 10)]));
    let mut streams = Vec::new();
    for number in [1, 3] {
        let stream = ask(&mut session, &get(number), number);
        respond(&mut session, stream, 200, false);
        streams.push(stream);
    }
    let urgent = Priority {
        urgency: 0,
        is_incremental: false,
    };
    session.connection.set_priority(streams[0], urgent);
    let connection = &mut session.connection;
    assert_eq!(connection.send_data(streams[0], &[0; 20], true), Ok(10));
    assert_eq!(connection.send_data(streams[1], &[0; 10], true), Ok(10));
    // One that has room, and was not told yet, comes first.
    session.receive(&[window_update(1, 5), get(5)].concat(), 100);
    let (third, connection) = (session.streams[&5], &mut session.connection);
    connection
        .respond(third, &response(200), &Edit::new(), false)
        .unwrap();
    assert_eq!(connection.send_data(third, &[0; 5], true), Ok(0));
    assert_eq!(connection.next_writable(), Some(streams[0]));
    assert_eq!(connection.send_data(streams[0], &[0; 10], true), Ok(5));
    assert_eq!(connection.next_writable(), Some(third));
    assert_eq!(connection.send_data(third, &[0; 5], true), Ok(5));
}
