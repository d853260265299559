//! Listeners that change while a server serves, with real sockets.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::*;
use equipoise_config::Listener;
use equipoise_proxy::downstream::PreparedListeners;
use equipoise_tls::FileContents;

const PATIENCE: Duration = Duration::from_secs(20);

/// A member that answers every request with "ok", for ever.
fn member() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            thread::spawn(move || {
                while read_head(&mut stream).contains("\r\n\r\n") {
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).is_err() {
                        return;
                    }
                }
            });
        }
    });
    address
}

/// A server with one worker and this many places for clients.
fn server(connections: usize) -> Server {
    let text = format!(
        "workers = 1\n[limits]\nconnections = {connections}\n[[listen]]\naddress = \"127.0.0.1:0\"\n\
         [[route]]\npath = \"/\"\nbalancer = \"b\"\n[[balancer.b.member]]\nurl = \"http://{}\"\n",
        member()
    );
    let loaded_config = LoadedConfig::parse(&text, Path::new("equipoise.toml")).unwrap();
    Server::start(&loaded_config, None, Inheritance::default(), &mut || Ok(())).unwrap()
}

fn at(addresses: &[&str]) -> Vec<Listener> {
    let listener = |address: &&str| Listener {
        address: address.parse().unwrap(),
        tls: None,
        proxy_from: Vec::new(),
        https_redirect: None,
    };
    addresses.iter().map(listener).collect()
}

/// Prepares to listen there and nowhere else.
fn prepare(server: &Server, addresses: &[&str]) -> Result<PreparedListeners> {
    let contents = FileContents::read(BTreeSet::new());
    server.listeners.prepare(&at(addresses), &contents)
}

/// Listens there and nowhere else, and says where that is.
fn listen(server: &Server, addresses: &[&str]) -> Vec<SocketAddr> {
    let prepared = prepare(server, addresses).unwrap();
    server.listeners.apply(prepared, 100);
    server.addresses()
}

/// An address where nothing listens.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    listener.local_addr().unwrap()
}

/// Waits until nobody listens there.
fn refused(address: SocketAddr) {
    while TcpStream::connect(address).is_ok() {
        thread::sleep(Duration::from_millis(5));
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn ask(stream: &mut TcpStream) {
    let request = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";
    stream.write_all(request).unwrap();
}

/// A head, and nothing of what follows it; what there is of it at the end of the stream.
fn read_head(stream: &mut impl Read) -> String {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
    }
    String::from_utf8(head).unwrap()
}

/// The head of an answer whose body is "ok".
fn answer(stream: &mut TcpStream) -> String {
    let head = read_head(stream);
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head:?}");
    let mut body = [0; 2];
    stream.read_exact(&mut body).unwrap();
    assert_eq!(&body, b"ok");
    head.to_ascii_lowercase()
}

fn get(address: SocketAddr) -> String {
    let mut stream = connect(address);
    ask(&mut stream);
    answer(&mut stream)
}

#[test]
fn a_new_listener_serves_beside_those_that_stay() {
    let server = server(100);
    let first = server.addresses()[0];
    let mut kept = connect(first);
    let now = listen(&server, &[&first.to_string(), "127.0.0.1:0"]);
    assert_eq!(now[0], first);
    assert_ne!(now[1], first);
    for address in now {
        get(address);
    }
    ask(&mut kept);
    assert!(!answer(&mut kept).contains("connection: close"));
    server.drain();
}

/// Port 0 in the configuration is the port that was free for it, as long as it is there.
#[test]
fn a_free_port_stays_the_same() {
    let server = server(100);
    let first = server.addresses();
    assert_eq!(listen(&server, &["127.0.0.1:0"]), first);
    let two = listen(&server, &["127.0.0.1:0", "127.0.0.1:0"]);
    assert_eq!(two[0], first[0]);
    assert_ne!(two[1], first[0]);
    server.drain();
}

#[test]
fn what_is_prepared_only_changes_nothing() {
    let server = server(100);
    let before = server.addresses();
    let free = free_address();
    let wanted = free.to_string();
    let prepared = prepare(&server, &[&wanted]).unwrap();
    assert_eq!(server.addresses(), before);
    assert!(TcpStream::connect(free).is_err(), "not in force yet");
    get(before[0]);
    drop(prepared);
    let prepared = prepare(&server, &[&wanted]).unwrap();
    server.listeners.apply(prepared, 100);
    get(free);
    server.drain();
}

#[test]
fn an_address_that_is_taken_is_named_and_changes_nothing() {
    let server = server(100);
    let before = server.addresses();
    let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let prepared = prepare(&server, &["127.0.0.1:0", &taken]);
    let error = prepared.err().expect("it is taken");
    assert!(
        format!("{error:#}").starts_with(&format!("cannot listen on {taken}: ")),
        "{error:#}"
    );
    assert_eq!(server.addresses(), before);
    get(before[0]);
    server.drain();
}

#[test]
fn a_listener_that_is_gone_refuses_and_lets_its_clients_end() {
    let server = server(100);
    let gone = server.addresses()[0];
    let mut kept = connect(gone);
    ask(&mut kept);
    answer(&mut kept);
    let mut silent = connect(gone);
    let stays = free_address();
    listen(&server, &[&stays.to_string()]);
    refused(gone);
    for client in [&mut kept, &mut silent] {
        ask(client);
        assert!(answer(client).contains("connection: close"));
    }
    get(stays);
    server.drain();
}

/// Goal: nobody to whom the kernel has said "connected" is sent away. Method: one client has the only place, so that others
/// stay in the queue until the listener is gone.
#[test]
fn those_in_the_queue_of_a_listener_that_goes_are_served() {
    let server = server(1);
    let gone = server.addresses()[0];
    let mut first = connect(gone);
    ask(&mut first);
    answer(&mut first);
    let mut queued: Vec<TcpStream> = (0..5).map(|_| connect(gone)).collect();
    queued.iter_mut().for_each(ask);
    let address = free_address();
    let prepared = prepare(&server, &[&address.to_string()]);
    server.listeners.apply(prepared.unwrap(), 1);
    drop(first);
    for client in &mut queued {
        assert!(answer(client).contains("connection: close"));
    }
    refused(gone);
    drop(queued);
    get(address);
    server.drain();
}

#[test]
fn an_address_may_become_wider_and_narrower() {
    let server = server(100);
    let port = server.addresses()[0].port();
    let (narrow, wide) = (format!("127.0.0.1:{port}"), format!("0.0.0.0:{port}"));
    for addresses in [
        &[wide.as_str()][..],
        &[&narrow, &wide],
        &[&narrow],
        &[&wide],
    ] {
        listen(&server, addresses);
        get(narrow.parse().unwrap());
    }
    server.drain();
}

#[test]
fn more_clients_may_connect_when_the_limit_says_so() {
    let server = server(1);
    let address = server.addresses()[0];
    let mut first = connect(address);
    ask(&mut first);
    answer(&mut first);
    let mut second = connect(address);
    ask(&mut second);
    listen(&server, &[&address.to_string()]);
    answer(&mut second);
    drop((first, second));
    server.drain();
}
