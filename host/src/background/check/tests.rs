//! Checks of members that behave in every way, over real sockets.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use equipoise_http::Limits;
use http::HeaderValue;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::task::{JoinHandle, LocalSet};

use super::*;
use crate::full_body::FullBody;
use equipoise_config::Config;
use equipoise_dns::{Resolver, refresh_once};
use equipoise_proxy::upstream::Endpoint;

const GET: &str = "hcmethod = \"GET\"";

/// A time that no test waits for.
const PATIENT: &str = "hctimeout = \"60s\"";

/// The member at an address as it is checked with these lines of configuration.
fn target(authority: &str, lines: &str, reads_bodies: bool) -> Target {
    target_at(&format!("http://{authority}"), lines, reads_bodies)
}

/// The member with a URL as it is checked with these lines of configuration.
fn target_at(url: &str, lines: &str, reads_bodies: bool) -> Target {
    let text = format!(
        "[[listen]]\naddress = \"127.0.0.1:0\"\n[[route]]\npath = \"/\"\nbalancer = \"b\"\n
        [[balancer.b.member]]\nurl = \"{url}\"\n{lines}\n"
    );
    let config = Config::parse(&text, Path::new("test.toml"));
    let config = config.unwrap_or_else(|mistakes| panic!("{mistakes}"));
    let member = &config.balancers[0].members[0];
    let endpoint = Arc::new(Endpoint::new(member, None, None));
    Target::new(7, endpoint, reads_bodies, Limits::default(), permits())
        .expect("a method is written")
}

/// The same with a name that has been asked for.
async fn target_by_name(authority: &str) -> Target {
    let target = target(authority, GET, false);
    let addresses = target.endpoint.addresses.as_ref();
    let resolver = Resolver::new(equipoise_config::Resolver::default());
    refresh_once(addresses.expect("a name"), &resolver).await;
    target
}

/// Goal: an answer that we are too late for is no fault of the member. Method: this thread does nothing for longer than a check
/// may take, once it has begun; the member answers from a thread of its own.
#[tokio::test]
async fn a_check_does_not_fail_by_our_own_delay() {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let member = std::thread::spawn(move || {
        use std::io::{Read as _, Write as _};
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        assert!(stream.read(&mut request).unwrap() > 0);
        // As long as an answer over a network takes: it is not there at once.
        std::thread::sleep(Duration::from_millis(5));
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
    });
    let lines = format!("{GET}\nhctimeout = \"100ms\"");
    let target = target(&address.to_string(), &lines, false);
    let delay = async {
        std::thread::sleep(Duration::from_millis(300));
    };
    let (finding, ()) = tokio::join!(check_once(&target, || Duration::ZERO), delay);
    assert!(finding.probe.passed, "{}", finding.detail);
    member.join().unwrap();
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// Takes one connection and reads the head of a request from it.
async fn take_request(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        let byte = stream.read_u8().await.unwrap();
        request.push(byte);
    }
    (stream, String::from_utf8(request).unwrap())
}

/// A member that answers one request with these bytes and closes; tells the request.
async fn member(answer: impl Into<Vec<u8>>) -> (SocketAddr, JoinHandle<String>) {
    let (answer, (listener, address)) = (answer.into(), listen().await);
    let serving = tokio::spawn(async move {
        let (mut stream, request) = take_request(&listener).await;
        // The check may close first.
        let _ = stream.write_all(&answer).await;
        request
    });
    (address, serving)
}

async fn check(target: &Target) -> CheckReport {
    check_once(target, || Duration::from_millis(1234)).await
}

/// What a check finds at a member that answers so, with the body if `reads_bodies`.
async fn finding(answer: impl Into<Vec<u8>>, lines: &str, reads_bodies: bool) -> CheckReport {
    let (address, _) = member(answer).await;
    check(&target(
        &address.to_string(),
        &format!("{PATIENT}\n{lines}"),
        reads_bodies,
    ))
    .await
}

/// The body that a health plugin sees.
async fn body(answer: impl Into<Vec<u8>>) -> Result<Vec<u8>, Failure> {
    let finding = finding(answer, GET, true).await;
    finding.probe.response.map(|answer| answer.body)
}

async fn failure(answer: &[u8], lines: &str) -> (Failure, String) {
    let finding = finding(answer, lines, true).await;
    assert!(!finding.probe.passed);
    (
        finding.probe.response.expect_err("no response"),
        finding.detail,
    )
}

