//! The end of a connection: GOAWAY of either side (RFC 9113, 6.8), or an error.
//!
//! A server sends GOAWAY with the highest stream number first, for requests may be on their way, and a PING behind it. When that is
//! acknowledged, none can be on its way any more, and GOAWAY follows with the last stream.

use super::{Connection, Event, Role};
use crate::http2::code::ErrorCode;
use crate::http2::error::ConnectionError;
use crate::http2::frame::{self, LAST_STREAM};

/// The payload of the PING that a server sends behind its first GOAWAY.
const GOAWAY_PING: [u8; 8] = *b"farewell";

/// The GOAWAYs of both sides.
#[derive(Debug, Default)]
pub(super) struct GoAwayState {
    ours: Said,
    /// The last stream that the peer may look at.
    peers: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Said {
    #[default]
    Nothing,
    /// That there will be an end.
    Soon,
    /// That streams above this are not looked at.
    Last(u32),
}

impl GoAwayState {
    /// Whether the peer knows that a stream of this number is not looked at, or will know.
    #[inline]
    pub(super) fn is_beyond(&self, number: u32) -> bool {
        matches!(self.ours, Said::Last(last) if number > last)
    }
}

impl Connection {
    /// Begins to end the connection: what is under way goes on. A client begins no more requests. A server takes those that are on
    /// their way, until the client has surely heard of the end, or this is called again.
    pub fn go_away(&mut self) {
        match (self.role, self.goaway_state.ours) {
            (_, Said::Last(_)) => {}
            (Role::Server, Said::Nothing) => {
                let out = self.output.bytes();
                frame::write_goaway(out, LAST_STREAM, ErrorCode::NO_ERROR);
                frame::write_ping(out, GOAWAY_PING, false);
                self.goaway_state.ours = Said::Soon;
            }
            (Role::Server, Said::Soon) => self.say_last(self.last, ErrorCode::NO_ERROR),
            // Servers open no streams.
            (Role::Client, _) => self.say_last(0, ErrorCode::NO_ERROR),
        }
    }

    /// Whether the connection may be closed when its output is written: one side has said the end, and no stream is open; or it is
    /// over by an error.
    pub fn is_done(&self) -> bool {
        let is_going_away =
            matches!(self.goaway_state.ours, Said::Last(_)) || self.goaway_state.peers.is_some();
        self.over.is_some() || (is_going_away && self.streams.open() == 0)
    }

    /// Whether the peer or we have said that no more requests may begin.
    pub fn is_going_away(&self) -> bool {
        !self.may_begin()
    }

    /// Ends the connection for what the peer did.
    #[cold]
    pub(super) fn fail(&mut self, error: ConnectionError) -> Event {
        let last = match self.role {
            Role::Server => self.last,
            Role::Client => 0,
        };
        self.say_last(last, error.code());
        self.over = Some(error);
        Event::Over(error)
    }

    fn say_last(&mut self, last: u32, code: ErrorCode) {
        let last = match self.goaway_state.ours {
            Said::Last(before) => before.min(last),
            _ => last,
        };
        frame::write_goaway(self.output.bytes(), last, code);
        self.goaway_state.ours = Said::Last(last);
    }

    /// The acknowledgement of a ping, ours or the caller's.
    pub(super) fn ponged(&mut self, payload: [u8; 8]) -> Option<Event> {
        if payload != GOAWAY_PING || self.goaway_state.ours == Said::Nothing {
            return Some(Event::Pong(payload));
        }
        if self.goaway_state.ours == Said::Soon {
            self.say_last(self.last, ErrorCode::NO_ERROR);
        }
        None
    }

    /// GOAWAY has come. Streams of ours that are not looked at are told first.
    pub(super) fn goaway(&mut self, payload: &[u8]) -> Event {
        let (last, rest) = frame::split_number(payload);
        let before = self.goaway_state.peers.unwrap_or(last);
        self.goaway_state.peers = Some(before.min(last));
        Event::GoAway {
            last,
            code: frame::error_code(rest),
        }
    }

    /// A request of ours that the peer has said it will not look at.
    pub(super) fn next_unprocessed(&mut self) -> Option<Event> {
        let last = self
            .goaway_state
            .peers
            .filter(|_| self.role == Role::Client)?;
        let stream = self.streams.last_above(last)?;
        self.remove(stream);
        Some(Event::Reset {
            stream,
            code: ErrorCode::REFUSED_STREAM,
        })
    }

    /// Whether requests of ours may begin.
    pub(super) fn may_begin(&self) -> bool {
        self.goaway_state.ours == Said::Nothing
            && self.goaway_state.peers.is_none()
            && self.over.is_none()
            && self.last < LAST_STREAM
    }
}
