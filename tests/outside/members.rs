//! The members behind both servers: six that live and six that are dead, for all tests together.
//!
//! A member keeps nothing from one request to the next, so that tests can share it. What it does with a request, the request
//! itself says, in header fields that both servers pass on:
//!
//! | field | meaning |
//! |---|---|
//! | `Answer: b1=503 b2=500` | the named members answer with these statuses, others with 200 |
//! | `Answer: b1=nothing` | the named member closes the connection instead |
//! | `Length: 1000` | the answer's body has so many bytes; without it the body is the request's head |
//! | `Say: Location: /x | ETag: y` | the answer has these fields, too |
//! | `Hold: KEY` | the answer waits until [`Members::release`] is called with the key |
//!
//! `@MEMBER@` in `Say` stands for the member's own address.

use std::collections::HashMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread;

use socket2::{Domain, Socket, Type};

use crate::client::PATIENCE;

/// How many members there are of each kind.
pub(crate) const COUNT: usize = 6;

/// All members of this test run.
pub(crate) static MEMBERS: LazyLock<Members> = LazyLock::new(Members::start);

/// Members that live, named `b1` to `b6`, and as many that are dead.
pub(crate) struct Members {
    live: Vec<SocketAddr>,
    /// Bound but not listening: whoever connects is refused, and nobody else can take the port.
    dead: Vec<Socket>,
    held: Mutex<HashMap<String, Held>>,
    changed: Condvar,
}

/// A request that waits at a member.
#[derive(Default)]
struct Held {
    at: Option<String>,
    is_released: bool,
}

impl Members {
    fn start() -> Self {
        Self {
            live: (1..=COUNT).map(listen).collect(),
            dead: (1..=COUNT).map(|_| refuse()).collect(),
            held: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// The address of the live member at this position, counted from 0.
    pub(crate) fn live(&self, position: usize) -> SocketAddr {
        self.live[position]
    }

    /// The address of a dead member: connections to it are refused.
    pub(crate) fn dead(&self, position: usize) -> SocketAddr {
        let address = self.dead[position].local_addr().expect("it is bound");
        address.as_socket().expect("it is an IPv4 socket")
    }

    /// Waits until a request with this key is held; the name of the member it is at.
    pub(crate) fn await_held(&self, key: &str) -> String {
        let at = |held: &HashMap<String, Held>| held.get(key).and_then(|held| held.at.clone());
        let held = self.wait_while(|held| at(held).is_none());
        at(&held).expect("a member has got the request that is to be held")
    }

    /// Lets the answer to the request with this key go.
    pub(crate) fn release(&self, key: &str) {
        self.held().entry(key.to_owned()).or_default().is_released = true;
        self.changed.notify_all();
    }

    fn hold(&self, key: &str, name: &str) {
        self.held().entry(key.to_owned()).or_default().at = Some(name.to_owned());
        self.changed.notify_all();
        drop(self.wait_while(|held| !held[key].is_released));
    }

    fn held(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(
        &self,
        condition: impl Fn(&HashMap<String, Held>) -> bool,
    ) -> MutexGuard<'_, HashMap<String, Held>> {
        self.changed
            .wait_timeout_while(self.held(), PATIENCE, |held| condition(held))
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }
}

fn refuse() -> Socket {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    socket.bind(&anywhere.into()).expect("a free port");
    socket
}

fn listen(number: usize) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks is the server's business.
            thread::spawn(move || serve(&stream, &format!("b{number}"), address));
        }
    });
    address
}

/// Answers requests until the server closes the connection.
fn serve(mut stream: &TcpStream, name: &str, address: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream);
    loop {
        let head = read_head(&mut reader)?;
        if head.is_empty() {
            return Ok(());
        }
        let length = field(&head, "content-length").map_or(0, |length| length.parse().unwrap_or(0));
        io::copy(&mut (&mut reader).take(length), &mut io::sink())?;
        if let Some(key) = field(&head, "hold") {
            MEMBERS.hold(key, name);
        }
        let status = status(&head, name);
        if status == "nothing" {
            return Ok(());
        }
        stream.write_all(&answer(&head, status, name, address))?;
    }
}

/// The lines up to the empty one; nothing at the end of the connection.
fn read_head(reader: &mut impl BufRead) -> io::Result<String> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head)? == 0 {
            return Ok(String::new());
        }
    }
    Ok(head)
}

/// What this member is to answer with.
fn status<'head>(head: &'head str, name: &str) -> &'head str {
    field(head, "answer")
        .iter()
        .flat_map(|answers| answers.split(' '))
        .find_map(|answer| answer.strip_prefix(name)?.strip_prefix('='))
        .unwrap_or("200")
}

fn answer(head: &str, status: &str, name: &str, address: SocketAddr) -> Vec<u8> {
    let mut answer = format!("HTTP/1.1 {status} Said\r\nServed-By: {name}\r\n");
    for said in field(head, "say").iter().flat_map(|said| said.split(" | ")) {
        answer.push_str(&said.replace("@MEMBER@", &address.to_string()));
        answer.push_str("\r\n");
    }
    if matches!(status, "204" | "304") {
        return (answer + "\r\n").into_bytes();
    }
    let body = match field(head, "length").map(str::parse) {
        Some(Ok(length)) => "x".repeat(length),
        _ => head.to_owned(),
    };
    format!("{answer}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// The value of a field.
fn field<'head>(head: &'head str, name: &str) -> Option<&'head str> {
    head.lines().find_map(|line| {
        let (field, value) = line.split_once(':')?;
        field.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}
