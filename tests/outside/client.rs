//! The client: a new connection for every request, read until the server closes it.
//!
//! That the connection is closed also says that the server has done everything it does for a request; the next one finds its
//! counters settled.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::answer::Answer;

/// How long anybody waits for anything before the test fails.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    fields: Vec<(String, String)>,
    body: usize,
}

impl Request {
    /// A `GET` of a target such as `/path?query`.
    pub(crate) fn get(target: &str) -> Self {
        Self {
            method: "GET",
            target: target.to_owned(),
            fields: Vec::new(),
            body: 0,
        }
    }

    /// A `POST` with so many bytes.
    pub(crate) fn post(bytes: usize) -> Self {
        Self {
            method: "POST",
            body: bytes,
            ..Self::get("/")
        }
    }

    /// The same request with one more field. `Host` replaces the usual one.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same request with a cookie.
    pub(crate) fn cookie(self, cookie: &str) -> Self {
        self.with("Cookie", cookie)
    }

    /// Sends the request and waits for its answer.
    pub(crate) fn send(&self, server: SocketAddr) -> Answer {
        self.begin(server).finish()
    }

    /// Sends another request and, on the same connection, this one; the answer to this one.
    pub(crate) fn send_behind(&self, first: &Self, server: SocketAddr) -> Answer {
        let bytes = [first.bytes("keep-alive"), self.bytes("close")].concat();
        Answer::parse_second(&Pending::begin(server, &bytes).receive())
    }

    /// Sends the request and leaves the answer for later.
    pub(crate) fn begin(&self, server: SocketAddr) -> Pending {
        Pending::begin(server, &self.bytes("close"))
    }

    fn bytes(&self, connection: &str) -> Vec<u8> {
        let Self { method, target, .. } = self;
        let mut text = format!("{method} {target} HTTP/1.1\r\nConnection: {connection}\r\n");
        if !self.fields.iter().any(|(name, _)| name == "Host") {
            text.push_str("Host: lb.test\r\n");
        }
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if self.body > 0 {
            text.push_str(&format!("Content-Length: {}\r\n", self.body));
        }
        text.push_str("\r\n");
        text.push_str(&"x".repeat(self.body));
        text.into_bytes()
    }
}

/// A request that was sent and not answered yet.
pub(crate) struct Pending {
    stream: TcpStream,
}

impl Pending {
    fn begin(server: SocketAddr, bytes: &[u8]) -> Self {
        let mut stream = TcpStream::connect(server).expect("the server accepts connections");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time above zero");
        // A server may close early; what it said before that is what counts.
        let _ = stream.write_all(bytes);
        Self { stream }
    }

    /// Waits for the answer.
    pub(crate) fn finish(self) -> Answer {
        Answer::parse(&self.receive())
    }

    /// Everything until the connection is closed.
    fn receive(mut self) -> Vec<u8> {
        let mut received = Vec::new();
        // A reset ends the answer just as well; the comparison shows what is missing.
        let _ = self.stream.read_to_end(&mut received);
        received
    }
}

/// A connection that stays open, for requests one after the other: many of them would use up the ports otherwise.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("the server accepts connections");
        stream
            .set_read_timeout(Some(PATIENCE))
            .expect("a time above zero");
        Self {
            stream: BufReader::new(stream),
        }
    }

    /// Sends a request and waits for its answer, which must have a length. What breaks off is an answer without status.
    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        let bytes = request.bytes("keep-alive");
        let mut received = Vec::new();
        // The connection may break at any point; the answer shows it.
        let _ = self.stream.get_mut().write_all(&bytes);
        while !received.ends_with(b"\r\n\r\n") {
            match self.stream.read_until(b'\n', &mut received) {
                Ok(1..) => {}
                _ => return Answer::parse(&[]),
            }
        }
        let length = Answer::parse(&received)
            .all("content-length")
            .first()
            .and_then(|length| length.parse().ok());
        let mut body = vec![0; length.expect("an answer with a length")];
        match self.stream.read_exact(&mut body) {
            Ok(()) => Answer::parse(&[received, body].concat()),
            Err(_) => Answer::parse(&[]),
        }
    }
}
