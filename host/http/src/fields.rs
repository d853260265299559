//! Fields of a head or of a trailer section (RFC 9110, 5): bytes, and a table of where names and values are in them.

use std::fmt;

use crate::known::{self, Known, KnownSet};
use crate::syntax::{elements, is_token, text_end, trim};
use crate::violation::Violation;

/// Fields in the order in which they came, names in the case in which they came.
///
/// A field is never removed from the bytes: what is not in the table is not there.
#[derive(Clone, Default)]
pub struct Fields {
    /// Lines with their ends, without the empty one behind them. A head has its start line before the fields.
    pub(crate) bytes: Vec<u8>,
    pub(crate) table: Vec<Entry>,
    /// Where the first of each known one is in the table.
    firsts: Firsts,
    /// Known ones that are there.
    pub(crate) present: KnownSet,
    /// Known ones that are there more than once.
    pub(crate) repeated: KnownSet,
    /// Whether a line is not plain, or is not in the table.
    pub(crate) has_odd: bool,
}

/// One more than a place, for each known field; 0 where there is none.
#[derive(Clone)]
struct Firsts([u16; known::COUNT]);

impl Default for Firsts {
    fn default() -> Self {
        Self([0; known::COUNT])
    }
}

/// Where a field is in the bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Entry {
    /// Where its line, and so its name, begins.
    pub(crate) start: u32,
    pub(crate) name_end: u32,
    pub(crate) value: u32,
    pub(crate) value_end: u32,
    /// Where the next line begins.
    pub(crate) end: u32,
    pub(crate) known: Option<Known>,
    /// Whether its line may be passed on as it is: it has no white space but one space before the value. Not every reader behind
    /// us leaves out the same.
    pub(crate) is_plain: bool,
    /// Whether it is never indexed (RFC 7541, 7.1.3).
    pub(crate) is_never_indexed: bool,
}

/// A field's name: one that is known, or any other in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name<'n> {
    /// A known one.
    Known(Known),
    /// One that is not known.
    Other(&'n [u8]),
}

impl<'n> Name<'n> {
    /// The name that these bytes are.
    pub fn of(name: &'n [u8]) -> Self {
        Known::of(name).map_or(Self::Other(name), Self::Known)
    }

    /// In lower case where it is known, and as it was given where not.
    pub fn as_bytes(&self) -> &'n [u8] {
        match self {
            Self::Known(known) => known.name().as_bytes(),
            Self::Other(name) => name,
        }
    }
}

impl From<Known> for Name<'_> {
    fn from(known: Known) -> Self {
        Self::Known(known)
    }
}

impl<'n> From<&'n str> for Name<'n> {
    fn from(name: &'n str) -> Self {
        Self::of(name.as_bytes())
    }
}

/// One field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'f> {
    /// The name, in the case in which it came.
    pub name: &'f [u8],
    /// The value, without white space around it.
    pub value: &'f [u8],
    /// Which one it is, if its name is known.
    pub known: Option<Known>,
    /// Whether it came by HTTP/2 as one that compression must never remember, wherever it is passed on (RFC 7541, 7.1.3).
    pub is_never_indexed: bool,
}

impl Fields {
    /// None.
    pub const EMPTY: &Self = &Self {
        bytes: Vec::new(),
        table: Vec::new(),
        firsts: Firsts([0; known::COUNT]),
        present: KnownSet::EMPTY,
        repeated: KnownSet::EMPTY,
        has_odd: false,
    };