/// Whether the answer is as expected, and the detail where it is not.
async fn expected(answer: &str, expect: &str) -> Result<(), String> {
    let finding = finding(answer, &format!("{GET}\nhcexpect = {expect}"), false).await;
    if finding.probe.passed {
        Ok(())
    } else {
        assert!(finding.probe.response.is_ok(), "{finding:?}");
        Err(finding.detail)
    }
}

#[tokio::test]
async fn a_well_member_is_found_well() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let CheckReport { probe, detail } = finding(answer, GET, false).await;
    assert_eq!((probe.member, probe.at_ms, probe.passed), (7, 1234, true));
    assert!(probe.latency_us > 0);
    let answer = probe.response.unwrap();
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b""[..]));
    assert!(
        detail.starts_with("200 in ") && detail.ends_with(" ms"),
        "{detail}"
    );
}

#[tokio::test]
async fn the_request_is_the_one_that_is_configured() {
    let ok = "HTTP/1.0 204 No Content\r\n\r\n";
    let request = async |lines: &str| {
        let (address, request) = member(ok).await;
        let finding = check(&target(&address.to_string(), lines, false)).await;
        assert!(finding.probe.passed, "{finding:?}");
        let request = request.await.unwrap();
        request.replace(&address.to_string(), "ADDRESS")
    };
    assert_eq!(
        request(GET).await,
        "GET / HTTP/1.0\r\nHost: ADDRESS\r\n\r\n"
    );
    assert_eq!(
        request("hcmethod = \"OPTIONS\"").await,
        "OPTIONS * HTTP/1.0\r\nHost: ADDRESS\r\n\r\n"
    );
    assert_eq!(
        request("hcmethod = \"HEAD11\"\nhcuri = \"/h?a\"\nhchost = \"app\"\nhcheaders = { x-probe = \"1\" }").await,
        "HEAD /h?a HTTP/1.1\r\nHost: app\r\nConnection: close\r\nx-probe: 1\r\n\r\n"
    );
}

#[tokio::test]
async fn a_connection_is_all_that_a_tcp_check_asks_for() {
    let (listener, address) = listen().await;
    let target = target(&address.to_string(), "hcmethod = \"TCP\"", true);
    let CheckReport { probe, detail } = check(&target).await;
    assert!(
        probe.passed && detail.starts_with("connected in "),
        "{detail}"
    );
    assert_eq!(probe.response.unwrap().status, 0);
    let (mut stream, _) = listener.accept().await.unwrap();
    assert_eq!(
        stream.read(&mut [0]).await.unwrap(),
        0,
        "closed without a word"
    );
}

#[tokio::test]
async fn another_port_may_be_checked() {
    let (address, _) = member("HTTP/1.0 200 OK\r\n\r\n").await;
    let lines = format!("{GET}\nhcport = {}", address.port());
    assert!(
        check(&target("127.0.0.1:1", &lines, false))
            .await
            .probe
            .passed
    );
}

#[tokio::test]
async fn every_address_of_a_name_is_tried() {
    let (address, _) = member("HTTP/1.0 200 OK\r\n\r\n").await;
    let authority = format!("localhost:{}", address.port());
    let target = target_by_name(&authority).await;
    assert!(check(&target).await.probe.passed);
}

