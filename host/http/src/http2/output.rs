//! The output buffer of a connection.
//!
//! It takes DATA up to a bound; the rest stays with its sender. Replies to the peer's control frames have a bound of their own: a
//! peer that does not read them has its connection ended.

use crate::http2::error::ConnectionError;
use crate::http2::frame::{Frame, HEADER, flag, kind};

/// Bytes that may wait before DATA waits.
pub(crate) const MAX_BUFFERED: usize = 64 * 1024;

/// Bytes of replies to the peer's control frames that may wait.
const MAX_CONTROL: usize = 16 * 1024;

/// The capacity that the buffer begins with, in bytes: room for a small response.
const INITIAL_CAPACITY: usize = 2 * 1024;

/// Bytes that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How many of them are written.
    written: usize,
    /// At least as many bytes as wait of replies to control frames.
    control: usize,
    /// Where the last DATA that was added begins.
    data: usize,
}

impl Output {
    /// What is to be written next.
    #[inline]
    pub(crate) fn unwritten(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// So many bytes of it are written.
    pub(crate) fn record_written(&mut self, bytes: usize) {
        self.written += bytes.min(self.unwritten().len());
        let left = self.bytes.len() - self.written;
        self.control = self.control.min(left);
        if left == 0 {
            self.bytes.clear();
            self.written = 0;
        } else if self.written >= MAX_BUFFERED {
            self.bytes.drain(..self.written);
            self.data = self.data.saturating_sub(self.written);
            self.written = 0;
        }
    }

    /// How many bytes of DATA may be added now: none until the half of the room is there, so that frames are not cut into small
    /// ones by what a socket happens to take.
    #[inline]
    pub(crate) fn room(&self) -> usize {
        let waiting = self.bytes.len() - self.written;
        match waiting <= MAX_BUFFERED / 2 {
            true => MAX_BUFFERED - waiting,
            false => 0,
        }
    }

    /// Where frames are added that are of a message of ours.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(INITIAL_CAPACITY);
        }
        &mut self.bytes
    }

    /// DATA begins here.
    #[inline]
    pub(crate) fn note_data(&mut self, at: usize) {
        self.data = at;
    }

    /// Has the last frame say the end of a stream, if it is DATA of that and nothing of it is written; says whether it does.
    pub(crate) fn end_data(&mut self, stream: u32) -> bool {
        if self.data < self.written {
            return false;
        }
        let Some((header, payload)) = self
            .bytes
            .get_mut(self.data..)
            .and_then(<[u8]>::split_first_chunk_mut::<HEADER>)
        else {
            return false;
        };
        let frame = Frame::parse(header);
        let is_it = (frame.kind, frame.stream, frame.length) == (kind::DATA, stream, payload.len());
        if is_it {
            let flags = frame.flags | flag::END_STREAM;
            *header = Frame { flags, ..frame }.bytes();
        }
        is_it
    }

    /// Adds a reply to a control frame of the peer's.
    pub(crate) fn add_control(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        write(&mut self.bytes);
        self.control += self.bytes.len() - before;
    }

    /// Checks that the peer reads the replies to its control frames.
    ///
    /// # Errors
    /// It does not.
    #[inline]
    pub(crate) fn check_control(&self) -> Result<(), ConnectionError> {
        match self.control <= MAX_CONTROL {
            true => Ok(()),
            false => Err(ConnectionError::Unread),
        }
    }

    /// Gives memory back, if nothing waits.
    pub(crate) fn shrink(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }

    pub(crate) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_makes_room_by_halves() {
        let mut output = Output::default();
        output.bytes().extend_from_slice(&[7; MAX_BUFFERED]);
        assert_eq!(output.room(), 0);
        output.record_written(MAX_BUFFERED / 2 - 1);
        assert_eq!(output.room(), 0);
        output.record_written(1);
        assert_eq!(
            (output.room(), output.unwritten().len()),
            (MAX_BUFFERED / 2, MAX_BUFFERED / 2)
        );
        output.record_written(usize::MAX);
        assert_eq!((output.room(), output.unwritten()), (MAX_BUFFERED, &[][..]));
        output.shrink();
        assert_eq!(output.capacity(), 0);
    }

    #[test]
    fn an_end_is_said_with_the_last_piece_if_nothing_of_that_is_written() {
        let piece = |stream| Frame {
            length: 3,
            kind: kind::DATA,
            flags: 0,
            stream,
        };
        let begun = |behind: &[u8]| {
            let mut output = Output::default();
            output.bytes().extend_from_slice(b"before");
            let at = output.bytes().len();
            output.note_data(at);
            for part in [&piece(5).bytes()[..], b"abc", behind] {
                output.bytes().extend_from_slice(part);
            }
            output
        };
        assert!(!Output::default().end_data(5));
        assert!(!begun(b"x").end_data(5), "something is behind it");
        assert!(!begun(b"").end_data(7), "it is another's");
        let mut output = begun(b"");
        output.record_written(7);
        assert!(!output.end_data(5), "its header is written");
        let mut output = begun(b"");
        output.record_written(6);
        assert!(output.end_data(5));
        assert_eq!(output.unwritten(), b"\0\0\x03\0\x01\0\0\0\x05abc");
    }

    #[test]
    fn a_buffer_that_is_never_empty_does_not_grow() {
        let mut output = Output::default();
        for _ in 0..1_000 {
            let more = vec![7; output.room()];
            output.bytes().extend_from_slice(&more);
            output.record_written(MAX_BUFFERED / 2 - 1);
            assert!(!output.unwritten().is_empty());
        }
        assert!(
            output.capacity() <= 4 * MAX_BUFFERED,
            "{}",
            output.capacity()
        );
    }

    #[test]
    fn replies_that_are_not_read_are_bounded_and_other_frames_are_not() {
        let mut output = Output::default();
        let add_control = |output: &mut Output| {
            output.add_control(|out| out.extend_from_slice(&[0; 16]));
            output.check_control()
        };
        for _ in 0..MAX_CONTROL / 16 {
            assert_eq!(add_control(&mut output), Ok(()));
        }
        assert_eq!(add_control(&mut output), Err(ConnectionError::Unread));
        output.record_written(MAX_CONTROL);
        assert_eq!(add_control(&mut output), Ok(()));
        output.bytes().extend_from_slice(&[0; 10 * MAX_CONTROL]);
        assert_eq!(add_control(&mut output), Ok(()));
    }
}
