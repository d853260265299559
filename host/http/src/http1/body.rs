//! Bodies (RFC 9112, 6 and 7): read without copying them, and written.
//!
//! A [`Decoder`] says where payload is in what has come; an [`Encoder`] writes what belongs around payload, and sees that there is
//! as much of it as was said.

use crate::fields::Fields;
use crate::head::Start;
use crate::http1::chunks::ChunkLine;
use crate::http1::framing::Framing;
use crate::http1::section::{FirstLine, Reading, Rules};
use crate::http1::trailers::{Sender, TrailerVerdict, trailer};
use crate::http1::{BodyEvent, parse};
use crate::limits::{Excess, Limits};
use crate::violation::Violation;

/// Reads a body.
#[derive(Debug, Clone)]
pub struct Decoder {
    state: State,
    sender: Sender,
    /// Bytes of chunk extensions so far.
    extensions: u16,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many bytes are to come, at least one.
    Length(u64),
    /// All that comes.
    Close,
    ChunkLine(ChunkLine),
    /// So many bytes of a chunk are to come, at least one.
    Chunk(u64),
    /// The line's end behind a chunk.
    ChunkEnd,
    /// The LF of it.
    ChunkEndLf,
    Trailers(Reading),
    Over,
    Refused(Violation),
}

impl Decoder {
    /// A reader of a body that ends like this; `None` where none comes, so that the message is over.
    pub fn new(framing: Framing, sender: Sender) -> Option<Self> {
        let state = match framing {
            Framing::None | Framing::Length(0) => return None,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkLine(ChunkLine::NEW),
            Framing::Close | Framing::Tunnel => State::Close,
        };
        Some(Self {
            state,
            sender,
            extensions: 0,
        })
    }

    /// How many bytes of payload are to come, as far as that is known: of a body with chunks, those of the chunk.
    pub fn left(&self) -> u64 {
        match self.state {
            State::Length(left) | State::Chunk(left) => left,
            _ => 0,
        }
    }

    /// Whether the end of the connection is the body's.
    pub fn ends_with_connection(&self) -> bool {
        matches!(self.state, State::Close | State::Over)
    }

    /// Reads what has come; tells how many bytes of it were used, and what they are. Trailers go into `trailers`, which is cleared
    /// where they begin.
    #[inline]
    pub fn decode(
        &mut self,
        input: &[u8],
        trailers: &mut Fields,
        limits: &Limits,
    ) -> (usize, BodyEvent) {
        match self.state {
            State::Length(left) if !input.is_empty() => {
                let taken = self.take_of_length(left, input);
                (taken, BodyEvent::Data(0..taken))
            }
            State::Over => (0, BodyEvent::End),
            _ => self.decode_framing(input, trailers, limits),
        }
    }

    fn decode_framing(
        &mut self,
        input: &[u8],
        trailers: &mut Fields,
        limits: &Limits,
    ) -> (usize, BodyEvent) {
        let mut used = 0;
        loop {
            let rest = &input[used..];
            match self.step(rest, trailers, limits) {
                // Framing alone: on to what it frames.
                Ok((more, BodyEvent::More)) if more > 0 => used += more,
                Ok((more, BodyEvent::Data(data))) => {
                    let data = used + data.start..used + data.end;
                    return (used + more, BodyEvent::Data(data));
                }
                Ok((more, event)) => return (used + more, event),
                Err(violation) => {
                    self.state = State::Refused(violation);
                    return (used, BodyEvent::Refused(violation));
                }
            }
        }
    }

    fn step(
        &mut self,
        rest: &[u8],
        trailers: &mut Fields,
        limits: &Limits,
    ) -> Result<(usize, BodyEvent), Violation> {
        if rest.is_empty() && !matches!(self.state, State::Over | State::Refused(_)) {
            return Ok((0, BodyEvent::More));
        }
        match self.state {
            State::Length(left) => {
                let taken = self.take_of_length(left, rest);
                Ok((taken, BodyEvent::Data(0..taken)))
            }
            State::Chunk(left) => {
                let (taken, left) = take(left, rest);
                self.state = match left {
                    0 => State::ChunkEnd,
                    left => State::Chunk(left),
                };
                Ok((taken, BodyEvent::Data(0..taken)))
            }
            State::Close => Ok((rest.len(), BodyEvent::Data(0..rest.len()))),
            State::ChunkLine(mut line) => {
                let (used, size) = line.take(rest, &mut self.extensions, limits)?;
                self.state = match size {
                    None => State::ChunkLine(line),
                    Some(0) => State::Trailers(Reading::default()),
                    Some(size) => State::Chunk(size),
                };
                Ok((used, BodyEvent::More))
            }
            State::ChunkEnd => self.chunk_end(rest),
            State::ChunkEndLf if rest[0] == b'\n' => {
                self.state = State::ChunkLine(ChunkLine::NEW);
                Ok((1, BodyEvent::More))
            }
            State::ChunkEndLf => Err(Violation::ChunkEnd),
            State::Trailers(reading) => self.trailers(reading, rest, trailers, limits),
            State::Over => Ok((0, BodyEvent::End)),
            State::Refused(violation) => Err(violation),
        }
    }

