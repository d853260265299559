//! Streams (RFC 9113, 5.1): what state each is in, both ways.

use crate::http2::flow::{ReceiveWindow, SendWindow};
use crate::http2::priority::Priority;
use crate::method::Method;

/// Names a stream of a connection.
///
/// Its [`slot`](Self::slot) is a small number that it has alone while it lives; another has it afterwards. So a table of what belongs
/// to streams is a vector, and a name that is out of date is known for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct StreamId {
    pub(crate) number: u32,
    pub(crate) slot: u32,
}

impl StreamId {
    /// The number in its frames.
    pub fn number(self) -> u32 {
        self.number
    }

    /// Its place in a table: below the most streams that were ever open at once.
    pub fn slot(self) -> usize {
        self.slot as usize
    }
}

/// What comes by a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Inbound {
    /// The head of a response is to come.
    Head,
    /// Payload is to come: so many bytes, if that was said.
    Body(Option<u64>),
    /// What comes is not looked at any more: the message was refused, and its end has not come.
    Refused,
    /// Nothing more.
    Over,
}

/// What leaves by a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outbound {
    /// The head of a response.
    Head,
    /// Payload, perhaps trailers.
    Body,
    /// Nothing more.
    Over,
}

/// A stream that is not closed, or of which something was not consumed yet.
#[derive(Debug)]
pub(crate) struct Stream {
    pub(crate) number: u32,
    pub(crate) inbound: Inbound,
    pub(crate) outbound: Outbound,
    pub(crate) receive: ReceiveWindow,
    pub(crate) send: SendWindow,
    /// Bytes that its owner was handed and has not consumed.
    pub(crate) held: usize,
    /// Of the request that we have sent: CONNECT where it was extended CONNECT.
    pub(crate) method: Method,
    /// Whether it is a tunnel, or a request for one.
    pub(crate) is_connect: bool,
    /// Interim responses that have come.
    pub(crate) interims: u16,
    pub(crate) priority: Priority,
    /// When it has its turn among those as urgent.
    pub(crate) turn: u64,
    /// Whether it has something to send, and no room for it.
    pub(crate) is_waiting: bool,
    /// Whether it counts as open.
    pub(crate) is_counted: bool,
}

impl Stream {
    /// One that counts as open, in a state before anything has come or left.
    pub(crate) fn new(number: u32, receive: u32, send: u32) -> Self {
        Self {
            number,
            inbound: Inbound::Head,
            outbound: Outbound::Head,
            receive: ReceiveWindow::new(receive),
            send: SendWindow::new(send),
            held: 0,
            method: Method::Get,
            is_connect: false,
            interims: 0,
            priority: Priority::default(),
            turn: 0,
            is_waiting: false,
            is_counted: true,
        }
    }

    /// Whether it is closed: both sides have said their end.
    #[inline]
    pub(crate) fn is_closed(&self) -> bool {
        self.inbound == Inbound::Over && self.outbound == Outbound::Over
    }

    /// Which comes first of those that wait: by urgency, then by turn. One that is incremental goes to the end of the line with
    /// each piece, another keeps its place.
    #[inline]
    pub(crate) fn rank(&self) -> (u8, u64) {
        (self.priority.urgency, self.turn)
    }
}
