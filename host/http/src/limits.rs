//! Limits of messages that are read.

use crate::violation::Violation;

/// Bounds on a head or on a trailer section, each of them inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Bytes altogether, line ends and the empty line included.
    pub bytes: u32,
    /// Bytes of one line, its end included; a line that is longer than all may be is refused for that.
    pub line: u32,
    /// Fields; of more than 60,000, so many.
    pub fields: u16,
}

impl Section {
    /// So many bytes and fields, without another bound on a line.
    pub const fn new(bytes: u32, fields: u16) -> Self {
        Self {
            bytes,
            line: bytes,
            fields,
        }
    }
}

/// Bounds on messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// On each head, interim ones included.
    pub head: Section,
    /// Bytes of a request's target.
    pub target: u32,
    /// Empty lines before a request, which some clients send behind a body (RFC 9112, 2.2).
    pub empty_lines: u8,
    /// Interim responses to one request.
    pub interims: u16,
    /// Bytes of the line before a chunk, its end included: its size and extensions.
    pub chunk_line: u16,
    /// Bytes of all extensions of one body's chunks.
    pub extensions: u16,
    /// On the trailer section.
    pub trailers: Section,
}

impl Default for Limits {
    /// Heads of 64 KiB and 100 fields with a target as long as fits, 8 empty lines, 64 interim responses, 256 bytes before a
    /// chunk and 16 KiB of extensions, trailer sections of 16 KiB and 100 fields.
    fn default() -> Self {
        Self {
            head: Section::new(64 * 1024, 100),
            target: 64 * 1024,
            empty_lines: 8,
            interims: 64,
            chunk_line: 256,
            extensions: 16 * 1024,
            trailers: Section::new(16 * 1024, 100),
        }
    }
}

/// What is said of a section that is larger than it may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Excess {
    pub(crate) bytes: Violation,
    pub(crate) line: Violation,
    pub(crate) fields: Violation,
}

impl Excess {
    pub(crate) const OF_HEAD: Self = Self {
        bytes: Violation::HeadTooLarge,
        line: Violation::LineTooLong,
        fields: Violation::TooManyFields,
    };

    pub(crate) const OF_TRAILERS: Self = Self {
        bytes: Violation::TrailersTooLarge,
        line: Violation::TrailersTooLarge,
        fields: Violation::TrailersTooLarge,
    };
}
