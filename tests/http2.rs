//! HTTP/2, from clients and to members.

use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request, Response, StatusCode};

use crate::harness::http2::{
    Member, ask, begin, connect, get, read, send, try_ask, wait_for, whole,
};
use crate::harness::{Origin, Proxy, Signal};

/// One route for all requests to members at these URLs.
fn before(urls: &[String]) -> crate::harness::proxy::Start {
    let mut start = Proxy::before(&[]);
    for url in urls {
        start = start.member_at(url, "");
    }
    start
}

fn grpc(path: &str) -> Request<()> {
    let request = Request::post(format!("http://lb.test{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    request.body(()).expect("a request")
}

#[test]
fn a_member_of_http1_is_asked_as_by_a_client_of_http1() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .route("preserve-host = true\nvia = \"on\"")
        .start();
    wait_for(async {
        let client = connect(proxy.address()).await;
        let mut request = get("/a?b=c");
        let headers = request.headers_mut();
        headers.append("cookie", "a=1".parse().unwrap());
        headers.append("cookie", "b=2".parse().unwrap());
        headers.append("te", "trailers".parse().unwrap());
        let answer = ask(&client, request).await;
        assert_eq!(
            (answer.head.status, answer.text().as_str()),
            (StatusCode::OK, "b1")
        );
        assert!(answer.head.headers.get("connection").is_none());
    });
    let request = b1.only_request();
    assert_eq!(request.head.start, "GET /a?b=c HTTP/1.1");
    assert_eq!(request.head.field("host"), Some("lb.test"));
    assert_eq!(request.head.field("cookie"), Some("a=1; b=2"));
    assert_eq!(request.head.field("te"), Some("trailers"));
    assert_eq!(request.head.field("via"), Some("2.0 equipoise"));
    assert_eq!(request.head.field("x-forwarded-host"), Some("lb.test"));
}

#[test]
fn each_request_of_a_connection_goes_to_the_next_member() {
    let members = Origin::some::<3>();
    let proxy = Proxy::before(&members.each_ref()).start();
    let served = wait_for(async {
        let client = connect(proxy.address()).await;
        let mut served = Vec::new();
        for _ in 0..6 {
            served.push(ask(&client, get("/")).await.text());
        }
        served
    });
    assert_eq!(served, ["b1", "b2", "b3", "b1", "b2", "b3"]);
}

#[test]
fn what_names_two_hosts_or_none_that_can_be_is_refused_before_any_member() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    wait_for(async {
        let client = connect(proxy.address()).await;
        let with_host = |uri: &str, host: &str| {
            let request = Request::get(uri).header("host", host);
            request.body(()).expect("a request")
        };
        let mut connect_request = get("/");
        *connect_request.method_mut() = Method::CONNECT;
        *connect_request.uri_mut() = "other.test:443".parse().unwrap();
        for request in [
            with_host("http://lb.test/", "other.test"),
            with_host("http://user@lb.test/", "lb.test"),
            with_host("http://lb.test,other.test/", "lb.test"),
            with_host("http://lb.test/../../x", "lb.test"),
            connect_request,
        ] {
            let told = format!("{request:?}");
            match try_ask(&client, request).await {
                Ok(answer) => assert_eq!(answer.head.status, 400, "{told}"),
                Err(error) => assert!(error.is_reset(), "{told}: {error}"),
            }
        }
        assert_eq!(
            ask(&client, get("/")).await.text(),
            "b1",
            "the connection goes on"
        );
    });
    assert_eq!(b1.hits(), 1);
}

#[test]
fn a_body_whose_length_is_not_as_said_never_becomes_a_whole_request() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    wait_for(async {
        let client = connect(proxy.address()).await;
        let request = Request::post("http://lb.test/").header("content-length", "10");
        let (answer, mut body) = begin(&client, request.body(()).unwrap()).await;
        let _ = body.send_data(Bytes::from_static(b"short"), true);
        match answer.await {
            Ok(answer) => assert_eq!(answer.status(), 400),
            Err(error) => assert!(error.is_reset()),
        }
        assert_eq!(ask(&client, get("/")).await.text(), "b1");
    });
    let whole = |it: &crate::harness::Log| {
        let requests = it.requests.iter();
        Some(
            requests
                .filter(|it| it.state == crate::harness::State::Complete)
                .count(),
        )
    };
    assert_eq!(b1.when("requests", whole), 1);
}

