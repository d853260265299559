//! Fields, encoded into blocks (RFC 7541, 3, 6 and 7).
//!
//! What is worth a place in the table is what comes again: a field is added to it when its name comes with the same value for the
//! second time in a row, and is an index from the third time on. So what is different each time never displaces what
//! repeats. For each known name, and for each of a few classes of others, it is remembered where the last line of it is in
//! the table: finding one is a look at that place and one comparison.
//!
//! Values that could be guessed from the size of a block are not indexed (RFC 7541, 7.1): credentials and short cookies are
//! literals that are never indexed, at any hop; other cookies are plain literals. Strings that go into the table are encoded by
//! Huffman; for other strings it would save a quarter of the bytes at some twenty instructions a byte, and is not done.

use super::label::{Label, SLOTS};
use super::line::{COLON, END, FieldLine, Shape};
use super::table::{Table, size_of_entry};
use super::{TABLE_SIZE, huffman, integer, statics};
use crate::http2::pseudo::Pseudo;
use crate::known::{self, Known, KnownSet};

/// What is never indexed, also where it did not come so.
const CREDENTIALS: KnownSet = KnownSet::of(&[Known::Authorization, Known::ProxyAuthorization]);

/// What is not indexed.
const COOKIES: KnownSet = KnownSet::of(&[Known::Cookie, Known::SetCookie]);

/// A cookie with fewer bytes could be guessed.
const SHORT_COOKIE: usize = 20;

/// A line larger than the table divided by this is not kept in it.
const MAX_TABLE_SHARE: usize = 4;

/// Encodes the blocks that leave by a connection.
#[derive(Debug, Clone)]
pub struct Encoder {
    table: Table,
    /// Which slot each name has, and each class of names: one more than its place, or 0. Empty until the first block.
    places: Vec<u8>,
    slots: Vec<Slot>,
    /// A size that the other side has to be told, and the smallest since it was told one.
    resized: Option<Resized>,
    line: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Resized {
    smallest: usize,
    last: usize,
}

/// What is known of the last lines of a name, or of a class of names.
#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The number of the line that was added to the table last.
    number: u32,
    /// Where its value begins among all bytes that the table had.
    value: u32,
    /// How long that is: [`NONE`] where no line was added.
    length: u32,
    /// The low bits of a sum of the value that came last.
    sum: u16,
}

/// More than any value has.
const NONE: u32 = u32::MAX;

