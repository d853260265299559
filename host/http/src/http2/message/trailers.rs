//! Trailer sections (RFC 9113, 8.1), with the rules that they have in any version.

use crate::fields::Fields;
use crate::http1::{Sender, TrailerVerdict, verdict};
use crate::http2::hpack::{FieldLine, Named};
use crate::http2::message::OF_CONNECTION;
use crate::http2::message::room::Room;
use crate::limits::{Excess, Limits};
use crate::violation::Violation;

/// A trailer section on its way from a block into fields.
pub(super) struct TrailersReading<'r> {
    trailers: &'r mut Fields,
    sender: Sender,
    room: Room,
}

impl<'r> TrailersReading<'r> {
    pub(super) fn new(trailers: &'r mut Fields, limits: &Limits, sender: Sender) -> Self {
        trailers.clear();
        Self {
            trailers,
            sender,
            room: Room::new(&limits.trailers, Excess::OF_TRAILERS),
        }
    }

    /// Takes the next line.
    pub(super) fn take(&mut self, line: FieldLine<'_>) -> Result<(), Violation> {
        let known = match line.named() {
            Named::Pseudo(_) => return Err(Violation::PseudoLate),
            Named::Known(known) => Some(known),
            Named::Other => None,
            Named::Wrong(violation) => return Err(violation),
        };
        if let Some(violation) = line.fault() {
            return Err(violation);
        }
        if known.is_some_and(|known| OF_CONNECTION.contains(known)) {
            return Err(Violation::ConnectionField);
        }
        match verdict(line.name(), known, self.sender) {
            TrailerVerdict::Passed => self.room.push(self.trailers, &line, known),
            TrailerVerdict::LeftOut => self.room.take(line.bytes().len()),
            TrailerVerdict::Refused => Err(Violation::Trailer),
        }
    }
}
