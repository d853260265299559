//! Header blocks on their way in (RFC 9113, 4.3 and 8.1): requests, responses, interim ones, trailers.
//!
//! Every block is decoded, whatever becomes of its message, since the tables of HPACK follow all of them.

use super::{Connection, Event, Role};
use crate::head::Head;
use crate::http1::{Framing, Sender};
use crate::http2::code::ErrorCode;
use crate::http2::error::ConnectionError;
use crate::http2::flood_guard;
use crate::http2::frame::{self, Frame, flag};
use crate::http2::message::{Request, Response};
use crate::http2::priority::Priority;
use crate::http2::stream::{Inbound, Stream, StreamId};
use crate::known::Known;
use crate::violation::Violation;

/// What is told of a block, if anything.
type Told = Result<Option<Event>, ConnectionError>;

impl Connection {
    #[inline]
    pub(super) fn headers(&mut self, frame: Frame, payload: &[u8], head: &mut Head) -> Told {
        let fragment = frame::fragment(frame, payload)?;
        self.frame_reader.is_circular = frame::dependency(frame, payload) == Some(frame.stream);
        if frame.has(flag::END_HEADERS) {
            return self.block(frame, fragment, head);
        }
        self.frame_reader.open_block = Some(frame);
        self.extend_block(fragment)?;
        Ok(None)
    }

    pub(super) fn continuation(&mut self, frame: Frame, payload: &[u8], head: &mut Head) -> Told {
        self.extend_block(payload)?;
        let is_last = frame.has(flag::END_HEADERS);
        let Some(first) = self.frame_reader.open_block.take_if(|_| is_last) else {
            return Ok(None);
        };
        let mut block = std::mem::take(&mut self.frame_reader.block);
        let told = self.block(first, &block, head);
        block.clear();
        self.frame_reader.block = block;
        told
    }

    fn extend_block(&mut self, fragment: &[u8]) -> Result<(), ConnectionError> {
        if self.frame_reader.block.len() + fragment.len() > self.options.max_block_size() {
            return Err(ConnectionError::BlockTooLarge);
        }
        self.frame_reader.block.extend_from_slice(fragment);
        Ok(())
    }

    /// A block is whole.
    #[inline]
    fn block(&mut self, frame: Frame, block: &[u8], head: &mut Head) -> Told {
        let ends = frame.has(flag::END_STREAM);
        if let Some(id) = self.streams.find(frame.stream) {
            return self.block_of_open(id, block, ends, head);
        }
        match self.is_idle(frame.stream) {
            false => self.block_of_closed(frame.stream, block),
            true if self.role == Role::Server && frame.stream % 2 == 1 => {
                self.open(frame.stream, block, ends, head)
            }
            true => Err(ConnectionError::StreamId),
        }
    }

    /// A client begins a stream.
    #[inline]
    fn open(&mut self, number: u32, block: &[u8], ends: bool, head: &mut Head) -> Told {
        self.last = number;
        if self.goaway_state.is_beyond(number) {
            // It was told, and may begin it anew elsewhere.
            self.skip_block(block)?;
            self.resets.remember(number);
            self.flood_guard
                .charge(flood_guard::LATE, ConnectionError::UselessFlood, self.now)?;
            return Ok(None);
        }
        if self.streams.open() >= self.options.streams as usize {
            return self.refuse_stream(number, block, ends);
        }
        self.flood_guard.earn(flood_guard::OPENED);
        let limits = &self.options.limits;
        let takes_connect = self.options.takes_connect;
        let request = self.reader.request(block, limits, takes_connect, head);
        let request = request.map_err(|_| ConnectionError::Compression)?;
        let request = match self.frame_reader.is_circular {
            true => Err(Violation::Dependency),
            false => request,
        };
        let mut stream = Stream::new(number, self.options.stream_window(), self.peer.window);
        stream.inbound = match (ends, request) {
            (true, _) => Inbound::Over,
            (false, Ok(request)) => Inbound::Body(length(&request)),
            (false, Err(_)) => Inbound::Refused,
        };
        stream.is_connect = request.is_ok_and(|request| request.is_connect);
        let said = head.get(Known::Priority).map(Priority::of);
        let early = self.early.take(number);
        stream.priority = early.or(said).unwrap_or_default();
        let stream = self.streams.insert(stream);
        match request {
            Ok(request) if ends && length(&request).is_some_and(|length| length > 0) => {
                self.malformed(stream, Violation::BodyLength, ends)
            }
            Ok(request) => Ok(Some(Event::Request {
                stream,
                request,
                ends,
            })),
            Err(violation) => self.malformed(stream, violation, ends),
        }
    }

