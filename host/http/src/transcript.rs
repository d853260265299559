//! What is read of a whole stream, in words: for tests and fuzz targets, which compare it. Not for others.

pub mod http2;

use crate::fields::Fields;
use crate::head::Head;
use crate::http1::{BodyEvent, Framing, HeadEvent, RequestReader, ResponseReader};
use crate::limits::Limits;
use crate::method::Method;
use crate::violation::Violation;

/// A message, as far as it was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Message {
    /// Method and target, or status and reason; then the version.
    pub start: String,
    /// Names and values.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the body ends; `None` of an interim response.
    pub framing: Option<Framing>,
    /// What has come of the body.
    pub body: Vec<u8>,
    /// Trailer fields.
    pub trailers: Vec<(Vec<u8>, Vec<u8>)>,
    /// Whether all of it has come.
    pub is_whole: bool,
    /// Whether the connection may be used for another.
    pub is_reusable: bool,
}

/// All messages of a stream, and what was refused behind them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transcript {
    /// In their order.
    pub messages: Vec<Message>,
    /// Why nothing more was read.
    pub refused: Option<Violation>,
}

/// What a client sends, where no read has more than `cut` bytes.
pub fn requests(bytes: &[u8], cut: usize, limits: Limits) -> Transcript {
    let mut reader = RequestReader::new(limits);
    let (mut head, mut trailers) = (Head::new(), Fields::default());
    let mut transcript = Transcript::default();
    let mut is_in_body = false;
    read_in_pieces(bytes, cut, |input| {
        if is_in_body {
            let (used, event) = reader.body(input, &mut trailers);
            is_in_body = !matches!(event, BodyEvent::End);
            transcript.body(input, event, &trailers, reader.is_reusable());
            return used;
        }
        let (used, event) = reader.head(input, &mut head);
        is_in_body = event == HeadEvent::Head;
        transcript.head(event, &head, reader.framing());
        used
    });
    transcript
}

/// What a member sends to requests with these methods, where no read has more than `cut` bytes. The connection ends behind it.
pub fn responses(bytes: &[u8], cut: usize, limits: Limits, methods: &[Method]) -> Transcript {
    let mut reader = ResponseReader::new(limits);
    let (mut head, mut trailers) = (Head::new(), Fields::default());
    let mut transcript = Transcript::default();
    let (mut methods, mut is_in_body, mut is_asked) = (methods.iter(), false, false);
    read_in_pieces(bytes, cut, |input| {
        if is_in_body {
            let (used, event) = reader.body(input, &mut trailers);
            is_in_body = !matches!(event, BodyEvent::End);
            is_asked = is_in_body;
            transcript.body(input, event, &trailers, reader.is_reusable());
            return used;
        }
        if !is_asked && let Some(method) = methods.next() {
            reader.expect_response_to(*method);
        }
        is_asked = true;
        let (used, event) = reader.head(input, &mut head);
        is_in_body = event == HeadEvent::Head;
        transcript.head(event, &head, reader.framing());
        used
    });
    let is_within = reader.phase() != crate::http1::Phase::Idle;
    if transcript.refused.is_none() && is_within {
        match reader.end() {
            Ok(()) => transcript.end(false),
            Err(violation) => transcript.refused = Some(violation),
        }
    }
    transcript
}

/// Hands out what has come until nothing more of it is used. Twice nothing, for the end of a body uses none.
fn read_in_pieces(bytes: &[u8], cut: usize, mut read: impl FnMut(&[u8]) -> usize) {
    let (mut from, mut to, mut unused) = (0, 0, 0);
    loop {
        let used = read(&bytes[from..to]);
        assert!(used <= to - from, "more was used than there is");
        from += used;
        unused = if used > 0 { 0 } else { unused + 1 };
        if unused < 2 {
            continue;
        }
        if to == bytes.len() {
            return;
        }
        to = (to + cut.max(1)).min(bytes.len());
        unused = 0;
    }
}

impl Transcript {
    fn head(&mut self, event: HeadEvent, head: &Head, framing: Framing) {
        match event {
            HeadEvent::More => {}
            HeadEvent::Refused(violation) => self.refused = Some(violation),
            HeadEvent::Head | HeadEvent::Interim => self.messages.push(Message {
                start: start(head),
                fields: pairs(head),
                framing: (event == HeadEvent::Head).then_some(framing),
                is_whole: event == HeadEvent::Interim,
                ..Message::default()
            }),
        }
    }

    fn body(&mut self, input: &[u8], event: BodyEvent, trailers: &Fields, is_reusable: bool) {
        let Some(message) = self.messages.last_mut() else {
            return;
        };
        match event {
            BodyEvent::More => {}
            BodyEvent::Data(data) => message.body.extend_from_slice(&input[data]),
            BodyEvent::Trailers => message.trailers = pairs(trailers),
            BodyEvent::End => self.end(is_reusable),
            BodyEvent::Refused(violation) => self.refused = Some(violation),
        }
    }

    fn end(&mut self, is_reusable: bool) {
        if let Some(message) = self.messages.last_mut() {
            message.is_whole = true;
            message.is_reusable = is_reusable;
        }
    }
}

fn start(head: &Head) -> String {
    let version = head.version().text();
    if head.is_request() {
        let (method, target) = (head.method_bytes(), head.target());
        format!(
            "{} {} {version}",
            method.escape_ascii(),
            target.escape_ascii()
        )
    } else {
        let (status, reason) = (head.status(), head.reason().escape_ascii());
        format!("{version} {status} {reason}")
    }
}

fn pairs(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    let pairs = fields.iter();
    pairs
        .map(|field| (field.name.to_vec(), field.value.to_vec()))
        .collect()
}
