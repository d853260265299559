//! Responses, as they come by a member's connection (RFC 9112, 2 and 4).

use crate::fields::Fields;
use crate::head::{Head, Start};
use crate::http1::body::Decoder;
use crate::http1::framing::{Framing, response_framing};
use crate::http1::section::{FirstLine, Reading, Rules};
use crate::http1::{BodyEvent, HeadEvent, Phase, Sender, parse};
use crate::limits::{Excess, Limits};
use crate::method::Method;
use crate::violation::Violation;

/// Reads responses, one to each request; see [`expect_response_to`](Self::expect_response_to).
///
/// [`head`](Self::head) is called with what has come until the head is whole that is not interim, then [`body`](Self::body) until
/// the body is over. Both tell how many of the bytes they have used. What comes when nothing was asked is refused.
#[derive(Debug, Clone)]
pub struct ResponseReader {
    limits: Limits,
    state: State,
    /// Of the request.
    method: Method,
    interims: u16,
    framing: Framing,
    keeps_alive: bool,
}

#[derive(Debug, Clone)]
enum State {
    /// No response is owed.
    Unasked,
    Head(Reading),
    Body(Decoder),
    Refused(Violation),
}

impl ResponseReader {
    /// A reader at the start of a connection, when nothing has been asked.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Unasked,
            method: Method::Get,
            interims: 0,
            framing: Framing::None,
            keeps_alive: true,
        }
    }

    /// A request with this method is about to be sent. The response before has to be over: where it is not, nothing could tell
    /// where the next begins, and everything is refused from now on.
    pub fn expect_response_to(&mut self, method: Method) {
        self.state = match self.state {
            State::Unasked if self.keeps_alive => State::Head(Reading::default()),
            State::Refused(violation) => State::Refused(violation),
            _ => State::Refused(Violation::Unasked),
        };
        self.method = method;
        self.interims = 0;
    }

    /// The bounds of what is read from the next head on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// What the next byte belongs to. While a response is awaited, it is its head.
    pub fn phase(&self) -> Phase {
        match &self.state {
            State::Unasked => Phase::Idle,
            State::Head(_) => Phase::Head,
            State::Body(_) => Phase::Body,
            State::Refused(_) => Phase::Over,
        }
    }

    /// Where the body of the last response ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the response is over and the connection may take another request.
    pub fn is_reusable(&self) -> bool {
        self.keeps_alive && matches!(self.state, State::Unasked)
    }

    /// How many bytes of the body are to come, as far as that is known: of a body with chunks, those of the chunk.
    pub fn left(&self) -> u64 {
        match &self.state {
            State::Body(decoder) => decoder.left(),
            _ => 0,
        }
    }

    /// Reads a head into `head`, which is cleared where it begins. Interim ones come first, each in its turn.
    pub fn head(&mut self, input: &[u8], head: &mut Head) -> (usize, HeadEvent) {
        let reading = match &mut self.state {
            State::Head(reading) => reading,
            State::Unasked if input.is_empty() => return (0, HeadEvent::More),
            State::Unasked => return (0, self.refuse(Violation::Unasked)),
            State::Body(_) => return (0, HeadEvent::More),
            State::Refused(violation) => return (0, HeadEvent::Refused(*violation)),
        };
        let Head { fields, start } = head;
        if !reading.has_begun() {
            *start = Start::default();
        }
        let rules = Rules {
            limits: &self.limits.head,
            excess: Excess::OF_HEAD,
        };
        match reading.take(fields, input, &rules, &mut StatusLine { start }) {
            Ok((used, false)) => (used, HeadEvent::More),
            Ok((used, true)) => (used, self.end_head(head)),
            Err(violation) => (0, self.refuse(violation)),
        }
    }

    /// Reads a body; its trailers into `trailers`, which is cleared where they begin. Of what has become a tunnel, everything is
    /// payload.
    pub fn body(&mut self, input: &[u8], trailers: &mut Fields) -> (usize, BodyEvent) {
        let decoder = match &mut self.state {
            State::Body(decoder) => decoder,
            State::Refused(violation) => return (0, BodyEvent::Refused(*violation)),
            State::Unasked => return (0, BodyEvent::End),
            State::Head(_) => return (0, BodyEvent::More),
        };
        let (used, event) = decoder.decode(input, trailers, &self.limits);
        match event {
            BodyEvent::End => self.state = State::Unasked,
            BodyEvent::Refused(violation) => self.state = State::Refused(violation),
            _ => {}
        }
        (used, event)
    }

    /// The member has closed its side.
    ///
    /// # Errors
    /// A response is not over: more of it should have come.
    pub fn end(&mut self) -> Result<(), Violation> {
        self.keeps_alive = false;
        match &self.state {
            State::Unasked => Ok(()),
            State::Body(decoder) if decoder.ends_with_connection() => {
                self.state = State::Unasked;
                Ok(())
            }
            State::Refused(violation) => Err(*violation),
            State::Head(_) | State::Body(_) => {
                self.state = State::Refused(Violation::Truncated);
                Err(Violation::Truncated)
            }
        }
    }

    /// The head is there: what does it say?
    fn end_head(&mut self, head: &Head) -> HeadEvent {
        let framing = match response_framing(head, self.method) {
            Ok(framing) => framing,
            Err(violation) => return self.refuse(violation),
        };
        if head.is_interim() {
            self.interims += 1;
            if self.interims > self.limits.interims {
                return self.refuse(Violation::TooManyInterims);
            }
            self.state = State::Head(Reading::default());
            return HeadEvent::Interim;
        }
        self.framing = framing;
        self.keeps_alive =
            head.keeps_alive() && !matches!(framing, Framing::Close | Framing::Tunnel);
        self.state = match Decoder::new(framing, Sender::Member) {
            Some(decoder) => State::Body(decoder),
            None => State::Unasked,
        };
        HeadEvent::Head
    }

    #[cold]
    fn refuse(&mut self, violation: Violation) -> HeadEvent {
        self.state = State::Refused(violation);
        HeadEvent::Refused(violation)
    }
}

struct StatusLine<'h> {
    start: &'h mut Start,
}

impl FirstLine for StatusLine<'_> {
    #[inline]
    fn read(&mut self, bytes: &[u8]) -> parse::Read<usize> {
        let Some(start) = parse::status_line(bytes)? else {
            return Ok(None);
        };
        *self.start = start;
        Ok(Some(start.end as usize))
    }

    fn validate(&self, bytes: &[u8]) -> Result<(), Violation> {
        parse::first_of_response(bytes)
    }

    fn too_long(&self) -> Violation {
        Violation::HeadTooLarge
    }
}
