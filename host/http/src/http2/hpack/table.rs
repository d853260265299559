//! A dynamic table (RFC 7541, 2.3.2 and 4).
//!
//! Lines are held one behind the other in one piece of memory, the oldest first. What is evicted is forgotten at once; its bytes are
//! given up when they are as many as those of the lines that are left, so that moving these costs no more than adding them did.

use std::collections::VecDeque;

use super::line::{COLON, END, FieldLine, Shape};

/// What an entry counts above the bytes of its name and of its value (RFC 7541, 4.1).
const OVERHEAD: usize = 32;

/// A dynamic table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    bytes: Vec<u8>,
    /// Where the bytes begin of all lines that there were.
    base: u32,
    /// The newest is the last.
    entries: VecDeque<Entry>,
    size: usize,
    max_size: usize,
    /// How many were added.
    added: u32,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Where its line is among all that there were.
    start: u32,
    length: u32,
    shape: Shape,
}

/// What a line of such a name and value counts.
pub(super) fn size_of_entry(name: usize, value: usize) -> usize {
    name + value + OVERHEAD
}

impl Entry {
    fn size(&self) -> usize {
        self.length as usize - COLON.len() - END.len() + OVERHEAD
    }
}

impl Table {
    pub(super) fn new(max_size: usize) -> Self {
        Self {
            bytes: Vec::new(),
            base: 0,
            entries: VecDeque::new(),
            size: 0,
            max_size,
            added: 0,
        }
    }

    pub(super) fn max_size(&self) -> usize {
        self.max_size
    }

    /// How many lines were added, of which the newest has the number before this; it begins anew when 32 bits are full.
    pub(super) fn added(&self) -> u32 {
        self.added
    }

    /// Where the bytes of the next line begin among those of all that there were.
    pub(super) fn end(&self) -> u32 {
        self.base.wrapping_add(self.bytes.len() as u32)
    }

    /// Whether the line that was added as the last but `age - 1` is still there, and has these bytes from this place on, among
    /// those of all that there were.
    #[inline(always)]
    pub(super) fn has(&self, age: usize, start: u32, bytes: &[u8]) -> bool {
        let from = start.wrapping_sub(self.base) as usize;
        age.wrapping_sub(1) < self.entries.len()
            && self.bytes.get(from..from + bytes.len()) == Some(bytes)
    }

    /// Bytes of memory that are held.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity() + self.entries.capacity() * size_of::<Entry>()
    }

    /// Gives back memory that its lines do not need now.
    pub(super) fn shrink(&mut self) {
        self.bytes.shrink_to_fit();
        self.entries.shrink_to_fit();
    }

    /// The line at a place, where the newest is at 0.
    #[inline]
    pub(super) fn get(&self, place: usize) -> Option<FieldLine<'_>> {
        // Behind the oldest there is none, and this wraps around.
        let index = self.entries.len().wrapping_sub(1).wrapping_sub(place);
        let entry = self.entries.get(index)?;
        let from = entry.start.wrapping_sub(self.base) as usize;
        Some(FieldLine {
            bytes: self.bytes.get(from..from + entry.length as usize)?,
            shape: entry.shape,
        })
    }

    /// Adds a line, for which others make room. One that is larger than the table empties it, and is not added (RFC 7541, 4.4).
    pub(super) fn add(&mut self, line: &[u8], shape: Shape) {
        let length = line.len() as u32;
        let entry = Entry {
            start: self.end(),
            length,
            shape,
        };
        let size = entry.size();
        self.evict_to(self.max_size.saturating_sub(size));
        if size > self.max_size {
            return;
        }
        self.compact();
        self.bytes.extend_from_slice(line);
        self.entries.push_back(entry);
        self.size += size;
        self.added = self.added.wrapping_add(1);
    }

    /// Gives the table another size; what does not fit any more is evicted (RFC 7541, 4.3).
    pub(super) fn resize(&mut self, max_size: usize) {
        self.max_size = max_size;
        self.evict_to(max_size);
    }

    /// Evicts the oldest ones until no more than this is left.
    fn evict_to(&mut self, size: usize) {
        while self.size > size {
            let Some(entry) = self.entries.pop_front() else {
                break;
            };
            self.size -= entry.size();
        }
    }

    /// Gives up the bytes of what was evicted, if they are many.
    fn compact(&mut self) {
        let oldest = self
            .entries
            .front()
            .map(|oldest| oldest.start.wrapping_sub(self.base));
        let dead = oldest.map_or(self.bytes.len(), |start| start as usize);
        if dead > 0 && dead >= self.bytes.len() - dead {
            self.bytes.drain(..dead);
            self.base = self.base.wrapping_add(dead as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::http2::hpack::line::Named;

    fn add(table: &mut Table, name: &str, value: &str) {
        let line = format!("{name}: {value}\r\n");
        let shape = Shape {
            name_length: name.len() as u32,
            named: Named::Other,
            fault: None,
            is_never_indexed: false,
        };
        table.add(line.as_bytes(), shape);
    }

    fn lines(table: &Table) -> Vec<String> {
        let lines = (0..).map_while(|place| table.get(place));
        lines
            .map(|line| {
                let (name, value) = (line.name().escape_ascii(), line.value().escape_ascii());
                format!("{name}={value}")
            })
            .collect()
    }

    #[test]
    fn the_oldest_make_room_for_the_newest() {
        let mut table = Table::new(3 * 34);
        for name in ["a", "b", "c", "d"] {
            add(&mut table, name, "1");
        }
        assert_eq!(lines(&table), ["d=1", "c=1", "b=1"]);
        add(&mut table, "e", "22");
        assert_eq!(lines(&table), ["e=22", "d=1"]);
        table.resize(35);
        assert_eq!(lines(&table), ["e=22"]);
        table.resize(34);
        assert!(lines(&table).is_empty());
        assert_eq!(table.added(), 5);
    }

    #[test]
    fn what_is_larger_than_the_table_empties_it() {
        let mut table = Table::new(40);
        add(&mut table, "a", "1");
        add(&mut table, "b", "12345678");
        assert!(lines(&table).is_empty());
        add(&mut table, "b", "1234567");
        assert_eq!(lines(&table), ["b=1234567"]);
    }

    proptest! {
        #[test]
        fn it_holds_the_newest_that_fit_and_no_more_memory_than_a_multiple(
            values in proptest::collection::vec("[a-z]{0,60}", 1..80), max_size in 0_usize..400, base: u32,
        ) {
            let mut table = Table::new(max_size);
            table.base = base;
            let mut model: Vec<String> = Vec::new();
            for value in values {
                add(&mut table, "n", &value);
                model.insert(0, format!("n={value}"));
                let (mut room, mut kept) = (max_size, 0);
                while let Some(line) = model.get(kept) && line.len() - 1 + OVERHEAD <= room {
                    room -= line.len() - 1 + OVERHEAD;
                    kept += 1;
                }
                model.truncate(kept);
                prop_assert_eq!(&lines(&table), &model);
                prop_assert!(table.bytes.len() <= 2 * max_size);
            }
        }
    }
}
