//! Reads a body out of the read buffer.

use equipoise_http::http1::BodyEvent;
use equipoise_http::{Fields, Violation};

use super::Buffer;
use crate::body_frame::BodyFrame;

/// Reads a body: its payload stays at the front of the read buffer until it is consumed.
#[derive(Debug, Default)]
pub(crate) struct BodyReader {
    /// Bytes of payload that are not consumed yet.
    length: usize,
    /// Framing behind it, in bytes.
    behind: usize,
    trailers: Fields,
}

impl BodyReader {
    /// What comes next of it, as `read` of an engine's reader finds; `None` if more has to be received first. Payload is to be consumed
    /// before more is read.
    #[inline]
    pub(crate) fn next(
        &mut self,
        read_buffer: &mut Buffer,
        read: impl FnOnce(&[u8], &mut Fields) -> (usize, BodyEvent),
    ) -> Option<Result<BodyFrame, Violation>> {
        if self.length > 0 {
            return Some(Ok(BodyFrame::Data));
        }
        let (used, event) = read(read_buffer.unread(), &mut self.trailers);
        let piece = match event {
            BodyEvent::Data(data) => {
                read_buffer.consume(data.start);
                (self.length, self.behind) = (data.len(), used - data.end);
                return Some(Ok(BodyFrame::Data));
            }
            BodyEvent::Refused(violation) => return Some(Err(violation)),
            BodyEvent::Trailers => Some(Ok(BodyFrame::Trailers)),
            BodyEvent::End => Some(Ok(BodyFrame::End)),
            BodyEvent::More => None,
        };
        read_buffer.consume(used);
        piece
    }

    /// The payload that is not consumed yet.
    #[inline]
    pub(crate) fn payload<'b>(&self, read_buffer: &'b Buffer) -> &'b [u8] {
        &read_buffer.unread()[..self.length]
    }

    /// Consumes so many bytes of it.
    #[inline]
    pub(crate) fn consume(&mut self, read_buffer: &mut Buffer, bytes: usize) {
        self.length -= bytes;
        read_buffer.consume(bytes);
        if self.length == 0 {
            read_buffer.consume(std::mem::take(&mut self.behind));
        }
    }

    /// The trailers, once they are received.
    pub(crate) fn trailers(&self) -> &Fields {
        &self.trailers
    }

    /// Begins the next body.
    pub(crate) fn begin(&mut self) {
        (self.length, self.behind) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_is_taken_bit_by_bit_and_then_its_framing() {
        let mut read_buffer = Buffer::of(b"5\r\nhello\r\nnext".to_vec());
        let mut body = BodyReader::default();
        let found = |_: &[u8], _: &mut Fields| (10, BodyEvent::Data(3..8));
        assert_eq!(
            body.next(&mut read_buffer, found),
            Some(Ok(BodyFrame::Data))
        );
        assert_eq!(body.payload(&read_buffer), b"hello");
        body.consume(&mut read_buffer, 2);
        assert_eq!(body.payload(&read_buffer), b"llo");
        let unread = |_: &[u8], _: &mut Fields| unreachable!("payload is taken before");
        assert_eq!(
            body.next(&mut read_buffer, unread),
            Some(Ok(BodyFrame::Data))
        );
        body.consume(&mut read_buffer, 3);
        let more = |input: &[u8], _: &mut Fields| {
            assert_eq!(input, b"next");
            (0, BodyEvent::More)
        };
        assert_eq!(body.next(&mut read_buffer, more), None);
    }
}
