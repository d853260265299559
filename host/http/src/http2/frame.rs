//! Frames (RFC 9113, 4 and 6): their headers and payloads, read and written.
//!
//! What a frame means for a stream or the connection is said elsewhere; here is what it consists of.

use crate::http2::code::ErrorCode;
use crate::http2::error::ConnectionError;

/// The bytes of a frame's header.
pub(crate) const HEADER: usize = 9;

/// The largest payload that we take, and that we send: the least that each peer has to take (RFC 9113, 4.2).
pub(crate) const MAX_FRAME_SIZE: usize = 16_384;

/// The kinds of frames (RFC 9113, 6; RFC 9218, 7.1).
pub(crate) mod kind {
    pub(crate) const DATA: u8 = 0x0;
    pub(crate) const HEADERS: u8 = 0x1;
    pub(crate) const PRIORITY: u8 = 0x2;
    pub(crate) const RST_STREAM: u8 = 0x3;
    pub(crate) const SETTINGS: u8 = 0x4;
    pub(crate) const PUSH_PROMISE: u8 = 0x5;
    pub(crate) const PING: u8 = 0x6;
    pub(crate) const GOAWAY: u8 = 0x7;
    pub(crate) const WINDOW_UPDATE: u8 = 0x8;
    pub(crate) const CONTINUATION: u8 = 0x9;
    pub(crate) const PRIORITY_UPDATE: u8 = 0x10;
}

/// Flags of frames.
pub(crate) mod flag {
    /// Of DATA and HEADERS.
    pub(crate) const END_STREAM: u8 = 0x1;
    /// Of SETTINGS and PING.
    pub(crate) const ACK: u8 = 0x1;
    /// Of HEADERS and CONTINUATION.
    pub(crate) const END_HEADERS: u8 = 0x4;
    /// Of DATA and HEADERS.
    pub(crate) const PADDED: u8 = 0x8;
    /// Of HEADERS.
    pub(crate) const PRIORITY: u8 = 0x20;
}

/// The highest number that a stream may have.
pub(crate) const LAST_STREAM: u32 = (1 << 31) - 1;

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Of the payload, in bytes.
    pub(crate) length: usize,
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
}

impl Frame {
    #[inline]
    pub(crate) fn parse(header: &[u8; HEADER]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = *header;
        Self {
            length: usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low),
            kind,
            flags,
            stream: number(stream),
        }
    }

    #[inline]
    pub(crate) fn bytes(self) -> [u8; HEADER] {
        let [_, high, middle, low] = (self.length as u32).to_be_bytes();
        let [one, two, three, four] = self.stream.to_be_bytes();
        [
            high, middle, low, self.kind, self.flags, one, two, three, four,
        ]
    }

    #[inline]
    pub(crate) fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The bytes that are surely not padding.
    #[inline]
    pub(crate) fn least_content(self) -> usize {
        match self.has(flag::PADDED) {
            true => self.length.saturating_sub(256),
            false => self.length,
        }
    }

    /// Judges what a header may be by itself: its size, and whether it is for a stream or for the connection.
    #[inline]
    pub(crate) fn validate(self) -> Result<(), ConnectionError> {
        let (is_for_stream, is_right_size) = match self.kind {
            kind::DATA | kind::HEADERS | kind::CONTINUATION | kind::PUSH_PROMISE => {
                (Some(true), true)
            }
            kind::PRIORITY => (Some(true), self.length == 5),
            kind::RST_STREAM => (Some(true), self.length == 4),
            kind::SETTINGS if self.has(flag::ACK) => (Some(false), self.length == 0),
            kind::SETTINGS => (Some(false), self.length.is_multiple_of(6)),
            kind::PING => (Some(false), self.length == 8),
            kind::GOAWAY => (Some(false), self.length >= 8),
            kind::WINDOW_UPDATE => (None, self.length == 4),
            kind::PRIORITY_UPDATE => (Some(false), self.length >= 4),
            _ => (None, true),
        };
        if self.length > MAX_FRAME_SIZE || !is_right_size {
            return Err(ConnectionError::FrameSize);
        }
        match is_for_stream {
            Some(is_for_stream) if is_for_stream != (self.stream != 0) => {
                Err(ConnectionError::StreamId)
            }
            _ => Ok(()),
        }
    }
}

/// A number of 31 bits; the highest of 32 is reserved and has no meaning.
#[inline]
fn number(bytes: [u8; 4]) -> u32 {
    u32::from_be_bytes(bytes) & LAST_STREAM
}

/// The 31 bits that a payload begins with, and what is behind them; 0 where it has not so many.
#[inline]
pub(crate) fn split_number(payload: &[u8]) -> (u32, &[u8]) {
    match payload.split_first_chunk() {
        Some((bytes, rest)) => (number(*bytes), rest),
        None => (0, payload),
    }
}

/// The 32 bits of an error code that a payload begins with.
#[inline]
pub(crate) fn error_code(payload: &[u8]) -> ErrorCode {
    let bytes = payload.first_chunk().copied().unwrap_or_default();
    ErrorCode(u32::from_be_bytes(bytes))
}

