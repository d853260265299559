//! Reads frames from bytes in whatever pieces they come.
//!
//! A frame that is all there is read where it is; one that is not is collected, but for DATA, which is passed on in the pieces in
//! which it comes. Its header is judged and weighed before anything of it is kept.

use std::time::Instant;

use super::{Connection, Event, Role};
use crate::head::Head;
use crate::http1::PREFACE;
use crate::http2::connection::data::Data;
use crate::http2::error::ConnectionError;
use crate::http2::frame::{Frame, HEADER, flag, kind};

/// What a step has used, and what it has to tell.
pub(super) type Step = Result<(usize, Option<Event>), ConnectionError>;

/// How far the peer's bytes are read.
#[derive(Debug)]
pub(super) struct FrameReader {
    pub(super) read_state: ReadState,
    /// A frame's header of which the rest is to come.
    header: [u8; HEADER],
    /// A frame's payload of which the rest is to come.
    payload: Vec<u8>,
    /// A header block of which the rest is to come, and the frame that it began with.
    pub(super) block: Vec<u8>,
    pub(super) open_block: Option<Frame>,
    /// Whether the stream of the block that came last says that it depends on itself.
    pub(super) is_circular: bool,
    /// Whether the peer has told its settings.
    pub(super) has_settings: bool,
    incomplete_since: Option<Instant>,
}

/// What the next byte belongs to.
#[derive(Debug, Clone, Copy)]
pub(super) enum ReadState {
    /// The preface; so many bytes of it have come.
    Preface(usize),
    /// A frame's header; so many bytes of it have come.
    Header(usize),
    /// The payload of a frame that is read when it is whole.
    Payload(Frame),
    /// The payload of DATA; see there.
    Data(Data),
    /// So many bytes that are of no use; at least one.
    Skipped(usize),
}

impl ReadState {
    pub(super) const START: Self = Self::Header(0);

    /// Behind so many bytes that are of no use.
    pub(super) fn behind(bytes: usize) -> Self {
        match bytes {
            0 => Self::START,
            _ => Self::Skipped(bytes),
        }
    }
}

impl FrameReader {
    pub(super) fn new(role: Role, now: Instant) -> Self {
        Self {
            read_state: match role {
                Role::Server => ReadState::Preface(0),
                Role::Client => ReadState::START,
            },
            header: [0; HEADER],
            payload: Vec::new(),
            block: Vec::new(),
            open_block: None,
            is_circular: false,
            has_settings: false,
            incomplete_since: Some(now),
        }
    }

    pub(super) fn incomplete_since(&self) -> Option<Instant> {
        self.incomplete_since
    }

    /// All that has come is read.
    pub(super) fn note_pause(&mut self, now: Instant) {
        if !self.is_incomplete() {
            self.incomplete_since = None;
        } else if self.incomplete_since.is_none() {
            self.incomplete_since = Some(now);
        }
    }

    fn is_incomplete(&self) -> bool {
        let is_within = match self.read_state {
            ReadState::Preface(_) | ReadState::Payload(_) | ReadState::Skipped(_) => true,
            ReadState::Header(read) => read > 0,
            ReadState::Data(_) => false,
        };
        is_within || self.open_block.is_some() || !self.has_settings
    }

    /// A frame is over: what may come behind it has time of its own, unless it belongs together.
    #[inline]
    fn note_end_of_frame(&mut self) {
        if self.open_block.is_none() && self.has_settings {
            self.incomplete_since = None;
        }
    }

    pub(super) fn capacity(&self) -> usize {
        self.payload.capacity() + self.block.capacity()
    }

    pub(super) fn shrink(&mut self) {
        for buffer in [&mut self.payload, &mut self.block] {
            buffer.shrink_to_fit();
        }
    }
}

impl Connection {
    /// Reads as far as one thing goes.
    #[inline]
    pub(super) fn step(&mut self, input: &[u8], head: &mut Head) -> Step {
        match self.frame_reader.read_state {
            _ if input.is_empty() => Ok((0, None)),
            ReadState::Preface(read) => self.preface(input, read),
            ReadState::Header(read) => self.header(input, read, head),
            ReadState::Payload(frame) => self.payload(input, frame, head),
            ReadState::Data(data) => self.data(input, data),
            ReadState::Skipped(left) => {
                let skipped = left.min(input.len());
                self.frame_reader.read_state = ReadState::behind(left - skipped);
                Ok((skipped, None))
            }
        }
    }

