//! Payload: what of it leaves, in frames of DATA (RFC 9113, 6.1), and what may come again when it was consumed.

use std::io::IoSlice;

use super::{Connection, SendError};
use crate::http2::frame::{self, Frame, HEADER, MAX_FRAME_SIZE, flag, kind};
use crate::http2::stream::{Inbound, Outbound, StreamId};

/// The most frames that are written at once from where they are.
const MAX_FRAMES: usize = 4;

impl Connection {
    /// Sends payload; `ends` says that nothing follows. Says how much of it was taken: the end goes with the last byte, also if it is
    /// said behind that and that is not written yet. A stream of which not all was taken has its turn when [`next_writable`](Self::next_writable) tells it.
    ///
    /// # Errors
    /// The stream is closed, or its head is still to come.
    pub fn send_data(
        &mut self,
        id: StreamId,
        payload: &[u8],
        ends: bool,
    ) -> Result<usize, SendError> {
        self.check_outbound(id, Outbound::Body)?;
        let room = match payload.is_empty() {
            true => 0,
            false => self.room_for_data(id),
        };
        let taken = room.min(payload.len());
        let is_all = taken == payload.len();
        let (now, _) = payload.split_at(taken);
        let ends_alone = ends && payload.is_empty();
        let is_said = ends_alone && self.output.end_data(id.number);
        if taken > 0 || (ends_alone && !is_said) {
            self.write_data(id, now, ends && is_all);
        }
        self.note_data(id, taken, is_all, ends);
        Ok(taken)
    }

