//! The line before a chunk (RFC 9112, 7.1): its size, and extensions that are read over.
//!
//! It is read byte by byte and needs no memory but this, so it may be cut anywhere.

use crate::limits::Limits;
use crate::syntax::{TOKEN, is_blank, is_text};
use crate::violation::Violation;

/// How far the line has been read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ChunkLine {
    size: u64,
    /// Bytes of the line.
    length: u16,
    place: ReadState,
}

/// What has come last. White space is where the grammar has BWS (RFC 9112, 7.1.1), but not before a semicolon or the line's end,
/// where readers differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadState {
    Digits,
    Semicolon,
    Name,
    BlankBehindName,
    Equals,
    Value,
    Quoted,
    Escape,
    QuoteEnd,
    Cr,
}

impl ChunkLine {
    pub(super) const NEW: Self = Self {
        size: 0,
        length: 0,
        place: ReadState::Digits,
    };

    /// Takes bytes up to the end of the line; tells how many, and the size once it is there. `extensions` counts the bytes of
    /// extensions in the body.
    ///
    /// # Errors
    /// The line is none, or too long.
    pub(super) fn take(
        &mut self,
        input: &[u8],
        extensions: &mut u16,
        limits: &Limits,
    ) -> Result<(usize, Option<u64>), Violation> {
        for (at, &byte) in input.iter().enumerate() {
            self.length = self.length.saturating_add(1);
            if self.length > limits.chunk_line {
                return Err(Violation::ChunkLineTooLong);
            }
            if self.place == ReadState::Cr {
                return match byte {
                    b'\n' => Ok((at + 1, Some(self.size))),
                    _ => Err(Violation::BareCr),
                };
            }
            self.place = match self.place {
                ReadState::Digits => self.digit(byte)?,
                _ => {
                    *extensions = extensions.saturating_add(1);
                    if *extensions > limits.extensions {
                        return Err(Violation::ExtensionsTooLarge);
                    }
                    self.extension(byte)?
                }
            };
        }
        Ok((input.len(), None))
    }