/// How a field is to be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Indexing {
    /// By its index in the static table.
    Static(u8),
    /// By an index, if it comes often.
    Wanted,
    /// As a literal.
    Unwanted,
    /// As a literal, at every hop.
    Never,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// One at the start of a connection.
    pub fn new() -> Self {
        Self {
            table: Table::new(TABLE_SIZE),
            places: Vec::new(),
            slots: Vec::new(),
            resized: None,
            line: Vec::new(),
        }
    }

    /// Bytes of memory that are held.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
            + self.places.capacity()
            + self.slots.capacity() * size_of::<Slot>()
            + self.line.capacity()
    }

    /// Gives back memory that is of no use until the next block; the table stays.
    pub(crate) fn shrink(&mut self) {
        self.line = Vec::new();
        self.table.shrink();
    }

    /// The other side's SETTINGS_HEADER_TABLE_SIZE. Of more than [`TABLE_SIZE`], so much is used.
    pub fn set_max_size(&mut self, size: usize) {
        let size = size.min(TABLE_SIZE);
        if size == self.table.max_size() {
            return;
        }
        self.table.resize(size);
        let smallest = self
            .resized
            .map_or(size, |resized| resized.smallest.min(size));
        self.resized = Some(Resized {
            smallest,
            last: size,
        });
    }

    /// Begins a block, into `out`.
    #[inline]
    pub fn begin(&mut self, out: &mut Vec<u8>) {
        if let Some(Resized { smallest, last }) = self.resized.take() {
            // RFC 7541, 4.2: the smallest first, by which both sides evict the same.
            if smallest < last {
                integer::write(smallest, 5, 0x20, out);
            }
            integer::write(last, 5, 0x20, out);
        }
        if self.places.is_empty() {
            self.places = vec![0; SLOTS];
        }
    }

    /// Encodes a field of the block that was begun. One that came as never indexed has to be said so.
    pub fn field(&mut self, name: &[u8], value: &[u8], never_indexed: bool, out: &mut Vec<u8>) {
        let label = match (Pseudo::of(name), known::find(name)) {
            (Some(pseudo), _) => Label::Pseudo(pseudo),
            (_, Some(known)) => Label::Known(known),
            _ => Label::Other(name),
        };
        self.add(label, value, never_indexed, out);
    }

    /// Encodes a status.
    pub(crate) fn status(&mut self, status: u16, out: &mut Vec<u8>) {
        let index = match status {
            200 => 8,
            204 => 9,
            206 => 10,
            304 => 11,
            400 => 12,
            404 => 13,
            500 => 14,
            _ => {
                let digit = |power: u16| b'0' + (status / power % 10) as u8;
                return out.extend_from_slice(&[0x08, 3, digit(100), digit(10), digit(1)]);
            }
        };
        out.push(0x80 | index);
    }

    /// Encodes a pseudo-field of a request.
    #[inline]
    pub(crate) fn pseudo(
        &mut self,
        pseudo: Pseudo,
        value: &[u8],
        never_indexed: bool,
        out: &mut Vec<u8>,
    ) {
        let label = Label::Pseudo(pseudo);
        match pseudo {
            Pseudo::Authority => self.add(label, value, never_indexed, out),
            // None of the others is in the dynamic table.
            _ => match static_line(pseudo, value) {
                Indexing::Static(index) if !never_indexed => out.push(0x80 | index),
                _ => self.add_literal(label, value, never_indexed, 0, out),
            },
        }
    }

    /// Encodes a field by its index, if its last line in the table has this value; says whether it has.
    #[inline(always)]
    pub(crate) fn repeat(&self, known: Known, value: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(slot) = self.slot(known as usize) else {
            return false;
        };
        let age = self.age(slot);
        let is_it = slot.length as usize == value.len() && self.table.has(age, slot.value, value);
        if is_it {
            integer::write(statics::COUNT_OF_STATICS + age, 7, 0x80, out);
        }
        is_it
    }

    #[inline(always)]
    fn slot(&self, name: usize) -> Option<&Slot> {
        let place = usize::from(*self.places.get(name)?);
        self.slots.get(place.wrapping_sub(1))
    }

    /// The slot of a name, which it has from now on.
    fn slot_mut(&mut self, label: Label<'_>) -> Option<&mut Slot> {
        let place = self.places.get_mut(label.slot())?;
        if *place == 0 {
            self.slots.push(Slot {
                number: 0,
                value: 0,
                length: NONE,
                sum: 0,
            });
            // There are fewer slots than a byte can count.
            *place = self.slots.len() as u8;
        }
        self.slots.get_mut(usize::from(*place) - 1)
    }

    /// How old the line of a slot is: 1 of the newest.
    #[inline(always)]
    fn age(&self, slot: &Slot) -> usize {
        self.table.added().wrapping_sub(slot.number) as usize
    }

    /// The same as [`field`](Self::field) where it is known what the name is.
    #[inline]
    pub(crate) fn add(
        &mut self,
        label: Label<'_>,
        value: &[u8],
        never_indexed: bool,
        out: &mut Vec<u8>,
    ) {
        match self.find(label) {
            Some((index, line)) if line.value() == value && !never_indexed => {
                integer::write(index, 7, 0x80, out);
            }
            found => {
                let index = found.map_or(0, |(index, _)| index);
                self.add_literal(label, value, never_indexed, index, out);
            }
        }
    }

    /// The line of this name that was added last, and its index.
    #[inline]
    fn find(&self, label: Label<'_>) -> Option<(usize, FieldLine<'_>)> {
        let slot = self.slot(label.slot()).filter(|it| it.length != NONE)?;
        let age = self.age(slot);
        let line = self.table.get(age.wrapping_sub(1))?;
        let is_it = label.is_of(&line);
        is_it.then_some((statics::COUNT_OF_STATICS + age, line))
    }

    /// Encodes a field as a literal, which gets an index if it came before. `dynamic` is the index of its name in the dynamic table,
    /// or 0.
    #[inline(never)]
    fn add_literal(
        &mut self,
        label: Label<'_>,
        value: &[u8],
        never_indexed: bool,
        dynamic: usize,
        out: &mut Vec<u8>,
    ) {
        let index = match label.static_index() {
            0 => dynamic,
            index => index,
        };
        match indexing(label, value, never_indexed) {
            Indexing::Static(index) => out.push(0x80 | index),
            Indexing::Wanted if self.is_repeated(label, value) => {
                name(label, index, (6, 0x40), out);
                compact_string(value, out);
                self.keep(label, value);
            }
            Indexing::Wanted | Indexing::Unwanted => {
                name(label, index, (4, 0), out);
                string(value, out);
            }
            Indexing::Never => {
                name(label, index, (4, 0x10), out);
                string(value, out);
            }
        }
    }

    /// Whether a name has the value that it had the last time, and is to be kept with it.
    fn is_repeated(&mut self, label: Label<'_>, value: &[u8]) -> bool {
        let Some(slot) = self.slot_mut(label) else {
            return false;
        };
        let sum = sum(value) ^ label.class();
        let is_same = std::mem::replace(&mut slot.sum, sum) == sum;
        let size = size_of_entry(label.length(), value.len());
        is_same && size <= self.table.max_size() / MAX_TABLE_SHARE
    }

    /// Adds a line to the table.
    fn keep(&mut self, label: Label<'_>, value: &[u8]) {
        self.line.clear();
        label.write(&mut self.line);
        let shape = Shape {
            name_length: self.line.len() as u32,
            named: label.named(),
            fault: None,
            is_never_indexed: false,
        };
        for part in [COLON, value, END] {
            self.line.extend_from_slice(part);
        }
        let (number, start) = (self.table.added(), self.table.end());
        self.table.add(&self.line, shape);
        if let Some(slot) = self.slot_mut(label) {
            slot.number = number;
            slot.value = start.wrapping_add(shape.name_length + COLON.len() as u32);
            slot.length = value.len() as u32;
        }
    }
}