#[test]
fn requests_under_way_at_once_share_a_connection_to_a_member() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&[member.url()]).start();
        let client = connect(proxy.address()).await;
        let mut answers = Vec::new();
        for _ in 0..20 {
            let mut client = client.clone().ready().await.unwrap();
            answers.push(client.send_request(get("/shared"), true).unwrap().0);
        }
        let mut asked = Vec::new();
        for _ in 0..20 {
            asked.push(member.next().await);
        }
        for (request, answer) in &mut asked {
            assert_eq!(request.uri().path(), "/shared");
            assert_eq!(
                request.uri().authority().unwrap(),
                &*member.address.to_string()
            );
            answer.send_response(Response::new(()), true).unwrap();
        }
        for answer in answers {
            assert_eq!(answer.await.unwrap().status(), 200);
        }
        // One for each worker, at most.
        assert!(member.connections() <= 1, "{}", member.connections());
        let before = member.connections();
        let again = tokio::join!(ask(&client, get("/")), member.answer_next("again")).0;
        assert_eq!(
            (again.text().as_str(), member.connections()),
            ("again", before)
        );
    });
}

#[test]
fn a_member_that_takes_few_at_once_gets_more_connections_and_no_request_waits() {
    wait_for(async {
        let member = Member::start(2).await;
        let proxy = before(&[member.url()]).start();
        let client = connect(proxy.address()).await;
        let first = tokio::join!(ask(&client, get("/")), member.answer_next("one")).0;
        assert_eq!(first.text(), "one");
        let mut answers = Vec::new();
        let mut asked = Vec::new();
        for _ in 0..7 {
            let mut client = client.clone().ready().await.unwrap();
            answers.push(client.send_request(get("/"), true).unwrap().0);
            asked.push(member.next().await);
        }
        assert_eq!(member.connections(), 4, "two at once on each, seven in all");
    });
}

#[test]
fn trailers_pass_both_ways() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&[member.url()]).start();
        let client = connect(proxy.address()).await;
        let request = Request::post("http://lb.test/").header("te", "trailers");
        let (answer, mut body) = begin(&client, request.body(()).unwrap()).await;
        body.send_data(Bytes::from_static(b"hello"), false).unwrap();
        let mut sum = http::HeaderMap::new();
        sum.insert("x-sum", "5".parse().unwrap());
        body.send_trailers(sum.clone()).unwrap();

        let (request, mut respond) = member.next().await;
        assert_eq!(request.headers()["te"], "trailers");
        let (body, trailers) = read(&mut request.into_body()).await.unwrap();
        assert_eq!((&*body, trailers.unwrap()), (&b"hello"[..], sum.clone()));
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream
            .send_data(Bytes::from_static(b"world"), false)
            .unwrap();
        stream.send_trailers(sum.clone()).unwrap();
        let answer = whole(answer.await.unwrap()).await.unwrap();
        assert_eq!(
            (answer.text().as_str(), answer.trailers),
            ("world", Some(sum))
        );
    });
}

#[test]
fn a_client_that_cancels_has_its_request_cancelled_at_the_member() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&[member.url()]).start();
        let client = connect(proxy.address()).await;
        // Before the head of the answer, and within its body.
        let (answer, mut body) = begin(&client, grpc("/early")).await;
        let (_, mut respond) = member.next().await;
        body.send_reset(h2::Reason::CANCEL);
        let reset = std::future::poll_fn(|context| respond.poll_reset(context)).await;
        assert_eq!(reset.unwrap(), h2::Reason::CANCEL);
        drop(answer);

        let (answer, mut body) = begin(&client, grpc("/late")).await;
        let (_, mut respond) = member.next().await;
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let answer = answer.await.unwrap();
        body.send_reset(h2::Reason::CANCEL);
        let reset = std::future::poll_fn(|context| stream.poll_reset(context)).await;
        assert!(reset.is_ok());
        drop(answer);
        let on = tokio::join!(ask(&client, get("/")), member.answer_next("on")).0;
        assert_eq!((on.text().as_str(), member.connections()), ("on", 1));
    });
}

