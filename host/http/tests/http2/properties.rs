//! What holds of any bytes, and of any two that speak with each other.

use std::collections::HashMap;
use std::time::Instant;

use equipoise_http::http2::{Connection, Event, Options, Role, StreamId};
use equipoise_http::{Edit, Fields, Head};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::frames::*;
use crate::spoken::spoken;
use crate::{request, response};

/// Blocks that messages are made of, right and wrong ones.
const BLOCKS: [&[u8]; 14] = [
    GET,
    POST,
    OK,
    X,
    b"",
    b"\x83\x86\x84\x01\x01a\x0f\x0d\x013",
    b"\x82\x86\x84\x01\x01a\x40\x01y\x012",
    b"\x82\x86\x84\x01\x01a\xbe",
    b"\x82\x86\x84",
    b"\x88\x0f\x0d\x013",
    b"\x08\x03103",
    b"\x08\x03103\x40\x01z\x013",
    b"\x02\x07CONNECT\x86\x84\x01\x01a\x00\x09:protocol\x01a",
    b"\xff\xff",
];

fn frame_of_any_kind() -> impl Strategy<Value = Vec<u8>> {
    let streams = select(vec![0_u32, 1, 1, 1, 2, 3, 3, 5, 7, 9]);
    let blocks = (
        select(&BLOCKS[..]),
        select(vec![0, 1, 4, 5, 5, 13]),
        streams.clone(),
    );
    let headers = blocks.prop_map(|(block, flags, stream)| headers(flags, stream, block));
    let payload = (
        vec(any::<u8>(), 0..6),
        select(vec![0, 0, 1, 8, 9]),
        streams.clone(),
    );
    let payload = payload.prop_map(|(payload, flags, stream)| data(flags, stream, &payload));
    let numbers = (
        select(vec![RST_STREAM, WINDOW_UPDATE]),
        streams.clone(),
        0_u32..9,
    );
    let numbers =
        numbers.prop_map(|(kind, stream, number)| frame(kind, 0, stream, &number.to_be_bytes()));
    let setting = (1_u16..10, select(vec![0_u32, 1, 2, 100, 65_535, 1 << 20]));
    let setting = setting.prop_map(|pair| settings(&[pair]));
    let rest = (0_u8..18, any::<u8>(), streams, vec(any::<u8>(), 0..12));
    let rest = rest.prop_map(|(kind, flags, stream, payload)| frame(kind, flags, stream, &payload));
    prop_oneof![6 => headers, 4 => payload, 2 => numbers, 1 => setting, 1 => rest]
}

fn streams() -> impl Strategy<Value = Vec<u8>> {
    let frames = vec(frame_of_any_kind(), 0..20).prop_map(|frames| frames.concat());
    prop_oneof![8 => frames, 1 => vec(any::<u8>(), 0..200)]
}

/// Messages: the number of their stream, and what is sent of each.
type Bodies = HashMap<u32, (Vec<u8>, bool)>;

/// One of two that speak with each other.
struct Party {
    connection: Connection,
    head: Head,
    /// What has come and was not read.
    input: Vec<u8>,
    /// What is to be sent, and whether trailers are to be behind it.
    sending: Vec<(StreamId, Vec<u8>, bool)>,
    received: Bodies,
    ended: usize,
    interims: usize,
}

impl Party {
    fn new(role: Role, options: Options, now: Instant) -> Self {
        Self {
            connection: Connection::new(role, options, now),
            head: Head::new(),
            input: Vec::new(),
            sending: Vec::new(),
            received: Bodies::new(),
            ended: 0,
            interims: 0,
        }
    }

    /// Reads up to so many bytes of what has come, and consumes the payload. Requests are answered with a body of theirs.
    fn read(&mut self, bytes: usize, now: Instant, responses: &[(Vec<u8>, bool)]) {
        let length = bytes.min(self.input.len());
        let mut used = 0;
        loop {
            let input = &self.input[used..length];
            let (more, event) = self.connection.receive(input, now, &mut self.head);
            let input = &input[..more];
            used += more;
            match event {
                Event::More => break,
                Event::Request { stream, ends, .. } => {
                    self.ended += usize::from(ends);
                    self.respond(stream, responses);
                }
                Event::Interim { .. } => self.interims += 1,
                Event::Response { ends, .. } => self.ended += usize::from(ends),
                Event::Data {
                    stream,
                    range,
                    ends,
                } => {
                    self.connection.consume(stream, range.len());
                    let received = self.received.entry(stream.number()).or_default();
                    received.0.extend_from_slice(&input[range]);
                    self.ended += usize::from(ends);
                }
                Event::Trailers { stream } => {
                    self.ended += 1;
                    assert_eq!(self.head.get("x-sum"), Some(&b"1"[..]));
                    self.received.entry(stream.number()).or_default().1 = true;
                }
                other => panic!("{other:?}"),
            }
        }
        self.input.drain(..used);
    }

