//! Responses, as they come from a container.

use std::ops::Range;

use crate::ajp::HEADER;
use crate::ajp::codes::{self, FIELD};
use crate::edit::HOP_BY_HOP;
use crate::head::{Head, Version};
use crate::http1::{Framing, response_framing};
use crate::known;
use crate::limits::Limits;
use crate::method::Method;
use crate::status::reason;
use crate::violation::Violation;

/// Packets by their first byte.
mod kind {
    pub(super) const BODY_CHUNK: u8 = 3;
    pub(super) const HEADERS: u8 = 4;
    pub(super) const END: u8 = 5;
    pub(super) const BODY_WANTED: u8 = 6;
    pub(super) const PONG: u8 = 9;
}

/// In front of a chunk's payload: the packet's header, its kind, and the payload's length.
const CHUNK_START: usize = HEADER + 3;

/// What has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing more: all of the bytes are used.
    More,
    /// An interim response; its head is in the one that was handed in.
    Interim,
    /// The response has begun; its head is in the one that was handed in.
    Head,
    /// Payload is here in the bytes that were handed in.
    Data(Range<usize>),
    /// The response is over.
    End,
    /// The container wants at most so many bytes of the request's body; or to hear that there are no more.
    BodyWanted(usize),
    /// It is there.
    Pong,
    /// What came must not pass; nothing more is read.
    Refused(Violation),
}

/// Reads responses, one to each request that is [`expected`](Self::expect_response_to). What comes when nothing was asked is refused.
#[derive(Debug, Clone)]
pub struct ResponseReader {
    limits: Limits,
    max_packet: usize,
    state: State,
    /// The beginning of a packet that has not come whole, or of a chunk.
    packet: Vec<u8>,
    chunk: Option<Chunk>,
    /// Of the request.
    method: Method,
    interims: u16,
    framing: Framing,
    /// What is to come of a body whose length is known.
    left: u64,
    is_pinged: bool,
    keeps_alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// No response is owed.
    Unasked,
    Head,
    Body,
    Refused(Violation),
}

/// A chunk of which the payload comes.
#[derive(Debug, Clone, Copy)]
struct Chunk {
    left: usize,
    /// Bytes of the packet behind it: the NUL that containers write there.
    padding: usize,
}

impl ResponseReader {
    /// A reader at the start of a connection, of packets of `max_packet` bytes at most.
    pub fn new(limits: Limits, max_packet: usize) -> Self {
        Self {
            limits,
            max_packet,
            state: State::Unasked,
            packet: Vec::new(),
            chunk: None,
            method: Method::Get,
            interims: 0,
            framing: Framing::None,
            left: 0,
            is_pinged: false,
            keeps_alive: true,
        }
    }

    /// A request with this method is about to be sent. The response before has to be over: where it is not, everything is refused
    /// from now on.
    pub fn expect_response_to(&mut self, method: Method) {
        self.state = match self.state {
            State::Unasked if self.keeps_alive => State::Head,
            State::Refused(violation) => State::Refused(violation),
            _ => State::Refused(Violation::Unasked),
        };
        self.method = method;
        self.interims = 0;
    }

    /// A [ping](super::PING) is about to be sent.
    pub fn pinged(&mut self) {
        self.is_pinged = true;
    }

    /// Where the body of the last response ends; [`Framing::Chunked`] is one without a known length.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether nothing is owed and the connection may take another request.
    pub fn is_reusable(&self) -> bool {
        self.keeps_alive
            && self.state == State::Unasked
            && self.packet.is_empty()
            && !self.is_pinged
    }

    /// Bytes of memory that are held.
    pub fn capacity(&self) -> usize {
        self.packet.capacity()
    }

