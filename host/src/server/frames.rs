//! HTTP/2 as an attacker would send it.
//!
//! The h2 crate holds a client to the letter of RFC 9113 and bounds some abuses: streams it has to reset, streams that are
//! reset before they are accepted, CONTINUATION frames of one header block, the size of a decoded header list, small DATA
//! frames that nobody reads. What it takes without end are frames that cost us work and bring nobody forward: SETTINGS, PING,
//! PRIORITY, WINDOW_UPDATE, empty DATA, frames of unknown kinds, requests that are reset at once. [`FrameGuard`] reads along
//! with the frames of both directions and weighs them in a [`Budget`]: such frames cost, and whatever is work done for the
//! client earns. It keeps no frame: only the nine bytes of a frame's header, and how much of its payload is to come.

mod budget;

use std::time::Duration;

use tokio::time::Instant;

use budget::Budget;

/// What a connection of HTTP/2 begins with.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The bytes of a frame's header.
const FRAME_HEADER: usize = 9;

/// What a new request earns: a PRIORITY and a WINDOW_UPDATE go with each at some clients.
const OPENED: u32 = 2;

/// What DATA with content earns, from the client.
const RECEIVED: u32 = 1;

/// What a header block to the client earns, head or trailers: as much as a RST_STREAM costs, so that a request that was
/// answered may be reset.
const ANSWERED: u32 = 6;

/// What DATA to the client earns: a WINDOW_UPDATE for the stream and one for the connection, as the plainest clients send
/// them.
const SENT: u32 = 2;

/// For each so many bytes of DATA to the client there is one more: Go sends two WINDOW_UPDATEs for each 4 KiB, and clients of
/// gRPC a PING at any time.
const SENT_FOR_ONE: usize = 1024;

/// The kinds of frames (RFC 9113, 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const PRIORITY: u8 = 2;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const WINDOW_UPDATE: u8 = 8;
    pub(super) const CONTINUATION: u8 = 9;
}

/// Flags of frames.
mod flag {
    /// Of DATA and HEADERS.
    pub(super) const END_STREAM: u8 = 0x1;
    /// Of SETTINGS and PING.
    pub(super) const ACK: u8 = 0x1;
    /// Of HEADERS and CONTINUATION.
    pub(super) const END_HEADERS: u8 = 0x4;
    /// Of DATA and HEADERS.
    pub(super) const PADDED: u8 = 0x8;
}

/// Reads along with a connection of HTTP/2, from its preface on.
#[derive(Debug)]
pub(crate) struct FrameGuard {
    /// Where the client's stream is.
    from_client: Place,
    /// Where ours is.
    to_client: Place,
    budget: Budget,
    /// The highest stream the client has opened.
    last_stream: u32,
    /// How long a preface, a frame without data or a header block may take.
    timeout: Duration,
    /// Since when one of them has been incomplete.
    incomplete_since: Option<Instant>,
    /// Whether the last header block lacks its end.
    is_in_header_block: bool,
}

/// What a byte belongs to.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// The preface; so many bytes of it have come.
    Preface(usize),
    /// A frame's header; so many bytes of it have come.
    Header([u8; FRAME_HEADER], usize),
    /// A frame's payload; so many bytes are left, at least one.
    Payload(Frame, usize),
}

/// A frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

impl FrameGuard {
    /// A guard at the start of a connection. Its preface, every frame but those of data, and every header block have to be
    /// complete within `timeout` from their first byte.
    pub(crate) fn new(timeout: Duration, now: Instant) -> Self {
        Self {
            from_client: Place::Preface(0),
            to_client: Place::START,
            budget: Budget::new(now),
            last_stream: 0,
            timeout,
            incomplete_since: Some(now),
            is_in_header_block: false,
        }
    }

    /// Reads the next bytes from the client.
    ///
    /// # Errors
    /// What is wrong; the connection has to end.
    pub(crate) fn scan(&mut self, bytes: &[u8], now: Instant) -> Result<(), &'static str> {
        if self.deadline().is_some_and(|deadline| deadline < now) {
            return Err("a header block that does not end in time");
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (next, behind, begun, ended) = self.from_client.advance(rest)?;
            self.from_client = next;
            rest = behind;
            if let Some(frame) = begun {
                self.weigh(frame, now)?;
            }
            if let Some(frame) = ended {
                self.is_in_header_block = frame.leaves_header_block_open();
            }
        }
        if !self.is_incomplete() {
            self.incomplete_since = None;
        } else if self.incomplete_since.is_none() {
            self.incomplete_since = Some(now);
        }
        Ok(())
    }

    /// Reads along with what was sent to the client.
    pub(crate) fn sent(&mut self, bytes: &[u8], now: Instant) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Ok((next, behind, begun, _)) = self.to_client.advance(rest) else {
                return;
            };
            self.to_client = next;
            rest = behind;
            if let Some(frame) = begun {
                self.budget.earn(frame.worth_when_sent(), now);
            }
        }
    }

    /// By when more has to come from the client.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.incomplete_since.map(|since| since + self.timeout)
    }

    /// What to tell a client whose connection is ended for what it sent, GOAWAY with ENHANCE_YOUR_CALM; `None` in the middle
    /// of a frame of ours.
    pub(crate) fn farewell(&self) -> Option<[u8; 17]> {
        let Place::Header(_, 0) = self.to_client else {
            return None;
        };
        let mut frame = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xb];
        frame[9..13].copy_from_slice(&self.last_stream.to_be_bytes());
        Some(frame)
    }

    /// Whether something has begun that may not take long.
    fn is_incomplete(&self) -> bool {
        self.is_in_header_block
            || match self.from_client {
                Place::Preface(_) => true,
                Place::Header(_, read) => read > 0,
                Place::Payload(frame, _) => frame.kind != kind::DATA,
            }
    }

    /// Takes from the budget what a frame of the client costs, or adds what it is worth.
    fn weigh(&mut self, frame: Frame, now: Instant) -> Result<(), &'static str> {
        if frame.kind == kind::HEADERS && frame.stream > self.last_stream {
            self.last_stream = frame.stream;
            self.budget.earn(OPENED, now);
            return Ok(());
        }
        if frame.kind == kind::DATA && frame.content() > 0 {
            self.budget.earn(RECEIVED, now);
            return Ok(());
        }
        let (cost, complaint) = frame.cost();
        if self.budget.spend(cost, now) {
            Ok(())
        } else {
            Err(complaint)
        }
    }
}