    fn respond(&mut self, stream: StreamId, responses: &[(Vec<u8>, bool)]) {
        let edit = Edit::new();
        let interim = response(103);
        self.connection.interim(stream, &interim, &edit).unwrap();
        let head = response(200);
        self.connection
            .respond(stream, &head, &edit, false)
            .unwrap();
        let (body, has_trailers) = responses[stream.number() as usize / 2].clone();
        self.sending.push((stream, body, has_trailers));
        self.send(self.sending.len() - 1);
    }

    /// Sends what there is room for of the message at this place.
    fn send(&mut self, at: usize) {
        let (stream, body, has_trailers) = &mut self.sending[at];
        let sent = self
            .connection
            .send_data(*stream, body, !*has_trailers)
            .unwrap();
        body.drain(..sent);
        if !body.is_empty() {
            return;
        }
        if *has_trailers {
            let mut trailers = Fields::default();
            trailers.push(b"x-sum", b"1").unwrap();
            self.connection.send_trailers(*stream, &trailers).unwrap();
        }
        self.sending.remove(at);
    }

    fn send_in_turn(&mut self) {
        while let Some(stream) = self.connection.next_writable() {
            let at = self.sending.iter().position(|(it, ..)| *it == stream);
            self.send(at.expect("it has something to send"));
        }
    }

    /// Writes so many bytes of its output to the other.
    fn write_to(&mut self, other: &mut Self, bytes: usize) {
        let output = self.connection.output();
        let length = bytes.min(output.len());
        other.input.extend_from_slice(&output[..length]);
        self.connection.record_written(length);
        self.send_in_turn();
    }
}

fn bodies() -> impl Strategy<Value = Vec<(Vec<u8>, bool)>> {
    let length = prop_oneof![Just(0_usize), 1_usize..100, 1_usize..200_000];
    let body = (length, any::<u8>(), any::<bool>());
    let body = body.prop_map(|(length, seed, has_trailers)| {
        let bytes = (0..length).map(|at| (at % 251) as u8 ^ seed);
        (bytes.collect(), has_trailers)
    });
    vec(body, 8)
}

fn expected(bodies: &[(Vec<u8>, bool)]) -> Bodies {
    let numbered = bodies.iter().enumerate();
    numbered
        .map(|(index, body)| (2 * index as u32 + 1, body.clone()))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn where_bytes_are_cut_makes_no_difference(first in streams(), second in streams(), cut in 1_usize..30, is_server: bool, is_tight: bool) {
        let role = if is_server { Role::Server } else { Role::Client };
        let read = |cut| spoken(role, is_tight, [&first, &second], cut);
        prop_assert_eq!(read(cut), read(usize::MAX));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Eight requests with bodies and answers with bodies at once, in small windows and in pieces of any size: all of them
    /// come to their ends as they were sent, and nothing is left behind.
    #[test]
    fn messages_come_as_they_were_sent(
        requests in bodies(),
        responses in bodies(),
        pieces in vec(1_usize..40_000, 1..20),
        is_small: bool,
    ) {
        let now = Instant::now();
        let windows = if is_small { 65_535 } else { 1 << 20 };
        let options = Options { stream_window: windows, connection_window: windows, ..Options::default() };
        let mut client = Party::new(Role::Client, options, now);
        let mut server = Party::new(Role::Server, options, now);
        for (body, has_trailers) in &requests {
            let (head, edit) = (request("POST"), Edit::new());
            let stream = client.connection.request(&head, &edit, false, None, false).unwrap();
            client.sending.push((stream, body.clone(), *has_trailers));
        }
        for at in (0..requests.len()).rev() {
            client.send(at);
        }
        for piece in pieces.iter().cycle().take(100_000) {
            client.write_to(&mut server, *piece);
            server.read(*piece, now, &responses);
            server.send_in_turn();
            server.write_to(&mut client, *piece);
            client.read(*piece, now, &responses);
            client.send_in_turn();
            if client.ended == 8 && server.ended == 8 && client.connection.output().is_empty() {
                break;
            }
        }
        prop_assert_eq!((client.ended, client.interims, server.ended), (8, 8, 8));
        prop_assert!(server.received == expected(&requests), "requests");
        prop_assert!(client.received == expected(&responses), "responses");
        prop_assert_eq!((client.connection.open_streams(), server.connection.open_streams()), (0, 0));
        prop_assert!(!client.connection.is_going_away() && !server.connection.is_going_away());
    }
}