    /// Takes bytes that came; tells how many of them were used, and what they are. It is to be called again with the others, until
    /// there is nothing [more](Event::More) to tell. `head` gets heads.
    pub fn read(&mut self, input: &[u8], head: &mut Head) -> (usize, Event) {
        let mut used = 0;
        loop {
            if let State::Refused(violation) = self.state {
                return (used, Event::Refused(violation));
            }
            let rest = input.get(used..).unwrap_or_default();
            let step = match self.chunk {
                Some(chunk) => self.read_chunk(chunk, rest.len()),
                None => self.read_packet(rest, head),
            };
            match step {
                Ok((0, None)) => return (used, Event::More),
                Ok((more, None)) => used += more,
                Ok((more, Some(Event::Data(range)))) => {
                    let data = used + range.start..used + range.end;
                    return (used + more, Event::Data(data));
                }
                Ok((more, Some(event))) => return (used + more, event),
                Err(violation) => self.state = State::Refused(violation),
            }
        }
    }

    /// The container has closed its side.
    ///
    /// # Errors
    /// A response is not over: more of it should have come.
    pub fn end(&mut self) -> Result<(), Violation> {
        self.keeps_alive = false;
        match self.state {
            State::Unasked => Ok(()),
            State::Refused(violation) => Err(violation),
            State::Head | State::Body => {
                self.state = State::Refused(Violation::Truncated);
                Err(Violation::Truncated)
            }
        }
    }

    fn read_chunk(&mut self, chunk: Chunk, available: usize) -> Step {
        let Chunk { left, padding } = chunk;
        if left == 0 {
            let skipped = padding.min(available);
            let padding = padding - skipped;
            self.chunk = (padding > 0).then_some(Chunk { left, padding });
            return Ok((skipped, None));
        }
        let bytes = left.min(available);
        if bytes == 0 {
            return Ok((0, None));
        }
        let left = left - bytes;
        self.chunk = (left + padding > 0).then_some(Chunk { left, padding });
        Ok((bytes, Some(Event::Data(0..bytes))))
    }

    /// Payload comes: may it?
    fn count(&mut self, bytes: usize) -> Result<(), Violation> {
        match self.framing {
            Framing::Chunked => Ok(()),
            Framing::Length(_) => {
                let left = self.left.checked_sub(bytes as u64);
                self.left = left.ok_or(Violation::BodyLength)?;
                Ok(())
            }
            _ if bytes == 0 => Ok(()),
            _ => Err(Violation::BodyLength),
        }
    }

    /// Gathers a packet, or what is in front of a chunk's payload; then does what it says.
    fn read_packet(&mut self, input: &[u8], head: &mut Head) -> Step {
        let mut used = 0;
        loop {
            let needed = self.needed()?;
            let missing = needed - self.packet.len();
            if missing == 0 {
                break;
            }
            let rest = input.get(used..).unwrap_or_default();
            let taken = &rest[..missing.min(rest.len())];
            self.packet.extend_from_slice(taken);
            used += taken.len();
            if taken.len() < missing {
                return Ok((used, None));
            }
        }
        let packet = std::mem::take(&mut self.packet);
        let event = self.take(&packet, head);
        self.packet = packet;
        self.packet.clear();
        Ok((used, event?))
    }

    /// Bytes that a packet has to have come with before more can be said of it.
    fn needed(&self) -> Result<usize, Violation> {
        let [a, b, high, low, rest @ ..] = &self.packet[..] else {
            return Ok(HEADER);
        };
        let length = usize::from(u16::from_be_bytes([*high, *low]));
        if [*a, *b] != *b"AB" || length == 0 {
            return Err(Violation::AjpPacket);
        }
        if HEADER + length > self.max_packet {
            return Err(Violation::AjpPacketTooLarge);
        }
        Ok(match rest.first() {
            None => HEADER + 1,
            Some(&kind::BODY_CHUNK) if length < 3 => return Err(Violation::AjpPacket),
            Some(&kind::BODY_CHUNK) => CHUNK_START,
            Some(_) => HEADER + length,
        })
    }