    /// A client begins more streams than it may.
    #[cold]
    fn refuse_stream(&mut self, number: u32, block: &[u8], ends: bool) -> Told {
        self.skip_block(block)?;
        self.early.take(number);
        self.flood_guard
            .charge(flood_guard::REFUSED, ConnectionError::FaultFlood, self.now)?;
        self.output
            .add_control(|out| frame::write_reset(out, number, ErrorCode::REFUSED_STREAM));
        if !ends {
            self.resets.remember(number);
        }
        Ok(None)
    }

    /// A block for a stream that lives.
    fn block_of_open(&mut self, id: StreamId, block: &[u8], ends: bool, head: &mut Head) -> Told {
        let Some(stream) = self.streams.get(id) else {
            return self.skip_block(block).map(|()| None);
        };
        match stream.inbound {
            Inbound::Head => self.response(id, block, ends, head),
            Inbound::Body(left) if ends && !stream.is_connect => {
                self.trailers(id, block, left, head)
            }
            // In the middle of a body, or of a tunnel (RFC 9113, 8.5).
            Inbound::Body(_) => {
                self.skip_block(block)?;
                self.malformed(id, Violation::Headers, ends)
            }
            Inbound::Refused => {
                self.skip_block(block)?;
                if ends {
                    self.end_inbound(id);
                }
                Ok(None)
            }
            Inbound::Over if stream.is_closed() => self.block_of_closed(id.number, block),
            Inbound::Over => {
                self.skip_block(block)?;
                self.reset_malformed(id, Violation::AfterEnd, ErrorCode::STREAM_CLOSED)
            }
        }
    }

    fn response(&mut self, id: StreamId, block: &[u8], ends: bool, head: &mut Head) -> Told {
        let Some(stream) = self.streams.get_mut(id) else {
            return self.skip_block(block).map(|()| None);
        };
        let limits = &self.options.limits;
        let response = self.reader.response(block, limits, stream.method, head);
        let response = match response.map_err(|_| ConnectionError::Compression)? {
            Ok(response) => response,
            Err(violation) => return self.malformed(id, violation, ends),
        };
        if head.is_interim() {
            stream.interims = stream.interims.saturating_add(1);
            return match stream.interims > limits.interims {
                _ if ends => self.malformed(id, Violation::Truncated, ends),
                true => self.malformed(id, Violation::TooManyInterims, ends),
                false => Ok(Some(Event::Interim { stream: id })),
            };
        }
        self.flood_guard.earn(flood_guard::OPENED);
        let left = expected(&response);
        stream.is_connect &= response.framing == Framing::Tunnel;
        stream.inbound = Inbound::Body(left);
        if ends && left.is_some_and(|left| left > 0) {
            return self.malformed(id, Violation::BodyLength, ends);
        }
        if ends {
            self.end_inbound(id);
        }
        Ok(Some(Event::Response {
            stream: id,
            response,
            ends,
        }))
    }

    fn trailers(&mut self, id: StreamId, block: &[u8], left: Option<u64>, head: &mut Head) -> Told {
        let sender = match self.role {
            Role::Server => Sender::Client,
            Role::Client => Sender::Member,
        };
        head.clear();
        let limits = &self.options.limits;
        let trailers = self
            .reader
            .trailers(block, limits, sender, &mut head.fields)
            .map_err(|_| ConnectionError::Compression)?;
        match trailers {
            Err(violation) => self.malformed(id, violation, true),
            Ok(()) if left.is_some_and(|left| left > 0) => {
                self.malformed(id, Violation::BodyLength, true)
            }
            Ok(()) => {
                self.end_inbound(id);
                Ok(Some(match head.is_empty() {
                    true => Event::Data {
                        stream: id,
                        range: 0..0,
                        ends: true,
                    },
                    false => Event::Trailers { stream: id },
                }))
            }
        }
    }

    /// A block for a stream that is closed: of no use, if the peer may not know that yet.
    #[cold]
    fn block_of_closed(&mut self, number: u32, block: &[u8]) -> Told {
        self.late(number)?;
        self.skip_block(block)?;
        Ok(None)
    }

    fn skip_block(&mut self, block: &[u8]) -> Result<(), ConnectionError> {
        let skipped = self.reader.skip(block);
        skipped.map_err(|_| ConnectionError::Compression)
    }
}

/// How long the body of a request is, as far as its head says so.
#[inline]
fn length(request: &Request) -> Option<u64> {
    match request.framing {
        Framing::Length(length) => Some(length),
        _ => None,
    }
}

/// How much payload has to come with a response, as far as its head says so.
fn expected(response: &Response) -> Option<u64> {
    match response.framing {
        Framing::None => Some(0),
        Framing::Length(length) => Some(length),
        Framing::Chunked | Framing::Close | Framing::Tunnel => None,
    }
}
