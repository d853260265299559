//! Upgrades by members of HTTP/2: extended CONNECT on the connection that other requests share (RFC 8441).

use std::net::SocketAddr;

use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request, Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::http2::{Member, ask, begin, connect, get, wait_for};
use crate::harness::proxy::Start;
use crate::harness::raw::{RawMember, answer};
use crate::harness::{Client, Proxy};

const KEYS: &str = "upgrade = \"websocket\"";

/// The handshake of a WebSocket, by HTTP/1.1.
const ASK: [&str; 5] = [
    "Connection: keep-alive, Upgrade",
    "Upgrade: WebSocket",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Protocol: chat",
];

/// What the answer to that key is (RFC 6455, 1.3).
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

fn before(url: &str) -> Start {
    Proxy::before(&[]).top("workers = 1").member_at(url, KEYS)
}

/// A client of HTTP/1.1 that asks for a WebSocket.
async fn ask_by_http1(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.expect("it listens");
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: lb.test\r\n{}\r\n\r\n",
        ASK.join("\r\n")
    );
    client.write_all(request.as_bytes()).await.expect("room");
    client
}

/// The head of an answer of HTTP/1.1.
async fn head(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text").to_lowercase()
}

/// Extended CONNECT by HTTP/2.
fn extended() -> Request<()> {
    let request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://lb.test/chat")
        .header("sec-websocket-version", "13")
        .extension(Protocol::from_static("websocket"));
    request.body(()).expect("a request")
}

/// Once the client has the setting that allows it.
async fn ask_by_http2(
    client: &h2::client::SendRequest<Bytes>,
) -> (h2::client::ResponseFuture, h2::SendStream<Bytes>) {
    while !client.is_extended_connect_protocol_enabled() {
        tokio::task::yield_now().await;
    }
    begin(client, extended()).await
}

/// Nothing more comes, and no error.
async fn expect_end(body: &mut h2::RecvStream) {
    while let Some(piece) = body.data().await {
        assert!(piece.expect("no error").is_empty());
    }
}

/// What both clients ask of the member.
fn assert_asked(request: &Request<h2::RecvStream>) {
    assert_eq!(request.method(), Method::CONNECT);
    let protocol = request.extensions().get::<Protocol>();
    assert_eq!(protocol.map(Protocol::as_str), Some("websocket"));
    assert_eq!(request.uri().path(), "/chat");
    let headers = request.headers();
    assert_eq!(headers["sec-websocket-version"], "13");
    for name in [
        "connection",
        "upgrade",
        "sec-websocket-key",
        "content-length",
    ] {
        assert!(headers.get(name).is_none(), "{name}");
    }
}

#[test]
fn a_websocket_of_http1_goes_by_extended_connect() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&member.url()).start();
        let mut client = ask_by_http1(proxy.address()).await;
        let (request, mut respond) = member.next().await;
        assert_asked(&request);
        assert_eq!(request.headers()["sec-websocket-protocol"], "chat");
        let granted = Response::builder().header("sec-websocket-protocol", "chat");
        let granted = granted.body(()).unwrap();
        let mut to_client = respond.send_response(granted, false).unwrap();
        let mut from_client = request.into_body();
        let head = head(&mut client).await;
        assert!(head.starts_with("http/1.1 101 "), "{head}");
        for line in [
            "connection: upgrade",
            "upgrade: websocket",
            &format!("sec-websocket-accept: {}", ACCEPT.to_lowercase()),
            "sec-websocket-protocol: chat",
        ] {
            assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
        }
        // Others go by the same connection meanwhile.
        let other = connect(proxy.address()).await;
        let beside = tokio::join!(ask(&other, get("/")), member.answer_next("beside")).0;
        assert_eq!(
            (beside.text().as_str(), member.connections()),
            ("beside", 1)
        );
        // Much, both ways, and then the end of each side.
        let large = vec![b'x'; 300_000];
        let echoing = async {
            let mut passed = 0;
            while let Some(piece) = from_client.data().await {
                let piece = piece.expect("a whole tunnel");
                from_client
                    .flow_control()
                    .release_capacity(piece.len())
                    .unwrap();
                passed += piece.len();
                crate::harness::http2::send(&mut to_client, piece)
                    .await
                    .unwrap();
            }
            to_client.send_data(Bytes::new(), true).unwrap();
            passed
        };
        let talking = async {
            let (mut reader, mut writer) = client.split();
            let writing = async {
                writer.write_all(&large).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut echo = Vec::new();
            let (_, read) = tokio::join!(writing, reader.read_to_end(&mut echo));
            read.unwrap();
            assert!(echo == large);
        };
        assert_eq!(tokio::join!(echoing, talking).0, large.len());
    });
}