#[test]
fn what_a_member_has_not_looked_at_goes_to_another_even_a_post() {
    wait_for(async {
        let (first, second) = (Member::start(100).await, Member::start(100).await);
        let proxy = before(&[first.url(), second.url()]).start();
        let client = connect(proxy.address()).await;
        let (answer, mut body) = begin(&client, grpc("/")).await;
        body.send_data(Bytes::from_static(b"kept"), true).unwrap();
        let (_, mut respond) = first.next().await;
        respond.send_reset(h2::Reason::REFUSED_STREAM);
        let request = second.answer_next("second").await;
        let (body, _) = read(&mut request.into_body()).await.unwrap();
        assert_eq!(body, b"kept");
        assert_eq!(whole(answer.await.unwrap()).await.unwrap().text(), "second");
    });
}

/// How many interim responses a request may have.
const MAX_INTERIM: usize = 64;

#[test]
fn a_flood_of_interim_responses_of_a_member_is_bounded() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&[member.url()]).start();
        let client = connect(proxy.address()).await;
        for (count, status) in [(MAX_INTERIM, 200), (MAX_INTERIM + 1, 502)] {
            let answering = async {
                let (_, mut respond) = member.next().await;
                for _ in 0..count {
                    let early = Response::builder().status(103).body(());
                    respond.send_informational(early.unwrap()).unwrap();
                }
                match status {
                    200 => drop(respond.send_response(Response::new(()), true)),
                    _ => drop(std::future::poll_fn(|context| respond.poll_reset(context)).await),
                }
            };
            let (answer, ()) = tokio::join!(ask(&client, get("/")), answering);
            assert_eq!(answer.head.status, status, "{count}");
        }
    });
}

#[test]
fn messages_stream_both_ways_at_once() {
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&[member.url()]).start();
        let client = connect(proxy.address()).await;
        let (answer, mut to_member) = begin(&client, grpc("/talk")).await;
        let (request, mut respond) = member.next().await;
        let mut at_member = request.into_body();
        let mut to_client = respond.send_response(Response::new(()), false).unwrap();
        let mut at_client = answer.await.unwrap().into_body();
        for message in ["one", "two", "three"] {
            to_member.send_data(message.into(), false).unwrap();
            let come = at_member.data().await.unwrap().unwrap();
            assert_eq!(come, message);
            to_client.send_data(come, false).unwrap();
            assert_eq!(at_client.data().await.unwrap().unwrap(), message);
        }
    });
}

#[test]
fn no_more_is_taken_from_one_side_than_the_other_takes() {
    const MAX_BUFFERED: usize = 8 * 1024 * 1024;
    wait_for(async {
        let member = Member::start(100).await;
        let proxy = before(&[member.url()]).start();
        let client = connect(proxy.address()).await;
        // The member would send without end, and the client takes nothing.
        let (answer, _body) = begin(&client, get("/down")).await;
        let (_request, mut respond) = member.next().await;
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        let _unread = answer.await.unwrap();
        let down = fill(&mut stream).await;
        assert!(
            (1..MAX_BUFFERED).contains(&down),
            "{down} bytes are waiting"
        );
        // The other way round.
        let (_answer, mut body) = begin(&client, grpc("/up")).await;
        let (_unread, _respond) = member.next().await;
        let up = fill(&mut body).await;
        assert!((1..MAX_BUFFERED).contains(&up), "{up} bytes are waiting");
    });
}

/// Sends until nothing is taken for a while: how many bytes were.
async fn fill(stream: &mut h2::SendStream<Bytes>) -> usize {
    let (piece, mut sent) = (Bytes::from(vec![0; 16 * 1024]), 0);
    let pause = std::time::Duration::from_millis(500);
    while let Ok(taken) = tokio::time::timeout(pause, send(stream, piece.clone())).await {
        taken.expect("the stream is open");
        sent += piece.len();
        assert!(sent < 64 * 1024 * 1024, "there is no bound");
    }
    sent
}

#[test]
fn a_client_that_takes_nothing_loses_that_answer_and_no_other() {
    let [b1] = [Origin::named("b1")
        .answering(|exchange| match exchange.target() {
            "/large" => exchange.stream(4 * 1024 * 1024),
            _ => exchange.answer("b1"),
        })
        .start()];
    let proxy = Proxy::before(&[&b1])
        .limits("client-timeout = \"300ms\"\nclient-rate = \"1MB\"")
        .start();
    wait_for(async {
        let client = connect(proxy.address()).await;
        let mut asking = client.clone().ready().await.unwrap();
        let (answer, _) = asking.send_request(get("/large"), true).unwrap();
        let mut unread = answer.await.unwrap().into_body();
        // It takes what it has window for, and never gives more.
        let ended = loop {
            match unread.data().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => break error,
                None => panic!("an answer that is not whole ends well"),
            }
        };
        assert!(ended.is_reset(), "{ended}");
        assert_eq!(ask(&client, get("/")).await.text(), "b1");
    });
}