impl Frame {
    fn parse(header: [u8; FRAME_HEADER]) -> Self {
        let [high, middle, low, kind, flags, stream @ ..] = header;
        Self {
            length: usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low),
            kind,
            flags,
            stream: u32::from_be_bytes(stream) & 0x7fff_ffff,
        }
    }

    fn has(self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The bytes that are surely not padding.
    fn content(self) -> usize {
        if self.has(flag::PADDED) {
            self.length.saturating_sub(256)
        } else {
            self.length
        }
    }

    /// Whether more of the header block has to come behind this frame.
    fn leaves_header_block_open(self) -> bool {
        matches!(self.kind, kind::HEADERS | kind::CONTINUATION) && !self.has(flag::END_HEADERS)
    }

    /// What a frame from the client costs that brings nobody forward, and what to call too many of them.
    fn cost(self) -> (u32, &'static str) {
        match self.kind {
            // The end of a body; there can be one of a stream.
            kind::DATA if self.has(flag::END_STREAM) => (0, "no offence"),
            kind::DATA => (4, "a flood of DATA without content"),
            // Trailers; there can be one block of a stream.
            kind::HEADERS => (0, "no offence"),
            kind::PRIORITY => (1, "a flood of PRIORITY"),
            kind::RST_STREAM => (6, "a flood of RST_STREAM"),
            kind::SETTINGS if self.has(flag::ACK) => (1, "a flood of SETTINGS"),
            // Each touches every stream that is open.
            kind::SETTINGS => (20, "a flood of SETTINGS"),
            kind::PING => (1, "a flood of PING"),
            kind::WINDOW_UPDATE => (1, "a flood of WINDOW_UPDATE"),
            kind::CONTINUATION => (4, "a flood of CONTINUATION"),
            _ => (4, "a flood of frames of an unknown kind"),
        }
    }

    /// What a frame to the client earns.
    fn worth_when_sent(self) -> u32 {
        match self.kind {
            kind::HEADERS => ANSWERED,
            kind::DATA if self.length > 0 => {
                SENT.saturating_add((self.length / SENT_FOR_ONE).try_into().unwrap_or(u32::MAX))
            }
            _ => 0,
        }
    }
}

/// The next place, the bytes behind, a frame whose header has ended with them, and one whose payload has.
type Step<'bytes> = (Place, &'bytes [u8], Option<Frame>, Option<Frame>);

impl Place {
    /// Before a frame.
    const START: Self = Self::Header([0; FRAME_HEADER], 0);

    /// Reads some of `bytes`, at least one.
    fn advance(self, bytes: &[u8]) -> Result<Step<'_>, &'static str> {
        match self {
            Self::Preface(read) => {
                let (taken, rest) = bytes.split_at(bytes.len().min(PREFACE.len() - read));
                let end = read + taken.len();
                if taken != &PREFACE[read..end] {
                    return Err("no preface of HTTP/2");
                }
                let is_whole = end == PREFACE.len();
                let next = if is_whole {
                    Self::START
                } else {
                    Self::Preface(end)
                };
                Ok((next, rest, None, None))
            }
            Self::Header(mut header, read) => {
                let (taken, rest) = bytes.split_at(bytes.len().min(FRAME_HEADER - read));
                let end = read + taken.len();
                header[read..end].copy_from_slice(taken);
                if end < FRAME_HEADER {
                    return Ok((Self::Header(header, end), rest, None, None));
                }
                let frame = Frame::parse(header);
                Ok(if frame.length == 0 {
                    (Self::START, rest, Some(frame), Some(frame))
                } else {
                    (Self::Payload(frame, frame.length), rest, Some(frame), None)
                })
            }
            Self::Payload(frame, left) => {
                let (taken, rest) = bytes.split_at(bytes.len().min(left));
                let left = left - taken.len();
                Ok(if left == 0 {
                    (Self::START, rest, None, Some(frame))
                } else {
                    (Self::Payload(frame, left), rest, None, None)
                })
            }
        }
    }
}

#[cfg(test)]
mod tests;