    /// The same where the payload is not copied: `write` gets all that is to be written, the output before it, and says how many
    /// bytes were; the rest is kept in the output. No more than 64 KiB are taken at once.
    ///
    /// # Errors
    /// The stream is closed, or its head is still to come.
    pub fn send_data_by(
        &mut self,
        id: StreamId,
        payload: &[u8],
        ends: bool,
        write: impl FnOnce(&[IoSlice<'_>]) -> usize,
    ) -> Result<usize, SendError> {
        self.check_outbound(id, Outbound::Body)?;
        let taken = self.room_for_data(id).min(payload.len());
        let taken = taken.min(MAX_FRAMES * MAX_FRAME_SIZE);
        if taken == 0 {
            return self.send_data(id, payload, ends);
        }
        let is_all = taken == payload.len();
        let (now, _) = payload.split_at(taken);
        let headers = headers(now.len(), id.number, ends && is_all);
        let mut slices = [IoSlice::new(&[]); 1 + 2 * MAX_FRAMES];
        let before = self.output.unwritten();
        slices[0] = IoSlice::new(before);
        let pieces = now.chunks(MAX_FRAME_SIZE);
        let frames = slices[1..]
            .chunks_exact_mut(2)
            .zip(headers.iter().zip(pieces));
        for (pair, (header, piece)) in frames {
            pair.copy_from_slice(&[IoSlice::new(header), IoSlice::new(piece)]);
        }
        let written = write(&slices[..1 + 2 * now.len().div_ceil(MAX_FRAME_SIZE)]);
        let mut skipped = written.saturating_sub(before.len());
        self.output.record_written(written);
        for (header, piece) in headers.iter().zip(now.chunks(MAX_FRAME_SIZE)) {
            for part in [&header[..], piece] {
                let (_, rest) = part.split_at(skipped.min(part.len()));
                skipped -= part.len() - rest.len();
                self.output.bytes().extend_from_slice(rest);
            }
        }
        self.note_data(id, taken, is_all, ends);
        Ok(taken)
    }

    /// The next stream that has something to send and now has room for it, if there is one. It is told once, and again if
    /// not all of it is taken.
    #[inline]
    pub fn next_writable(&mut self) -> Option<StreamId> {
        if !self.streams.has_waiting() || self.output.room() == 0 || self.send.room() == 0 {
            return None;
        }
        let (id, _) = self.streams.first_waiting()?;
        self.streams.stop_waiting(id);
        Some(id)
    }

    /// So many bytes that came by a stream are consumed: its peer may send as many more.
    pub fn consume(&mut self, id: StreamId, bytes: usize) {
        let Some(stream) = self.streams.get_mut(id) else {
            return;
        };
        let bytes = bytes.min(stream.held);
        stream.held -= bytes;
        self.give_back_to(id, bytes);
        self.streams.settle(id);
    }

    /// Lets the peer send so many bytes more, by any stream.
    #[inline]
    pub(super) fn give_back(&mut self, bytes: usize) {
        if let Some(increment) = self.receive.give_back(bytes) {
            self.output
                .add_control(|out| frame::write_window_update(out, 0, increment));
        }
    }

    /// The same, by this stream.
    pub(super) fn give_back_to(&mut self, id: StreamId, bytes: usize) {
        self.give_back(bytes);
        let stream = self.streams.get_mut(id);
        let Some(stream) = stream.filter(|it| matches!(it.inbound, Inbound::Body(_))) else {
            return;
        };
        if let Some(increment) = stream.receive.give_back(bytes) {
            self.output
                .add_control(|out| frame::write_window_update(out, id.number, increment));
        }
    }

    /// How many bytes a stream may send now: as much as fits, unless others come first.
    #[inline]
    fn room_for_data(&self, id: StreamId) -> usize {
        let Some(stream) = self.streams.get(id) else {
            return 0;
        };
        let room = self.output.room().min(self.send.room());
        let room = room.min(stream.send.room());
        if !self.streams.has_waiting() {
            return room;
        }
        match self.streams.first_waiting() {
            Some((other, rank)) if other != id && rank < stream.rank() => 0,
            Some((other, _)) if other != id && stream.priority.is_incremental => {
                room.min(MAX_FRAME_SIZE)
            }
            _ => room,
        }
    }

    /// Writes DATA, for which there is room.
    #[inline]
    fn write_data(&mut self, id: StreamId, payload: &[u8], ends: bool) {
        let out = self.output.bytes();
        let (frames, last) =
            payload.split_at(payload.len().saturating_sub(1) / MAX_FRAME_SIZE * MAX_FRAME_SIZE);
        for piece in frames.chunks_exact(MAX_FRAME_SIZE) {
            frame::write_header(out, MAX_FRAME_SIZE, kind::DATA, 0, id.number);
            out.extend_from_slice(piece);
        }
        let start = out.len();
        let flags = if ends { flag::END_STREAM } else { 0 };
        frame::write_header(out, last.len(), kind::DATA, flags, id.number);
        out.extend_from_slice(last);
        self.output.note_data(start);
    }

    /// So many bytes of a stream's payload have left. `is_all` says that they were all there were, `ends` whether nothing
    /// follows then.
    #[inline]
    fn note_data(&mut self, id: StreamId, bytes: usize, is_all: bool, ends: bool) {
        if bytes > 0 {
            self.send.take(bytes);
            self.flood_guard.earn_by_sending(bytes, !is_all);
            let turn = self.streams.next_turn();
            if let Some(stream) = self.streams.get_mut(id) {
                stream.send.take(bytes);
                if stream.priority.is_incremental {
                    stream.turn = turn;
                }
            }
        }
        if !is_all {
            self.streams.wait(id);
        } else if ends {
            self.end_outbound(id);
        }
    }
}

/// The headers of frames with so much payload, which is no more than [`MAX_FRAMES`] have.
fn headers(length: usize, stream: u32, ends: bool) -> [[u8; HEADER]; MAX_FRAMES] {
    std::array::from_fn(|index| {
        let left = length.saturating_sub(index * MAX_FRAME_SIZE);
        let flags = match ends && left <= MAX_FRAME_SIZE {
            true => flag::END_STREAM,
            false => 0,
        };
        let frame = Frame {
            length: left.min(MAX_FRAME_SIZE),
            kind: kind::DATA,
            flags,
            stream,
        };
        frame.bytes()
    })
}
