//! Blocks of fields, decoded (RFC 7541, 3 and 6).

use super::line::{COLON, END, FieldLine, Named, Shape, fault};
use super::table::Table;
use super::{HpackError, give_back, huffman, integer, statics};

/// Decodes the blocks that come by a connection.
#[derive(Debug, Clone)]
pub struct Decoder {
    table: Table,
    /// How large the other side may make the table.
    most: usize,
    /// A literal.
    line: Vec<u8>,
}

impl Decoder {
    /// One with a table of up to this size, which is what SETTINGS_HEADER_TABLE_SIZE told the other side; where it was told nothing,
    /// [`TABLE_SIZE`](super::TABLE_SIZE). The table begins with that size, or a smaller one that the other side has taken on by then.
    pub fn new(max_table: usize) -> Self {
        Self {
            table: Table::new(max_table),
            most: max_table,
            line: Vec::new(),
        }
    }

    /// Bytes of memory that are held.
    pub fn capacity(&self) -> usize {
        self.table.capacity() + self.line.capacity()
    }

    /// Gives back memory that is of no use until the next block; the table stays.
    pub(crate) fn shrink(&mut self) {
        self.line = Vec::new();
        self.table.shrink();
    }

    /// Decodes a whole block; each line is handed over in its turn. A block has to be decoded to its end, whatever its message is
    /// worth, or else those behind it mean something else.
    ///
    /// # Errors
    /// It cannot be decoded, and nothing behind it could be.
    #[inline]
    pub fn decode(
        &mut self,
        block: &[u8],
        mut each: impl FnMut(FieldLine<'_>),
    ) -> Result<(), HpackError> {
        let (mut rest, mut has_begun) = (block, false);
        while let Some((&first, behind)) = rest.split_first() {
            rest = behind;
            let line = match first {
                0x80.. => self.indexed(integer::read(first, 7, &mut rest)?)?,
                0x40.. => {
                    let shape = self.literal(first, 6, &mut rest)?;
                    self.table.add(&self.line, shape);
                    self.line(shape)
                }
                0x20.. if has_begun => return Err(HpackError::Resize),
                0x20.. => {
                    self.resize(integer::read(first, 5, &mut rest)?)?;
                    continue;
                }
                _ => {
                    let mut shape = self.literal(first, 4, &mut rest)?;
                    shape.is_never_indexed = first & 0x10 != 0;
                    self.line(shape)
                }
            };
            each(line);
            has_begun = true;
        }
        give_back(&mut self.line);
        Ok(())
    }

    fn resize(&mut self, size: usize) -> Result<(), HpackError> {
        if size > self.most {
            return Err(HpackError::Resize);
        }
        self.table.resize(size);
        Ok(())
    }

    /// The line of an index (RFC 7541, 2.3.3).
    #[inline]
    fn indexed(&self, index: usize) -> Result<FieldLine<'_>, HpackError> {
        if let Some(line) = statics::get(index) {
            return Ok(*line);
        }
        let place = index.checked_sub(statics::COUNT_OF_STATICS + 1);
        place
            .and_then(|place| self.table.get(place))
            .ok_or(HpackError::Index)
    }

    /// Reads a literal (RFC 7541, 6.2).
    #[inline(never)]
    fn literal(&mut self, first: u8, bits: u32, rest: &mut &[u8]) -> Result<Shape, HpackError> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        let shape = self.read_literal(first, bits, rest, &mut line);
        self.line = line;
        shape
    }

    fn read_literal(
        &self,
        first: u8,
        bits: u32,
        rest: &mut &[u8],
        line: &mut Vec<u8>,
    ) -> Result<Shape, HpackError> {
        let named = match integer::read(first, bits, rest)? {
            0 => {
                string(rest, line)?;
                Named::of(line)
            }
            index => {
                let named = self.indexed(index)?;
                line.extend_from_slice(named.name());
                named.named()
            }
        };
        let name_length = line.len() as u32;
        line.extend_from_slice(COLON);
        let from = line.len();
        string(rest, line)?;
        let fault = fault(named, &line[from..]);
        line.extend_from_slice(END);
        Ok(Shape {
            name_length,
            named,
            fault,
            is_never_indexed: false,
        })
    }

    #[inline]
    fn line(&self, shape: Shape) -> FieldLine<'_> {
        FieldLine {
            bytes: &self.line,
            shape,
        }
    }
}

/// Reads a string (RFC 7541, 5.2), and appends it.
#[inline]
fn string(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let (&first, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
    *rest = behind;
    let length = integer::read(first, 7, rest)?;
    let (string, behind) = rest.split_at_checked(length).ok_or(HpackError::Truncated)?;
    *rest = behind;
    if first & 0x80 != 0 {
        return huffman::decode(string, out);
    }
    out.extend_from_slice(string);
    Ok(())
}
