//! What a program has around the engine: a pipe, and what is to be sent by each stream.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use bytes::{Buf, Bytes};
use equipoise_http::http2::{Connection, ErrorCode, Event, StreamId};
use equipoise_http::{Edit, Fields, Head, Version};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, split};
use tokio::task::yield_now;

/// A message that has come, or comes.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Message {
    /// Method and target, or status.
    pub(crate) start: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) interims: Vec<u16>,
    pub(crate) body: Vec<u8>,
    pub(crate) has_trailers: bool,
    pub(crate) is_whole: bool,
    pub(crate) reset: Option<ErrorCode>,
}

/// What a turn did.
enum Done {
    Wrote(usize),
    Read(usize),
    Waited,
}

/// A connection of the engine and its pipe.
pub(crate) struct Driver {
    pub(crate) connection: Connection,
    pub(crate) messages: HashMap<u32, Message>,
    /// Streams of which the head of a request has come.
    pub(crate) begun: Vec<StreamId>,
    /// Streams of which the message is over.
    pub(crate) whole: Vec<StreamId>,
    /// Streams whose requests are malformed.
    pub(crate) refused: Vec<StreamId>,
    pub(crate) pongs: usize,
    pub(crate) goaway: Option<(u32, ErrorCode)>,
    /// As long as what is read at once.
    pub(crate) buffer: Vec<u8>,
    /// Whether a turn does not wait for anything to come.
    pub(crate) hurries: bool,
    /// Whether payload is consumed later than it comes: one piece a turn.
    pub(crate) consumes_late: bool,
    unconsumed: VecDeque<(StreamId, usize)>,
    reader: ReadHalf<DuplexStream>,
    writer: WriteHalf<DuplexStream>,
    head: Head,
    sending: HashMap<u32, (Bytes, bool)>,
}

impl Driver {
    pub(crate) fn new(connection: Connection, io: DuplexStream) -> Self {
        let (reader, writer) = split(io);
        Self {
            connection,
            messages: HashMap::new(),
            begun: Vec::new(),
            whole: Vec::new(),
            refused: Vec::new(),
            pongs: 0,
            goaway: None,
            buffer: vec![0; 5_000],
            hurries: false,
            consumes_late: false,
            unconsumed: VecDeque::new(),
            reader,
            writer,
            head: Head::new(),
            sending: HashMap::new(),
        }
    }

    /// Begins to send the body of a message whose head was sent.
    pub(crate) fn send(&mut self, stream: StreamId, body: Vec<u8>, has_trailers: bool) {
        let body = Bytes::from(body);
        self.sending.insert(stream.number(), (body, has_trailers));
        self.send_more(stream);
    }

    /// Whether a body that was handed in is not sent to its end.
    pub(crate) fn is_sending(&self, stream: StreamId) -> bool {
        self.sending.contains_key(&stream.number())
    }

    /// Ends a stream.
    pub(crate) fn reset(&mut self, stream: StreamId, code: ErrorCode) {
        self.sending.remove(&stream.number());
        self.connection.reset(stream, code);
    }

    fn send_more(&mut self, stream: StreamId) {
        let Some((body, has_trailers)) = self.sending.get_mut(&stream.number()) else {
            return;
        };
        let sent = self.connection.send_data(stream, body, !*has_trailers);
        body.advance(sent.unwrap_or(body.len()));
        if body.is_empty() {
            if *has_trailers {
                let mut trailers = Fields::default();
                trailers.push(b"x-sum", b"1").unwrap();
                self.connection.send_trailers(stream, &trailers).unwrap();
            }
            self.sending.remove(&stream.number());
        }
    }

