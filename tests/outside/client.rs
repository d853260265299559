//! The client: a new connection for every request, read until the server closes it.
//!
//! That the connection is closed also says that the server has done everything it does for a request; the next one finds its
//! counters settled.

use std::net::SocketAddr;

use equipoise_harness::Client;
use equipoise_harness::client::request_with_host;

use crate::answer::Answer;

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
        let bytes = first.text("keep-alive") + &self.text("close");
        let mut pending = Pending::begin(server, &bytes);
        pending.receive();
        pending.finish()
    }

    /// Sends the request and leaves the answer for later.
    pub(crate) fn begin(&self, server: SocketAddr) -> Pending {
        Pending::begin(server, &self.text("close"))
    }

    fn text(&self, connection: &str) -> String {
        let line = format!("{} {}", self.method, self.target);
        let mut fields = vec![format!("Connection: {connection}")];
        if !self.fields.iter().any(|(name, _)| name == "Host") {
            fields.push("Host: lb.test".to_owned());
        }
        let own = self.fields.iter();
        fields.extend(own.map(|(name, value)| format!("{name}: {value}")));
        let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
        request_with_host(&line, &fields, &"x".repeat(self.body))
    }
}

/// A request that was sent and not answered yet.
pub(crate) struct Pending(Client);

impl Pending {
    fn begin(server: SocketAddr, text: &str) -> Self {
        let mut client = Client::connect(server);
        // A server may close early; what it said before that is what counts.
        let _ = client.try_send(text);
        Self(client)
    }

    /// Waits for the answer.
    pub(crate) fn finish(mut self) -> Answer {
        let answer = self.receive();
        self.0.await_end();
        answer
    }

    /// The next answer, or that there is none.
    fn receive(&mut self) -> Answer {
        // No test asks by HEAD, whose answers are framed in another way.
        Answer::of(self.0.try_response("GET"))
    }
}

/// A connection that stays open, for requests one after the other: many of them would use up the ports otherwise.
pub(crate) struct Connection(Client);

impl Connection {
    /// Connects.
    pub(crate) fn open(server: SocketAddr) -> Self {
        Self(Client::connect(server))
    }

    /// Sends a request and waits for its answer. What breaks off is an answer without status.
    pub(crate) fn ask(&mut self, request: &Request) -> Answer {
        // The connection may break at any point; the answer shows it.
        let _ = self.0.try_send(request.text("keep-alive"));
        let response = self.0.try_response("GET");
        Answer::of(response.and_then(|response| match response.complete {
            true => Ok(response),
            false => Err(std::io::ErrorKind::UnexpectedEof.into()),
        }))
    }
}