fn indexing(label: Label<'_>, value: &[u8], never_indexed: bool) -> Indexing {
    match label {
        _ if never_indexed => Indexing::Never,
        Label::Pseudo(Pseudo::Authority) | Label::Other(_) => Indexing::Wanted,
        Label::Pseudo(pseudo) => static_line(pseudo, value),
        Label::Known(known) if CREDENTIALS.contains(known) => Indexing::Never,
        Label::Known(Known::Cookie) if value.len() < SHORT_COOKIE => Indexing::Never,
        Label::Known(known) if COOKIES.contains(known) => Indexing::Unwanted,
        Label::Known(_) => Indexing::Wanted,
    }
}

/// How a pseudo-field is encoded: paths are not indexed, for there are many.
#[inline]
fn static_line(pseudo: Pseudo, value: &[u8]) -> Indexing {
    match (pseudo, value) {
        (Pseudo::Method, b"GET") => Indexing::Static(2),
        (Pseudo::Method, b"POST") => Indexing::Static(3),
        (Pseudo::Path, b"/") => Indexing::Static(4),
        (Pseudo::Path, b"/index.html") => Indexing::Static(5),
        (Pseudo::Scheme, b"http") => Indexing::Static(6),
        (Pseudo::Scheme, b"https") => Indexing::Static(7),
        _ => Indexing::Unwanted,
    }
}

/// Begins a literal: by the index of its name, or with that where the index is 0. `first` is how many bits an index has in the first
/// byte, and the others.
#[inline]
fn name(label: Label<'_>, index: usize, first: (u32, u8), out: &mut Vec<u8>) {
    integer::write(index, first.0, first.1, out);
    if index == 0 {
        integer::write(label.length(), 7, 0, out);
        label.write(out);
    }
}

/// Writes a string as it is.
#[inline]
fn string(value: &[u8], out: &mut Vec<u8>) {
    integer::write(value.len(), 7, 0, out);
    out.extend_from_slice(value);
}

/// Writes a string by Huffman, if that is shorter.
fn compact_string(value: &[u8], out: &mut Vec<u8>) {
    let length = huffman::encoded_length(value);
    if length >= value.len() {
        return string(value, out);
    }
    integer::write(length, 7, 0x80, out);
    huffman::encode(value, out);
}

/// A sum that tells most values from others.
#[inline]
fn sum(value: &[u8]) -> u16 {
    let (words, rest) = value.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]);
    let sum = words.fold(value.len() as u64, |sum, word| {
        (sum ^ u64::from_le_bytes(*word))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    });
    (sum >> 48) as u16
}
