//! What becomes of a connection to which anything is said, in pieces of any size. Also for the fuzz target.

use equipoise_http::http2::{ErrorCode, Options, Role};
use equipoise_http::transcript::http2::Session;
use equipoise_http::{Edit, Head, Limits, Section, Version};

/// Small ones, so that they are met.
const TIGHT: Options = Options {
    streams: 2,
    stream_window: 65_535,
    connection_window: 65_535,
    takes_connect: true,
    limits: Limits {
        head: Section {
            bytes: 120,
            line: 60,
            fields: 5,
        },
        target: 20,
        empty_lines: 0,
        interims: 2,
        chunk_line: 0,
        extensions: 0,
        trailers: Section {
            bytes: 50,
            line: 30,
            fields: 2,
        },
    },
};

const BEGINNING: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A server's SETTINGS, with extended CONNECT.
const SETTINGS: &[u8] = b"\0\0\x06\x04\0\0\0\0\0\0\x08\0\0\0\x01";

/// What is told and what is sent when these bytes come, no more than `cut` at once: the first of them, then, when everything was
/// answered that can be, the others.
pub(crate) fn spoken(
    role: Role,
    is_tight: bool,
    bytes: [&[u8]; 2],
    cut: usize,
) -> (Vec<String>, Vec<u8>) {
    let options = if is_tight { TIGHT } else { Options::default() };
    let mut session = Session::new(role, options);
    let start = match role {
        Role::Server => BEGINNING,
        Role::Client => SETTINGS,
    };
    let mut told = session.receive(start, cut);
    if role == Role::Client {
        ask(&mut session);
    }
    let mut sent = Vec::new();
    for bytes in bytes {
        told.extend(session.receive(bytes, cut));
        respond(&mut session);
        write(&mut session, &mut sent);
    }
    for stream in session.streams.values() {
        session.connection.reset(*stream, ErrorCode::CANCEL);
    }
    assert_eq!(session.connection.open_streams(), 0, "something is left");
    (told, sent)
}

/// Begins requests with a body and without.
fn ask(session: &mut Session) {
    for (method, ends) in [("GET", true), ("POST", false), ("HEAD", true)] {
        let mut head = Head::new();
        let begun = head.begin_request(method.as_bytes(), b"/", Version::Http11);
        let pushed = begun.and_then(|()| head.push(b"host", b"a"));
        assert_eq!(pushed, Ok(()));
        let connection = &mut session.connection;
        let asked = connection.request(&head, &Edit::new(), false, None, ends);
        if let Ok(stream) = asked {
            session.streams.insert(stream.number(), stream);
        }
    }
}

/// Sends heads and payload by all streams that were told, as far as they take it.
fn respond(session: &mut Session) {
    let mut streams: Vec<_> = session.streams.values().copied().collect();
    streams.sort_by_key(|stream| stream.number());
    let mut head = Head::new();
    let begun = head.begin_response(200, "OK", Version::Http11);
    assert_eq!(begun, Ok(()));
    let connection = &mut session.connection;
    for stream in streams {
        // Those that are gone, or were answered before, take nothing.
        let _ = connection.respond(stream, &head, &Edit::new(), false);
        let _ = connection.send_data(stream, &[b'x'; 40_000], false);
    }
}

fn write(session: &mut Session, sent: &mut Vec<u8>) {
    let connection = &mut session.connection;
    loop {
        let output = connection.output();
        sent.extend_from_slice(output);
        let bytes = output.len();
        connection.record_written(bytes);
        let Some(stream) = connection.next_writable() else {
            return;
        };
        let _ = connection.send_data(stream, b"the end", true);
    }
}