/// The fragment of a header block in the payload of HEADERS: without padding, and without a priority, which has no meaning any
/// more (RFC 9113, 5.3.2).
///
/// # Errors
/// There is as much padding as payload, or no room for the priority.
pub(crate) fn fragment(frame: Frame, payload: &[u8]) -> Result<&[u8], ConnectionError> {
    let mut rest = payload;
    if frame.has(flag::PADDED) {
        let (&padding, padded) = rest.split_first().ok_or(ConnectionError::FrameSize)?;
        let end = padded.len().checked_sub(usize::from(padding));
        rest = &padded[..end.ok_or(ConnectionError::Padding)?];
    }
    if frame.has(flag::PRIORITY) {
        rest = rest.get(5..).ok_or(ConnectionError::FrameSize)?;
    }
    Ok(rest)
}

/// The stream that HEADERS or PRIORITY says its own depends on (RFC 7540, 5.3), of which nothing follows but that it cannot be
/// itself.
pub(crate) fn dependency(frame: Frame, payload: &[u8]) -> Option<u32> {
    let start = match frame.kind {
        kind::PRIORITY => 0,
        _ if !frame.has(flag::PRIORITY) => return None,
        _ => usize::from(frame.has(flag::PADDED)),
    };
    let (number, _) = split_number(payload.get(start..)?);
    Some(number)
}

/// Writes a frame's header.
#[inline]
pub(crate) fn write_header(out: &mut Vec<u8>, length: usize, kind: u8, flags: u8, stream: u32) {
    let frame = Frame {
        length,
        kind,
        flags,
        stream,
    };
    out.extend_from_slice(&frame.bytes());
}