    /// Writes what there is, reads what comes, and tells of it; `false` if the peer has closed.
    pub(crate) async fn turn(&mut self) -> bool {
        while let Some(stream) = self.connection.next_writable() {
            self.send_more(stream);
        }
        if let Some((stream, bytes)) = self.unconsumed.pop_front() {
            self.connection.consume(stream, bytes);
        }
        let output = self.connection.output();
        let done = tokio::select! {
            biased;
            written = self.writer.write(output), if !output.is_empty() => {
                Done::Wrote(written.unwrap_or(output.len()))
            }
            read = self.reader.read(&mut self.buffer), if output.len() < 200_000 => {
                Done::Read(read.unwrap_or(0))
            }
            () = yield_now(), if self.hurries || !self.unconsumed.is_empty() => Done::Waited,
        };
        match done {
            Done::Wrote(bytes) => self.connection.record_written(bytes),
            Done::Read(0) => return false,
            Done::Waited => {}
            Done::Read(bytes) => {
                let buffer = std::mem::take(&mut self.buffer);
                self.receive(&buffer[..bytes]);
                self.buffer = buffer;
            }
        }
        true
    }

    fn receive(&mut self, mut input: &[u8]) {
        loop {
            let now = Instant::now();
            let (used, event) = self.connection.receive(input, now, &mut self.head);
            let (before, rest) = input.split_at(used);
            match event {
                Event::More => return,
                Event::Over(error) => panic!("{error}"),
                event => self.take(event, before),
            }
            input = rest;
        }
    }

    fn take(&mut self, event: Event, used: &[u8]) {
        match event {
            Event::Request { stream, ends, .. } | Event::Response { stream, ends, .. } => {
                if self.head.is_request() {
                    self.begun.push(stream);
                }
                let message = self.messages.entry(stream.number()).or_default();
                message.read_head(&self.head);
                self.end(stream, ends);
            }
            Event::Interim { stream } => {
                let message = self.messages.entry(stream.number()).or_default();
                message.interims.push(self.head.status());
            }
            Event::Data {
                stream,
                range,
                ends,
            } => {
                let message = self.messages.entry(stream.number()).or_default();
                message.body.extend_from_slice(&used[range.clone()]);
                match self.consumes_late {
                    true => self.unconsumed.push_back((stream, range.len())),
                    false => self.connection.consume(stream, range.len()),
                }
                self.end(stream, ends);
            }
            Event::Trailers { stream } => {
                let message = self.messages.entry(stream.number()).or_default();
                message.has_trailers = self.head.has("x-sum");
                self.end(stream, true);
            }
            Event::Reset { stream, code } => {
                let message = self.messages.entry(stream.number()).or_default();
                message.reset = Some(code);
                self.sending.remove(&stream.number());
            }
            Event::GoAway { last, code } => self.goaway = Some((last, code)),
            Event::Pong(_) => self.pongs += 1,
            Event::Refused {
                stream,
                can_respond: true,
                ..
            } => self.refused.push(stream),
            other => panic!("{other:?}"),
        }
    }

    fn end(&mut self, stream: StreamId, ends: bool) {
        if ends {
            self.messages.entry(stream.number()).or_default().is_whole = true;
            self.whole.push(stream);
        }
    }
}

impl Message {
    fn read_head(&mut self, head: &Head) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        self.start = match head.is_request() {
            true => format!("{} {}", text(head.method_bytes()), text(head.target())),
            false => head.status().to_string(),
        };
        let fields = head.iter();
        self.fields = fields.map(|it| (text(it.name), text(it.value))).collect();
    }

    /// Names and values of its head.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        self.fields.clone()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter();
        fields.find(|it| it.0 == name).map(|it| &*it.1)
    }
}

/// A response with these fields.
pub(crate) fn response(status: u16, fields: &[(&str, &str)]) -> Head {
    let mut head = Head::new();
    head.begin_response(status, "", Version::Http11).unwrap();
    for (name, value) in fields {
        head.push(name.as_bytes(), value.as_bytes()).unwrap();
    }
    head
}

/// Sends a response by the engine.
pub(crate) fn respond(driver: &mut Driver, stream: StreamId, head: &Head, ends: bool) {
    let edit = Edit::new();
    let connection = &mut driver.connection;
    match head.is_interim() {
        true => connection.interim(stream, head, &edit).unwrap(),
        false => connection.respond(stream, head, &edit, ends).unwrap(),
    }
}
