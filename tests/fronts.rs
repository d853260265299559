//! How clients are met before their first request, and members after the connection is made: PROXY headers, redirects, socket
//! files.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::thread;

use crate::harness::{Origin, Proxy};

const TRUSTED: &str = "proxy-protocol = { from = [\"127.0.0.1\"] }";

/// A PROXY header of version 2 for a client at 192.0.2.7.
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\x1f\x90\0\x50";

#[test]
fn a_trusted_proxy_says_where_the_client_is() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).listen(TRUSTED).start();
    for header in [&b"PROXY TCP4 192.0.2.7 127.0.0.1 8080 80\r\n"[..], V2] {
        let mut client = proxy.client();
        // In pieces, and the request right behind it.
        let (start, rest) = header.split_at(9);
        client.send(start);
        client.send([rest, b"GET / HTTP/1.1\r\nHost: lb.test\r\n\r\n"].concat());
        assert_eq!(client.response().text(), "b1");
        assert_eq!(client.get("/").text(), "b1");
    }
    for hit in 0..4 {
        let request = b1.request(hit);
        assert_eq!(
            request.head.field("x-forwarded-for"),
            Some("192.0.2.7"),
            "{hit}"
        );
    }
}

#[test]
fn a_trusted_proxy_that_speaks_for_itself_is_the_client() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).listen(TRUSTED).start();
    let mut client = proxy.client();
    client.send(b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0GET / HTTP/1.1\r\nHost: lb.test\r\n\r\n");
    assert_eq!(client.response().text(), "b1");
    let mut client = proxy.client();
    client.send("PROXY UNKNOWN\r\nGET / HTTP/1.1\r\nHost: lb.test\r\n\r\n");
    assert_eq!(client.response().text(), "b1");
    assert_eq!(
        b1.request(1).head.field("x-forwarded-for"),
        Some("127.0.0.1")
    );
}

#[test]
fn a_trusted_proxy_that_says_nothing_or_nonsense_is_sent_away() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).listen(TRUSTED).start();
    for nonsense in [
        "GET / HTTP/1.1\r\nHost: lb.test\r\n\r\n",
        "PROXY TCP4 1.2.3.4\r\nGET / HTTP/1.1\r\nHost: lb.test\r\n\r\n",
    ] {
        let mut client = proxy.client();
        let _ = client.try_send(nonsense);
        assert!(client.is_closed(), "{nonsense:?}");
    }
    assert_eq!(b1.hits(), 0);
}

#[test]
fn whoever_is_not_trusted_cannot_say_where_a_client_is() {
    let [b1] = Origin::some();
    let keys = "proxy-protocol = { from = [\"192.0.2.0/24\"] }";
    let proxy = Proxy::before(&[&b1]).listen(keys).start();
    let mut client = proxy.client();
    client
        .send("PROXY TCP4 192.0.2.7 127.0.0.1 8080 80\r\nGET / HTTP/1.1\r\nHost: lb.test\r\n\r\n");
    assert!(client.response().status() >= 400);
    assert_eq!(proxy.get("/").text(), "b1");
    assert_eq!(
        b1.only_request().head.field("x-forwarded-for"),
        Some("127.0.0.1")
    );
}

#[test]
fn a_member_is_told_where_the_client_is_on_a_connection_of_the_requests_own() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let member = thread::spawn(move || {
        [(); 2].map(|()| {
            let (stream, client) = listener.accept().unwrap();
            let (mut reader, mut line) = (BufReader::new(stream), String::new());
            reader.read_line(&mut line).unwrap();
            let told = line.clone();
            while line != "\r\n" {
                line.clear();
                reader.read_line(&mut line).unwrap();
            }
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
            reader.get_mut().write_all(answer).unwrap();
            (told, client)
        })
    });
    let proxy = Proxy::before(&[])
        .member_at(&url, "proxy-protocol = \"v1\"")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(client.get("/").status(), 200);
    for (told, from) in member.join().unwrap() {
        assert!(
            told.starts_with("PROXY TCP4 127.0.0.1 127.0.0.1 "),
            "{told}"
        );
        assert!(
            told.ends_with(&format!(" {}\r\n", from.port())),
            "{told} {from}"
        );
    }
}

#[test]
fn a_listener_may_send_everybody_to_https() {
    let [b1] = Origin::some();
    for (port, place) in [
        (443, "https://lb.test/a?b=c"),
        (8443, "https://lb.test:8443/a?b=c"),
    ] {
        let keys = format!("https-redirect = {port}");
        let proxy = Proxy::before(&[&b1]).listen(&keys).start();
        let response = proxy.exchange("GET /a?b=c", &[]);
        assert_eq!(response.status(), 308);
        assert_eq!(response.field("location"), Some(place));
        let mut client = proxy.client();
        client.send("GET / HTTP/1.0\r\n\r\n");
        assert_eq!(client.response().status(), 400, "no host to redirect to");
    }
    assert_eq!(b1.hits(), 0);
}

#[test]
fn nobody_can_say_which_certificate_a_client_has() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1]).start();
    proxy.exchange(
        "GET /",
        &[
            "Client-Cert: :Zm9yZ2Vk:",
            "client_cert: x",
            "Client-Cert-Chain: x",
            "X_Forwarded_For: 6.6.6.6",
        ],
    );
    let head = b1.only_request().head;
    for name in [
        "client-cert",
        "client_cert",
        "client-cert-chain",
        "x_forwarded_for",
    ] {
        assert_eq!(head.field(name), None, "{name}");
    }
}

#[test]
fn a_member_may_listen_at_a_socket_file() {
    let directory = tempfile::TempDir::new().unwrap();
    let path = directory.path().join("app.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let member = thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut heads = Vec::new();
        for _ in 0..2 {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                head.push(byte[0]);
            }
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nunix")
                .unwrap();
            heads.push(String::from_utf8(head).unwrap());
        }
        heads
    });
    let url = format!("unix:{}|http://app.internal/base", path.display());
    let proxy = Proxy::before(&[])
        .top("workers = 1")
        .member_at(&url, "")
        .start();
    assert_eq!(proxy.get("/a").text(), "unix");
    assert_eq!(proxy.get("/b").text(), "unix");
    let heads = member.join().unwrap();
    assert!(
        heads[0].starts_with("GET /base/a HTTP/1.1\r\n"),
        "{}",
        heads[0]
    );
    assert!(
        heads[0]
            .to_lowercase()
            .contains("\r\nhost: app.internal\r\n"),
        "{}",
        heads[0]
    );
}
