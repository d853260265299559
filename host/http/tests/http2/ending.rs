//! How connections end.

use std::time::Duration;

use equipoise_http::http2::{Options, Role, SendError};
use equipoise_http::transcript::http2::Session;
use equipoise_http::{Edit, Limits};

use crate::frames::*;
use crate::{ask, begin, client, request, respond, sent_in_words, server};

const LAST: u32 = (1 << 31) - 1;

#[test]
fn a_server_that_ends_takes_what_is_on_its_way() {
    let mut session = server();
    let first = ask(&mut session, &get(1), 1);
    session.connection.go_away();
    assert_eq!(
        sent_in_words(&mut session),
        [format!("GOAWAY {LAST} 0"), "PING farewell".to_owned()]
    );
    let second = ask(&mut session, &post(3), 3);
    assert_eq!(
        session.receive(&frame(PING, ACK, 0, b"farewell"), 4),
        [""; 0]
    );
    assert_eq!(sent_in_words(&mut session), ["GOAWAY 3 0"]);
    // What begins later was told that it is not looked at.
    let late = [
        post(5),
        data(END_STREAM, 5, b"late"),
        data(END_STREAM, 3, b"body"),
    ];
    assert_eq!(session.receive(&late.concat(), 4), ["3 data body end"]);
    assert!(!session.connection.is_done());
    for stream in [first, second] {
        respond(&mut session, stream, 200, true);
    }
    assert!(session.connection.is_done());
    assert_eq!(
        sent_in_words(&mut session),
        ["1 HEADERS end", "3 HEADERS end"]
    );
}

#[test]
fn an_error_takes_back_nothing_that_was_said() {
    let mut session = server();
    session.receive(&get(1), 100);
    session.connection.go_away();
    session.connection.go_away();
    let told = session.receive(&[get(3), frame(PING, 0, 1, b"12345678")].concat(), 100);
    assert_eq!(told, ["over: stream-id"]);
    assert_eq!(
        sent_in_words(&mut session)[2..],
        ["GOAWAY 1 0", "GOAWAY 1 1"]
    );
}

#[test]
fn a_server_need_not_wait_for_the_answer() {
    let mut session = server();
    session.connection.go_away();
    session.connection.go_away();
    session.connection.go_away();
    assert!(session.connection.is_done());
    let expected = [&format!("GOAWAY {LAST} 0"), "PING farewell", "GOAWAY 0 0"];
    assert_eq!(sent_in_words(&mut session), expected);
    assert_eq!(
        session.receive(&frame(PING, ACK, 0, b"farewell"), 4),
        [""; 0]
    );
    assert_eq!(sent_in_words(&mut session), [""; 0]);
}

#[test]
fn requests_that_a_member_has_not_looked_at_are_told() {
    let mut session = client();
    for _ in 0..4 {
        begin(&mut session, "POST", false);
    }
    let bytes = [goaway(3, 0), headers(WHOLE, 1, OK)].concat();
    assert_eq!(
        session.receive(&bytes, 7),
        [
            "goaway 3: NO_ERROR",
            "7 reset: REFUSED_STREAM",
            "5 reset: REFUSED_STREAM",
            "1 HTTP/2.0 200 OK end",
        ]
    );
    assert_eq!(session.connection.room_for_requests(), 0);
    let (head, edit) = (request("GET"), Edit::new());
    let another = session.connection.request(&head, &edit, false, None, true);
    assert_eq!(another, Err(SendError::GoingAway));
    assert_eq!(session.connection.open_streams(), 2);
    // It may take back more, but not less.
    assert_eq!(
        session.receive(&[goaway(1, 2), goaway(3, 2)].concat(), 7),
        [
            "goaway 1: INTERNAL_ERROR",
            "3 reset: REFUSED_STREAM",
            "goaway 3: INTERNAL_ERROR",
        ]
    );
}

#[test]
fn a_client_that_goes_is_answered() {
    let mut session = server();
    let stream = ask(&mut session, &get(1), 1);
    assert_eq!(session.receive(&goaway(0, 0), 4), ["goaway 0: NO_ERROR"]);
    assert!(!session.connection.is_done());
    respond(&mut session, stream, 200, true);
    assert!(session.connection.is_done());
}

#[test]
fn a_client_that_ends_begins_no_more() {
    let mut session = client();
    begin(&mut session, "GET", true);
    session.connection.go_away();
    assert!(session.connection.is_going_away() && !session.connection.is_done());
    assert_eq!(session.connection.room_for_requests(), 0);
    session.receive(&headers(WHOLE, 1, OK), 4);
    assert!(session.connection.is_done());
    assert_eq!(sent_in_words(&mut session)[1..], ["GOAWAY 0 0"]);
}

#[test]
fn what_may_not_take_long_has_a_beginning() {
    let mut session = Session::new(Role::Server, Options::default());
    let start = session.now;
    let after = |seconds| start + Duration::from_secs(seconds);
    let mut since = |seconds, bytes: &[u8]| {
        session.now = after(seconds);
        session.receive(bytes, usize::MAX);
        session.connection.incomplete_since()
    };
    assert_eq!(since(1, &PREFACE[..5]), Some(start));
    assert_eq!(since(2, &PREFACE[5..]), Some(start));
    assert_eq!(since(3, &settings(&[])), None);
    let ping = frame(PING, 0, 0, b"12345678");
    assert_eq!(since(4, &ping[..3]), Some(after(4)));
    assert_eq!(since(5, &ping[3..10]), Some(after(4)));
    // What begins behind it has time of its own.
    assert_eq!(
        since(6, &[&ping[10..], &ping[..1]].concat()),
        Some(after(6))
    );
    assert_eq!(since(7, &ping[1..]), None);
    assert_eq!(since(8, &headers(0, 1, GET)), Some(after(8)));
    assert_eq!(since(9, &frame(CONTINUATION, 0, 1, X)), Some(after(8)));
    assert_eq!(since(10, &frame(CONTINUATION, 4, 1, X)), None);
    // Payload has rates of its own.
    assert_eq!(since(11, &data(0, 1, b"abc")[..10]), None);
}

#[test]
fn memory_is_given_back_by_a_connection_that_waits() {
    let options = Options {
        limits: Limits::default(),
        ..Options::default()
    };
    let mut session = Session::new(Role::Server, options);
    session.receive(&[PREFACE, &settings(&[])].concat(), usize::MAX);
    let many = X.repeat(3_000);
    let large = [
        headers(END_STREAM, 1, &[GET, &many].concat()),
        frame(CONTINUATION, 4, 1, &many),
    ];
    session.receive(&large.concat(), 1_000);
    sent_in_words(&mut session);
    let stream = session.streams[&1];
    respond(&mut session, stream, 431, true);
    sent_in_words(&mut session);
    let before = session.connection.capacity();
    session.connection.shrink();
    let after = session.connection.capacity();
    assert!(before > 20_000 && after < 12_000, "{before} {after}");
}

#[test]
fn a_connection_that_waits_holds_its_tables_and_no_buffers() {
    let mut session = server();
    let stream = ask(&mut session, &get(1), 1);
    respond(&mut session, stream, 200, false);
    let sent = session.connection.send_data(stream, &[7; 1024], true);
    assert_eq!(sent, Ok(1024));
    sent_in_words(&mut session);
    session.connection.shrink();
    let held = session.connection.capacity();
    assert!(held < 1024, "{held}");
}
