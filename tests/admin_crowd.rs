//! The admin listener with many slow connections: they shut no client out.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::admin::client;
use crate::harness::{Origin, Proxy, eventually};

const TOKEN: &str = "correct-horse-battery-staple";

/// How many of each kind there are all the time: with five kinds, many more than the listener has room for.
const EACH: usize = 50;

/// How long they wait before they go on, or come again.
const INTERVAL: Duration = Duration::from_millis(50);

/// How clients dawdle: what they send at first, what from then on, again and again, and whether they read.
#[derive(Clone, Copy)]
struct Way {
    first: &'static str,
    next: &'static str,
    reads: bool,
}

const WAYS: [(&str, Way); 5] = [
    (
        "silent",
        Way {
            first: "",
            next: "",
            reads: true,
        },
    ),
    (
        "a slow head",
        Way {
            first: "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
            next: "a",
            reads: true,
        },
    ),
    (
        "a slow body without the token",
        Way {
            first: "PATCH /api/v1/balancers/cluster/members/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\
                    Content-Type: application/json\r\nContent-Length: 100000\r\n\r\n{",
            next: " ",
            reads: true,
        },
    ),
    (
        "idle behind an answer",
        Way {
            first: "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            next: "",
            reads: true,
        },
    ),
    (
        "answers that are not read",
        Way {
            first: "GET /balancer-manager/style.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            next: "GET /balancer-manager/style.css HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
            reads: false,
        },
    ),
];

/// Clients who dawdle, and come again as soon as they are sent away, until this is dropped.
struct Crowd {
    /// Its end tells them to go.
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Crowd {
    fn gather(address: SocketAddr, way: Way) -> Self {
        let (stop, stopped) = channel();
        let thread = thread::spawn(move || {
            let mut clients: Vec<Option<TcpStream>> = (0..EACH).map(|_| None).collect();
            loop {
                for client in &mut clients {
                    let goes_on = client.as_mut().is_some_and(|it| dawdle(it, way).is_ok());
                    if !goes_on {
                        *client = come(address, way).ok();
                    }
                }
                if stopped.recv_timeout(INTERVAL) != Err(RecvTimeoutError::Timeout) {
                    return;
                }
            }
        });
        Self {
            stop: Some(stop),
            thread: Some(thread),
        }
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        drop(self.stop.take());
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn come(address: SocketAddr, way: Way) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(way.first.as_bytes())?;
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Goes on as slowly as before; an error when the connection is gone.
fn dawdle(stream: &mut TcpStream, way: Way) -> io::Result<()> {
    let is_slow = |error: &io::Error| error.kind() == io::ErrorKind::WouldBlock;
    match stream.write(way.next.as_bytes()) {
        Err(error) if !is_slow(&error) => return Err(error),
        _ => {}
    }
    if !way.reads {
        return Ok(());
    }
    match stream.read(&mut [0; 4096]) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Err(error) if !is_slow(&error) => Err(error),
        _ => Ok(()),
    }
}

/// Connections to the admin listener that the program has open.
fn connected(proxy: &Proxy, address: SocketAddr) -> usize {
    let table = std::fs::read_to_string(format!("/proc/{}/net/tcp", proxy.process()));
    let local = format!(" 0100007F:{:04X} ", address.port());
    let established = " 01 ";
    let lines = table.expect("a table of sockets");
    let ours = lines.lines().filter(|line| {
        let own = line.split_whitespace().nth(1).unwrap_or_default();
        format!(" {own} ") == local && line.contains(established)
    });
    ours.count()
}

#[test]
fn slow_connections_without_the_token_shut_nobody_out() {
    let [b1] = Origin::some();
    let proxy = Proxy::before(&[&b1])
        .routes(
            "[admin]\naddress = \"127.0.0.1:0\"\ntoken-file = \"token\"\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
        )
        .file("token", TOKEN)
        .start();
    let said = proxy.stderr.line_with("the admin listener is open");
    let address = said.rsplit("address=").next().expect("the address");
    let address = address.trim().parse().expect("an address");
    let crowds = WAYS.map(|(_, way)| Crowd::gather(address, way));
    eventually("more are there than there is room for", || {
        (connected(&proxy, address) >= 64).then_some(())
    });
    let token = format!("Authorization: Bearer {TOKEN}\r\n");
    for round in 0..30 {
        for (path, fields) in [
            ("/healthz", ""),
            ("/readyz", ""),
            ("/metrics", &*token),
            ("/api/v1/balancers", &token),
        ] {
            let mut client = client(&proxy);
            let line = format!("GET {path}");
            client.send(format!(
                "{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n{fields}\r\n"
            ));
            let response = client.response_to(&line);
            assert_eq!(response.status(), 200, "round {round}: {path}");
        }
    }
    drop(crowds);
    assert_eq!(proxy.served(1), ["b1"]);
}

/// An operator who is being answered is not sent away for those who come later, and changes are made among them.
#[test]
fn operators_change_things_while_others_dawdle() {
    let [b1, b2] = Origin::some();
    let proxy = Proxy::before(&[&b1, &b2])
        .routes(
            "[admin]\naddress = \"127.0.0.1:0\"\ntoken-file = \"token\"\n\
             [[route]]\npath = \"/\"\nbalancer = \"cluster\"",
        )
        .file("token", TOKEN)
        .start();
    let said = proxy.stderr.line_with("the admin listener is open");
    let address = said.rsplit("address=").next().expect("the address");
    let address = address.trim().parse().expect("an address");
    let crowds = WAYS.map(|(_, way)| Crowd::gather(address, way));
    eventually("more are there than there is room for", || {
        (connected(&proxy, address) >= 64).then_some(())
    });
    // One connection for all of it, kept alive; it is known by its token.
    let mut operator = client(&proxy);
    for number in 0..30 {
        let body = format!("{{\"loadfactor\": {}}}", 1 + number % 3);
        operator.send(format!(
            "PATCH /api/v1/balancers/cluster/members/0 HTTP/1.1\r\nHost: 127.0.0.1\r\n\
             Authorization: Bearer {TOKEN}\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        ));
        assert_eq!(operator.response().status(), 200, "{number}");
    }
    drop(crowds);
}