/// Writes RST_STREAM.
pub(crate) fn write_reset(out: &mut Vec<u8>, stream: u32, code: ErrorCode) {
    write_header(out, 4, kind::RST_STREAM, 0, stream);
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Writes PING, or its acknowledgement.
pub(crate) fn write_ping(out: &mut Vec<u8>, payload: [u8; 8], is_ack: bool) {
    let flags = if is_ack { flag::ACK } else { 0 };
    write_header(out, 8, kind::PING, flags, 0);
    out.extend_from_slice(&payload);
}

/// Writes GOAWAY, without debug data.
pub(crate) fn write_goaway(out: &mut Vec<u8>, last: u32, code: ErrorCode) {
    write_header(out, 8, kind::GOAWAY, 0, 0);
    out.extend_from_slice(&last.to_be_bytes());
    out.extend_from_slice(&code.0.to_be_bytes());
}

/// Writes WINDOW_UPDATE.
pub(crate) fn write_window_update(out: &mut Vec<u8>, stream: u32, increment: u32) {
    write_header(out, 4, kind::WINDOW_UPDATE, 0, stream);
    out.extend_from_slice(&increment.to_be_bytes());
}

/// Makes frames of a header block, before which there is room for a frame's header at `start`: HEADERS, and CONTINUATIONs if it
/// is larger than a frame.
pub(crate) fn finish_block(out: &mut Vec<u8>, start: usize, stream: u32, ends: bool) {
    let block = start + HEADER;
    let length = out.len() - block;
    let end_stream = if ends { flag::END_STREAM } else { 0 };
    let mut frame = Frame {
        length: length.min(MAX_FRAME_SIZE),
        kind: kind::HEADERS,
        flags: end_stream,
        stream,
    };
    if length <= MAX_FRAME_SIZE {
        frame.flags |= flag::END_HEADERS;
        out[start..block].copy_from_slice(&frame.bytes());
        return;
    }
    out[start..block].copy_from_slice(&frame.bytes());
    continue_block(out, block + MAX_FRAME_SIZE, stream);
}

/// Puts the headers of CONTINUATIONs into what is left of a header block.
#[cold]
fn continue_block(out: &mut Vec<u8>, from: usize, stream: u32) {
    let rest = out.split_off(from);
    let mut fragments = rest.chunks(MAX_FRAME_SIZE).peekable();
    while let Some(fragment) = fragments.next() {
        let flags = match fragments.peek() {
            Some(_) => 0,
            None => flag::END_HEADERS,
        };
        write_header(out, fragment.len(), kind::CONTINUATION, flags, stream);
        out.extend_from_slice(fragment);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Fragment = Result<&'static [u8], ConnectionError>;

    fn frame(kind: u8, flags: u8, length: usize, stream: u32) -> Frame {
        Frame {
            length,
            kind,
            flags,
            stream,
        }
    }

    #[test]
    fn a_header_is_read_as_it_was_written_but_for_the_reserved_bit() {
        let header = frame(kind::HEADERS, 0x25, 0x01_0203, 0x7fff_fffe);
        let mut bytes = header.bytes();
        assert_eq!(bytes, [1, 2, 3, 1, 0x25, 0x7f, 0xff, 0xff, 0xfe]);
        bytes[5] |= 0x80;
        assert_eq!(Frame::parse(&bytes), header);
    }

    #[test]
    fn each_kind_has_its_sizes_and_its_streams() {
        use ConnectionError::{FrameSize, StreamId};
        let table = [
            (frame(kind::DATA, 0, 16_384, 1), Ok(())),
            (frame(kind::DATA, 0, 16_385, 1), Err(FrameSize)),
            (frame(0xbe, 0, 16_385, 0), Err(FrameSize)),
            (frame(0xbe, 0xff, 16_384, 7), Ok(())),
            (frame(kind::DATA, 0, 1, 0), Err(StreamId)),
            (frame(kind::HEADERS, 0, 1, 0), Err(StreamId)),
            (frame(kind::CONTINUATION, 0, 1, 0), Err(StreamId)),
            (frame(kind::PUSH_PROMISE, 0, 1, 0), Err(StreamId)),
            (frame(kind::PRIORITY, 0, 4, 1), Err(FrameSize)),
            (frame(kind::PRIORITY, 0, 5, 0), Err(StreamId)),
            (frame(kind::PRIORITY, 0, 5, 1), Ok(())),
            (frame(kind::RST_STREAM, 0, 5, 1), Err(FrameSize)),
            (frame(kind::RST_STREAM, 0, 4, 0), Err(StreamId)),
            (frame(kind::SETTINGS, 0, 0, 0), Ok(())),
            (frame(kind::SETTINGS, 0, 12, 0), Ok(())),
            (frame(kind::SETTINGS, 0, 7, 0), Err(FrameSize)),
            (frame(kind::SETTINGS, flag::ACK, 6, 0), Err(FrameSize)),
            (frame(kind::SETTINGS, 0, 6, 1), Err(StreamId)),
            (frame(kind::PING, 0, 7, 0), Err(FrameSize)),
            (frame(kind::PING, 0, 8, 1), Err(StreamId)),
            (frame(kind::GOAWAY, 0, 7, 0), Err(FrameSize)),
            (frame(kind::GOAWAY, 0, 8, 1), Err(StreamId)),
            (frame(kind::GOAWAY, 0, 100, 0), Ok(())),
            (frame(kind::WINDOW_UPDATE, 0, 3, 0), Err(FrameSize)),
            (frame(kind::WINDOW_UPDATE, 0, 4, 1), Ok(())),
            (frame(kind::WINDOW_UPDATE, 0, 4, 0), Ok(())),
            (frame(kind::PRIORITY_UPDATE, 0, 3, 0), Err(FrameSize)),
            (frame(kind::PRIORITY_UPDATE, 0, 4, 1), Err(StreamId)),
        ];
        for (frame, expected) in table {
            assert_eq!(frame.validate(), expected, "{frame:?}");
        }
    }

    #[test]
    fn padding_and_priority_are_no_part_of_a_header_block() {
        use ConnectionError::{FrameSize, Padding};
        let table: [(u8, &[u8], Fragment); 9] = [
            (0, b"abc", Ok(b"abc")),
            (flag::PADDED, b"\x02abc..", Ok(b"abc")),
            (flag::PADDED, b"\x00", Ok(b"")),
            (flag::PADDED, b"\x02..", Ok(b"")),
            (flag::PADDED, b"\x03..", Err(Padding)),
            (flag::PADDED, b"", Err(FrameSize)),
            (flag::PRIORITY, b"12345abc", Ok(b"abc")),
            (flag::PRIORITY, b"1234", Err(FrameSize)),
            (flag::PRIORITY | flag::PADDED, b"\x0112345abc.", Ok(b"abc")),
        ];
        for (flags, payload, expected) in table {
            let frame = frame(kind::HEADERS, flags, payload.len(), 1);
            let found = fragment(frame, payload);
            assert_eq!(found, expected, "{}", payload.escape_ascii());
        }
    }

    #[test]
    fn a_large_header_block_is_cut_into_frames() {
        for length in [
            0,
            1,
            MAX_FRAME_SIZE,
            MAX_FRAME_SIZE + 1,
            2 * MAX_FRAME_SIZE,
            2 * MAX_FRAME_SIZE + 1,
        ] {
            let block: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
            let mut out = b"before".to_vec();
            out.extend_from_slice(&[0; HEADER]);
            out.extend_from_slice(&block);
            finish_block(&mut out, 6, 5, true);
            let (mut rest, mut read, mut last) = (&out[6..], Vec::new(), 0);
            while let Some((header, behind)) = rest.split_first_chunk::<HEADER>() {
                let frame = Frame::parse(header);
                let (payload, behind) = behind.split_at(frame.length);
                let is_first = read.is_empty();
                let expected = match is_first {
                    true => (kind::HEADERS, flag::END_STREAM),
                    false => (kind::CONTINUATION, 0),
                };
                assert_eq!(
                    (frame.kind, frame.flags & !flag::END_HEADERS, frame.stream),
                    (expected.0, expected.1, 5)
                );
                assert_eq!(frame.has(flag::END_HEADERS), behind.is_empty());
                read.extend_from_slice(payload);
                (rest, last) = (behind, frame.length);
            }
            assert!(read == block && last <= MAX_FRAME_SIZE && rest.is_empty());
        }
    }
}