#[test]
fn a_websocket_of_http2_goes_by_extended_connect() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&member.url()).start();
        let client = connect(proxy.address()).await;
        let (answer, mut to_member) = ask_by_http2(&client).await;
        let (request, mut respond) = member.next().await;
        assert_asked(&request);
        let mut to_client = respond.send_response(Response::new(()), false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(answer.headers().get(name).is_none(), "{name}");
        }
        let (mut at_client, mut at_member) = (answer.into_body(), request.into_body());
        to_member
            .send_data(Bytes::from_static(b"up"), false)
            .unwrap();
        assert_eq!(at_member.data().await.unwrap().unwrap(), "up");
        to_client
            .send_data(Bytes::from_static(b"down"), false)
            .unwrap();
        assert_eq!(at_client.data().await.unwrap().unwrap(), "down");
        to_client
            .send_data(Bytes::from_static(b"bye"), true)
            .unwrap();
        assert_eq!(at_client.data().await.unwrap().unwrap(), "bye");
        expect_end(&mut at_client).await;
        to_member.send_data(Bytes::new(), true).unwrap();
        expect_end(&mut at_member).await;
    });
}

#[test]
fn a_tunnel_that_either_side_gives_up_is_reset_at_the_other() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&member.url()).start();
        // The client goes.
        let mut client = ask_by_http1(proxy.address()).await;
        let (_request, mut respond) = member.next().await;
        let mut to_client = respond.send_response(Response::new(()), false).unwrap();
        head(&mut client).await;
        client.set_zero_linger().unwrap();
        drop(client);
        let reset = std::future::poll_fn(|context| to_client.poll_reset(context)).await;
        assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
        // The member goes.
        let mut client = ask_by_http1(proxy.address()).await;
        let (_request, mut respond) = member.next().await;
        let mut to_client = respond.send_response(Response::new(()), false).unwrap();
        head(&mut client).await;
        to_client.send_reset(h2::Reason::INTERNAL_ERROR);
        let _ = client.read_to_end(&mut Vec::new()).await;
        assert_eq!(member.connections(), 1);
    });
}

#[test]
fn a_refusal_is_an_ordinary_answer() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&member.url()).start();
        let refuse = async || {
            let (request, mut respond) = member.next().await;
            let refusal = Response::builder().status(403).body(()).unwrap();
            let mut body = respond.send_response(refusal, false).unwrap();
            body.send_data(Bytes::from_static(b"not you"), true)
                .unwrap();
            // Nothing more is sent to it.
            expect_end(&mut request.into_body()).await;
        };
        let mut client = ask_by_http1(proxy.address()).await;
        refuse().await;
        let head = head(&mut client).await;
        assert!(head.starts_with("http/1.1 403 "), "{head}");
        assert!(!head.contains("sec-websocket-accept"), "{head}");
        let client = connect(proxy.address()).await;
        let (answer, _to_member) = ask_by_http2(&client).await;
        let (answer, ()) = tokio::join!(answer, refuse());
        assert_eq!(answer.unwrap().status(), StatusCode::FORBIDDEN);
        assert_eq!(member.connections(), 1);
    });
}

/// A member of HTTP/2 that has not said that it takes extended CONNECT is not asked for it (RFC 8441, 3).
#[test]
fn a_member_that_does_not_offer_it_is_not_asked_for_it() {
    let member = RawMember::start(b"");
    let proxy = before(&member.url()).start();
    let mut client = proxy.client();
    client.ask("GET /chat", &ASK);
    let mut connection = member.connection();
    let stream = connection.request();
    connection.send(answer(stream, "no upgrade here"));
    assert_eq!(client.response().text(), "no upgrade here");
    let status = wait_for(async {
        let client = connect(proxy.address()).await;
        let (answer, _to_member) = ask_by_http2(&client).await;
        answer.await.unwrap().status()
    });
    assert_eq!(status, 501);
    assert!(connection.is_silent_for(std::time::Duration::from_millis(50)));
}

/// Without the member's settings nothing is known, and they are not waited for longer than for a connection.
#[test]
fn the_offer_is_waited_for_no_longer_than_connectiontimeout() {
    let member = RawMember::beginning(Vec::new());
    let keys = format!("{KEYS}\nconnectiontimeout = \"200ms\"");
    let proxy = Proxy::before(&[]).member_at(&member.url(), &keys).start();
    let mut client: Client = proxy.client();
    client.ask("GET /chat", &ASK);
    assert_eq!(client.response().status(), 503);
}
