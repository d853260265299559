//! What messages by HTTP/2 cost in instructions, for a connection of either role: run under callgrind, which counts what is between
//! two runs of different lengths.
//!
//!     host/http/examples/count-streams
//!
//! prints this table: user instructions for one request and its response, and how often memory is allocated for 2,000 of them.
//! `serve` is the server's side: frames read into a head, the response written with 4 or 13 fields and 13 bytes; `ask` is the
//! client's of the same. The peer's blocks are as the engine writes them when most fields are in the tables. `upload` is a request with
//! 64 KiB and `download` a response with 1 MiB, at the server, payload copied into the output or written
//! from where it is.
//!
//! | messages | instructions | allocations |
//! |---|--:|--:|
//! | serve/small | 3700 | 0 |
//! | serve/browser | 8586 | 0 |
//! | ask/small | 4071 | 0 |
//! | ask/browser | 8648 | 0 |
//! | serve/upload | 5865 | 0 |
//! | serve/download | 1057103 | 0 |
//! | serve/download-in-place | 14388 | 0 |
//!
//! Of a small one some 200 are this program's own, and a quarter of the others is spent on frames, streams and windows; the rest is
//! spent on fields. What is copied counts an instruction a byte under valgrind.

#![expect(clippy::disallowed_methods, reason = "a time to give, whichever")]

use std::env;
use std::hint::black_box;
use std::time::Instant;

use equipoise_http::http2::{Connection, Event, Options, Role, StreamId};
use equipoise_http::{Edit, Head, Version};

/// Fields that are the same each time, and `:path`, of a small request and of a browser's.
const REQUESTS: [(&str, &[(&str, &str)]); 2] = [
    (
        "/index.html",
        &[
            ("host", "127.0.0.1:8080"),
            ("user-agent", "load/1.0"),
            ("accept", "*/*"),
        ],
    ),
    (
        "/shop/products/1234567?category=books&sort=price&page=2",
        &[
            ("host", "shop.example.com"),
            (
                "sec-ch-ua",
                "\"Chromium\";v=\"126\", \"Not.A/Brand\";v=\"24\"",
            ),
            ("sec-ch-ua-mobile", "?0"),
            ("sec-ch-ua-platform", "\"Windows\""),
            ("upgrade-insecure-requests", "1"),
            (
                "user-agent",
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
            ),
            (
                "accept",
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
            ),
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "navigate"),
            (
                "referer",
                "https://shop.example.com/shop/products?category=books",
            ),
            ("accept-encoding", "gzip, deflate, br, zstd"),
            ("accept-language", "en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7"),
            (
                "cookie",
                "session=0123456789abcdef0123456789abcdef.web1; _ga=GA1.2.1234567890.1700000000; theme=dark; currency=EUR",
            ),
        ],
    ),
];

const RESPONSES: [&[(&str, &str)]; 2] = [
    &[
        ("server", "origin"),
        ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("content-type", "text/plain"),
        ("content-length", "13"),
    ],
    &[
        ("server", "nginx/1.22.1"),
        ("date", "Mon, 01 Jan 2024 00:00:00 GMT"),
        ("content-type", "text/html; charset=utf-8"),
        ("content-length", "13"),
        ("vary", "Accept-Encoding, Cookie"),
        ("cache-control", "private, max-age=0, must-revalidate"),
        ("etag", "W/\"5f3a-18cc2f3a8f0\""),
        ("last-modified", "Sun, 31 Dec 2023 23:59:59 GMT"),
        (
            "set-cookie",
            "session=0123456789abcdef0123456789abcdef.web1; Path=/; HttpOnly; Secure; SameSite=Lax",
        ),
        (
            "strict-transport-security",
            "max-age=31536000; includeSubDomains",
        ),
        ("x-content-type-options", "nosniff"),
        ("x-frame-options", "SAMEORIGIN"),
        ("via", "1.1 equipoise"),
    ],
];

const PAYLOAD: &[u8] = b"Hello, world!";

/// How many bytes of an upload come by a frame.
const FRAME: usize = 16_384;

struct Case {
    connection: Connection,
    head: Head,
    edit: Edit,
    /// What is sent: a request, or a response.
    message: Head,
    payload: Vec<u8>,
    /// Whether payload is copied into the output.
    copies: bool,
    now: Instant,
    /// What the peer sends, in frames with the number of the stream to be put in.
    input: Vec<u8>,
    number: u32,
}

impl Case {
    /// Sends a request and reads its response.
    fn ask(&mut self) {
        let asked = self
            .connection
            .request(&self.message, &self.edit, false, None, true);
        assert!(asked.is_ok());
        self.write();
        self.receive();
    }

    /// Reads a request and sends its response.
    fn serve(&mut self) {
        if let Some(stream) = self.receive() {
            self.respond(stream);
        }
    }

    fn respond(&mut self, stream: StreamId) {
        let connection = &mut self.connection;
        let head = connection.respond(stream, &self.message, &self.edit, false);
        assert!(head.is_ok());
        let mut sent = 0;
        while sent < self.payload.len() {
            let (rest, connection) = (&self.payload[sent..], &mut self.connection);
            let taken = match self.copies {
                true => connection.send_data(stream, rest, true),
                false => connection.send_data_by(stream, rest, true, |all| {
                    black_box(all).iter().map(|piece| piece.len()).sum()
                }),
            };
            sent += taken.unwrap_or_default();
            self.write();
        }
    }

