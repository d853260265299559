//! A connection (RFC 9113): what it is made of, and how it is used.
//!
//! Bytes that come are handed to [`receive`](Connection::receive), which tells one [`Event`] at a time; what is to leave is in
//! [`output`](Connection::output). Frames in between are dealt with here. All of the bytes are used when there is nothing more
//! to tell, so that a connection that waits needs no buffer.
//!
//! Payload is not held here in either direction. What came by DATA is in the caller's buffer, and its sender may send as much again
//! when it was [consumed](Connection::consume). What is to be sent is taken as far as windows and the room for
//! output allow; a stream that has more is told by [`next_writable`](Connection::next_writable) when it has its turn, in the
//! order of their priorities (RFC 9218). A caller that asks whenever bytes have come or were written misses none.

mod blocks;
mod control;
mod data;
mod frame_reader;
mod goaway;
mod payload;
mod send;

pub use send::SendError;

use std::ops::Range;
use std::time::Instant;

use crate::head::Head;
use crate::http1::PREFACE;
use crate::http2::code::ErrorCode;
use crate::http2::connection::frame_reader::FrameReader;
use crate::http2::connection::goaway::GoAwayState;
use crate::http2::error::ConnectionError;
use crate::http2::flood_guard::FloodGuard;
use crate::http2::flow::{self, ReceiveWindow, SendWindow};
use crate::http2::frame;
use crate::http2::hpack::TABLE_SIZE;
use crate::http2::message::{Reader, Request, Response, Writer};
use crate::http2::output::Output;
use crate::http2::priority::EarlyPriorities;
use crate::http2::settings::{self, PeerSettings};
use crate::http2::stream::StreamId;
use crate::http2::streams::{Resets, Streams};
use crate::limits::Limits;
use crate::violation::Violation;

/// Which side of a connection this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Clients send it requests.
    Server,
    /// It sends members requests.
    Client,
}

/// The limits of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// The most streams at once: a client is told so, and of a member no more is asked, even if it would take them.
    pub streams: u32,
    /// What may come by one stream and not be consumed, in bytes; no less than 65,535, with which every connection begins.
    pub stream_window: u32,
    /// The same of all streams together.
    pub connection_window: u32,
    /// Whether clients may use extended CONNECT (RFC 8441).
    pub takes_connect: bool,
    /// On each message.
    pub limits: Limits,
}

impl Default for Options {
    /// 100 streams, 256 KiB of each, 1 MiB of all, with extended CONNECT, and messages as by default.
    fn default() -> Self {
        Self {
            streams: 100,
            stream_window: 256 * 1024,
            connection_window: 1024 * 1024,
            takes_connect: true,
            limits: Limits::default(),
        }
    }
}

impl Options {
    pub(super) fn stream_window(&self) -> u32 {
        self.stream_window.clamp(flow::INITIAL, flow::MAX_WINDOW)
    }

    fn connection_window(&self) -> u32 {
        self.connection_window
            .clamp(flow::INITIAL, flow::MAX_WINDOW)
    }

    /// Bytes that a header block may have. One that is larger than its message may be has to be decoded all the same, but
    /// not whatever its size.
    fn max_block_size(&self) -> usize {
        2 * self.limits.head.bytes as usize + frame::MAX_FRAME_SIZE
    }
}

/// What has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Nothing more: all of the bytes are used.
    More,
    /// A request has begun; its head is in the one that was handed in.
    Request {
        /// The stream that is to be responded to.
        stream: StreamId,
        /// What it is beside its head.
        request: Request,
        /// Whether nothing follows.
        ends: bool,
    },
    /// An interim response; its head is in the one that was handed in.
    Interim {
        /// The stream of the request.
        stream: StreamId,
    },
    /// The response has begun; its head is in the one that was handed in.
    Response {
        /// The stream of the request.
        stream: StreamId,
        /// What it is beside its head.
        response: Response,
        /// Whether nothing follows.
        ends: bool,
    },
    /// Payload is here in the bytes that were handed in. It counts until it is [consumed](Connection::consume).
    Data {
        /// The stream of its message.
        stream: StreamId,
        /// Where it is; it may be empty where it ends.
        range: Range<usize>,
        /// Whether the message is over.
        ends: bool,
    },
    /// A message is over with trailers, which are the fields of the head that was handed in.
    Trailers {
        /// The stream of the message.
        stream: StreamId,
    },
    /// A message is malformed, or something else is wrong on its stream, and nothing more of it comes. What was right of a head is in the
    /// one that was handed in.
    Refused {
        /// The stream.
        stream: StreamId,
        /// What is wrong.
        violation: Violation,
        /// Whether the client is to be sent a response, or the stream [reset](Connection::reset). If not, the stream was reset, and
        /// is gone.
        can_respond: bool,
    },
    /// The peer has reset a stream, or has said by GOAWAY that it will not look at it. The stream is gone. With
    /// [`ErrorCode::REFUSED_STREAM`] it is sure that nothing was done with its request.
    Reset {
        /// The stream.
        stream: StreamId,
        /// Why.
        code: ErrorCode,
    },
    /// The peer wants to end the connection: no more requests may begin.
    GoAway {
        /// The last stream that it may have looked at. Ours above it are told as [`Reset`](Self::Reset) behind this.
        last: u32,
        /// Why.
        code: ErrorCode,
    },
    /// A [ping](Connection::ping) is acknowledged.
    Pong([u8; 8]),
    /// The peer broke the rules of the connection, and was told. When the output is written, it has to be closed.
    Over(ConnectionError),
}

