//! A sample container: a small server of AJP/1.3 that holds requests to the protocol and misbehaves as told.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::{WAIT_TIMEOUT, eventually};

/// The largest packet unless the test says another, in bytes.
const PACKET: usize = 8192;

/// Names of fields by their code, from 1 on.
const FIELDS: [&str; 14] = [
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "authorization",
    "connection",
    "content-type",
    "content-length",
    "cookie",
    "cookie2",
    "host",
    "pragma",
    "referer",
    "user-agent",
];

/// Names of attributes by their code, from 1 on.
const ATTRIBUTES: [&str; 9] = [
    "context",
    "servlet_path",
    "remote_user",
    "auth_type",
    "query_string",
    "jvm_route",
    "ssl_cert",
    "ssl_cipher",
    "ssl_session",
];

/// A container. It ends with the process.
pub struct Container {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Request>>,
    connections: AtomicUsize,
    closed: AtomicUsize,
    pings: AtomicUsize,
}

/// A request as the container got it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// By its code: 2 is GET, 3 HEAD, 4 POST.
    pub method: u8,
    /// The path, undecoded.
    pub uri: String,
    /// The client's address.
    pub client: String,
    /// The host that the client asked.
    pub server: String,
    /// The port that it asked.
    pub port: u16,
    /// Whether it came by TLS.
    pub is_tls: bool,
    /// Names in lower case.
    pub fields: Vec<(String, String)>,
    /// By name.
    pub attributes: Vec<(String, String)>,
    /// The number of its connection, from 0 on.
    pub connection: usize,
}

/// A request and the connection that it came by.
pub struct Exchange<'c> {
    /// The request.
    pub request: Request,
    stream: &'c mut TcpStream,
    /// Whether the first chunk is to come by itself.
    has_first: bool,
    left: Option<u64>,
    ends: bool,
}

impl Request {
    /// The value of a field.
    pub fn field(&self, name: &str) -> Option<&str> {
        find(&self.fields, name)
    }

    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        find(&self.attributes, name)
    }
}

fn find<'p>(pairs: &'p [(String, String)], name: &str) -> Option<&'p str> {
    let found = pairs.iter().find(|(it, _)| it == name);
    found.map(|(_, value)| value.as_str())
}

impl Container {
    /// One that treats every request so. Pings are answered, and only requests with this secret are taken, if there is one.
    pub fn start(
        secret: Option<&'static str>,
        handler: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
    ) -> Self {
        Self::start_with(secret, true, handler)
    }

    /// The same; `pongs` says whether pings are answered.
    pub fn start_with(
        secret: Option<&'static str>,
        pongs: bool,
        handler: impl Fn(&mut Exchange<'_>) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener
            .local_addr()
            .expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let (handler, log) = (Arc::new(handler), Arc::clone(&shared));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                let number = log.connections.fetch_add(1, SeqCst);
                thread::spawn(move || {
                    // What the proxy breaks off is over.
                    let _ = serve(stream, number, secret, pongs, &log, &*handler);
                    log.closed.fetch_add(1, SeqCst);
                });
            }
        });
        Self { address, shared }
    }

    /// One that answers with its name, and reads what it is sent.
    pub fn named(name: &'static str) -> Self {
        Self::start(None, move |exchange| {
            exchange.read_body();
            exchange.answer(200, &[], name.as_bytes());
        })
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("ajp://{}", self.address)
    }

    /// The requests that came.
    pub fn requests(&self) -> Vec<Request> {
        let requests = self.shared.requests.lock();
        requests.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many connections were made.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(SeqCst)
    }

    /// How many pings came.
    pub fn pings(&self) -> usize {
        self.shared.pings.load(SeqCst)
    }

    /// Waits until as many connections are over.
    #[track_caller]
    pub fn await_closed(&self, count: usize) {
        eventually("connections closed", || {
            (self.shared.closed.load(SeqCst) >= count).then_some(())
        });
    }
}

fn serve(
    mut stream: TcpStream,
    connection: usize,
    secret: Option<&str>,
    pongs: bool,
    log: &Shared,
    handler: &dyn Fn(&mut Exchange<'_>),
) -> io::Result<()> {
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    stream.set_nodelay(true)?;
    loop {
        let packet = packet(&mut stream)?;
        if packet == [10] {
            log.pings.fetch_add(1, SeqCst);
            if pongs {
                stream.write_all(b"AB\0\x01\x09")?;
            }
            continue;
        }
        let request = parse(&packet, connection);
        let requests = log.requests.lock();
        let mut requests = requests.unwrap_or_else(PoisonError::into_inner);
        requests.push(request.clone());
        drop(requests);
        let length = request.field("content-length");
        let left = length.map(|it| it.parse().expect("digits"));
        let mut exchange = Exchange {
            has_first: left.is_some_and(|left: u64| left > 0),
            left,
            ends: false,
            stream: &mut stream,
            request,
        };
        if secret.is_some() && exchange.request.attribute("secret") != secret {
            exchange.read_body();
            exchange.answer(403, &[], b"");
        } else {
            handler(&mut exchange);
        }
        if exchange.ends {
            return Ok(());
        }
    }
}

/// The payload of a packet.
fn packet(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut start = [0; 4];
    stream.read_exact(&mut start)?;
    let length = usize::from(u16::from_be_bytes([start[2], start[3]]));
    assert_eq!(start[..2], [0x12, 0x34], "the magic of a packet");
    assert!(length + 4 <= 65_536, "a packet of {length} bytes");
    let mut payload = vec![0; length];
    stream.read_exact(&mut payload)?;
    Ok(payload)
}

/// What is left of a packet.
struct Cursor<'p>(&'p [u8]);

