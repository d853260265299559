//! HTTP/1 on the wire (RFC 9112), for both sides of a proxy.
//!
//! - [`RequestReader`] and [`ResponseReader`] read what comes by a connection: a head, its body, the next head.
//! - [`body`]: where bodies end, and their chunks, read and written.
//! - Heads are written by [`Edit`](crate::Edit).
//!
//! Readers are strict: a byte that two readers could understand in two ways is refused. Whatever is refused of the same bytes is
//! refused for the same reason however they were cut into reads, for a line is judged when its LF has come, and no earlier;
//! but for two things that cannot become right: a first byte that begins no request, and a start that is none of a
//! response.

pub mod body;
mod chunks;
mod framing;
mod parse;
mod request;
mod response;
mod section;
mod trailers;

pub use framing::{Framing, request_framing, response_framing};

pub(crate) use framing::request_length;

pub use request::RequestReader;
pub use response::ResponseReader;
pub use trailers::{Sender, TrailerVerdict, trailer};

pub(crate) use trailers::verdict;

use std::ops::Range;

use crate::violation::Violation;

/// What every connection of HTTP/2 begins with (RFC 9113, 3.4).
pub const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Whether a connection that begins with these bytes speaks HTTP/2; `None` while that may be.
pub fn is_preface(bytes: &[u8]) -> Option<bool> {
    let length = bytes.len().min(PREFACE.len());
    if bytes[..length] != PREFACE[..length] {
        return Some(false);
    }
    (length == PREFACE.len()).then_some(true)
}

/// The interim response by which a client is asked for its body.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What has been read of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadEvent {
    /// Not all of it has come.
    More,
    /// It is whole.
    Head,
    /// It is whole, and an interim response: another head follows.
    Interim,
    /// It must not pass, and nothing more is read. What was right before is in the head.
    Refused(Violation),
}

/// What has been read of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BodyEvent {
    /// Nothing but framing, or nothing: there is more to come.
    More,
    /// Payload is here in the bytes that were handed in.
    Data(Range<usize>),
    /// The trailer section is whole, and has fields. The end follows.
    Trailers,
    /// It is over, as is its message.
    End,
    /// It must not pass, and nothing more is read.
    Refused(Violation),
}

/// What a connection's next byte belongs to, for those who give it time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between two messages.
    Idle,
    /// Within a head.
    Head,
    /// Within a body or its trailers.
    Body,
    /// Nothing: something was refused, or the connection is not one of HTTP any more.
    Over,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_of_http_2_is_told_from_others() {
        assert_eq!(is_preface(b""), None);
        assert_eq!(is_preface(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"), None);
        assert_eq!(is_preface(PREFACE), Some(true));
        assert_eq!(is_preface(&[&PREFACE[..], b"\0"].concat()), Some(true));
        assert_eq!(is_preface(b"P OST"), Some(false));
        assert_eq!(is_preface(b"GET"), Some(false));
    }
}
