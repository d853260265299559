//! Responses (RFC 9113, 8.3.2).

use crate::head::{Head, Version};
use crate::http1::{Framing, response_framing};
use crate::http2::hpack::{FieldLine, Named};
use crate::http2::message::OF_CONNECTION;
use crate::http2::message::room::Room;
use crate::http2::pseudo::Pseudo;
use crate::limits::{Excess, Limits};
use crate::method::Method;
use crate::status::reason;
use crate::syntax::status;
use crate::violation::Violation;

/// What a response is, beside its head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Response {
    /// How long its body is, as far as its head says so; [`Framing::Close`] where it does not: where a stream ends, it says itself.
    pub framing: Framing,
}

/// A response on its way from a block into a head.
pub(super) struct ResponseReading<'r> {
    head: &'r mut Head,
    room: Room,
}

impl<'r> ResponseReading<'r> {
    pub(super) fn new(head: &'r mut Head, limits: &Limits) -> Self {
        head.clear();
        Self {
            head,
            room: Room::new(&limits.head, Excess::OF_HEAD),
        }
    }

    /// Takes the next line.
    #[inline]
    pub(super) fn take(&mut self, line: FieldLine<'_>) -> Result<(), Violation> {
        let known = match line.named() {
            Named::Pseudo(pseudo) => return self.take_pseudo(pseudo, &line),
            Named::Known(known) => Some(known),
            Named::Other => None,
            Named::Wrong(violation) => return Err(violation),
        };
        if let Some(violation) = line.fault() {
            return Err(violation);
        }
        if !self.head.is_response() {
            return Err(Violation::PseudoMissing);
        }
        if known.is_some_and(|known| OF_CONNECTION.contains(known)) {
            return Err(Violation::ConnectionField);
        }
        self.room.push(&mut self.head.fields, &line, known)
    }

    fn take_pseudo(&mut self, pseudo: Pseudo, line: &FieldLine<'_>) -> Result<(), Violation> {
        if !self.head.is_empty() {
            return Err(Violation::PseudoLate);
        }
        if pseudo != Pseudo::Status {
            return Err(Violation::PseudoUnknown);
        }
        if self.head.is_response() {
            return Err(Violation::PseudoRepeated);
        }
        let status = status(line.value()).ok_or(Violation::Status)?;
        if status == 101 {
            // RFC 9113, 8.6.
            return Err(Violation::Switching);
        }
        self.head
            .start_response(status, reason(status), Version::Http2);
        self.room.take(self.head.fields.bytes.len())
    }

    /// The block is over.
    pub(super) fn end(self, method: Method) -> Result<Response, Violation> {
        if !self.head.is_response() {
            return Err(Violation::PseudoMissing);
        }
        let framing = response_framing(self.head, method)?;
        Ok(Response { framing })
    }
}
