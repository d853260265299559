//! DATA on its way in (RFC 9113, 6.1), in the pieces in which it comes.
//!
//! A frame counts against both windows as a whole, padding included. What is not handed to a stream's owner is given back at once.

use super::frame_reader::{ReadState, Step};
use super::{Connection, Event};
use crate::http2::code::ErrorCode;
use crate::http2::error::ConnectionError;
use crate::http2::flood_guard;
use crate::http2::frame::{Frame, flag};
use crate::http2::stream::{Inbound, StreamId};
use crate::violation::Violation;

/// What is left of a frame's payload; at least one byte.
#[derive(Debug, Clone, Copy)]
pub(super) struct Data {
    stream: StreamId,
    part: Part,
    /// Whether the message ends with the frame.
    ends: bool,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    /// The length of the padding; so many bytes with it.
    PadLength(usize),
    /// So many bytes of content, and of padding behind it.
    Content { left: usize, padding: usize },
}

impl Connection {
    /// A frame begins.
    #[inline]
    pub(super) fn begin_data(&mut self, frame: Frame) -> Result<Option<Event>, ConnectionError> {
        let (length, ends) = (frame.length, frame.has(flag::END_STREAM));
        let taken = self.receive.take(length);
        taken.map_err(|_| ConnectionError::Window)?;
        self.frame_reader.read_state = ReadState::behind(length);
        let Some(id) = self.streams.find(frame.stream) else {
            self.late(frame.stream)?;
            self.give_back(length);
            return Ok(None);
        };
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        let fault = match stream.inbound {
            Inbound::Body(_) => None,
            Inbound::Refused => {
                self.ignore(id, length, ends)?;
                return Ok(None);
            }
            Inbound::Head => Some((Violation::Headers, ErrorCode::PROTOCOL_ERROR)),
            Inbound::Over if stream.is_closed() => return Err(ConnectionError::ClosedStream),
            Inbound::Over => Some((Violation::AfterEnd, ErrorCode::STREAM_CLOSED)),
        };
        let fault = fault.or_else(|| {
            let taken = stream.receive.take(length);
            let fault = (Violation::StreamWindow, ErrorCode::FLOW_CONTROL_ERROR);
            taken.err().map(|_| fault)
        });
        if let Some((violation, code)) = fault {
            self.give_back(length);
            return self.reset_malformed(id, violation, code);
        }
        if frame.least_content() >= flood_guard::CONTENT {
            self.flood_guard.earn(flood_guard::RECEIVED);
        }
        if !frame.has(flag::PADDED) {
            return self.begin_content(id, length, 0, ends);
        }
        if length == 0 {
            return Err(ConnectionError::FrameSize);
        }
        self.frame_reader.read_state = ReadState::Data(Data {
            stream: id,
            part: Part::PadLength(length),
            ends,
        });
        Ok(None)
    }

    /// DATA of a message that was refused.
    #[cold]
    fn ignore(&mut self, id: StreamId, length: usize, ends: bool) -> Result<(), ConnectionError> {
        self.give_back(length);
        if ends {
            self.end_inbound(id);
        }
        self.flood_guard
            .charge(flood_guard::LATE, ConnectionError::UselessFlood, self.now)
    }

    /// It is known how much of the frame is content.
    #[inline]
    fn begin_content(
        &mut self,
        id: StreamId,
        content: usize,
        padding: usize,
        ends: bool,
    ) -> Result<Option<Event>, ConnectionError> {
        self.frame_reader.read_state = ReadState::behind(content + padding);
        let Some(stream) = self.streams.get_mut(id) else {
            self.give_back(content);
            return Ok(None);
        };
        if let Inbound::Body(Some(left)) = &mut stream.inbound {
            match left.checked_sub(content as u64) {
                Some(rest) if rest == 0 || !ends => *left = rest,
                _ => {
                    self.give_back(content);
                    return self.malformed(id, Violation::BodyLength, ends);
                }
            }
        }
        if content > 0 {
            self.frame_reader.read_state = ReadState::Data(Data {
                stream: id,
                part: Part::Content {
                    left: content,
                    padding,
                },
                ends,
            });
            return Ok(None);
        }
        if !ends {
            return Ok(None);
        }
        self.end_inbound(id);
        Ok(Some(Event::Data {
            stream: id,
            range: 0..0,
            ends,
        }))
    }

    /// Payload has come; at least a byte.
    #[inline]
    pub(super) fn data(&mut self, input: &[u8], data: Data) -> Step {
        match data.part {
            Part::PadLength(length) => {
                let padding = input.first().map_or(0, |byte| usize::from(*byte));
                let content = (length - 1).checked_sub(padding);
                let content = content.ok_or(ConnectionError::Padding)?;
                self.give_back_to(data.stream, padding + 1);
                let event = self.begin_content(data.stream, content, padding, data.ends)?;
                Ok((1, event))
            }
            Part::Content { left, padding } => {
                let taken = left.min(input.len());
                let is_last = taken == left;
                self.frame_reader.read_state = match is_last {
                    true => ReadState::behind(padding),
                    false => ReadState::Data(Data {
                        part: Part::Content {
                            left: left - taken,
                            padding,
                        },
                        ..data
                    }),
                };
                let ends = data.ends && is_last;
                Ok((taken, self.content(data.stream, taken, ends)))
            }
        }
    }

    #[inline]
    fn content(&mut self, id: StreamId, bytes: usize, ends: bool) -> Option<Event> {
        let Some(stream) = self.streams.get_mut(id) else {
            // It was reset in the middle of the frame.
            self.give_back(bytes);
            return None;
        };
        stream.held += bytes;
        if ends {
            self.end_inbound(id);
        }
        Some(Event::Data {
            stream: id,
            range: 0..bytes,
            ends,
        })
    }
}
