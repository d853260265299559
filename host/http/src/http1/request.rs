//! Requests, as they come by a client's connection (RFC 9112, 2 and 3).

use crate::fields::Fields;
use crate::head::{Head, Start};
use crate::http1::body::Decoder;
use crate::http1::framing::{Framing, request_framing};
use crate::http1::section::{FirstLine, Reading, Rules};
use crate::http1::{BodyEvent, HeadEvent, Phase, Sender, parse};
use crate::limits::{Excess, Limits};
use crate::violation::Violation;

/// Reads requests, one after the other.
///
/// [`head`](Self::head) is called with what has come until the head is whole, then [`body`](Self::body) until the body is over,
/// then again. Both tell how many of the bytes they have used; the others are to come again, with more behind them or not.
#[derive(Debug, Clone)]
pub struct RequestReader {
    limits: Limits,
    state: State,
    framing: Framing,
    keeps_alive: bool,
}

#[derive(Debug, Clone)]
enum State {
    /// Before a request: so many empty lines have come, and perhaps the CR of another.
    Before {
        empty_lines: u8,
        has_cr: bool,
    },
    Head(Reading),
    Body(Decoder),
    Refused(Violation),
}

impl State {
    const BEFORE: Self = Self::Before {
        empty_lines: 0,
        has_cr: false,
    };
}

impl RequestReader {
    /// A reader at the start of a connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::BEFORE,
            framing: Framing::None,
            keeps_alive: true,
        }
    }

    /// The bounds of what is read from the next head on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// What the next byte belongs to.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Before { has_cr: false, .. } => Phase::Idle,
            State::Before { .. } | State::Head(_) => Phase::Head,
            State::Body(_) => Phase::Body,
            State::Refused(_) => Phase::Over,
        }
    }

    /// Where the body of the last request ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the message is over, so that the next byte belongs to another, and the client keeps the connection for that.
    pub fn is_reusable(&self) -> bool {
        self.keeps_alive && matches!(self.state, State::Before { .. })
    }

    /// Whether the client keeps the connection for another request behind the last one.
    pub fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// How many bytes of the body are to come, as far as that is known: of a body with chunks, those of the chunk.
    pub fn left(&self) -> u64 {
        match &self.state {
            State::Body(decoder) => decoder.left(),
            _ => 0,
        }
    }

    /// Reads a head into `head`, which is cleared where it begins. Of a request that is not over, the rest has to be read first:
    /// nothing is used while there is one.
    pub fn head(&mut self, input: &[u8], head: &mut Head) -> (usize, HeadEvent) {
        let used = match self.skip_empty_lines(input, head) {
            Ok(used) => used,
            Err(violation) => return (0, self.refuse(violation)),
        };
        let input = &input[used..];
        let State::Head(reading) = &mut self.state else {
            return match self.state {
                State::Refused(violation) => (used, HeadEvent::Refused(violation)),
                _ => (used, HeadEvent::More),
            };
        };
        let Head { fields, start } = head;
        let rules = Rules {
            limits: &self.limits.head,
            excess: Excess::OF_HEAD,
        };
        let mut first = RequestLine {
            start,
            limits: &self.limits,
        };
        match reading.take(fields, input, &rules, &mut first) {
            Ok((more, false)) => (used + more, HeadEvent::More),
            Ok((more, true)) => (used + more, self.end_head(head)),
            Err(violation) => (used, self.refuse(violation)),
        }
    }

    /// Reads a body; its trailers into `trailers`, which is cleared where they begin.
    pub fn body(&mut self, input: &[u8], trailers: &mut Fields) -> (usize, BodyEvent) {
        let decoder = match &mut self.state {
            State::Body(decoder) => decoder,
            State::Refused(violation) => return (0, BodyEvent::Refused(*violation)),
            _ => return (0, BodyEvent::End),
        };
        let (used, event) = decoder.decode(input, trailers, &self.limits);
        match event {
            BodyEvent::End => self.state = State::BEFORE,
            BodyEvent::Refused(violation) => self.state = State::Refused(violation),
            _ => {}
        }
        (used, event)
    }

    /// Skips empty lines before a request; once that begins, nothing.
    #[inline]
    fn skip_empty_lines(&mut self, input: &[u8], head: &mut Head) -> Result<usize, Violation> {
        let State::Before {
            empty_lines,
            has_cr,
        } = &mut self.state
        else {
            return Ok(0);
        };
        let mut used = 0;
        for &byte in input {
            match byte {
                b'\n' if *has_cr => {
                    *has_cr = false;
                    *empty_lines = empty_lines.saturating_add(1);
                    if *empty_lines > self.limits.empty_lines {
                        return Err(Violation::EmptyLines);
                    }
                }
                _ if *has_cr => return Err(Violation::BareCr),
                b'\r' => *has_cr = true,
                _ => {
                    head.start = Start::default();
                    self.state = State::Head(Reading::default());
                    return Ok(used);
                }
            }
            used += 1;
        }
        Ok(used)
    }

    /// The head is there: what does it say?
    fn end_head(&mut self, head: &mut Head) -> HeadEvent {
        match request_framing(head) {
            Ok(framing) => {
                self.framing = framing;
                self.keeps_alive = head.keeps_alive();
                self.state = match Decoder::new(framing, Sender::Client) {
                    Some(decoder) => State::Body(decoder),
                    None => State::BEFORE,
                };
                HeadEvent::Head
            }
            Err(violation) => self.refuse(violation),
        }
    }

    #[cold]
    fn refuse(&mut self, violation: Violation) -> HeadEvent {
        self.state = State::Refused(violation);
        HeadEvent::Refused(violation)
    }
}

struct RequestLine<'h> {
    start: &'h mut Start,
    limits: &'h Limits,
}

impl FirstLine for RequestLine<'_> {
    #[inline]
    fn read(&mut self, bytes: &[u8]) -> parse::Read<usize> {
        let Some(start) = parse::request_line(bytes, self.limits)? else {
            return Ok(None);
        };
        *self.start = start;
        Ok(Some(start.end as usize))
    }

    fn validate(&self, bytes: &[u8]) -> Result<(), Violation> {
        parse::first_of_request(bytes)
    }

    fn too_long(&self) -> Violation {
        Violation::TargetTooLong
    }
}
