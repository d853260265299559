//! HPACK: how fields are compressed in HTTP/2 (RFC 7541).
//!
//! A [`Decoder`] and an [`Encoder`] each have a dynamic table, which is a connection's for one direction: all blocks of the
//! connection go through it in their order, also those of messages that are refused. Both tables are bounded: the
//! decoder's by what it was made for, the encoder's by [`TABLE_SIZE`] and by what the other side allows.

mod decoder;
mod encoder;
mod huffman;
mod integer;
mod label;
mod line;
mod statics;
mod table;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use line::FieldLine;

pub(crate) use label::Label;
pub(crate) use line::Named;

use thiserror::Error;

/// The size of a dynamic table in bytes as long as nothing else was said (RFC 9113, 6.5.2), each of its entries counted with 32
/// more than it has (RFC 7541, 4.1).
pub const TABLE_SIZE: usize = 4096;

/// Bytes of memory that are kept from block to block for what was decoded. One block may need more.
pub(crate) const MAX_KEPT: usize = 16 * 1024;

/// Gives memory back, if it is much.
pub(crate) fn give_back(memory: &mut Vec<u8>) {
    if memory.capacity() > MAX_KEPT {
        *memory = Vec::new();
    }
}

/// Why a block cannot be decoded: it is an error of the connection, COMPRESSION_ERROR, since the tables of both sides are not the
/// same any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum HpackError {
    /// RFC 7541, 2.3.3.
    #[error("an index that is in no table")]
    Index,
    /// RFC 7541, 5.1.
    #[error("a number is too large")]
    Integer,
    /// RFC 7541, 5.2.
    #[error("a string is no Huffman code")]
    Huffman,
    /// The block ends within a field.
    #[error("a header block ends before its end")]
    Truncated,
    /// RFC 7541, 4.2 and 6.3.
    #[error("the dynamic table is resized beyond its bound, or not at the start of a block")]
    Resize,
}