#[test]
fn a_connection_without_requests_is_closed_after_keepalive_timeout() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .limits("keepalive-timeout = \"200ms\"")
        .start();
    wait_for(async {
        let stream = tokio::net::TcpStream::connect(proxy.address())
            .await
            .unwrap();
        let (client, connection) = h2::client::handshake(stream).await.unwrap();
        let ended = tokio::task::spawn_local(connection);
        assert_eq!(ask(&client, get("/")).await.text(), "b1");
        assert!(ended.await.unwrap().is_ok(), "it is told before");
    });
}

#[test]
fn a_program_that_stops_tells_its_clients_and_finishes_what_is_under_way() {
    wait_for(async {
        let member = Member::start(100).await;
        let mut proxy = before(&[member.url()]).start();
        let client = connect(proxy.address()).await;
        let (answer, mut body) = begin(&client, grpc("/")).await;
        body.send_data(Bytes::new(), true).unwrap();
        let (_request, mut respond) = member.next().await;
        proxy.signal(Signal::TERM);
        // No request may begin any more; the client hears of that while the other is under way.
        while try_ask_now(&client).await {}
        let mut stream = respond.send_response(Response::new(()), false).unwrap();
        stream
            .send_data(Bytes::from_static(b"whole"), true)
            .unwrap();
        assert_eq!(whole(answer.await.unwrap()).await.unwrap().text(), "whole");
        drop(client);
        assert!(
            tokio::task::spawn_blocking(move || proxy.wait())
                .await
                .unwrap()
                .success()
        );
    });
}

/// Whether another request may begin.
async fn try_ask_now(client: &h2::client::SendRequest<Bytes>) -> bool {
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    client.clone().ready().await.is_ok()
}

#[test]
fn a_websocket_comes_by_extended_connect() {
    let member = Origin::named("echo")
        .answering(|exchange| {
            exchange.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Accept: x\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
            );
            exchange.echo_bytes();
        })
        .start();
    let proxy = Proxy::before(&[])
        .member(&member, "upgrade = \"websocket\"")
        .start();
    let extended = || {
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri("http://lb.test/chat");
        let request = request.header("sec-websocket-version", "13");
        request
            .extension(Protocol::from_static("websocket"))
            .body(())
            .unwrap()
    };
    wait_for(async {
        let client = connect(proxy.address()).await;
        // The setting that allows it comes with the first answer, at the latest.
        let (answer, mut to_member) = loop {
            let mut client = client.clone().ready().await.unwrap();
            if client.is_extended_connect_protocol_enabled() {
                break client.send_request(extended(), false).unwrap();
            }
            tokio::task::yield_now().await;
        };
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["sec-websocket-protocol"], "chat");
        assert!(answer.headers().get("sec-websocket-accept").is_none());
        let mut from_member = answer.into_body();
        to_member
            .send_data(Bytes::from_static(b"hello"), false)
            .unwrap();
        assert_eq!(from_member.data().await.unwrap().unwrap(), "hello");
        to_member.send_data(Bytes::new(), true).unwrap();
        while let Some(more) = from_member.data().await {
            assert!(more.unwrap().is_empty(), "nothing more comes");
        }
    });
    let head = member.only_request().head;
    assert_eq!(head.start, "GET /chat HTTP/1.1");
    assert_eq!(head.field("upgrade"), Some("websocket"));
    assert_eq!(head.field("sec-websocket-version"), Some("13"));
}

#[test]
fn extended_connect_to_a_member_that_takes_no_upgrade_is_not_implemented() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    wait_for(async {
        let client = connect(proxy.address()).await;
        ask(&client, get("/")).await;
        let request = Request::builder()
            .method(Method::CONNECT)
            .uri("http://lb.test/chat");
        let request = request
            .extension(Protocol::from_static("websocket"))
            .body(())
            .unwrap();
        let (answer, _body) = begin(&client, request).await;
        assert_eq!(answer.await.unwrap().status(), 501);
    });
    assert_eq!(b1.hits(), 1);
}
