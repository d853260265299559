//! What a head or a trailer section may still have.

use crate::fields::{Fields, MAX_FIELDS};
use crate::http2::hpack::FieldLine;
use crate::known::Known;
use crate::limits::{Excess, Section};
use crate::violation::Violation;

/// The room that is left of a section's limits, counted as HTTP/1 would have its lines.
pub(super) struct Room {
    left: usize,
    line: usize,
    fields: usize,
    excess: Excess,
    /// What a line that is too long is called.
    too_long: Violation,
}

impl Room {
    pub(super) fn new(limits: &Section, excess: Excess) -> Self {
        Self {
            // The empty line behind it counts, too.
            left: (limits.bytes as usize).saturating_sub(2),
            line: limits.line as usize,
            fields: usize::from(limits.fields).min(MAX_FIELDS),
            excess,
            too_long: match limits.line < limits.bytes {
                true => excess.line,
                false => excess.bytes,
            },
        }
    }

    /// Takes room for a line, or a part of one.
    #[inline]
    pub(super) fn take(&mut self, bytes: usize) -> Result<(), Violation> {
        self.check_line(bytes)?;
        self.left = self.left.checked_sub(bytes).ok_or(self.excess.bytes)?;
        Ok(())
    }

    /// Judges the length of a line.
    #[inline]
    pub(super) fn check_line(&self, bytes: usize) -> Result<(), Violation> {
        match bytes <= self.line {
            true => Ok(()),
            false => Err(self.too_long),
        }
    }

    /// Judges whether there may be another field.
    #[inline]
    pub(super) fn check_count(&self, fields: &Fields) -> Result<(), Violation> {
        match fields.len() < self.fields {
            true => Ok(()),
            false => Err(self.excess.fields),
        }
    }

    /// Adds a line.
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        fields: &mut Fields,
        line: &FieldLine<'_>,
        known: Option<Known>,
    ) -> Result<(), Violation> {
        self.take(line.bytes().len())?;
        self.check_count(fields)?;
        fields.push_line(
            line.bytes(),
            line.name_length(),
            known,
            line.is_never_indexed(),
        );
        Ok(())
    }
}
