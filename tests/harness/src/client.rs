//! A client: bytes out, responses in, with nothing repaired on the way.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;

use super::WAIT_TIMEOUT;
use super::wire::{Body, Head, Wire};

/// A connection of a client.
pub struct Client {
    wire: Wire,
}

/// A response as the client got it.
#[derive(Debug, Clone)]
pub struct Response {
    /// The status line and the fields.
    pub head: Head,
    /// What follows them.
    pub body: Body,
    /// Whether it came to its end.
    pub complete: bool,
}

impl Response {
    /// The status code.
    pub fn status(&self) -> u16 {
        status(&self.head)
    }

    /// The body as text.
    pub fn text(&self) -> String {
        self.body.text()
    }

    /// The only value of a field; `None` where there is no such field.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.field(name)
    }
}

impl Client {
    /// Connects.
    #[track_caller]
    pub fn connect(address: SocketAddr) -> Self {
        Self::on(TcpStream::connect_timeout(&address, WAIT_TIMEOUT).expect("a connection"))
    }

    /// Takes a connection over.
    pub fn on(stream: TcpStream) -> Self {
        Self {
            wire: Wire::new(Arc::new(stream)),
        }
    }

    /// Sends bytes as they are.
    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("the proxy takes what is sent");
    }

    /// Sends bytes as they are, to a proxy that may have closed the connection.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.wire.send(bytes.as_ref())
    }

    /// Sends `length` bytes of the pattern and tells of each piece that is sent.
    pub fn send_pattern(&mut self, length: u64, sent: impl FnMut(usize)) -> io::Result<()> {
        self.wire.send_pattern(length, sent)
    }

    /// Sends a request without a body: `line` is method and target, `fields` are lines besides `Host`.
    #[track_caller]
    pub fn ask(&mut self, line: &str, fields: &[&str]) {
        self.send(request(line, fields, ""));
    }

    /// Sends a request without a body and reads the response.
    #[track_caller]
    pub fn exchange(&mut self, line: &str, fields: &[&str]) -> Response {
        self.ask(line, fields);
        self.response_to(line)
    }

    /// Sends a `GET` and reads the response.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Response {
        self.exchange(&format!("GET {target}"), &[])
    }

    /// Sends a request with a body of known length and reads the response.
    #[track_caller]
    pub fn exchange_body(&mut self, line: &str, fields: &[&str], body: &str) -> Response {
        self.send(request(line, fields, body));
        self.response_to(line)
    }

    /// Reads the response to a request that was no `HEAD`.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        self.response_to("GET")
    }

    /// Reads the response to a request with this request line; fails unless it is whole.
    #[track_caller]
    pub fn response_to(&mut self, line: &str) -> Response {
        let response = self.try_response(line).expect("a response");
        assert!(
            response.complete,
            "a response that breaks off: {response:?}"
        );
        response
    }

    /// Reads a response that may break off within its body; an error if not even its head is whole, or if nothing more
    /// comes without an end.
    pub fn try_response(&mut self, line: &str) -> io::Result<Response> {
        let head = loop {
            let head = self.wire.head()?.ok_or(io::ErrorKind::UnexpectedEof)?;
            if status(&head) >= 200 || status(&head) == 101 {
                break head;
            }
        };
        let method = line.split(' ').next().unwrap_or_default();
        let framing = head.response_framing(method, status(&head))?;
        let mut body = Body::default();
        let complete = match self.wire.body(framing, &mut body) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(error),
            read => read.is_ok(),
        };
        Ok(Response {
            head,
            body,
            complete,
        })
    }

    /// Reads the head of an interim response.
    #[track_caller]
    pub fn interim(&mut self) -> Head {
        let head = self
            .wire
            .head()
            .expect("a head")
            .expect("an interim response");
        assert!(status(&head) < 200, "no interim response: {head:?}");
        head
    }

    /// Waits until the proxy closes the connection, and makes sure that nothing more came.
    #[track_caller]
    pub fn expect_closed(&mut self) {
        assert!(self.is_closed(), "more comes, or the connection stays open");
    }

    /// Waits for what comes next, and whether that is the end of the connection.
    pub fn is_closed(&mut self) -> bool {
        match self.wire.some(1) {
            Ok(_) => false,
            Err(error) => is_gone(&error),
        }
    }

    /// Waits until the proxy closes the connection, whatever comes before that.
    pub fn await_end(&mut self) {
        let _ = self.wire.drain();
    }

    /// Whether anything, or the end, comes within this time.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        self.wire.hears_within(time)
    }

    /// Waits until this text has come, and leaves it to be read.
    #[track_caller]
    pub fn await_text(&mut self, text: &str) {
        let come = self.wire.await_text(text);
        come.unwrap_or_else(|error| panic!("instead of {text:?}: {error}"));
    }

    /// Takes the next bytes, as many as these, once they have come.
    pub fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        let mut come = Vec::new();
        while come.len() < count {
            let missing = (count - come.len()) as u64;
            come.extend(self.wire.some(missing)?);
        }
        Ok(come)
    }

    /// Waits until exactly this comes next, and takes it.
    #[track_caller]
    pub fn expect(&mut self, bytes: &[u8]) {
        let come = self.take(bytes.len()).expect("something comes");
        assert!(come == bytes, "{come:?} instead of {bytes:?}");
    }

    /// Makes every later send fail that cannot go on for this long.
    pub fn give_up_sending_after(&self, time: Duration) {
        let stream = self.wire.stream();
        stream
            .set_write_timeout(Some(time))
            .expect("a socket takes options");
    }

    /// Says that nothing more will be sent, and stays to read.
    pub fn finish_sending(&self) {
        self.wire
            .stream()
            .shutdown(Shutdown::Write)
            .expect("an open connection");
    }

    /// Another handle to the same connection, to send from another thread.
    pub fn sender(&self) -> TcpStream {
        self.wire
            .stream()
            .try_clone()
            .expect("a socket can be cloned")
    }

    /// Leaves with a reset instead of a proper end.
    pub fn reset(self) {
        let _ = SockRef::from(self.wire.stream()).set_linger(Some(Duration::ZERO));
    }
}

/// A request to the host `lb.test`, with `Content-Length` where there is a body.
pub fn request(line: &str, fields: &[&str], body: &str) -> String {
    request_with_host(line, &[&["Host: lb.test"], fields].concat(), body)
}

/// The same, whose host is among the fields.
pub fn request_with_host(line: &str, fields: &[&str], body: &str) -> String {
    let mut request = format!("{line} HTTP/1.1\r\n");
    for field in fields {
        request += field;
        request += "\r\n";
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    request + "\r\n" + body
}

/// Whether the error says that the other side has closed the connection.
pub fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
    matches!(
        error.kind(),
        BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof
    )
}

fn status(head: &Head) -> u16 {
    let code = head
        .start
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.get(2..5));
    code.and_then(|code| code.parse().ok())
        .unwrap_or_else(|| panic!("no status line: {:?}", head.start))
}