impl Cursor<'_> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().expect("a packet with an end");
        self.0 = rest;
        *byte
    }

    fn number(&mut self) -> u16 {
        u16::from_be_bytes([self.byte(), self.byte()])
    }

    fn text(&mut self) -> String {
        match self.number() {
            u16::MAX => String::new(),
            length => self.text_of(length),
        }
    }

    fn text_of(&mut self, length: u16) -> String {
        let (text, rest) = self.0.split_at(length.into());
        assert_eq!(rest[0], 0, "a NUL behind each text");
        self.0 = &rest[1..];
        String::from_utf8_lossy(text).into_owned()
    }
}

fn parse(packet: &[u8], connection: usize) -> Request {
    let mut cursor = Cursor(packet);
    assert_eq!(cursor.byte(), 2, "a request");
    let method = cursor.byte();
    assert_eq!(cursor.text(), "HTTP/1.1");
    let (uri, client, _) = (cursor.text(), cursor.text(), cursor.text());
    let (server, port, is_tls) = (cursor.text(), cursor.number(), cursor.byte() == 1);
    let mut fields = Vec::new();
    for _ in 0..cursor.number() {
        let name = match cursor.number() {
            code @ 0xa001..=0xa00e => FIELDS[usize::from(code) - 0xa001].to_owned(),
            length => cursor.text_of(length).to_ascii_lowercase(),
        };
        fields.push((name, cursor.text()));
    }
    let mut attributes = Vec::new();
    loop {
        let code = cursor.byte();
        let attribute = match code {
            0xff => break,
            0x0a => (cursor.text(), cursor.text()),
            0x0b => ("ssl_key_size".to_owned(), cursor.number().to_string()),
            0x0c => ("secret".to_owned(), cursor.text()),
            0x0d => ("stored_method".to_owned(), cursor.text()),
            1..=9 => (ATTRIBUTES[usize::from(code) - 1].to_owned(), cursor.text()),
            _ => panic!("the attribute {code}"),
        };
        attributes.push(attribute);
    }
    assert!(cursor.0.is_empty(), "nothing behind the end");
    Request {
        method,
        uri,
        client,
        server,
        port,
        is_tls,
        fields,
        attributes,
        connection,
    }
}

impl Exchange<'_> {
    /// A chunk of the request's body, which is asked for unless it comes by itself; `None` for the end, or where it breaks off.
    pub fn chunk(&mut self) -> Option<Vec<u8>> {
        if self.left == Some(0) || self.ends {
            return None;
        }
        if !std::mem::take(&mut self.has_first) {
            let wanted = ((PACKET - 6) as u16).to_be_bytes();
            self.send(&[b"AB\0\x03\x06".as_slice(), &wanted].concat());
        }
        let Ok(payload) = packet(self.stream) else {
            self.ends = true;
            return None;
        };
        if payload.is_empty() {
            assert_eq!(self.left, None, "a body that is over before its end");
            self.left = Some(0);
            return None;
        }
        let (length, chunk) = payload.split_at(2);
        assert_eq!(
            u16::from_be_bytes([length[0], length[1]]),
            chunk.len() as u16
        );
        if let Some(left) = &mut self.left {
            *left = left
                .checked_sub(chunk.len() as u64)
                .expect("no more than Content-Length");
        }
        Some(chunk.to_vec())
    }

    /// All of the request's body.
    pub fn read_body(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk() {
            body.extend(chunk);
        }
        body
    }

    /// The head of the response.
    pub fn head(&mut self, status: u16, fields: &[(&str, &str)]) {
        let mut payload = vec![4];
        payload.extend(status.to_be_bytes());
        push(&mut payload, "");
        payload.extend((fields.len() as u16).to_be_bytes());
        for (name, value) in fields {
            push(&mut payload, name);
            push(&mut payload, value);
        }
        self.packet(&payload);
    }

    /// Payload of the response.
    pub fn body(&mut self, payload: &[u8]) {
        for chunk in payload.chunks(PACKET - 8) {
            let length = (chunk.len() as u16).to_be_bytes();
            self.packet(&[&[3], &length[..], chunk, &[0]].concat());
        }
    }

    /// The end of the response; `reuse` says that the connection may be kept.
    pub fn end(&mut self, reuse: bool) {
        self.packet(&[5, u8::from(reuse)]);
        self.ends |= !reuse;
    }

    /// A whole response with a length.
    pub fn answer(&mut self, status: u16, fields: &[(&str, &str)], body: &[u8]) {
        let length = body.len().to_string();
        let fields = [fields, &[("Content-Length", &length)]].concat();
        self.head(status, &fields);
        // HEAD.
        if self.request.method != 3 {
            self.body(body);
        }
        self.end(true);
    }

    /// These bytes, whatever they are.
    pub fn send(&mut self, bytes: &[u8]) {
        if self.stream.write_all(bytes).is_err() {
            self.ends = true;
        }
    }

    /// Closes the connection.
    pub fn close(&mut self) {
        // One that is closed already is as wanted.
        let _ = self.stream.shutdown(Shutdown::Both);
        self.ends = true;
    }

    /// Waits until the proxy has closed the connection.
    pub fn await_close(&mut self) {
        let _ = self.stream.read_to_end(&mut Vec::new());
        self.ends = true;
    }

    fn packet(&mut self, payload: &[u8]) {
        let length = (payload.len() as u16).to_be_bytes();
        self.send(&[b"AB", &length[..], payload].concat());
    }
}

/// A text, with its length before it and a NUL behind it.
fn push(out: &mut Vec<u8>, text: &str) {
    out.extend((text.len() as u16).to_be_bytes());
    out.extend(text.as_bytes());
    out.push(0);
}