    /// What a packet says.
    fn take(&mut self, packet: &[u8], head: &mut Head) -> Result<Option<Event>, Violation> {
        let is_asked = matches!(self.state, State::Head | State::Body);
        let mut cursor = Cursor(packet.get(HEADER..).unwrap_or_default());
        match (cursor.byte()?, self.state) {
            (kind::PONG, _) if std::mem::take(&mut self.is_pinged) => Ok(Some(Event::Pong)),
            (kind::HEADERS, State::Head) => self.take_head(cursor, head).map(Some),
            (kind::BODY_CHUNK, State::Body) => {
                let length = usize::from(u16::from_be_bytes([packet[2], packet[3]]));
                let left = usize::from(cursor.number()?);
                let padding = length.checked_sub(3 + left).ok_or(Violation::AjpPacket)?;
                if padding > 1 {
                    return Err(Violation::AjpPacket);
                }
                self.count(left)?;
                self.chunk = (left + padding > 0).then_some(Chunk { left, padding });
                Ok(None)
            }
            (kind::BODY_WANTED, _) if is_asked => {
                Ok(Some(Event::BodyWanted(cursor.number()?.into())))
            }
            (kind::END, State::Body) => {
                self.keeps_alive = cursor.byte()? != 0;
                if self.left > 0 {
                    return Err(Violation::Truncated);
                }
                self.state = State::Unasked;
                Ok(Some(Event::End))
            }
            _ if is_asked => Err(Violation::AjpPacket),
            _ => Err(Violation::Unasked),
        }
    }

    fn take_head(&mut self, mut cursor: Cursor<'_>, head: &mut Head) -> Result<Event, Violation> {
        let status = cursor.number()?;
        // Its own phrase says nothing that a client needs, and may hold anything.
        cursor.text()?;
        head.begin_response(status, reason(status), Version::Http11)?;
        let bounds = self.limits.head;
        let fields = cursor.number()?;
        if fields > bounds.fields {
            return Err(Violation::TooManyFields);
        }
        let mut bytes = 0;
        for _ in 0..fields {
            let (name, value) = (cursor.field_name()?, cursor.text()?);
            let line = name.len() + value.len() + 4;
            bytes += line;
            if line > bounds.line as usize {
                return Err(Violation::LineTooLong);
            }
            if bytes > bounds.bytes as usize {
                return Err(Violation::HeadTooLarge);
            }
            let is_of_connection = known::find(name).is_some_and(|it| HOP_BY_HOP.contains(it));
            if !is_of_connection {
                head.push(name, value)?;
            }
        }
        self.judge_head(head)
    }

    fn judge_head(&mut self, head: &Head) -> Result<Event, Violation> {
        if head.status() == 101 {
            return Err(Violation::Switching);
        }
        let framing = response_framing(head, self.method)?;
        if head.is_interim() {
            self.interims += 1;
            if self.interims > self.limits.interims {
                return Err(Violation::TooManyInterims);
            }
            return Ok(Event::Interim);
        }
        // Without a length, packets say where it ends.
        (self.framing, self.left) = match framing {
            Framing::Length(length) => (framing, length),
            Framing::None => (framing, 0),
            _ => (Framing::Chunked, 0),
        };
        self.state = State::Body;
        Ok(Event::Head)
    }
}

/// Bytes that were used, and what they say if it is to be told.
type Step = Result<(usize, Option<Event>), Violation>;

/// What is left of a packet.
struct Cursor<'p>(&'p [u8]);

impl<'p> Cursor<'p> {
    fn byte(&mut self) -> Result<u8, Violation> {
        let byte = self.0.split_off_first();
        byte.copied().ok_or(Violation::AjpPacket)
    }

    fn number(&mut self) -> Result<u16, Violation> {
        Ok(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// A text, without the NUL behind it; one that is not there is empty.
    fn text(&mut self) -> Result<&'p [u8], Violation> {
        let length = self.number()?;
        if length == u16::MAX {
            return Ok(&[]);
        }
        self.text_of(length.into())
    }

    fn text_of(&mut self, length: usize) -> Result<&'p [u8], Violation> {
        let text = self.0.split_off(..length).ok_or(Violation::AjpPacket)?;
        match self.byte()? {
            0 => Ok(text),
            _ => Err(Violation::AjpPacket),
        }
    }

    /// A field's name, by its code or as a text.
    fn field_name(&mut self) -> Result<&'p [u8], Violation> {
        let (high, low) = (self.byte()?, self.byte()?);
        if high == FIELD {
            return codes::response_field(low).ok_or(Violation::AjpPacket);
        }
        self.text_of(u16::from_be_bytes([high, low]).into())
    }
}