    /// None; the memory stays.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.table.clear();
        if !self.present.is_empty() {
            self.firsts.0.fill(0);
        }
        self.present = KnownSet::EMPTY;
        self.repeated = KnownSet::EMPTY;
        self.has_odd = false;
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Bytes of memory that are held, to be given back where that is much.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity() + self.table.capacity() * size_of::<Entry>()
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Field<'_>> + DoubleEndedIterator + Clone {
        self.table.iter().map(|entry| self.field(entry))
    }

    /// The field at a place in their order.
    pub fn at(&self, index: usize) -> Option<Field<'_>> {
        self.table.get(index).map(|entry| self.field(entry))
    }

    /// Whether there is one of this name.
    #[inline]
    pub fn has<'n>(&self, name: impl Into<Name<'n>>) -> bool {
        self.first(name.into()).is_some()
    }

    /// Whether there is one of any of these names.
    #[inline]
    pub fn has_any(&self, names: KnownSet) -> bool {
        self.present.intersects(names)
    }

    /// The value of the first of this name.
    #[inline]
    pub fn get<'n>(&self, name: impl Into<Name<'n>>) -> Option<&[u8]> {
        let first = self.first(name.into())?;
        Some(self.value(self.table.get(first)?))
    }

    /// The values of all of this name, in their order.
    pub fn all<'n>(&self, name: impl Into<Name<'n>>) -> impl Iterator<Item = &[u8]> {
        let positions = self.positions(name);
        positions.map(|index| self.value(&self.table[index]))
    }

    /// The places of all of this name.
    pub fn positions<'n>(&self, name: impl Into<Name<'n>>) -> impl Iterator<Item = usize> {
        let name = name.into();
        let first = self.first(name);
        let others = match (first, name) {
            (None, _) => &[],
            (Some(_), Name::Known(known)) if !self.repeated.contains(known) => &[],
            (Some(first), _) => &self.table[first + 1..],
        };
        let behind = self.table.len() - others.len();
        let others = others.iter().enumerate();
        let others = others.filter(move |(_, entry)| self.is_named(entry, name));
        first
            .into_iter()
            .chain(others.map(move |(index, _)| behind + index))
    }

    /// The place of the first of this name.
    #[inline]
    pub(crate) fn first(&self, name: Name<'_>) -> Option<usize> {
        match name {
            Name::Known(known) => usize::from(self.firsts.0[known as usize]).checked_sub(1),
            Name::Other(_) => self
                .table
                .iter()
                .position(|entry| self.is_named(entry, name)),
        }
    }

    fn is_named(&self, entry: &Entry, name: Name<'_>) -> bool {
        match name {
            Name::Known(known) => entry.known == Some(known),
            Name::Other(name) => {
                entry.known.is_none() && self.name(entry).eq_ignore_ascii_case(name)
            }
        }
    }

    /// The elements of all lists of this name (RFC 9110, 5.6.1): of `Connection`, `TE`, `Upgrade`, `Via` and others like them.
    pub fn elements<'n>(&self, name: impl Into<Name<'n>>) -> impl Iterator<Item = &[u8]> {
        self.all(name).flat_map(elements)
    }

    /// Whether a list has this element, in any case.
    pub fn has_element<'n>(&self, name: impl Into<Name<'n>>, element: &str) -> bool {
        self.elements(name)
            .any(|it| it.eq_ignore_ascii_case(element.as_bytes()))
    }

    /// Adds a field, as HTTP/2 and our own responses have them.
    ///
    /// # Errors
    /// The name is no token, the value has control bytes, or there would be more than 16 MiB or 60,000 fields; then it is not
    /// added.
    pub fn push(&mut self, name: &[u8], value: &[u8]) -> Result<(), Violation> {
        if !is_token(name) {
            return Err(Violation::FieldName);
        }
        if text_end(value, 0) < value.len() {
            return Err(Violation::FieldValue);
        }
        if self.bytes.len() + name.len() + value.len() > MAX_BYTES {
            return Err(Violation::HeadTooLarge);
        }
        if self.table.len() >= MAX_FIELDS {
            return Err(Violation::TooManyFields);
        }
        self.write(name, trim(value), known::find(name), false);
        Ok(())
    }

    /// Adds a field of which the name is a token and the value was judged. There must be room for it.
    #[inline]
    pub(crate) fn write(
        &mut self,
        name: &[u8],
        value: &[u8],
        known: Option<Known>,
        is_never_indexed: bool,
    ) {
        let start = self.bytes.len();
        write_field(&mut self.bytes, name, value);
        self.enter_line(start, name.len(), known, is_never_indexed);
    }

    /// Adds a field whose line is as [`write_field`] writes them, and was judged. There must be room for it.
    #[inline]
    pub(crate) fn push_line(
        &mut self,
        line: &[u8],
        name_length: usize,
        known: Option<Known>,
        is_never_indexed: bool,
    ) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(line);
        self.enter_line(start, name_length, known, is_never_indexed);
    }

    /// Enters the line that was written last, from `start` on.
    #[inline]
    fn enter_line(
        &mut self,
        start: usize,
        name_length: usize,
        known: Option<Known>,
        is_never_indexed: bool,
    ) {
        let end = self.bytes.len();
        self.enter(Entry {
            start: offset(start),
            name_end: offset(start + name_length),
            value: offset(start + name_length + 2),
            value_end: offset(end - 2),
            end: offset(end),
            known,
            is_plain: true,
            is_never_indexed,
        });
    }

    /// Takes the field at this place out.
    pub(crate) fn remove(&mut self, index: usize) {
        self.table.remove(index);
        let table = std::mem::take(&mut self.table);
        self.firsts = Firsts::default();
        self.present = KnownSet::EMPTY;
        self.repeated = KnownSet::EMPTY;
        table.into_iter().for_each(|entry| self.enter(entry));
        self.has_odd = true;
    }

    /// Adds one, of which the bytes are there. There must be fewer than [`MAX_FIELDS`].
    #[inline]
    pub(crate) fn enter(&mut self, entry: Entry) {
        self.has_odd |= !entry.is_plain;
        self.enter_plain(entry);
    }

    /// The same of a line that is plain.
    #[inline]
    pub(crate) fn enter_plain(&mut self, entry: Entry) {
        if let Some(known) = entry.known {
            let first = &mut self.firsts.0[known as usize];
            if *first == 0 {
                *first = self.table.len() as u16 + 1;
                self.present.insert(known);
            } else {
                self.repeated.insert(known);
            }
        }
        self.table.push(entry);
    }

    #[inline]
    pub(crate) fn name(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.start as usize..entry.name_end as usize]
    }

    #[inline]
    pub(crate) fn value(&self, entry: &Entry) -> &[u8] {
        &self.bytes[entry.value as usize..entry.value_end as usize]
    }

    #[inline]
    pub(crate) fn field(&self, entry: &Entry) -> Field<'_> {
        Field {
            name: self.name(entry),
            value: self.value(entry),
            known: entry.known,
            is_never_indexed: entry.is_never_indexed,
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.iter().map(|field| {
            let (name, value) = (field.name.escape_ascii(), field.value.escape_ascii());
            (name.to_string(), value.to_string())
        });
        formatter.debug_map().entries(shown).finish()
    }
}

