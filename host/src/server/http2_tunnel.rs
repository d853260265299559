//! A stream of HTTP/2 that has become something else than a request (RFC 8441).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::activity::UnderWay;

/// The bytes of a stream, both ways, under its flow control.
#[derive(Debug)]
pub(crate) struct StreamTunnel {
    to_client: SendStream<Bytes>,
    from_client: RecvStream,
    /// What came and was not read yet.
    unread: Bytes,
    /// Whether the client was told that no more comes.
    is_done: bool,
    _under_way: UnderWay,
}

impl StreamTunnel {
    pub(super) fn new(
        to_client: SendStream<Bytes>,
        from_client: RecvStream,
        under_way: UnderWay,
    ) -> Self {
        Self {
            to_client,
            from_client,
            unread: Bytes::new(),
            is_done: false,
            _under_way: under_way,
        }
    }
}

impl AsyncRead for StreamTunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.unread.is_empty() {
            match ready!(this.from_client.poll_data(context)) {
                None => return Poll::Ready(Ok(())),
                Some(data) => this.unread = data.map_err(io::Error::other)?,
            }
        }
        let bytes = this.unread.len().min(buffer.remaining());
        buffer.put_slice(&this.unread[..bytes]);
        this.unread.advance(bytes);
        // Fails only for more than was received.
        let _ = this.from_client.flow_control().release_capacity(bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamTunnel {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let to_client = &mut self.to_client;
        to_client.reserve_capacity(bytes.len());
        while to_client.capacity() == 0 && !bytes.is_empty() {
            match ready!(to_client.poll_capacity(context)) {
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
                Some(capacity) => capacity.map_err(io::Error::other)?,
            };
        }
        let written = to_client.capacity().min(bytes.len());
        let data = Bytes::copy_from_slice(&bytes[..written]);
        to_client.send_data(data, false).map_err(io::Error::other)?;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_done {
            return Poll::Ready(Ok(()));
        }
        self.is_done = true;
        let told = self.to_client.send_data(Bytes::new(), true);
        Poll::Ready(told.map_err(io::Error::other))
    }
}