    /// Takes what is here of a body of which so much is left; tells how many bytes those are.
    #[inline]
    fn take_of_length(&mut self, left: u64, rest: &[u8]) -> usize {
        let (taken, left) = take(left, rest);
        self.state = match left {
            0 => State::Over,
            left => State::Length(left),
        };
        taken
    }

    fn chunk_end(&mut self, rest: &[u8]) -> Result<(usize, BodyEvent), Violation> {
        match rest {
            [b'\r', b'\n', ..] => {
                self.state = State::ChunkLine(ChunkLine::NEW);
                Ok((2, BodyEvent::More))
            }
            [b'\r'] => {
                self.state = State::ChunkEndLf;
                Ok((1, BodyEvent::More))
            }
            _ => Err(Violation::ChunkEnd),
        }
    }

    fn trailers(
        &mut self,
        mut reading: Reading,
        rest: &[u8],
        trailers: &mut Fields,
        limits: &Limits,
    ) -> Result<(usize, BodyEvent), Violation> {
        let rules = Rules {
            limits: &limits.trailers,
            excess: Excess::OF_TRAILERS,
        };
        let (used, is_whole) = reading.take(trailers, rest, &rules, &mut NoFirstLine)?;
        if !is_whole {
            self.state = State::Trailers(reading);
            return Ok((used, BodyEvent::More));
        }
        self.state = State::Over;
        validate(trailers, self.sender)?;
        let event = if trailers.is_empty() {
            BodyEvent::End
        } else {
            BodyEvent::Trailers
        };
        Ok((used, event))
    }
}

/// Takes out what must not be among trailers.
fn validate(trailers: &mut Fields, sender: Sender) -> Result<(), Violation> {
    let mut index = 0;
    while let Some(field) = trailers.at(index) {
        match trailer(field.name, sender) {
            TrailerVerdict::Passed => index += 1,
            TrailerVerdict::LeftOut => trailers.remove(index),
            TrailerVerdict::Refused => return Err(Violation::Trailer),
        }
    }
    Ok(())
}

/// Trailer sections have fields alone.
struct NoFirstLine;

impl FirstLine for NoFirstLine {
    fn read(&mut self, _: &[u8]) -> parse::Read<usize> {
        Ok(Some(Start::default().end as usize))
    }

    fn validate(&self, _: &[u8]) -> Result<(), Violation> {
        Ok(())
    }

    fn too_long(&self) -> Violation {
        Violation::TrailersTooLarge
    }
}

/// How many of `left` bytes are here, and how many are left after them.
#[inline]
fn take(left: u64, bytes: &[u8]) -> (usize, u64) {
    match usize::try_from(left) {
        Ok(left) if left <= bytes.len() => (left, 0),
        _ => (bytes.len(), left - bytes.len() as u64),
    }
}

/// What is behind the payload of a chunk.
pub const CHUNK_END: &[u8] = b"\r\n";

/// The end of a body without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// The line before a chunk, as bytes.
#[derive(Debug, Clone, Copy)]
pub struct ChunkHead {
    bytes: [u8; 18],
    from: u8,
}

impl ChunkHead {
    /// That of a chunk of so many bytes; 0 would be the last chunk.
    pub fn new(length: u64) -> Self {
        let (mut bytes, mut from, mut rest) = ([0; 18], 16, length);
        bytes[16..].copy_from_slice(b"\r\n");
        loop {
            from -= 1;
            bytes[from] = b"0123456789abcdef"[(rest & 15) as usize];
            rest >>= 4;
            if rest == 0 {
                break;
            }
        }
        Self {
            bytes,
            from: from as u8,
        }
    }
}

impl AsRef<[u8]> for ChunkHead {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[usize::from(self.from)..]
    }
}

