//! Cookies: in HTTP/2 each may be a field of its own, to be compressed better; elsewhere they are one (RFC 9113, 8.2.3).

use crate::fields::Fields;
use crate::http2::message::room::Room;
use crate::known::Known;
use crate::violation::Violation;

const NAME: &str = Known::Cookie.name();

/// The cookies that have come of a request; they become its last field.
#[derive(Debug, Clone, Default)]
pub(super) struct Crumbs {
    /// The line so far; empty if none has come.
    line: Vec<u8>,
    is_never_indexed: bool,
}

impl Crumbs {
    pub(super) fn clear(&mut self) {
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
        let before = self.line.len();
        if before == 0 {
            self.line.extend_from_slice(NAME.as_bytes());
            self.line.extend_from_slice(b": ");
            room.take(NAME.len() + 4 + value.len())?;
        } else {
            self.line.extend_from_slice(b"; ");
            room.take(2 + value.len())?;
        }
        self.line.extend_from_slice(value);
        self.is_never_indexed |= is_never_indexed;
        Ok(())
    }

    /// Adds them to the head as one field, if there are some.
    pub(super) fn push(&mut self, fields: &mut Fields, room: &Room) -> Result<(), Violation> {
        if self.line.is_empty() {
            return Ok(());
        }
        self.line.extend_from_slice(b"\r\n");
        room.judge_line(self.line.len())?;
        room.judge_count(fields)?;
        let (known, is_never_indexed) = (Some(Known::Cookie), self.is_never_indexed);
        fields.push_line(&self.line, NAME.len(), known, is_never_indexed);
        Ok(())
    }
}
