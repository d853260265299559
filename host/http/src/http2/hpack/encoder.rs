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

/// A line that takes more than this part of the table is not kept in it.
const LARGEST: usize = 4;

/// Encodes the blocks that leave by a connection.
#[derive(Debug, Clone)]
pub struct Encoder {
    table: Table,
    /// Empty until the first block.
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
#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// The low bits of the number of the line that was added to the table last.
    number: u16,
    /// The low bits of a sum of the value that came last.
    sum: u16,
}

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
            slots: Vec::new(),
            resized: None,
            line: Vec::new(),
        }
    }

    /// Bytes of memory that are held.
    pub fn capacity(&self) -> usize {
        self.table.capacity() + self.slots.capacity() * size_of::<Slot>() + self.line.capacity()
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
        if self.slots.is_empty() {
            self.slots = vec![Slot::default(); SLOTS];
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

    /// The same as [`field`](Self::field) where it is known what the name is.
    #[inline(always)]
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
    #[inline(always)]
    fn find(&self, label: Label<'_>) -> Option<(usize, FieldLine<'_>)> {
        let slot = self.slots.get(label.slot())?;
        // 1 for the newest; 0 says that there is none.
        let age = usize::from((self.table.added() as u16).wrapping_sub(slot.number));
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
        let Some(slot) = self.slots.get_mut(label.slot()) else {
            return false;
        };
        let sum = sum(value) ^ label.class();
        let is_same = std::mem::replace(&mut slot.sum, sum) == sum;
        let size = size_of_entry(label.length(), value.len());
        is_same && size <= self.table.max_size() / LARGEST
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
        if let Some(slot) = self.slots.get_mut(label.slot()) {
            slot.number = self.table.added() as u16;
        }
        self.table.add(&self.line, shape);
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
