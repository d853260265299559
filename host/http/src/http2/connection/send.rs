//! Sending heads, trailers and resets.

use thiserror::Error;

use super::{Connection, Role};
use crate::edit::Edit;
use crate::fields::Fields;
use crate::head::Head;
use crate::http2::code::ErrorCode;
use crate::http2::flood_guard;
use crate::http2::frame::{self, HEADER};
use crate::http2::message::Writer;
use crate::http2::priority::Priority;
use crate::http2::stream::{Inbound, Outbound, Stream, StreamId};
use crate::known::Known;
use crate::method::Method;
use crate::violation::Violation;

/// Why something cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendError {
    /// The stream is gone, or what was sent by it does not go on like this.
    #[error("the stream is closed, or not at this point")]
    Closed,
    /// It has no form in HTTP/2.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// As many requests are in flight as may be.
    #[error("the limit of concurrent streams is reached")]
    Full,
    /// The connection takes no more requests.
    #[error("the connection is going away")]
    GoingAway,
    /// The peer has not said that it takes extended CONNECT.
    #[error("the peer does not support extended CONNECT")]
    NoConnect,
}

impl Connection {
    /// How many requests may begin now.
    pub fn room_for_requests(&self) -> usize {
        if self.role == Role::Server || !self.may_begin() {
            return 0;
        }
        let most = self.peer.streams.min(self.options.streams) as usize;
        most.saturating_sub(self.streams.open())
    }

    /// Begins a request. `protocol` makes it extended CONNECT; `ends` says that nothing follows.
    ///
    /// # Errors
    /// It cannot begin here, or now; nothing is sent.
    pub fn request(
        &mut self,
        head: &Head,
        edit: &Edit,
        is_tls: bool,
        protocol: Option<&[u8]>,
        ends: bool,
    ) -> Result<StreamId, SendError> {
        if self.role == Role::Server || !self.may_begin() {
            return Err(SendError::GoingAway);
        }
        if self.room_for_requests() == 0 {
            return Err(SendError::Full);
        }
        if protocol.is_some() && !self.peer.takes_connect {
            return Err(SendError::NoConnect);
        }
        let number = match self.last {
            0 => 1,
            last => last + 2,
        };
        self.send_block(number, ends, |writer, out| {
            writer.request(head, edit, is_tls, protocol, out)
        })?;
        self.last = number;
        let mut stream = Stream::new(number, self.options.stream_window(), self.peer.window);
        stream.outbound = if ends { Outbound::Over } else { Outbound::Body };
        stream.is_connect = protocol.is_some();
        stream.method = match protocol {
            Some(_) => Method::Connect,
            None => head.method(),
        };
        Ok(self.streams.insert(stream))
    }

    /// Sends an interim response.
    ///
    /// # Errors
    /// It cannot be sent; nothing is.
    pub fn interim(&mut self, id: StreamId, head: &Head, edit: &Edit) -> Result<(), SendError> {
        self.check_outbound(id, Outbound::Head)?;
        self.send_block(id.number, false, |writer, out| {
            writer.response(head, edit, out)
        })
    }

    /// Responds to a request; `ends` says that nothing follows. A `Priority` in the head is obeyed (RFC 9218, 8).
    ///
    /// # Errors
    /// It cannot be sent; nothing is.
    pub fn respond(
        &mut self,
        id: StreamId,
        head: &Head,
        edit: &Edit,
        ends: bool,
    ) -> Result<(), SendError> {
        self.check_outbound(id, Outbound::Head)?;
        self.send_block(id.number, ends, |writer, out| {
            writer.response(head, edit, out)
        })?;
        if let Some(stream) = self.streams.get_mut(id) {
            stream.outbound = Outbound::Body;
            stream.is_connect &= (200..300).contains(&edit.status(head));
            if let Some(priority) = head.get(Known::Priority) {
                stream.priority = stream.priority.with(priority);
            }
        }
        if ends {
            self.end_outbound(id);
        }
        Ok(())
    }

    /// Ends a message with trailers, if there are some.
    ///
    /// # Errors
    /// The stream is closed, or its head is still to come.
    pub fn send_trailers(&mut self, id: StreamId, trailers: &Fields) -> Result<(), SendError> {
        if trailers.is_empty() {
            return self.send_data(id, &[], true).map(|_| ());
        }
        self.check_outbound(id, Outbound::Body)?;
        self.send_block(id.number, true, |writer, out| {
            writer.trailers(trailers, out);
            Ok(())
        })?;
        self.end_outbound(id);
        Ok(())
    }

    /// Sets the priority of what is sent by a stream.
    pub fn set_priority(&mut self, id: StreamId, priority: Priority) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.priority = priority;
        }
    }

    /// Ends a stream before its end, or forgets one of which not all was consumed: it is gone. [`ErrorCode::NO_ERROR`] says
    /// that a response was complete, and the rest of its request is not needed (RFC 9113, 8.1).
    pub fn reset(&mut self, id: StreamId, code: ErrorCode) {
        let Some(stream) = self.remove(id) else {
            return;
        };
        if stream.is_closed() {
            return;
        }
        self.output
            .add_control(|out| frame::write_reset(out, id.number, code));
        if stream.inbound != Inbound::Over {
            self.resets.remember(id.number);
        }
    }

    /// Sends a PING, whose acknowledgement is [`Event::Pong`](super::Event::Pong).
    pub fn ping(&mut self, payload: [u8; 8]) {
        frame::write_ping(self.output.bytes(), payload, false);
    }

    /// Takes a stream out. What its owner has not consumed does not count any more.
    pub(super) fn remove(&mut self, id: StreamId) -> Option<Stream> {
        let stream = self.streams.remove(id)?;
        self.give_back(stream.held);
        Some(stream)
    }

    #[inline]
    pub(super) fn check_outbound(&self, id: StreamId, expected: Outbound) -> Result<(), SendError> {
        let stream = self.streams.get(id).ok_or(SendError::Closed)?;
        let is_there = stream.outbound == expected && self.over.is_none();
        is_there.then_some(()).ok_or(SendError::Closed)
    }

    /// Writes a header block as frames.
    #[inline]
    fn send_block(
        &mut self,
        number: u32,
        ends: bool,
        write: impl FnOnce(&mut Writer, &mut Vec<u8>) -> Result<(), Violation>,
    ) -> Result<(), SendError> {
        let out = self.output.bytes();
        let start = out.len();
        out.extend_from_slice(&[0; HEADER]);
        if let Err(violation) = write(&mut self.writer, out) {
            out.truncate(start);
            return Err(violation.into());
        }
        frame::finish_block(out, start, number, ends);
        self.flood_guard.earn(flood_guard::ANSWERED);
        Ok(())
    }

    /// Nothing more leaves by a stream. Of a request that was refused nothing more is wanted either.
    pub(super) fn end_outbound(&mut self, id: StreamId) {
        self.streams.stop_waiting(id);
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        stream.outbound = Outbound::Over;
        if stream.inbound == Inbound::Refused {
            return self.reset(id, ErrorCode::NO_ERROR);
        }
        self.streams.settle(id);
    }
}
