//! What waits to be written to the peer.
//!
//! There is room for so many bytes of DATA only; the rest stays with those who send it. What answers the peer's own frames has a
//! bound of its own: a peer that takes none of it is left.

use crate::http2::error::ConnectionError;
use crate::http2::frame::{Frame, HEADER, flag, kind};

/// Bytes that may wait before DATA waits.
pub(crate) const ROOM: usize = 64 * 1024;

/// Bytes of answers to the peer's control frames that may wait.
const CONTROL: usize = 16 * 1024;

/// Room that the buffer begins with, in bytes: for a small answer, which has it grow no more.
const BEGINNING: usize = 2 * 1024;

/// Bytes that wait to be written.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How many of them are written.
    written: usize,
    /// No fewer than wait of answers to control frames.
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
    pub(crate) fn note_written(&mut self, bytes: usize) {
        self.written += bytes.min(self.unwritten().len());
        let left = self.bytes.len() - self.written;
        self.control = self.control.min(left);
        if left == 0 {
            self.bytes.clear();
            self.written = 0;
        } else if self.written >= ROOM {
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
        match waiting <= ROOM / 2 {
            true => ROOM - waiting,
            false => 0,
        }
    }

    /// Where frames are added that are of a message of ours.
    #[inline]
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(BEGINNING);
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

    /// Adds a frame that answers one of the peer's.
    pub(crate) fn answer(&mut self, write: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        write(&mut self.bytes);
        self.control += self.bytes.len() - before;
    }

    /// Judges whether the peer takes what answers its frames.
    ///
    /// # Errors
    /// It does not.
    #[inline]
    pub(crate) fn judge(&self) -> Result<(), ConnectionError> {
        match self.control <= CONTROL {
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
        output.bytes().extend_from_slice(&[7; ROOM]);
        assert_eq!(output.room(), 0);
        output.note_written(ROOM / 2 - 1);
        assert_eq!(output.room(), 0);
        output.note_written(1);
        assert_eq!(
            (output.room(), output.unwritten().len()),
            (ROOM / 2, ROOM / 2)
        );
        output.note_written(usize::MAX);
        assert_eq!((output.room(), output.unwritten()), (ROOM, &[][..]));
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
        output.note_written(7);
        assert!(!output.end_data(5), "its header is written");
        let mut output = begun(b"");
        output.note_written(6);
        assert!(output.end_data(5));
        assert_eq!(output.unwritten(), b"\0\0\x03\0\x01\0\0\0\x05abc");
    }

    #[test]
    fn a_buffer_that_is_never_empty_does_not_grow() {
        let mut output = Output::default();
        for _ in 0..1_000 {
            let more = vec![7; output.room()];
            output.bytes().extend_from_slice(&more);
            output.note_written(ROOM / 2 - 1);
            assert!(!output.unwritten().is_empty());
        }
        assert!(output.capacity() <= 4 * ROOM, "{}", output.capacity());
    }

    #[test]
    fn answers_that_are_not_taken_are_bounded_and_others_are_not() {
        let mut output = Output::default();
        let answer = |output: &mut Output| {
            output.answer(|out| out.extend_from_slice(&[0; 16]));
            output.judge()
        };
        for _ in 0..CONTROL / 16 {
            assert_eq!(answer(&mut output), Ok(()));
        }
        assert_eq!(answer(&mut output), Err(ConnectionError::Unread));
        output.note_written(CONTROL);
        assert_eq!(answer(&mut output), Ok(()));
        output.bytes().extend_from_slice(&[0; 10 * CONTROL]);
        assert_eq!(answer(&mut output), Ok(()));
    }
}
