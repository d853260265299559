//! Lines on their way in: a head, or a trailer section, which may come in any number of pieces.
//!
//! The usual head is all there at once: its lines are read where they are, and copied once. One that is not is collected, and each
//! of its lines is read once, when it is all there; so no cut of the same bytes makes them cost more than a multiple of
//! their number.

use memchr::memchr;

use crate::fields::{Fields, MAX_FIELDS};
use crate::http1::parse;
use crate::limits::{Excess, Section};
use crate::violation::Violation;

/// How far a section has been read. The bytes are in its [`Fields`].
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// Where the first line begins that is not read yet.
    line: usize,
    /// Whether something has come.
    has_begun: bool,
}

/// What is before the fields.
pub(super) trait FirstLine {
    /// Reads it where these bytes begin with it, and says where it ends.
    fn read(&mut self, bytes: &[u8]) -> parse::Read<usize>;

    /// Judges what there is of it.
    fn validate(&self, bytes: &[u8]) -> Result<(), Violation>;

    /// What a line that is too long is called.
    fn too_long(&self) -> Violation;
}

/// How a section is read.
pub(super) struct Rules<'r> {
    pub(super) limits: &'r Section,
    pub(super) excess: Excess,
}

impl Reading {
    /// Whether something has come.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Takes what there is of a section; tells how many bytes of the input that were, and whether it is whole. `fields` are cleared
    /// where it begins.
    ///
    /// # Errors
    /// Something must not pass. Lines before it are in `fields`.
    pub(super) fn take(
        &mut self,
        fields: &mut Fields,
        input: &[u8],
        rules: &Rules<'_>,
        first: &mut impl FirstLine,
    ) -> Result<(usize, bool), Violation> {
        if !self.has_begun {
            self.has_begun = true;
            fields.clear();
        } else if !fields.bytes.is_empty() {
            return self.go_on(fields, input, rules, first);
        }
        let end = self.read(fields, input, rules, first);
        let kept = match end {
            Ok(Some(end)) => end - 2,
            Ok(None) => input.len(),
            Err(_) => self.line.min(input.len()),
        };
        fields.bytes.extend_from_slice(&input[..kept]);
        match end? {
            Some(end) => Ok((end, true)),
            None => Ok((input.len(), false)),
        }
    }

    /// The same where something has come before.
    #[cold]
    fn go_on(
        &mut self,
        fields: &mut Fields,
        input: &[u8],
        rules: &Rules<'_>,
        first: &mut impl FirstLine,
    ) -> Result<(usize, bool), Violation> {
        let held = fields.bytes.len();
        // One byte more than there may be shows that there is more.
        let room = (rules.limits.bytes as usize + 1).saturating_sub(held);
        let input = &input[..input.len().min(room)];
        fields.bytes.extend_from_slice(input);
        let mut bytes = std::mem::take(&mut fields.bytes);
        let end = if memchr(b'\n', input).is_some() {
            self.read(fields, &bytes, rules, first)
        } else {
            self.validate_rest(&bytes, rules, first).map(|()| None)
        };
        match end {
            Ok(Some(end)) => bytes.truncate(end - 2),
            Ok(None) => {}
            Err(_) => bytes.truncate(self.line),
        }
        fields.bytes = bytes;
        match end? {
            Some(end) => Ok((end - held, true)),
            None => Ok((input.len(), false)),
        }
    }

    /// Reads the lines that are there; tells where the section ends, if it is whole.
    #[inline]
    fn read(
        &mut self,
        fields: &mut Fields,
        bytes: &[u8],
        rules: &Rules<'_>,
        first: &mut impl FirstLine,
    ) -> Result<Option<usize>, Violation> {
        if self.line == 0 {
            match first.read(bytes) {
                Ok(Some(end)) => self.end_line(end, rules, first)?,
                Ok(None) => return self.validate_rest(bytes, rules, first).map(|()| None),
                Err(violation) => return Err(self.wrong(bytes, rules, first, violation)),
            }
        }
        loop {
            self.read_usual(fields, bytes, rules);
            if let Some([b'\r', b'\n', ..]) = bytes.get(self.line..) {
                self.end_line(self.line + 2, rules, first)?;
                return Ok(Some(self.line));
            }
            let entry = match parse::field(bytes, self.line) {
                Ok(Some(entry)) => entry,
                Ok(None) => return self.validate_rest(bytes, rules, first).map(|()| None),
                Err(violation) => return Err(self.wrong(bytes, rules, first, violation)),
            };
            let line = self.line;
            self.end_line(entry.end as usize, rules, first)?;
            if fields.table.len() >= most_fields(rules.limits) {
                self.line = line;
                return Err(rules.excess.fields);
            }
            fields.enter(entry);
        }
    }

    /// Reads fields that are as they usually are and within limits, up to the first that is not.
    #[inline(always)]
    fn read_usual(&mut self, fields: &mut Fields, bytes: &[u8], rules: &Rules<'_>) {
        let limits = rules.limits;
        let within = &bytes[..bytes.len().min(limits.bytes as usize)];
        let (mut line, most_fields) = (self.line, most_fields(limits));
        while fields.table.len() < most_fields {
            let Some(entry) = parse::usual_field(within, line) else {
                break;
            };
            let end = entry.end as usize;
            if end - line > limits.line as usize {
                break;
            }
            fields.enter_plain(entry);
            line = end;
        }
        self.line = line;
    }

    /// A line has been read, up to here.
    #[inline]
    fn end_line(
        &mut self,
        end: usize,
        rules: &Rules<'_>,
        first: &impl FirstLine,
    ) -> Result<(), Violation> {
        self.bound(end, rules, first)?;
        self.line = end;
        Ok(())
    }

    /// What a line is refused for: its size before its content, since no more of a line that is too long would be read.
    #[cold]
    fn wrong(
        &self,
        bytes: &[u8],
        rules: &Rules<'_>,
        first: &impl FirstLine,
        violation: Violation,
    ) -> Violation {
        let end = parse::line_end(bytes, self.line);
        let early = if self.line == 0 {
            first.validate(bytes)
        } else {
            Ok(())
        };
        let bounded = self.bound(end.unwrap_or(bytes.len()), rules, first);
        early.and(bounded).err().unwrap_or(violation)
    }

    /// Judges a line that is not all there.
    fn validate_rest(
        &self,
        bytes: &[u8],
        rules: &Rules<'_>,
        first: &impl FirstLine,
    ) -> Result<(), Violation> {
        if self.line == 0 {
            first.validate(bytes)?;
        }
        self.bound(bytes.len(), rules, first)
    }

    /// Refuses a line that goes on behind a limit: behind the one that is met first.
    #[inline]
    fn bound(
        &self,
        end: usize,
        rules: &Rules<'_>,
        first: &impl FirstLine,
    ) -> Result<(), Violation> {
        let most = rules.limits.bytes as usize;
        let most_of_line = self.line + rules.limits.line as usize;
        if end <= most.min(most_of_line) {
            return Ok(());
        }
        Err(if self.line == 0 {
            first.too_long()
        } else if most_of_line < most {
            rules.excess.line
        } else {
            rules.excess.bytes
        })
    }
}

fn most_fields(limits: &Section) -> usize {
    usize::from(limits.fields).min(MAX_FIELDS)
}