/// A known field as a line, made once for the many heads that it is added to.
#[derive(Debug, Clone)]
pub struct FieldLine {
    known: Known,
    /// With its end.
    line: Box<[u8]>,
}

impl FieldLine {
    /// The line of this field. A control byte in the value becomes a space (RFC 9110, 5.5), for it could end the line.
    pub fn new(known: Known, value: &[u8]) -> Self {
        let mut line = Vec::new();
        write_value(&mut line, known.beginning(), value);
        let line = line.into_boxed_slice();
        Self { known, line }
    }

    /// Which field it is.
    pub(crate) fn known(&self) -> Known {
        self.known
    }

    /// The line with its end.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.line
    }

    /// The field's value.
    pub fn value(&self) -> &[u8] {
        &self.line[self.known.beginning().len()..self.line.len() - 2]
    }
}

/// The most bytes of fields that are pushed. Those that are read have limits of their own.
const MAX_BYTES: usize = 16 << 20;

/// The most fields, whatever limits say: places are numbers of 16 bits.
pub(crate) const MAX_FIELDS: usize = 60_000;

/// A place in the bytes, of which there are fewer than 32 bits can count: what is read has limits of so many, and what is pushed
/// [`MAX_BYTES`].
#[inline]
pub(crate) fn offset(at: usize) -> u32 {
    at as u32
}

/// Makes spaces of the control bytes from a place on.
#[inline]
pub(crate) fn without_controls(bytes: &mut [u8], from: usize) {
    let mut at = text_end(bytes, from);
    while let Some(byte) = bytes.get_mut(at) {
        *byte = b' ';
        at = text_end(bytes, at);
    }
}

/// Writes a field that is known as a line, without what could end it.
pub(crate) fn write_value(out: &mut Vec<u8>, beginning: &str, value: &[u8]) {
    let from = out.len() + beginning.len();
    write_text(out, beginning, value);
    let end = out.len() - 2;
    if text_end(out, from) < end {
        without_controls(&mut out[..end], from);
    }
}

/// The same with a value that has nothing that could end the line.
#[inline]
pub(crate) fn write_text(out: &mut Vec<u8>, beginning: &str, value: &[u8]) {
    out.reserve(beginning.len() + value.len() + 2);
    out.extend_from_slice(beginning.as_bytes());
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field as a line, without what could end it.
pub(crate) fn write_parts(out: &mut Vec<u8>, name: &[u8], value: &[&[u8]]) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    let from = out.len();
    for part in value {
        out.extend_from_slice(part);
    }
    without_controls(out, from);
    out.extend_from_slice(b"\r\n");
}

/// Writes a field as a line.
#[inline]
pub(crate) fn write_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len() + value.len() + 4);
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}