    fn digit(&mut self, byte: u8) -> Result<ReadState, Violation> {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            b'A'..=b'F' => byte - b'A' + 10,
            // The line has no digit yet.
            _ if self.length == 1 => return Err(Violation::ChunkSize),
            b';' => return Ok(ReadState::Semicolon),
            b'\r' => return Ok(ReadState::Cr),
            b'\n' => return Err(Violation::BareLf),
            _ => return Err(Violation::ChunkSize),
        };
        if self.length > 16 {
            return Err(Violation::ChunkSize);
        }
        self.size = self.size << 4 | u64::from(digit);
        Ok(ReadState::Digits)
    }

    fn extension(&self, byte: u8) -> Result<ReadState, Violation> {
        let is_token = TOKEN[usize::from(byte)];
        Ok(match (self.place, byte) {
            (ReadState::Semicolon, _) if is_blank(byte) => ReadState::Semicolon,
            (ReadState::Semicolon | ReadState::Name, _) if is_token => ReadState::Name,
            (ReadState::Name | ReadState::BlankBehindName, _) if is_blank(byte) => {
                ReadState::BlankBehindName
            }
            (ReadState::Name | ReadState::BlankBehindName, b'=') => ReadState::Equals,
            (ReadState::Equals, _) if is_blank(byte) => ReadState::Equals,
            (ReadState::Equals, b'"') => ReadState::Quoted,
            (ReadState::Equals | ReadState::Value, _) if is_token => ReadState::Value,
            (ReadState::Quoted, b'"') => ReadState::QuoteEnd,
            (ReadState::Quoted, b'\\') => ReadState::Escape,
            (ReadState::Quoted | ReadState::Escape, _) if is_text(byte) => ReadState::Quoted,
            (
                ReadState::Name
                | ReadState::BlankBehindName
                | ReadState::Value
                | ReadState::QuoteEnd,
                b';',
            ) => ReadState::Semicolon,
            (ReadState::Name | ReadState::Value | ReadState::QuoteEnd, b'\r') => ReadState::Cr,
            (_, b'\n') => return Err(Violation::BareLf),
            _ => return Err(Violation::ChunkExtension),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<(usize, Option<u64>), Violation> {
        let mut reader = ChunkLine::NEW;
        reader.take(line.as_bytes(), &mut 0, &Limits::default())
    }

    #[test]
    fn sizes_are_read_with_their_extensions() {
        let table = [
            ("0", 0),
            ("5", 5),
            ("fF", 255),
            ("0000000000000005", 5),
            ("ffffffffffffffff", u64::MAX),
            ("5;a", 5),
            ("5; a", 5),
            ("5;a=b", 5),
            ("5;a = b", 5),
            ("5;a=b;c;d=e", 5),
            ("5;a ;c", 5),
            ("5;a=\"\"", 5),
            ("5;a=\"b;c=\\\"d\\\\\";e", 5),
            ("5;a=\"\u{e9}\t\"", 5),
        ];
        for (line, size) in table {
            let whole = format!("{line}\r\nmore");
            assert_eq!(read(&whole), Ok((line.len() + 2, Some(size))), "{line:?}");
            let (mut reader, mut extensions) = (ChunkLine::NEW, 0);
            let mut found = None;
            for byte in whole.bytes().take(line.len() + 2) {
                assert_eq!(found, None);
                let taken = reader.take(&[byte], &mut extensions, &Limits::default());
                found = taken.unwrap().1;
            }
            assert_eq!(found, Some(size), "{line:?}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused() {
        use Violation::{BareCr, BareLf, ChunkExtension as Extension, ChunkSize as Size};
        let table = [
            ("", Size),
            (" 5", Size),
            ("5 ", Size),
            ("5\t", Size),
            ("+5", Size),
            ("-5", Size),
            ("0x5", Size),
            ("5_0", Size),
            ("x", Size),
            ("\n", Size),
            ("00000000000000005", Size),
            ("fffffffffffffffff", Size),
            ("5 ;a", Size),
            ("5,a", Size),
            ("5\n", BareLf),
            ("5\r5", BareCr),
            ("5\r", BareCr),
            ("5;", Extension),
            ("5; ", Extension),
            ("5;;a", Extension),
            ("5;=a", Extension),
            ("5;a=", Extension),
            ("5;a= ", Extension),
            ("5;a=\"", Extension),
            ("5;a=\"b\"c", Extension),
            ("5;a=\"\\", Extension),
            ("5;a=b c", Extension),
            ("5;a b", Extension),
            ("5;a=b;", Extension),
            ("5;a=\x01", Extension),
            ("5;a=\"\x01\"", Extension),
            ("5;\x7f", Extension),
            ("5;a=b\rc", BareCr),
            ("5;a=\"\u{7f}\"", Extension),
            ("5;a=@", Extension),
            ("5;a ", Extension),
            ("5;a=b ", Extension),
            ("5;a=b\n", BareLf),
            ("5;a\n", BareLf),
        ];
        for (line, violation) in table {
            assert_eq!(read(&format!("{line}\r\n")), Err(violation), "{line:?}");
        }
    }

    #[test]
    fn extensions_are_bounded_in_a_line_and_in_a_body() {
        let limits = Limits {
            chunk_line: 10,
            extensions: 12,
            ..Limits::default()
        };
        let mut extensions = 0;
        let wide = Limits {
            extensions: 100,
            ..limits
        };
        let mut take = |line: &str| {
            let mut reader = ChunkLine::NEW;
            reader.take(line.as_bytes(), &mut extensions, &wide)
        };
        assert_eq!(take("5;abcdef\r\n"), Ok((10, Some(5))));
        assert_eq!(take("5;abcdefg\r\n"), Err(Violation::ChunkLineTooLong));
        let mut extensions = 0;
        let mut take = |line: &str| {
            let mut reader = ChunkLine::NEW;
            reader.take(line.as_bytes(), &mut extensions, &limits)
        };
        // The CR is counted with an extension.
        assert_eq!(take("5;abcd\r\n"), Ok((8, Some(5))));
        assert_eq!(take("5;abcd\r\n"), Ok((8, Some(5))));
        assert_eq!(take("5;ab\r\n"), Err(Violation::ExtensionsTooLarge));
        assert_eq!(take("5\r\n"), Ok((3, Some(5))));
    }
}