    #[cold]
    fn preface(&mut self, input: &[u8], read: usize) -> Step {
        let expected = &PREFACE[read.min(PREFACE.len())..];
        let length = input.len().min(expected.len());
        if input[..length] != expected[..length] {
            return Err(ConnectionError::Preface);
        }
        self.frame_reader.read_state = match length == expected.len() {
            true => ReadState::START,
            false => ReadState::Preface(read + length),
        };
        Ok((length, None))
    }

    #[inline]
    fn header(&mut self, input: &[u8], read: usize, head: &mut Head) -> Step {
        let (header, used) = match input.first_chunk::<HEADER>() {
            Some(header) if read == 0 => (*header, HEADER),
            _ => match self.collect_header(input, read) {
                (used, false) => return Ok((used, None)),
                (used, true) => (self.frame_reader.header, used),
            },
        };
        let frame = Frame::parse(&header);
        self.admit(frame)?;
        if frame.kind == kind::DATA {
            let event = self.begin_data(frame)?;
            self.frame_reader.note_end_of_frame();
            return Ok((used, event));
        }
        match input.get(used..used + frame.length) {
            Some(payload) => {
                let event = self.whole(frame, payload, head)?;
                Ok((used + frame.length, event))
            }
            None => {
                self.frame_reader.read_state = match is_of_use(frame.kind) {
                    true => ReadState::Payload(frame),
                    false => ReadState::Skipped(frame.length),
                };
                Ok((used, None))
            }
        }
    }

    /// Adds to what has come of a header; says how much was used, and whether it is whole.
    #[cold]
    fn collect_header(&mut self, input: &[u8], read: usize) -> (usize, bool) {
        let rest = self.frame_reader.header.get_mut(read..).unwrap_or_default();
        let length = input.len().min(rest.len());
        rest[..length].copy_from_slice(&input[..length]);
        let is_whole = read + length == HEADER;
        self.frame_reader.read_state = match is_whole {
            true => ReadState::START,
            false => ReadState::Header(read + length),
        };
        (length, is_whole)
    }

    /// Judges a frame by its header, and where it stands.
    #[inline]
    fn admit(&mut self, frame: Frame) -> Result<(), ConnectionError> {
        if !self.frame_reader.has_settings && (frame.kind != kind::SETTINGS || frame.has(flag::ACK))
        {
            return Err(ConnectionError::FirstFrame);
        }
        frame.validate()?;
        match (self.frame_reader.open_block, frame.kind) {
            (None, kind::CONTINUATION) => return Err(ConnectionError::Continuation),
            (None, _) => {}
            (Some(block), kind::CONTINUATION) if block.stream == frame.stream => {}
            (Some(_), _) => return Err(ConnectionError::Continuation),
        }
        self.flood_guard.charge_frame(frame, self.now)?;
        self.output.check_control()
    }

    fn payload(&mut self, input: &[u8], frame: Frame, head: &mut Head) -> Step {
        let missing = frame.length.saturating_sub(self.frame_reader.payload.len());
        let taken = missing.min(input.len());
        self.frame_reader.payload.extend_from_slice(&input[..taken]);
        if taken < missing {
            return Ok((taken, None));
        }
        let mut payload = std::mem::take(&mut self.frame_reader.payload);
        let event = self.whole(frame, &payload, head);
        payload.clear();
        self.frame_reader.payload = payload;
        Ok((taken, event?))
    }

    /// A frame is whole that is not DATA.
    #[inline]
    fn whole(
        &mut self,
        frame: Frame,
        payload: &[u8],
        head: &mut Head,
    ) -> Result<Option<Event>, ConnectionError> {
        self.frame_reader.read_state = ReadState::START;
        let event = match frame.kind {
            kind::HEADERS => self.headers(frame, payload, head),
            kind::CONTINUATION => self.continuation(frame, payload, head),
            kind::PRIORITY => self.priority(frame, payload),
            kind::WINDOW_UPDATE => self.window_update(frame, payload),
            kind::RST_STREAM => self.rst_stream(frame, payload),
            kind::SETTINGS => self.settings(frame, payload),
            kind::PING => self.pinged(frame, payload),
            kind::GOAWAY => Ok(Some(self.goaway(payload))),
            kind::PRIORITY_UPDATE => self.priority_update(payload),
            kind::PUSH_PROMISE => Err(ConnectionError::Push),
            _ => Ok(None),
        };
        self.frame_reader.note_end_of_frame();
        event
    }
}

/// Whether the payload of frames of this kind is looked at.
fn is_of_use(kind: u8) -> bool {
    kind <= kind::CONTINUATION || kind == kind::PRIORITY_UPDATE
}