#[tokio::test]
async fn a_refused_connection_is_unreachable() {
    let (listener, address) = listen().await;
    drop(listener);
    for method in ["GET", "TCP"] {
        let lines = format!("hcmethod = \"{method}\"");
        let CheckReport { probe, detail } =
            check(&target(&address.to_string(), &lines, false)).await;
        assert_eq!(probe.response, Err(Failure::Unreachable));
        assert_eq!(detail, "no connection: Connection refused");
        assert!(!probe.passed);
    }
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_unreachable() {
    let finding = check(&target_by_name("nowhere.invalid").await).await;
    assert_eq!(finding.probe.response, Err(Failure::Unreachable));
    assert!(
        finding
            .detail
            .starts_with("no connection: no address of nowhere.invalid: "),
        "{}",
        finding.detail
    );
}

#[tokio::test]
async fn a_status_that_is_not_expected_is_an_answer_all_the_same() {
    let finding = finding("HTTP/1.1 503 Busy\r\n\r\n", GET, false).await;
    assert_eq!(finding.probe.response.unwrap().status, 503);
    assert_eq!(
        (finding.probe.passed, &*finding.detail),
        (false, "503, expected 200-399")
    );
}

#[tokio::test]
async fn status_fields_and_body_must_all_be_as_expected() {
    let answer =
        "HTTP/1.1 404 None\r\nX-Ready:  yes \r\nX-Ready: no\r\nContent-Length: 5\r\n\r\nit ok";
    let table = [
        ("{ status = 404 }", Ok(())),
        ("{ status = \"200,400-404\" }", Ok(())),
        (
            "{ status = [200, \"301-302\"] }",
            Err("404, expected 200,301-302"),
        ),
        ("{ body = \"ok\" }", Err("404, expected 200-399")),
        (
            "{ status = 404, header = { x-ready = \"yes\" }, body = \"ok$\" }",
            Ok(()),
        ),
        ("{ status = 404, header = { X-READY = \" no \" } }", Ok(())),
        (
            "{ status = 404, header = { x-ready = \"Yes\" } }",
            Err("x-ready is \"yes\", expected \"Yes\""),
        ),
        (
            "{ status = 404, header = { x-more = \"1\", x-ready = \"yes\" } }",
            Err("x-more is missing, expected \"1\""),
        ),
        (
            "{ status = 404, body = \"^ok\" }",
            Err("the body does not match `^ok`"),
        ),
    ];
    for (expect, result) in table {
        let result = result.map_err(str::to_owned);
        assert_eq!(expected(answer, expect).await, result, "{expect}");
    }
}

#[tokio::test]
async fn what_a_member_says_does_not_disturb_the_log() {
    let answer = format!("HTTP/1.1 200 OK\r\nx: \u{85}{}\r\n\r\n", "a".repeat(500));
    let detail = expected(&answer, "{ header = { x = \"1\" } }")
        .await
        .unwrap_err();
    assert!(
        detail.chars().all(|part| !part.is_control()) && detail.len() < 100,
        "{detail}"
    );
}

#[tokio::test]
async fn health_plugins_see_the_fields_in_hcreport() {
    let answer = "HTTP/1.1 200 OK\r\nX-Load: 3\r\nother: 1\r\nx-load: 4\r\n\r\n";
    let lines = format!("{GET}\nhcreport = [\"X-LOAD\", \"x-none\"]");
    let fields = finding(answer, &lines, false)
        .await
        .probe
        .response
        .unwrap()
        .headers;
    let pair = |value: &str| ("x-load".to_owned(), value.to_owned());
    assert_eq!(fields, [pair("3"), pair("4")]);
}

#[tokio::test]
async fn bodies_of_every_framing_are_read() {
    let ok = |answer: &str| (answer.to_owned(), Ok(b"hello".to_vec()));
    let cases = [
        ok("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more"),
        ok(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=1\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
        ),
        ok("HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n"),
        ok("HTTP/1.0 200 OK\r\n\r\nhello"),
        ok(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nlink: a\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello",
        ),
        (
            "HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\nhello".to_owned(),
            Ok(Vec::new()),
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned(),
            Ok(Vec::new()),
        ),
    ];
    for (answer, expected) in cases {
        assert_eq!(body(&*answer).await, expected, "{answer}");
    }
}

#[tokio::test]
async fn an_answer_to_head_has_no_body() {
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n";
    let finding = finding(answer, "hcmethod = \"HEAD\"", true).await;
    assert!(finding.probe.passed && finding.probe.response.unwrap().body.is_empty());
}

#[tokio::test]
async fn no_more_than_64_kib_of_a_body_are_kept() {
    let long = "x".repeat(100_000);
    let chunk = format!("{:x}\r\n{long}\r\n", long.len());
    let answers = [
        format!("HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n{long}"),
        format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{chunk}{chunk}"),
        format!("HTTP/1.0 200 OK\r\n\r\n{long}"),
    ];
    for answer in answers {
        assert_eq!(body(answer).await.unwrap().len(), 64 * 1024);
    }
}

/// The member sends for ever and never closes: enough is enough.
#[tokio::test]
async fn an_endless_body_is_not_read_to_its_end() {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = take_request(&listener).await;
        let _ = stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await;
        while stream.write_all(&[b'x'; 4096]).await.is_ok() {}
    });
    let lines = format!("{GET}\n{PATIENT}");
    let finding = check(&target(&address.to_string(), &lines, true)).await;
    assert_eq!(finding.probe.response.unwrap().body.len(), 64 * 1024);
    serving.await.unwrap();
}