    fn write(&mut self) {
        let bytes = black_box(self.connection.output()).len();
        self.connection.record_written(bytes);
    }

    /// Reads what the peer sends; says by which stream.
    fn receive(&mut self) -> Option<StreamId> {
        put(&mut self.input, self.number);
        self.number += 2;
        let (mut used, mut last) = (0, None);
        loop {
            let rest = &self.input[used..];
            let (more, event) = self.connection.receive(rest, self.now, &mut self.head);
            used += more;
            match event {
                Event::More => return last,
                Event::Request { stream, .. } | Event::Response { stream, .. } => {
                    last = Some(stream);
                }
                Event::Data { stream, range, .. } => {
                    self.connection.consume(stream, range.len());
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

/// Puts the number of a stream into all frames that are of one.
fn put(frames: &mut [u8], number: u32) {
    let mut rest = frames;
    while rest.len() >= 9 {
        let length = u32::from_be_bytes([0, rest[0], rest[1], rest[2]]) as usize;
        if rest[5..9] != [0; 4] {
            rest[5..9].copy_from_slice(&number.to_be_bytes());
        }
        rest = &mut rest[9 + length..];
    }
}

fn request(which: usize) -> Head {
    let (target, fields) = REQUESTS[which];
    let mut head = Head::new();
    let begun = head.begin_request(b"GET", target.as_bytes(), Version::Http11);
    assert!(begun.is_ok());
    push(&mut head, fields);
    head
}

fn response(which: usize) -> Head {
    let mut head = Head::new();
    let begun = head.begin_response(200, "OK", Version::Http11);
    assert!(begun.is_ok());
    push(&mut head, RESPONSES[which]);
    head
}

fn push(head: &mut Head, fields: &[(&str, &str)]) {
    for (name, value) in fields {
        let pushed = head.push(name.as_bytes(), value.as_bytes());
        assert!(pushed.is_ok(), "{name} is a field");
    }
}

/// Two that have spoken with each other until their tables do not change; each with what the other said last.
fn pair(which: usize) -> (Case, Case) {
    let now = Instant::now();
    let case = |role, message, payload: &[u8]| Case {
        connection: Connection::new(role, Options::default(), now),
        head: Head::new(),
        edit: Edit::new(),
        message,
        payload: payload.to_vec(),
        copies: true,
        now,
        input: Vec::new(),
        number: 1,
    };
    let mut client = case(Role::Client, request(which), b"");
    let mut server = case(Role::Server, response(which), PAYLOAD);
    for _ in 0..4 {
        let asked = client
            .connection
            .request(&client.message, &client.edit, false, None, true);
        assert!(asked.is_ok());
        carry(&mut client, &mut server);
        if let Some(stream) = server.receive() {
            let head = server
                .connection
                .respond(stream, &server.message, &server.edit, false);
            let sent = server.connection.send_data(stream, PAYLOAD, true);
            assert!(head.is_ok() && sent.is_ok());
        }
        carry(&mut server, &mut client);
        client.receive();
    }
    (client, server)
}

/// Lets one have what the other has to say.
fn carry(from: &mut Case, to: &mut Case) {
    let output = from.connection.output();
    to.input.clear();
    let preface = equipoise_http::http1::PREFACE;
    if let Some(rest) = output.strip_prefix(preface) {
        let (used, event) = to.connection.receive(preface, to.now, &mut to.head);
        assert_eq!((used, event), (preface.len(), Event::More));
        to.input.extend_from_slice(rest);
    } else {
        to.input.extend_from_slice(output);
    }
    from.write();
}

/// Frames of a request with 64 KiB, behind a HEADERS frame that has an end.
fn upload(get: &[u8]) -> Vec<u8> {
    let mut frames = get.to_vec();
    frames[4] &= !1;
    let payload = vec![b'x'; FRAME];
    for number in 0..4 {
        let ends = u8::from(number == 3);
        frames.extend_from_slice(&[0, (FRAME >> 8) as u8, FRAME as u8, 0, ends, 0, 0, 0, 1]);
        frames.extend_from_slice(&payload);
    }
    frames
}

fn main() {
    let mut arguments = env::args().skip(1);
    let (what, times) = (arguments.next().unwrap_or_default(), arguments.next());
    let times: u32 = times.and_then(|times| times.parse().ok()).unwrap_or(1000);
    let (role, size) = what.split_once('/').unwrap_or((&what, ""));
    let (client, mut server) = pair(usize::from(size == "browser"));
    let mut case = match (role, size) {
        ("ask", _) => client,
        (_, "upload") => {
            server.input = upload(&server.input);
            server
        }
        (_, "download" | "download-in-place") => {
            server.copies = size == "download";
            server.payload = vec![b'x'; 1 << 20];
            // Windows as large as may be, and opened again by each request.
            let mut settings = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0x7f, 0xff, 0xff, 0xff];
            settings.extend_from_slice(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0x10, 0, 0]);
            let (used, _) = server
                .connection
                .receive(&settings, server.now, &mut server.head);
            assert_eq!(used, settings.len());
            server.input.splice(..0, settings[15..].iter().copied());
            server
        }
        _ => server,
    };
    let run: fn(&mut Case) = if role == "ask" {
        Case::ask
    } else {
        Case::serve
    };
    for _ in 0..times {
        black_box(run)(&mut case);
    }
}
