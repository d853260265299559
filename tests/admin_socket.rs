//! The admin listener at a socket file.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};

use crate::harness::proxy::{Start, server};
use crate::harness::{Origin, Proxy, Signal, WAIT_TIMEOUT, program};

fn start(members: &[&Origin]) -> Start {
    Proxy::before(members).routes(
        "[admin]\naddress = \"unix:admin.sock\"\n[[route]]\npath = \"/\"\nbalancer = \"cluster\"",
    )
}

/// The answer to a request over the socket, all of it.
#[track_caller]
pub(crate) fn ask(proxy: &Proxy, line: &str, fields: &str, body: &str) -> String {
    let mut stream = UnixStream::connect(proxy.path("admin.sock")).expect("a listener");
    stream
        .set_read_timeout(Some(WAIT_TIMEOUT))
        .expect("a socket takes options");
    let length = body.len();
    let request = format!(
        "{line} HTTP/1.1\r\nContent-Length: {length}\r\n{fields}Connection: close\r\n\r\n{body}"
    );
    stream.write_all(request.as_bytes()).expect("it is taken");
    stream.shutdown(Shutdown::Write).expect("it is open");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

/// No page of the web can ask here, so there is no need to name the listener by its address.
#[test]
fn who_may_open_the_file_may_ask_and_change() {
    let [b1, b2] = Origin::some();
    let proxy = start(&[&b1, &b2]).start();
    let mode = fs::metadata(proxy.path("admin.sock")).expect("the file");
    assert_eq!(mode.permissions().mode() & 0o777, 0o600);
    for host in ["localhost", "admin", "127.0.0.1:1"] {
        let host = format!("Host: {host}\r\n");
        let answer = ask(&proxy, "GET /api/v1/balancers", &host, "");
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains(&b1.url()), "{answer}");
    }
    let fields = "Host: localhost\r\nContent-Type: application/json\r\n";
    let path = "PATCH /api/v1/balancers/cluster/members/0";
    let answer = ask(&proxy, path, fields, "{\"status\": \"+D\"}");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert_eq!(proxy.served(4), ["b2"; 4]);
    proxy
        .stderr
        .line_with("by the operator at the admin socket");
}

#[test]
fn what_was_left_is_replaced_and_nothing_is_left() {
    let [b1] = Origin::some();
    let left = |directory: &std::path::Path| {
        drop(UnixListener::bind(directory.join("admin.sock")).expect("a socket"));
    };
    let mut proxy = start(&[&b1]).preparing(left).start();
    let answer = ask(&proxy, "GET /healthz", "Host: localhost\r\n", "");
    assert!(answer.ends_with("ok\n"), "{answer}");
    proxy.signal(Signal::TERM);
    assert_eq!(proxy.wait().code(), Some(0));
    assert!(!proxy.path("admin.sock").exists());
}

#[test]
fn a_second_program_is_refused() {
    let [b1] = Origin::some();
    let proxy = start(&[&b1]).start();
    let config = proxy.path("equipoise.toml");
    let second = program(&["run", config.to_str().expect("UTF-8")])
        .output()
        .expect("it runs");
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        said.contains("admin.sock: another program listens there"),
        "{said}"
    );
    let answer = ask(&proxy, "GET /healthz", "Host: localhost\r\n", "");
    assert!(answer.ends_with("ok\n"), "{answer}");
}

#[test]
fn the_socket_stays_when_another_program_takes_over() {
    let [b1] = Origin::some();
    let mut proxy = start(&[&b1]).start();
    for _ in 0..2 {
        let before = proxy.process();
        proxy.restart();
        for _ in 0..3 {
            let answer = ask(&proxy, "GET /healthz", "Host: localhost\r\n", "");
            assert!(answer.ends_with("ok\n"), "{answer}");
        }
        Proxy::wait_for(before);
        let answer = ask(&proxy, "GET /healthz", "Host: localhost\r\n", "");
        assert!(answer.ends_with("ok\n"), "{answer}");
    }
    assert_eq!(server(&proxy.get("/")), "b1");
    let last = proxy.process();
    proxy.signal(Signal::TERM);
    Proxy::wait_for(last);
    assert!(!proxy.path("admin.sock").exists());
}
