//! A member's stream that counts what passes, and lets no nonsense pass.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use equipoise_balancer::Counters;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::answers::{Answers, Offence};

/// A stream to a member; every byte counts as `transferred` or `read`, heads and framing included.
///
/// What must not pass of a member's answers ends the stream with an [`io::ErrorKind::InvalidData`] error, behind what was
/// fine before it.
pub(super) struct Metered<S> {
    stream: S,
    counters: Arc<Counters>,
    carried: Arc<Carried>,
    /// Reads along; none where hyper is strict enough: with HTTP/2.
    answers: Option<Arc<Answers>>,
    /// Set when nothing more may be read, with what is wrong.
    refusal: Option<&'static str>,
}

/// What a connection has carried up to now; written by one thread.
#[derive(Debug, Default)]
pub(super) struct Carried {
    sent: AtomicU64,
    read: AtomicU64,
}

impl Carried {
    /// The sums.
    pub(super) fn now(&self) -> Traffic {
        Traffic {
            sent: self.sent.load(Relaxed),
            read: self.read.load(Relaxed),
        }
    }
}

/// Adds without a locked instruction: nobody else writes.
fn add(sum: &AtomicU64, bytes: u64) {
    sum.store(sum.load(Relaxed) + bytes, Relaxed);
}

/// What a connection has carried, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Traffic {
    /// To the member.
    pub(crate) sent: u64,
    /// From the member.
    pub(crate) read: u64,
}

impl<S> Metered<S> {
    pub(super) fn new(
        stream: S,
        counters: Arc<Counters>,
        carried: Arc<Carried>,
        answers: Option<Arc<Answers>>,
    ) -> Self {
        Self {
            stream,
            counters,
            carried,
            answers,
            refusal: None,
        }
    }

    /// Lets pass what may pass of the bytes read behind `start`.
    fn inspect(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        let Some(answers) = &self.answers else {
            return Ok(());
        };
        let Err(Offence { at, reason }) = answers.scan(&buffer.filled()[start..]) else {
            return Ok(());
        };
        tracing::debug!(reason, "refusing what a member sent");
        self.refusal = Some(reason);
        buffer.set_filled(start + at);
        if at == 0 {
            return Err(refused(reason));
        }
        Ok(())
    }

    fn count_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.counters.add_transferred(bytes as u64);
            add(&self.carried.sent, bytes as u64);
        }
        written
    }
}

fn refused(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(reason) = self.refusal {
            return Poll::Ready(Err(refused(reason)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = (buffer.filled().len() - before) as u64;
        self.counters.add_read(bytes);
        add(&self.carried.read, bytes);
        Poll::Ready(self.inspect(buffer, before))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
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
