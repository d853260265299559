//! A stream as a tunnel (RFC 8441): its bytes, both ways, under its flow control.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Stream;
use crate::body_frame::BodyFrame;
use crate::wire::{ByteCounter, Readiness};

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: ByteCounter> AsyncRead for Stream<S, T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match ready!(self.poll_body(context)).map_err(io::Error::other)? {
            BodyFrame::End | BodyFrame::Trailers => {}
            BodyFrame::Data => {
                let bytes = self.payload().len().min(buffer.remaining());
                buffer.put_slice(&self.payload()[..bytes]);
                self.consume(bytes);
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Readiness + Unpin, T: ByteCounter> AsyncWrite for Stream<S, T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.poll_payload(context, bytes, false)
            .map_err(io::Error::other)
    }

    /// The connection writes what it has taken.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.end(None).map_err(io::Error::other))
    }
}
