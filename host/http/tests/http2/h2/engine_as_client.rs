//! The engine as a client of h2's server.

use std::time::Instant;

use bytes::Bytes;
use equipoise_http::http2::{Connection, ErrorCode, Options, Role, StreamId};
use equipoise_http::{Edit, Head, Version};
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use tokio::io::duplex;
use tokio::task::spawn_local;

use super::LENGTHS;
use super::driver::{Driver, Message};
use super::peer::{body, read, run, send};

/// Answers a request with what came by it, behind an interim response.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let (parts, incoming) = request.into_parts();
    let (back, has_trailers) = read(incoming, 0).await;
    let has_trailers = has_trailers.unwrap();
    let interim = Response::builder().status(103).body(()).unwrap();
    respond.send_informational(interim).unwrap();
    let mut response = Response::new(());
    let mut fields = HeaderMap::new();
    for name in ["x-field", "x-other"] {
        if let Some(value) = parts.headers.get(name) {
            fields.insert(name, value.clone());
        }
    }
    fields.insert("x-path", parts.uri.to_string().parse().unwrap());
    *response.headers_mut() = fields;
    let mut stream = respond.send_response(response, false).unwrap();
    let _ = send(&mut stream, back, has_trailers, 0).await;
}

/// The engine, and a server of h2 that answers it.
fn with(builder: Builder, options: Options) -> Driver {
    let (near, far) = duplex(10_000);
    spawn_local(async move {
        let mut connection = builder.handshake(far).await.unwrap();
        while let Some(Ok((request, respond))) = connection.accept().await {
            spawn_local(echo(request, respond));
        }
    });
    let connection = Connection::new(Role::Client, options, Instant::now());
    Driver::new(connection, near)
}

fn begin(driver: &mut Driver, field: &str, length: usize, has_trailers: bool) -> StreamId {
    let mut head = Head::new();
    head.begin_request(b"POST", b"/path?query", Version::Http11)
        .unwrap();
    for (name, value) in [("Host", "a"), ("X-Field", field), ("X-Other", "same")] {
        head.push(name.as_bytes(), value.as_bytes()).unwrap();
    }
    let edit = Edit::new();
    let stream = driver
        .connection
        .request(&head, &edit, false, None, false)
        .unwrap();
    driver.send(stream, body(length), has_trailers);
    stream
}

/// Carries the connection on until so many messages are over.
async fn until_whole(driver: &mut Driver, count: usize) {
    while driver.whole.len() < count {
        assert!(driver.turn().await, "it was closed");
    }
}

#[track_caller]
fn judge(message: &Message, field: &str, length: usize, has_trailers: bool) {
    assert_eq!((&*message.start, message.is_whole), ("200", true));
    assert_eq!(message.interims, [103]);
    assert_eq!(message.get("x-field"), Some(field));
    assert_eq!(message.get("x-other"), Some("same"));
    assert_eq!(message.get("x-path"), Some("http://a/path?query"));
    assert!(message.body == body(length), "{length}");
    assert_eq!(message.has_trailers, has_trailers);
}

#[test]
fn bodies_of_all_lengths_come_back() {
    run(async {
        let mut driver = with(Builder::new(), Options::default());
        for length in LENGTHS {
            for has_trailers in [false, true] {
                driver.whole.clear();
                let stream = begin(&mut driver, "f", length, has_trailers);
                until_whole(&mut driver, 1).await;
                let message = driver.messages.remove(&stream.number()).unwrap();
                judge(&message, "f", length, has_trailers);
            }
        }
        assert_eq!(driver.connection.open_streams(), 0);
    });
}

#[test]
fn many_at_once_share_small_windows() {
    run(async {
        let mut builder = Builder::new();
        builder.initial_window_size(1_000);
        let options = Options {
            stream_window: 65_535,
            connection_window: 65_535,
            ..Options::default()
        };
        let mut driver = with(builder, options);
        for _ in 0..3 {
            driver.whole.clear();
            let lengths = &LENGTHS[..9];
            let streams: Vec<_> = lengths
                .iter()
                .enumerate()
                .map(|(index, length)| {
                    let field = "v".repeat(index * 37);
                    begin(&mut driver, &field, *length, index % 2 == 0)
                })
                .collect();
            until_whole(&mut driver, streams.len()).await;
            for (index, stream) in streams.iter().enumerate() {
                let message = driver.messages.remove(&stream.number()).unwrap();
                judge(
                    &message,
                    &"v".repeat(index * 37),
                    lengths[index],
                    index % 2 == 0,
                );
            }
        }
    });
}