#[tokio::test]
async fn what_is_no_answer_is_unintelligible() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}", "y".repeat(70_000));
    let interim = "HTTP/1.1 102 Wait\r\nx: yyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n\r\n".repeat(2_000);
    let fields: String = (0..300).map(|n| format!("x{n}: 1\r\n")).collect();
    let fields = format!("HTTP/1.1 200 OK\r\n{fields}\r\n");
    let line = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;{}",
        "y".repeat(300)
    );
    let table: &[(&str, &str)] = &[
        ("SSH-2.0-OpenSSH_9.2\r\n", "not a response in HTTP/1"),
        ("HTTP/2 200\r\n\r\n", "not a response in HTTP/1"),
        ("\r\nHTTP/1.1 200 OK\r\n\r\n", "not a response in HTTP/1"),
        (
            "HTTP/1.1 2000 OK\r\n\r\n",
            "the status is not a number of three digits",
        ),
        (
            "HTTP/1.1 200 OK\r\na b: c\r\n\r\n",
            "a field's name is not a token",
        ),
        (&large, "the head is too large"),
        (&interim, "too many interim responses"),
        (&fields, "too many fields"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
            "Content-Length is not a number",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "Content-Length is there more than once",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello",
            "Content-Length is there more than once",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "both Content-Length and Transfer-Encoding",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            "a transfer coding other than chunked",
        ),
        ("HTTP/1.1 200 OK\n\nhello", "a line ends in LF alone"),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
            "a change of protocol",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nhello",
            "a chunk's size is not a hexadecimal number",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nhello",
            "a chunk is longer than its size",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 1\r\n\r\n",
            "a field that must not be in a trailer section",
        ),
        (&line, "the line before a chunk is too long"),
    ];
    for (answer, detail) in table {
        let shown = &answer[..answer.len().min(80)];
        let (failure, told) = failure(answer.as_bytes(), GET).await;
        assert_eq!(failure, Failure::InvalidResponse, "{shown}: {told}");
        let told = told
            .strip_prefix("invalid HTTP/1 response: ")
            .unwrap_or(&told);
        assert!(told.starts_with(detail), "{shown}: {told}");
    }
}