/// Writes what belongs around the payload of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encoder {
    framing: Framing,
    is_over: bool,
}

/// More payload than the head has told, or an end before all of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body has not the length that its head tells")]
pub struct WrongLength;

impl Encoder {
    /// A writer of a body that ends like this.
    pub fn new(framing: Framing) -> Self {
        Self {
            framing,
            is_over: matches!(framing, Framing::None | Framing::Length(0)),
        }
    }

    /// Whether nothing more is to be written.
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// What belongs before so many bytes of payload; where there is something, [`CHUNK_END`] belongs behind them.
    ///
    /// # Errors
    /// The body has no room for them.
    pub fn begin(&mut self, length: usize) -> Result<Option<ChunkHead>, WrongLength> {
        if length == 0 {
            return Ok(None);
        }
        match &mut self.framing {
            _ if self.is_over => Err(WrongLength),
            Framing::Chunked => Ok(Some(ChunkHead::new(length as u64))),
            Framing::Close | Framing::Tunnel => Ok(None),
            Framing::None => Err(WrongLength),
            Framing::Length(left) => {
                *left = left.checked_sub(length as u64).ok_or(WrongLength)?;
                self.is_over = *left == 0;
                Ok(None)
            }
        }
    }

    /// Writes payload, and what belongs around it.
    ///
    /// # Errors
    /// The body has no room for it; then nothing is written.
    pub fn write(&mut self, payload: &[u8], out: &mut Vec<u8>) -> Result<(), WrongLength> {
        let Some(head) = self.begin(payload.len())? else {
            out.extend_from_slice(payload);
            return Ok(());
        };
        out.extend_from_slice(head.as_ref());
        out.extend_from_slice(payload);
        out.extend_from_slice(CHUNK_END);
        Ok(())
    }

    /// Writes the end, with trailers where the framing has a place for them.
    ///
    /// # Errors
    /// More payload should have come; then nothing is written, and the connection has to be closed.
    pub fn end(&mut self, trailers: Option<&Fields>, out: &mut Vec<u8>) -> Result<(), WrongLength> {
        match self.framing {
            Framing::Length(_) if !self.is_over => return Err(WrongLength),
            Framing::Chunked if !self.is_over => write_last_chunk(trailers, out),
            _ => {}
        }
        self.is_over = true;
        Ok(())
    }
}

fn write_last_chunk(trailers: Option<&Fields>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.into_iter().flat_map(Fields::iter) {
        crate::fields::write_field(out, field.name, field.value);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunk_heads_are_hexadecimal() {
        for length in [1, 9, 10, 15, 16, 255, 4096, 65_536, u64::MAX] {
            let expected = format!("{length:x}\r\n");
            assert_eq!(ChunkHead::new(length).as_ref(), expected.as_bytes());
        }
    }

    #[test]
    fn a_body_is_as_long_as_its_head_tells() {
        let mut out = Vec::new();
        let mut body = Encoder::new(Framing::Length(5));
        body.write(b"abc", &mut out).unwrap();
        assert_eq!(body.end(None, &mut out), Err(WrongLength));
        assert_eq!(body.write(b"def", &mut out), Err(WrongLength));
        body.write(b"", &mut out).unwrap();
        body.write(b"de", &mut out).unwrap();
        assert!(body.is_over());
        assert_eq!(body.write(b"f", &mut out), Err(WrongLength));
        body.end(None, &mut out).unwrap();
        assert_eq!(out, b"abcde");
        assert!(Encoder::new(Framing::None).is_over());
        assert_eq!(
            Encoder::new(Framing::None).write(b"a", &mut out),
            Err(WrongLength)
        );
    }

    #[test]
    fn chunks_have_an_end_and_trailers() {
        let mut trailers = Fields::default();
        trailers.push(b"X-Sum", b"1").unwrap();
        let mut out = Vec::new();
        let mut body = Encoder::new(Framing::Chunked);
        body.write(b"0123456789abcdef", &mut out).unwrap();
        body.write(b"", &mut out).unwrap();
        body.end(Some(&trailers), &mut out).unwrap();
        body.end(Some(&trailers), &mut out).unwrap();
        assert_eq!(out, b"10\r\n0123456789abcdef\r\n0\r\nX-Sum: 1\r\n\r\n");
        assert_eq!(body.write(b"a", &mut out), Err(WrongLength));
        out.clear();
        let mut body = Encoder::new(Framing::Chunked);
        body.end(None, &mut out).unwrap();
        assert_eq!(out, LAST_CHUNK);
    }
}
