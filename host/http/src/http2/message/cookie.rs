//! Cookies: in HTTP/2 each may be a field of its own, to be compressed better; elsewhere they are one (RFC 9113, 8.2.3).

use crate::fields::Fields;
use crate::http2::hpack::give_back;
use crate::http2::message::room::Room;
use crate::known::Known;
use crate::violation::Violation;

const BEGINNING: &str = "cookie: ";
const BETWEEN: &[u8] = b"; ";
const END: &[u8] = b"\r\n";

/// The cookies that have come of a request; they become its last field.
#[derive(Debug, Clone, Default)]
pub(super) struct Crumbs {
    /// The line so far; empty if none has come.
    line: Vec<u8>,
    is_never_indexed: bool,
}

impl Crumbs {
    /// Forgets them, and gives back memory that is much.
    pub(super) fn clear(&mut self) {
        give_back(&mut self.line);
        self.line.clear();
        self.is_never_indexed = false;
    }

    /// Bytes of memory that are held.
    pub(super) fn capacity(&self) -> usize {
        self.line.capacity()
    }

    pub(super) fn add(
        &mut self,
        value: &[u8],
        is_never_indexed: bool,
        room: &mut Room,
    ) -> Result<(), Violation> {
        if self.line.is_empty() {
            room.take(BEGINNING.len() + END.len())?;
            self.line.extend_from_slice(BEGINNING.as_bytes());
        }
        // One that is empty says nothing, and would leave a blank at the end.
        if self.line.len() > BEGINNING.len() && !value.is_empty() {
            room.take(BETWEEN.len())?;
            self.line.extend_from_slice(BETWEEN);
        }
        room.take(value.len())?;
        self.line.extend_from_slice(value);
        self.is_never_indexed |= is_never_indexed;
        Ok(())
    }

    /// Adds them to the head as one field, if there are some.
    pub(super) fn push(&mut self, fields: &mut Fields, room: &Room) -> Result<(), Violation> {
        if self.line.is_empty() {
            return Ok(());
        }
        self.line.extend_from_slice(END);
        room.check_line(self.line.len())?;
        room.check_count(fields)?;
        let (known, length) = (Known::Cookie, Known::Cookie.name().len());
        fields.push_line(&self.line, length, Some(known), self.is_never_indexed);
        Ok(())
    }
}
