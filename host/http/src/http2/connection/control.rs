//! Frames that carry no message: settings, windows, resets, pings, priorities; and what becomes of a stream on which something is
//! wrong (RFC 9113, 5.4.2).

use super::{Connection, Event, Role};
use crate::http2::code::ErrorCode;
use crate::http2::error::ConnectionError;
use crate::http2::flood_guard;
use crate::http2::frame::{self, Frame, flag, kind};
use crate::http2::priority::Priority;
use crate::http2::stream::{Inbound, Outbound, StreamId};
use crate::violation::Violation;

type Told = Result<Option<Event>, ConnectionError>;

impl Connection {
    pub(super) fn settings(&mut self, frame: Frame, payload: &[u8]) -> Told {
        if frame.has(flag::ACK) {
            return Ok(None);
        }
        let sender = match self.role {
            Role::Server => Role::Client,
            Role::Client => Role::Server,
        };
        let writer = &mut self.writer;
        let change = self.peer.apply(payload, sender, |size| {
            writer.set_max_size(size as usize);
        })?;
        if change != 0 {
            for stream in self.streams.iter_mut() {
                let shifted = stream.send.shift(change);
                shifted.map_err(|_| ConnectionError::WindowOverflow)?;
            }
        }
        self.frame_reader.has_settings = true;
        self.output
            .add_control(|out| frame::write_header(out, 0, kind::SETTINGS, flag::ACK, 0));
        Ok(None)
    }

    #[inline]
    pub(super) fn window_update(&mut self, frame: Frame, payload: &[u8]) -> Told {
        let (increment, _) = frame::split_number(payload);
        if frame.stream == 0 {
            if increment == 0 {
                return Err(ConnectionError::Increment);
            }
            let widened = self.send.widen(increment);
            return match widened {
                Ok(()) => Ok(None),
                Err(_) => Err(ConnectionError::WindowOverflow),
            };
        }
        let Some(id) = self.streams.find(frame.stream) else {
            return self.check_known(frame.stream).map(|()| None);
        };
        let Some(stream) = self.streams.get_mut(id).filter(|it| !it.is_closed()) else {
            return Ok(None);
        };
        if increment == 0 {
            return self.reset_malformed(id, Violation::Increment, ErrorCode::PROTOCOL_ERROR);
        }
        match stream.send.widen(increment) {
            Ok(()) => Ok(None),
            Err(_) => {
                let code = ErrorCode::FLOW_CONTROL_ERROR;
                self.reset_malformed(id, Violation::WindowOverflow, code)
            }
        }
    }

    pub(super) fn rst_stream(&mut self, frame: Frame, payload: &[u8]) -> Told {
        let Some(id) = self.streams.find(frame.stream) else {
            return self.check_known(frame.stream).map(|()| None);
        };
        // One that is closed has nothing left to reset, but what it has brought may not be consumed yet.
        if self.streams.get(id).is_none_or(|stream| stream.is_closed()) {
            return Ok(None);
        }
        self.remove(id);
        Ok(Some(Event::Reset {
            stream: id,
            code: frame::error_code(payload),
        }))
    }

    pub(super) fn pinged(&mut self, frame: Frame, payload: &[u8]) -> Told {
        let payload = payload.first_chunk().copied().unwrap_or_default();
        if frame.has(flag::ACK) {
            return Ok(self.ponged(payload));
        }
        self.output
            .add_control(|out| frame::write_ping(out, payload, true));
        Ok(None)
    }

    /// The priorities of RFC 7540, which are not obeyed (RFC 9113, 5.3.2).
    pub(super) fn priority(&mut self, frame: Frame, payload: &[u8]) -> Told {
        if frame::dependency(frame, payload) != Some(frame.stream) {
            return Ok(None);
        }
        match self.streams.find(frame.stream) {
            Some(id) => self.reset_malformed(id, Violation::Dependency, ErrorCode::PROTOCOL_ERROR),
            None => Err(ConnectionError::StreamId),
        }
    }

    /// RFC 9218, 7.1.
    pub(super) fn priority_update(&mut self, payload: &[u8]) -> Told {
        let (number, value) = frame::split_number(payload);
        if self.role == Role::Client || number.is_multiple_of(2) {
            return Err(ConnectionError::StreamId);
        }
        let priority = Priority::of(value);
        match self.streams.find(number) {
            Some(id) => self.set_priority(id, priority),
            None if self.is_idle(number) => self.early.keep(number, priority),
            None => {}
        }
        Ok(None)
    }

    /// Whether a stream of this number has never been.
    #[inline]
    pub(super) fn is_idle(&self, number: u32) -> bool {
        // Only clients open streams, with odd numbers.
        number > self.last || number.is_multiple_of(2)
    }

    /// Judges a frame that may come for a stream that is closed, but not for one that never was.
    fn check_known(&self, number: u32) -> Result<(), ConnectionError> {
        match self.is_idle(number) {
            true => Err(ConnectionError::IdleStream),
            false => Ok(()),
        }
    }

    /// A frame has come for a stream that does not live: it may have been on its way when we have reset it.
    #[cold]
    pub(super) fn late(&mut self, number: u32) -> Result<(), ConnectionError> {
        self.check_known(number)?;
        if !self.resets.may_have(number) {
            return Err(ConnectionError::ClosedStream);
        }
        self.flood_guard
            .charge(flood_guard::LATE, ConnectionError::UselessFlood, self.now)
    }

    /// Nothing more comes by a stream.
    #[inline]
    pub(super) fn end_inbound(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.inbound = Inbound::Over;
        }
        self.streams.settle(id);
    }

    /// A message is malformed (RFC 9113, 8.1.1): a client gets a response, if none was begun. `ends` says that nothing more
    /// would come of it.
    #[cold]
    pub(super) fn malformed(&mut self, id: StreamId, violation: Violation, ends: bool) -> Told {
        let is_server = self.role == Role::Server;
        let stream = self.streams.get_mut(id);
        match stream.filter(|it| is_server && it.outbound == Outbound::Head) {
            None => self.reset_malformed(id, violation, ErrorCode::PROTOCOL_ERROR),
            Some(stream) => {
                stream.inbound = match ends {
                    true => Inbound::Over,
                    false => Inbound::Refused,
                };
                self.flood_guard.charge(
                    flood_guard::FAULT,
                    ConnectionError::FaultFlood,
                    self.now,
                )?;
                Ok(Some(Event::Refused {
                    stream: id,
                    violation,
                    can_respond: true,
                }))
            }
        }
    }

    /// A stream error: it is reset.
    #[cold]
    pub(super) fn reset_malformed(
        &mut self,
        id: StreamId,
        violation: Violation,
        code: ErrorCode,
    ) -> Told {
        self.flood_guard
            .charge(flood_guard::FAULT, ConnectionError::FaultFlood, self.now)?;
        self.reset(id, code);
        Ok(Some(Event::Refused {
            stream: id,
            violation,
            can_respond: false,
        }))
    }
}
