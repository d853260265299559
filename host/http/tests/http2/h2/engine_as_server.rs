//! The engine as a server of h2's client.

use bytes::Bytes;
use equipoise_http::http2::{Connection, ErrorCode, Options, Role};
use h2::client::{Builder, SendRequest};
use h2::{Ping, Reason};
use http::{HeaderMap, Method, Request, StatusCode};
use tokio::io::duplex;
use tokio::task::{spawn_local, yield_now};

use super::LENGTHS;
use super::driver::{Driver, respond, response};
use super::peer::{body, read, run, send};

/// Answers all requests with what came by them, behind an interim response; ends when the client does.
async fn echo(mut driver: Driver) -> Driver {
    loop {
        while let Some(stream) = driver.whole.pop() {
            let message = driver.messages[&stream.number()].clone();
            respond(
                &mut driver,
                stream,
                &response(103, &[("link", "</a>")]),
                false,
            );
            let path = message.start.as_str();
            let fields = [
                ("x-path", path),
                ("x-field", message.get("x-field").unwrap_or("")),
            ];
            let is_head = message.start.starts_with("HEAD");
            respond(&mut driver, stream, &response(200, &fields), is_head);
            if !is_head {
                driver.send(stream, message.body, message.has_trailers);
            }
        }
        if !driver.turn().await {
            return driver;
        }
    }
}

type Client = SendRequest<Bytes>;

/// A client of h2, and the engine that answers it.
async fn with(builder: &Builder, options: Options) -> (Client, tokio::task::JoinHandle<Driver>) {
    let (near, far) = duplex(10_000);
    let connection = Connection::new(Role::Server, options, std::time::Instant::now());
    let server = spawn_local(echo(Driver::new(connection, far)));
    let (client, connection) = builder.handshake(near).await.unwrap();
    spawn_local(async move {
        let _ = connection.await;
    });
    (client, server)
}

fn post(field: &str) -> Request<()> {
    let request = Request::post("http://a/path?query");
    request.header("x-field", field).body(()).unwrap()
}

/// One request with a body, and what comes back.
async fn exchange(client: &Client, length: usize, has_trailers: bool, field: &str) {
    let mut client = client.clone().ready().await.unwrap();
    let (mut response, mut stream) = client.send_request(post(field), false).unwrap();
    let sent = body(length);
    spawn_local(async move { send(&mut stream, sent, has_trailers, 0).await });
    let interim = std::future::poll_fn(|context| response.poll_informational(context));
    assert_eq!(interim.await.unwrap().unwrap().status().as_u16(), 103);
    let response = response.await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["x-path"], "POST /path?query");
    assert_eq!(response.headers()["x-field"], field);
    let (back, is_trailed) = read(response.into_body(), 0).await;
    assert!(back == body(length), "{length}");
    assert_eq!(is_trailed.unwrap(), has_trailers);
}

/// Many at once, each with another length.
async fn exchanges(client: &Client, lengths: &[usize]) {
    let exchanges = lengths.iter().enumerate().map(|(index, &length)| {
        let client = client.clone();
        spawn_local(async move {
            let field = "v".repeat(index * 37);
            exchange(&client, length, index % 2 == 0, &field).await;
        })
    });
    for exchange in exchanges.collect::<Vec<_>>() {
        exchange.await.unwrap();
    }
}

#[test]
fn bodies_of_all_lengths_come_back() {
    run(async {
        let (client, server) = with(&Builder::new(), Options::default()).await;
        for length in LENGTHS {
            exchange(&client, length, false, "").await;
            exchange(&client, length, true, "a").await;
        }
        drop(client);
        let driver = server.await.unwrap();
        assert_eq!(driver.connection.open_streams(), 0);
    });
}

#[test]
fn many_at_once_share_small_windows() {
    run(async {
        let mut builder = Builder::new();
        builder.initial_window_size(1_000).max_frame_size(100_000);
        let options = Options {
            stream_window: 65_535,
            connection_window: 65_535,
            ..Options::default()
        };
        let (client, _) = with(&builder, options).await;
        for _ in 0..3 {
            exchanges(&client, &LENGTHS[..9]).await;
        }
    });
}

#[test]
fn more_than_may_be_at_once_wait_for_their_turn() {
    run(async {
        let options = Options {
            streams: 3,
            ..Options::default()
        };
        let (client, _) = with(&Builder::new(), options).await;
        // So that it knows of the limit.
        exchange(&client, 0, false, "").await;
        exchanges(&client, &[100; 50]).await;
    });
}