/// A check takes what traffic takes, and nothing else: both read by the same engine.
#[tokio::test]
async fn what_traffic_refuses_a_check_refuses() {
    let answers = [
        "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\n: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\u{1}b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\u{7f}b\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX\u{e9}: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n\r\n",
        "HTTP/1.1 200 OK\r\nX: 1\n\r\n",
        "HTTP/1.1 200 OK\r\nX: 1\r\n\n",
        "HTTP/1.1 200 O\0K\r\n\r\n",
        "HTTP/1.1  200 OK\r\n\r\n",
        "HTTP/1.1 099 No\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.2 200 OK\r\n\r\n",
        "ICY 200 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nok",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: ,chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2 \r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nX : 1\r\n\r\n",
    ];
    for answer in answers {
        let (failure, told) = failure(answer.as_bytes(), GET).await;
        assert_eq!(failure, Failure::InvalidResponse, "{answer:?}: {told}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_told_from_garbage() {
    let table = [
        ("", "closed without a response"),
        ("HTT", "closed in the middle of the head"),
        (
            "HTTP/1.1 200 OK\r\nx: y\r\n",
            "closed in the middle of the head",
        ),
        ("HTTP/1.1 100 Continue\r\n\r\n", "closed without a response"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell",
            "closed in the middle of the body",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
            "closed in the middle of the body",
        ),
    ];
    for (answer, detail) in table {
        let expected = (Failure::Reset, detail.to_owned());
        assert_eq!(failure(answer.as_bytes(), GET).await, expected, "{answer}");
    }
}

#[tokio::test]
async fn a_reset_connection_is_broken_off() {
    for answer in ["", "HTTP/1.0 200 OK\r\n\r\nhell"] {
        let (listener, address) = listen().await;
        let serving = tokio::spawn(async move {
            let (mut stream, _) = take_request(&listener).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            SockRef::from(&stream)
                .set_linger(Some(Duration::ZERO))
                .unwrap();
        });
        let lines = format!("{GET}\n{PATIENT}");
        let finding = check(&target(&address.to_string(), &lines, true)).await;
        assert_eq!(finding.probe.response, Err(Failure::Reset));
        assert_eq!(finding.detail, "connection lost: Connection reset by peer");
        serving.await.unwrap();
    }
}

/// Takes the connection, sends this much, and then nothing for ever.
async fn stalls(after: &'static str) -> CheckReport {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = take_request(&listener).await;
        stream.write_all(after.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    });
    let lines = format!("{GET}\nhctimeout = \"50ms\"");
    let finding = check(&target(&address.to_string(), &lines, true)).await;
    serving.abort();
    finding
}

#[tokio::test]
async fn a_member_that_stalls_is_too_late() {
    let table = [
        ("", "no response within 50ms"),
        ("HTTP/1.1 200 OK\r\n", "no response within 50ms"),
        ("HTTP/1.1 100 Continue\r\n\r\n", "no response within 50ms"),
        (
            "HTTP/1.1 200 OK\r\n\r\nhell",
            "no end of the response within 50ms",
        ),
    ];
    for (after, detail) in table {
        let finding = stalls(after).await;
        assert_eq!(finding.probe.response, Err(Failure::TimedOut), "{after}");
        assert_eq!(finding.detail, detail, "{after}");
        assert!(finding.probe.latency_us >= 50_000);
    }
}

/// A byte now and then does not buy a member more time.
#[tokio::test]
async fn a_slow_drip_is_bounded_by_the_timeout() {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        let (mut stream, _) = take_request(&listener).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nx: ").await;
        while stream.write_all(b"y").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    let lines = format!("{GET}\nhctimeout = \"100ms\"");
    let finding = check(&target(&address.to_string(), &lines, true)).await;
    assert_eq!(finding.probe.response, Err(Failure::TimedOut));
    serving.await.unwrap();
}

/// Each check is a new connection, closed before the next; a member that dies and returns is seen to.
#[tokio::test]
async fn a_member_is_checked_until_the_task_is_dropped() {
    let (listener, address) = listen().await;
    let serving = tokio::spawn(async move {
        for answer in [
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.0 500 No\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
        ] {
            let (mut stream, _) = take_request(&listener).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            assert_eq!(
                stream.read(&mut [0]).await.unwrap(),
                0,
                "closed after a check"
            );
        }
    });
    let lines = format!("{GET}\nhcinterval = \"100ms\"\n{PATIENT}");
    let target = target(&address.to_string(), &lines, false);
    let found = Rc::new(RefCell::new(Vec::new()));
    let local = LocalSet::new();
    let report = {
        let found = found.clone();
        move |finding: CheckReport| found.borrow_mut().push(finding.probe.passed)
    };
    let watching = local.spawn_local(run_checks(target, || Duration::ZERO, report));
    local.run_until(serving).await.unwrap();
    watching.abort();
    // The last answer may still be on its way.
    let found = found.borrow();
    assert!(
        [true, false, true].starts_with(&found) && found.len() >= 2,
        "{found:?}"
    );
}

/// A member of HTTP/2 that answers one connection's requests with a status, these bytes and these trailers; tells the request's
/// head.
async fn member_of_http2(
    status: u16,
    body: &'static [u8],
    fields: &'static [(&'static str, &'static str)],
) -> (SocketAddr, JoinHandle<http::request::Parts>) {
    let (listener, address) = listen().await;
    let serving = tokio::task::spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let seen = Rc::new(RefCell::new(None));
        let noted = seen.clone();
        let service = hyper::service::service_fn(move |request: http::Request<Incoming>| {
            *noted.borrow_mut() = Some(request.into_parts().0);
            let mut response = http::Response::new(FullBody::from(Bytes::from_static(body)));
            *response.status_mut() = http::StatusCode::from_u16(status).unwrap();
            for (name, value) in fields {
                let value = HeaderValue::from_static(value);
                response.headers_mut().insert(*name, value);
            }
            std::future::ready(Ok::<_, std::convert::Infallible>(response))
        });
        let http = hyper::server::conn::http2::Builder::new(Local);
        // The check may close first.
        let _ = http.serve_connection(TokioIo::new(stream), service).await;
        seen.take().unwrap()
    });
    (address, serving)
}

/// Runs what is not to leave the thread.
#[derive(Clone)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

