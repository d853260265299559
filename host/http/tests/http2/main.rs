//! Connections of HTTP/2: rules as tables, properties of any bytes, and another implementation as the peer.

#![expect(clippy::disallowed_methods, reason = "tests give a time of their own")]

mod compare;
mod compared;
mod ending;
mod floods;
mod flow;
mod frames;
mod h2;
mod priorities;
mod properties;
mod rules;
mod spoken;

use equipoise_http::http2::{Options, Role, StreamId};
use equipoise_http::transcript::http2::Session;
use equipoise_http::{Edit, Head, Version};

use crate::frames::{Frame, PREFACE, SETTINGS, frames, settings};

/// A server whose client has said its preface and these settings; what it answered is read.
fn server_with(options: Options, settings: &[u8]) -> Session {
    let mut session = Session::new(Role::Server, options);
    let told = session.receive(&[PREFACE, settings].concat(), usize::MAX);
    assert!(told.is_empty(), "{told:?}");
    sent(&mut session);
    session
}

fn server() -> Session {
    server_with(Options::default(), &settings(&[]))
}

/// A client whose server has said these settings; what it said is read.
fn client_with(options: Options, settings: &[u8]) -> Session {
    let mut session = Session::new(Role::Client, options);
    let told = session.receive(settings, usize::MAX);
    assert!(told.is_empty(), "{told:?}");
    let out = session.connection.output();
    let (preface, rest) = out.split_at(PREFACE.len());
    assert_eq!(preface, PREFACE);
    let kinds: Vec<_> = frames(rest).iter().map(|frame| frame.kind).collect();
    assert_eq!(kinds.first(), Some(&SETTINGS));
    let all = out.len();
    session.connection.record_written(all);
    session
}

fn client() -> Session {
    client_with(Options::default(), &settings(&[]))
}

/// What is in the output, which is written.
fn sent(session: &mut Session) -> Vec<Frame> {
    let out = session.connection.output();
    let behind_preface = out.strip_prefix(PREFACE).unwrap_or(out);
    let (frames, bytes) = (frames(behind_preface), out.len());
    session.connection.record_written(bytes);
    frames
}

/// The same in words.
fn sent_in_words(session: &mut Session) -> Vec<String> {
    let sent = sent(session);
    sent.iter().map(Frame::in_words).collect()
}

/// A request that is told: its stream.
#[track_caller]
fn ask(session: &mut Session, bytes: &[u8], number: u32) -> StreamId {
    let told = session.receive(bytes, usize::MAX);
    assert!(told[0].starts_with(&format!("{number} ")), "{told:?}");
    session.streams[&number]
}

/// A response with this status.
fn response(status: u16) -> Head {
    let mut head = Head::new();
    head.begin_response(status, "", Version::Http2).unwrap();
    head
}

/// A request for `/`.
fn request(method: &str) -> Head {
    let mut head = Head::new();
    head.begin_request(method.as_bytes(), b"/", Version::Http11)
        .unwrap();
    head.push(b"host", b"a").unwrap();
    head
}

/// Begins a request; `ends` says that it has no body.
#[track_caller]
fn begin(session: &mut Session, method: &str, ends: bool) -> StreamId {
    let (head, edit) = (request(method), Edit::new());
    let connection = &mut session.connection;
    connection.request(&head, &edit, false, None, ends).unwrap()
}

/// Answers a request.
#[track_caller]
fn respond(session: &mut Session, stream: StreamId, status: u16, ends: bool) {
    let (head, edit) = (response(status), Edit::new());
    session
        .connection
        .respond(stream, &head, &edit, ends)
        .unwrap();
}
