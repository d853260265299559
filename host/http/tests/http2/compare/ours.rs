//! The engine as the server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use equipoise_http::http2::{Connection, ConnectionError, ErrorCode, Event, Options, Role};
use equipoise_http::{Fields, Head, Violation};

use super::script::{CONTINUATION, END_HEADERS, Frame};
use super::{End, Message, Pair};

pub(super) struct Ours {
    connection: Connection,
    head: Head,
    now: Instant,
    pub(super) requests: BTreeMap<u32, Message>,
    /// Why requests or streams were refused.
    pub(super) refused: BTreeMap<u32, Violation>,
    /// Streams that either side has reset.
    pub(super) reset: BTreeSet<u32>,
    pub(super) over: Option<ConnectionError>,
}

impl Ours {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self {
            connection: Connection::new(Role::Server, Options::default(), now),
            head: Head::new(),
            now,
            requests: BTreeMap::new(),
            refused: BTreeMap::new(),
            reset: BTreeSet::new(),
            over: None,
        }
    }

    pub(super) fn receive(&mut self, mut bytes: &[u8]) {
        loop {
            let (used, event) = self.connection.receive(bytes, self.now, &mut self.head);
            let (before, behind) = bytes.split_at(used);
            bytes = behind;
            match event {
                Event::More => break,
                Event::Over(error) => {
                    self.over = Some(error);
                    return;
                }
                event => self.take(event, before),
            }
        }
        let written = self.connection.output().len();
        self.connection.record_written(written);
    }

    /// Whether a stream is one whose message may still be right.
    pub(super) fn is_open(&self, number: u32) -> bool {
        let request = self.requests.get(&number);
        request.is_some_and(|it| it.end != End::Broken) && !self.refused.contains_key(&number)
    }

    /// Ends the header block of a frame, if it does not.
    pub(super) fn end_block(&mut self, frame: &Frame) {
        if frame.has(END_HEADERS) {
            return;
        }
        let end = Frame {
            kind: CONTINUATION,
            flags: END_HEADERS,
            stream: frame.stream,
            payload: Vec::new(),
        };
        self.receive(&end.bytes());
    }

    fn take(&mut self, event: Event, used: &[u8]) {
        match event {
            Event::Request {
                stream,
                request,
                ends,
            } => {
                let mut message = message(&self.head, request.is_connect);
                message.end_if(ends);
                self.requests.insert(stream.number(), message);
            }
            Event::Data {
                stream,
                range,
                ends,
            } => {
                self.connection.consume(stream, range.len());
                let message = self.requests.get_mut(&stream.number()).expect("it began");
                message.body.extend_from_slice(&used[range]);
                message.end_if(ends);
            }
            Event::Trailers { stream } => {
                let message = self.requests.get_mut(&stream.number()).expect("it began");
                message.trailers = pairs(&self.head);
                message.end_if(true);
            }
            // What may be answered is reset, as the other does.
            Event::Refused {
                stream, violation, ..
            } => {
                self.connection.reset(stream, ErrorCode::PROTOCOL_ERROR);
                self.refused.insert(stream.number(), violation);
                self.break_off(stream.number());
            }
            Event::Reset { stream, .. } => self.break_off(stream.number()),
            Event::GoAway { .. } | Event::Pong(_) => {}
            other => panic!("a server is told {other:?}"),
        }
    }

    fn break_off(&mut self, number: u32) {
        self.reset.insert(number);
        if let Some(message) = self.requests.get_mut(&number) {
            message.break_off();
        }
    }
}

/// A request; extended CONNECT as it came.
fn message(head: &Head, is_connect: bool) -> Message {
    let mut fields = pairs(head);
    let at = fields.iter().position(|(name, _)| name == b"host");
    let authority = at.map(|at| fields.remove(at).1);
    let mut method = head.method_bytes().to_vec();
    if is_connect {
        fields.retain(|(name, _)| name != b"upgrade" && name != b"connection");
        method = b"CONNECT".to_vec();
    }
    Message {
        method,
        path: head.target().to_vec(),
        authority,
        fields,
        body: Vec::new(),
        trailers: Vec::new(),
        end: End::Open,
    }
}

/// Fields by their names, those of one name in their order.
fn pairs(fields: &Fields) -> Vec<Pair> {
    let fields = fields.iter();
    let mut pairs: Vec<_> = fields
        .map(|it| (it.name.to_vec(), it.value.to_vec()))
        .collect();
    pairs.sort_by(|one, other| one.0.cmp(&other.0));
    pairs
}