/// A connection of HTTP/2.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    options: Options,
    /// When something came last.
    now: Instant,
    frame_reader: FrameReader,
    output: Output,
    reader: Reader,
    writer: Writer,
    streams: Streams,
    resets: Resets,
    early: EarlyPriorities,
    peer: PeerSettings,
    flood_guard: FloodGuard,
    /// What may come, and leave, by all streams together.
    receive: ReceiveWindow,
    send: SendWindow,
    /// The highest stream that a client has opened.
    last: u32,
    goaway_state: GoAwayState,
    over: Option<ConnectionError>,
}

impl Connection {
    /// One that begins now. What it has to say first is in the output.
    pub fn new(role: Role, options: Options, now: Instant) -> Self {
        let mut output = Output::default();
        let out = output.bytes();
        if role == Role::Client {
            out.extend_from_slice(PREFACE);
        }
        settings::write(out, role, &options);
        let window = options.connection_window();
        if window > flow::INITIAL {
            frame::write_window_update(out, 0, window - flow::INITIAL);
        }
        Self {
            role,
            options,
            now,
            frame_reader: FrameReader::new(role, now),
            output,
            reader: Reader::new(TABLE_SIZE),
            writer: Writer::new(),
            streams: Streams::default(),
            resets: Resets::default(),
            early: EarlyPriorities::default(),
            peer: PeerSettings::INITIAL,
            flood_guard: FloodGuard::new(now),
            receive: ReceiveWindow::new(window),
            send: SendWindow::new(flow::INITIAL),
            last: 0,
            goaway_state: GoAwayState::default(),
            over: None,
        }
    }

    /// Takes bytes that came; tells how many of them were used, and what they are. It is to be called again with the others,
    /// and anew when all are used, until there is nothing [more](Event::More) to tell. `head` gets heads and trailers.
    pub fn receive(&mut self, input: &[u8], now: Instant, head: &mut Head) -> (usize, Event) {
        self.now = now;
        if let Some(event) = self.owed() {
            return (0, event);
        }
        let mut used = 0;
        loop {
            let rest = input.get(used..).unwrap_or_default();
            match self.step(rest, head) {
                Ok((0, None)) => {
                    self.frame_reader.note_pause(now);
                    return (used, self.owed().unwrap_or(Event::More));
                }
                Ok((more, None)) => used += more,
                Ok((more, Some(event))) => return (used + more, at(event, used)),
                Err(error) => return (used, self.fail(error)),
            }
        }
    }

    /// What is to be written to the peer.
    #[inline]
    pub fn output(&self) -> &[u8] {
        self.output.unwritten()
    }

    /// So many bytes of the output are written.
    pub fn record_written(&mut self, bytes: usize) {
        self.output.record_written(bytes);
    }

    /// Streams that are not closed.
    pub fn open_streams(&self) -> usize {
        self.streams.open()
    }

    /// Since when something is incomplete that may not take long: the preface, a frame without payload, a header block.
    pub fn incomplete_since(&self) -> Option<Instant> {
        self.frame_reader.incomplete_since()
    }

    /// Whether the peer said that it takes extended CONNECT.
    pub fn takes_connect(&self) -> bool {
        self.peer.takes_connect
    }

    /// Whether the peer has told its settings, which it does first.
    pub fn has_settings(&self) -> bool {
        self.frame_reader.has_settings
    }

    /// The bytes of a head that the peer says it takes (RFC 9113, 10.5.1): names, values, and 32 for each field.
    pub fn max_head_size(&self) -> u32 {
        self.peer.header_list
    }

    /// The bounds of the messages that come from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.options.limits = limits;
    }

    /// Bytes of memory that are held.
    pub fn capacity(&self) -> usize {
        self.frame_reader.capacity()
            + self.output.capacity()
            + self.reader.capacity()
            + self.writer.capacity()
            + self.streams.capacity()
            + self.resets.capacity()
    }

    /// Gives back memory that is not needed while nothing comes or leaves.
    pub fn shrink(&mut self) {
        self.frame_reader.shrink();
        self.output.shrink();
        self.reader.shrink();
        self.writer.shrink();
        self.streams.shrink();
    }

    /// What has to be told before more is read.
    fn owed(&mut self) -> Option<Event> {
        match self.over {
            Some(error) => Some(Event::Over(error)),
            None => self.next_unprocessed(),
        }
    }
}

/// An event of bytes that are behind others that were handed in.
#[inline]
fn at(mut event: Event, before: usize) -> Event {
    if let Event::Data { range, .. } = &mut event {
        *range = before + range.start..before + range.end;
    }
    event
}
