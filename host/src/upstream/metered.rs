//! A member's socket that counts what passes.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use equipoise_balancer::Counters;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// A stream to a member; every byte counts as `transferred` or `read`, heads and framing included.
pub(crate) struct Metered {
    stream: TcpStream,
    counters: Arc<Counters>,
    carried: Rc<Cell<Traffic>>,
}

/// What a connection has carried, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// To the member.
    pub(crate) sent: u64,
    /// From the member.
    pub(crate) read: u64,
}

impl Metered {
    pub(crate) fn new(
        stream: TcpStream,
        counters: Arc<Counters>,
        carried: Rc<Cell<Traffic>>,
    ) -> Self {
        Self {
            stream,
            counters,
            carried,
        }
    }

    fn count_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.counters.add_transferred(bytes as u64);
            self.count(bytes as u64, 0);
        }
        written
    }

    fn count(&self, sent: u64, read: u64) {
        let before = self.carried.get();
        self.carried.set(Traffic {
            sent: before.sent + sent,
            read: before.read + read,
        });
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = (buffer.filled().len() - before) as u64;
        self.counters.add_read(bytes);
        self.count(0, bytes);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.count_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.count_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