#[test]
fn heads_larger_than_a_frame_pass_and_tables_may_be_of_any_size() {
    run(async {
        for size in [0, 100, 4_096, 65_536] {
            let mut builder = Builder::new();
            builder.header_table_size(size);
            let (client, _) = with(&builder, Options::default()).await;
            for length in [1, 4_000, 20_000, 50_000] {
                exchange(&client, 10, true, &"v".repeat(length)).await;
                exchange(&client, 10, true, "short").await;
            }
        }
    });
}

#[test]
fn head_has_no_body() {
    run(async {
        let (client, _) = with(&Builder::new(), Options::default()).await;
        let mut client = client.ready().await.unwrap();
        let mut request = post("");
        *request.method_mut() = Method::HEAD;
        let (response, _) = client.send_request(request, true).unwrap();
        let response = response.await.unwrap();
        assert!(response.body().is_end_stream());
    });
}

#[test]
fn a_reset_of_the_client_is_told_and_others_go_on() {
    run(async {
        let (client, server) = with(&Builder::new(), Options::default()).await;
        let mut ready = client.clone().ready().await.unwrap();
        let (response, mut stream) = ready.send_request(post(""), false).unwrap();
        stream.send_data(Bytes::from_static(b"abc"), false).unwrap();
        yield_now().await;
        stream.send_reset(Reason::CANCEL);
        drop((response, stream));
        exchange(&client, 100_000, true, "").await;
        drop((client, ready));
        let driver = server.await.unwrap();
        assert_eq!(driver.messages[&1].reset, Some(ErrorCode::CANCEL));
        assert_eq!(driver.connection.open_streams(), 0);
    });
}

#[test]
fn trailers_and_pings_pass_while_bodies_do() {
    run(async {
        let (near, far) = duplex(10_000);
        let now = std::time::Instant::now();
        let mut connection = Connection::new(Role::Server, Options::default(), now);
        connection.ping(*b"engine's");
        let server = spawn_local(echo(Driver::new(connection, far)));
        let (client, mut connection) = Builder::new().handshake::<_, Bytes>(near).await.unwrap();
        let mut pings = connection.ping_pong().unwrap();
        spawn_local(async move {
            let _ = connection.await;
        });
        let asked = spawn_local(async move { pings.ping(Ping::opaque()).await.unwrap() });
        exchange(&client, 300_000, true, "").await;
        asked.await.unwrap();
        drop(client);
        assert_eq!(server.await.unwrap().pongs, 1);
    });
}

#[test]
fn a_graceful_end_lets_what_is_under_way_end() {
    run(async {
        let (near, far) = duplex(10_000);
        let now = std::time::Instant::now();
        let connection = Connection::new(Role::Server, Options::default(), now);
        let mut driver = Driver::new(connection, far);
        let server = spawn_local(async move {
            while driver.messages.is_empty() {
                driver.turn().await;
            }
            driver.connection.go_away();
            let driver = echo(driver).await;
            assert!(driver.connection.is_done());
        });
        let (client, connection) = Builder::new().handshake(near).await.unwrap();
        let connection = spawn_local(connection);
        exchange(&client, 100_000, true, "").await;
        // It is closed by the client when nothing is under way any more, for it was told to.
        connection.await.unwrap().unwrap();
        assert!(client.ready().await.is_err());
        server.await.unwrap();
    });
}

#[test]
fn a_malformed_request_is_answered() {
    run(async {
        let (near, far) = duplex(10_000);
        let now = std::time::Instant::now();
        let connection = Connection::new(Role::Server, Options::default(), now);
        let mut driver = Driver::new(connection, far);
        let server = spawn_local(async move {
            while driver.turn().await {
                while let Some(stream) = driver.refused.pop() {
                    respond(&mut driver, stream, &response(400, &[]), false);
                    driver.send(stream, b"no".to_vec(), false);
                }
            }
        });
        let (client, connection) = Builder::new().handshake::<_, Bytes>(near).await.unwrap();
        spawn_local(async move {
            let _ = connection.await;
        });
        for length in ["1", "x"] {
            let mut ready = client.clone().ready().await.unwrap();
            let mut fields = HeaderMap::new();
            fields.append("content-length", length.parse().unwrap());
            fields.append("content-length", "2".parse().unwrap());
            let mut request = post("");
            request.headers_mut().extend(fields);
            let (response, _body) = ready.send_request(request, false).unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), StatusCode::BAD_REQUEST);
            assert_eq!(read(response.into_body(), 0).await.0, b"no");
        }
        drop(client);
        server.await.unwrap();
    });
}