#[test]
fn heads_larger_than_a_frame_pass_and_tables_may_be_of_any_size() {
    run(async {
        for size in [0, 100, 4_096, 65_536] {
            let mut builder = Builder::new();
            builder
                .header_table_size(size)
                .max_header_list_size(1 << 20);
            let mut driver = with(builder, Options::default());
            for length in [1, 4_000, 20_000, 50_000, 1, 1] {
                driver.whole.clear();
                let field = "v".repeat(length);
                let stream = begin(&mut driver, &field, 10, true);
                until_whole(&mut driver, 1).await;
                let message = driver.messages.remove(&stream.number()).unwrap();
                judge(&message, &field, 10, true);
            }
        }
    });
}

#[test]
fn the_members_limit_of_streams_is_known() {
    run(async {
        let mut builder = Builder::new();
        builder.max_concurrent_streams(2);
        let mut driver = with(builder, Options::default());
        while !driver.connection.has_settings() {
            driver.turn().await;
        }
        assert_eq!(driver.connection.room_for_requests(), 2);
        begin(&mut driver, "", 10, false);
        begin(&mut driver, "", 10, false);
        assert_eq!(driver.connection.room_for_requests(), 0);
        until_whole(&mut driver, 2).await;
        assert_eq!(driver.connection.room_for_requests(), 2);
    });
}

/// A server of h2 that does `what` with each request.
fn with_server(
    what: impl AsyncFn(Request<RecvStream>, SendResponse<Bytes>) -> bool + 'static,
) -> Driver {
    let (near, far) = duplex(10_000);
    spawn_local(async move {
        let mut connection = h2::server::handshake(far).await.unwrap();
        let mut is_ending = false;
        while let Some(Ok((request, respond))) = connection.accept().await {
            if what(request, respond).await && !is_ending {
                is_ending = true;
                connection.graceful_shutdown();
            }
        }
    });
    let connection = Connection::new(Role::Client, Options::default(), Instant::now());
    Driver::new(connection, near)
}

#[test]
fn a_reset_of_the_member_is_told() {
    run(async {
        let mut driver = with_server(async |_, mut respond| {
            respond.send_reset(Reason::REFUSED_STREAM);
            false
        });
        let stream = begin(&mut driver, "", 1_000_000, false);
        while !driver.messages.contains_key(&stream.number()) {
            driver.turn().await;
        }
        let reset = driver.messages[&stream.number()].reset;
        assert_eq!(reset, Some(ErrorCode::REFUSED_STREAM));
        assert_eq!(driver.connection.open_streams(), 0);
    });
}

#[test]
fn an_answer_before_the_end_of_the_request_comes_with_its_reset() {
    run(async {
        let mut driver = with_server(async |request, mut respond| {
            let response = Response::builder().status(413).body(()).unwrap();
            respond.send_response(response, true).unwrap();
            drop(request);
            false
        });
        let stream = begin(&mut driver, "", 1_000_000, false);
        while driver
            .messages
            .get(&stream.number())
            .is_none_or(|it| it.reset.is_none())
        {
            driver.turn().await;
        }
        let message = &driver.messages[&stream.number()];
        assert_eq!((&*message.start, message.is_whole), ("413", true));
        assert_eq!(message.reset, Some(ErrorCode::NO_ERROR));
    });
}

#[test]
fn a_member_that_ends_finishes_what_it_has_begun() {
    run(async {
        let mut driver = with_server(async |request, respond| {
            spawn_local(echo(request, respond));
            true
        });
        begin(&mut driver, "f", 100_000, true);
        while driver.turn().await {}
        judge(&driver.messages[&1], "f", 100_000, true);
        assert_eq!(driver.goaway, Some((1, ErrorCode::NO_ERROR)));
        assert!(driver.connection.is_done());
    });
}

#[test]
fn a_reset_of_ours_ends_the_request_at_the_member_and_no_other() {
    run(async {
        let mut driver = with(Builder::new(), Options::default());
        let first = begin(&mut driver, "f", 1_000_000, false);
        let second = begin(&mut driver, "f", 100_000, true);
        for _ in 0..5 {
            driver.turn().await;
        }
        driver.connection.reset(first, ErrorCode::CANCEL);
        until_whole(&mut driver, 1).await;
        judge(&driver.messages[&second.number()], "f", 100_000, true);
        assert_eq!(driver.connection.open_streams(), 0);
    });
}