#[tokio::test]
async fn members_of_http2_are_asked_by_it() {
    let asking = async {
        let (address, request) = member_of_http2(200, b"ready", &[("x-load", "7")]).await;
        let lines = format!(
            "{GET}\n{PATIENT}\nhcuri = \"/h?a\"\nhcheaders = {{ x-probe = \"1\" }}\nhcreport = [\"x-load\"]"
        );
        let target = target_at(&format!("h2c://{address}"), &lines, true);
        let CheckReport { probe, detail } = check(&target).await;
        assert!(probe.passed && detail.starts_with("200 in "), "{detail}");
        let answer = probe.response.unwrap();
        assert_eq!((answer.status, &answer.body[..]), (200, &b"ready"[..]));
        assert_eq!(answer.headers, [("x-load".to_owned(), "7".to_owned())]);
        let head = request.await.unwrap();
        assert_eq!(head.uri, format!("http://{address}/h?a").as_str());
        assert_eq!(
            (head.version, &head.headers["x-probe"]),
            (http::Version::HTTP_2, &HeaderValue::from_static("1"))
        );

        let (address, _) = member_of_http2(503, b"", &[]).await;
        let target = target_at(
            &format!("h2c://{address}"),
            &format!("hcmethod = \"OPTIONS\"\n{PATIENT}"),
            false,
        );
        assert_eq!(check(&target).await.detail, "503, expected 200-399");
    };
    LocalSet::new().run_until(asking).await;
}

/// A member that speaks HTTP/1 is found out at once, without waiting.
#[tokio::test]
async fn members_that_speak_no_http2_are_found_out() {
    let asking = async {
        let (listener, address) = listen().await;
        let serving = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let answer = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            stream.shutdown().await.unwrap();
            let _ = stream.read(&mut [0; 1024]).await;
        });
        let target = target_at(
            &format!("h2c://{address}"),
            &format!("{GET}\n{PATIENT}"),
            false,
        );
        let finding = check(&target).await;
        assert_eq!(
            finding.probe.response,
            Err(Failure::Reset),
            "{}",
            finding.detail
        );
        serving.await.unwrap();
    };
    LocalSet::new().run_until(asking).await;
}

#[tokio::test]
async fn members_of_grpc_say_whether_they_serve() {
    const GRPC: &str = "hcmethod = \"GRPC\"\nhcservice = \"shop\"\nhctimeout = \"60s\"";
    let asking = async {
        // By the protocol there is nothing else where the status is in the head; here it may stand there all the same.
        type Fields = &'static [(&'static str, &'static str)];
        type Row = (u16, &'static [u8], Fields, &'static str);
        let ok: Fields = &[("grpc-status", "0")];
        let table: [Row; 5] = [
            (200, b"\0\0\0\0\x02\x08\x01", ok, "SERVING in "),
            (
                200,
                b"\0\0\0\0\x02\x08\x02",
                ok,
                "NOT_SERVING, expected SERVING",
            ),
            (
                200,
                b"",
                &[("grpc-status", "5"), ("grpc-message", "who")],
                "grpc-status 5 (who), expected 0",
            ),
            (200, b"", &[], "invalid gRPC response: no grpc-status"),
            (502, b"", &[], "502, expected 200"),
        ];
        for (status, body, fields, expected) in table {
            let (address, request) = member_of_http2(status, body, fields).await;
            let target = target_at(&format!("h2c://{address}"), GRPC, true);
            let finding = check(&target).await;
            assert!(finding.detail.starts_with(expected), "{}", finding.detail);
            assert_eq!(finding.probe.passed, expected == "SERVING in ");
            let head = request.await.unwrap();
            assert_eq!(head.uri.path(), "/grpc.health.v1.Health/Check");
            assert_eq!(head.method, http::Method::POST);
            assert_eq!(head.headers["content-type"], "application/grpc");
            assert_eq!(head.headers["te"], "trailers");
        }
    };
    LocalSet::new().run_until(asking).await;
}

#[tokio::test]
async fn members_at_socket_files_are_checked_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let serving = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            request.push(stream.read_u8().await.unwrap());
        }
        stream.write_all(b"HTTP/1.0 200 OK\r\n\r\n").await.unwrap();
        String::from_utf8(request).unwrap()
    });
    let url = format!("unix:{}|http://app.internal", path.display());
    let finding = check(&target_at(&url, &format!("{GET}\n{PATIENT}"), false)).await;
    assert!(finding.probe.passed, "{}", finding.detail);
    let request = serving.await.unwrap();
    assert_eq!(request, "GET / HTTP/1.0\r\nHost: app.internal\r\n\r\n");
}
