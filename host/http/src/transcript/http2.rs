//! What is read of a connection of HTTP/2, in words.

use std::collections::HashMap;
use std::time::Instant;

use crate::head::Head;
use crate::http2::{Connection, Event, Options, Role, StreamId};

/// A connection, and what was told of it.
#[derive(Debug)]
pub struct Session {
    /// The connection.
    pub connection: Connection,
    /// The last head.
    pub head: Head,
    /// When it is.
    pub now: Instant,
    /// Whether payload is consumed as soon as it has come.
    pub consumes: bool,
    /// All streams that were told.
    pub streams: HashMap<u32, StreamId>,
    told: Vec<String>,
    /// The stream whose payload was told last.
    in_data: Option<u32>,
}

impl Session {
    /// One that begins now.
    #[expect(clippy::disallowed_methods, reason = "for tests, which give no time")]
    pub fn new(role: Role, options: Options) -> Self {
        let now = Instant::now();
        Self {
            connection: Connection::new(role, options, now),
            head: Head::new(),
            now,
            consumes: true,
            streams: HashMap::new(),
            told: Vec::new(),
            in_data: None,
        }
    }

    /// Reads these bytes, no more than `cut` at once; tells of each event a line, and of each run of payload.
    pub fn receive(&mut self, bytes: &[u8], cut: usize) -> Vec<String> {
        self.in_data = None;
        for piece in bytes.chunks(cut.max(1)) {
            let mut used = 0;
            loop {
                let (more, event) =
                    self.connection
                        .receive(&piece[used..], self.now, &mut self.head);
                used += more;
                assert!(used <= piece.len(), "more was used than there is");
                let is_last = matches!(event, Event::More | Event::Over(_));
                self.tell(event, &piece[used - more..used]);
                if is_last {
                    break;
                }
            }
            if self
                .told
                .last()
                .is_some_and(|last| last.starts_with("over"))
            {
                break;
            }
            assert_eq!(used, piece.len(), "something was not used");
        }
        std::mem::take(&mut self.told)
    }

    fn tell(&mut self, event: Event, used: &[u8]) {
        let line = match event {
            Event::More => return,
            Event::Data {
                stream,
                range,
                ends,
            } => return self.tell_data(stream, &used[range], ends),
            Event::Request { stream, ends, .. } | Event::Response { stream, ends, .. } => {
                self.message(stream, ends)
            }
            Event::Interim { stream } => self.message(stream, false),
            Event::Trailers { stream } => {
                format!("{} trailers{}", stream.number(), self.fields())
            }
            Event::Refused {
                stream,
                violation,
                can_respond,
            } => {
                self.streams.insert(stream.number(), stream);
                let end = if can_respond { "" } else { ", gone" };
                format!("{} refused: {}{end}", stream.number(), violation.name())
            }
            Event::Reset { stream, code } => format!("{} reset: {code}", stream.number()),
            Event::GoAway { last, code } => format!("goaway {last}: {code}"),
            Event::Pong(payload) => format!("pong {}", payload.escape_ascii()),
            Event::Over(error) => format!("over: {}", error.name()),
        };
        self.in_data = None;
        self.told.push(line);
    }

    fn tell_data(&mut self, stream: StreamId, payload: &[u8], ends: bool) {
        if self.consumes {
            self.connection.consume(stream, payload.len());
        }
        let number = stream.number();
        let text = payload.escape_ascii().to_string();
        let end = if ends { " end" } else { "" };
        match self.told.last_mut() {
            Some(last) if self.in_data == Some(number) => *last += &format!("{text}{end}"),
            _ => self.told.push(format!("{number} data {text}{end}")),
        }
        self.in_data = (!ends).then_some(number);
    }

    fn message(&mut self, stream: StreamId, ends: bool) -> String {
        self.streams.insert(stream.number(), stream);
        let (number, start) = (stream.number(), super::start(&self.head));
        let end = if ends { " end" } else { "" };
        format!("{number} {start}{}{end}", self.fields())
    }

    fn fields(&self) -> String {
        let fields = self.head.iter().map(|field| {
            let (name, value) = (field.name.escape_ascii(), field.value.escape_ascii());
            format!(" {name}={value}")
        });
        fields.collect()
    }
}
