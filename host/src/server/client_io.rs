//! A client's socket: strict about what comes in, impatient in both directions.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::Limits;
use crate::deadline::Deadline;
use crate::meters::Desk;
use crate::server::strict::{Offence, Phase, Scanner};

/// How long and for how many bytes a client is listened to after our last word.
const LINGER: (Duration, usize) = (Duration::from_secs(2), 1024 * 1024);

/// The stream hyper reads a client's requests from and writes the answers to.
///
/// - A head that must not pass ends, for hyper, in a NUL, which no head may contain: hyper answers 400 in its turn and
///   closes. A body that must not pass ends in an [`io::ErrorKind::InvalidData`] error.
/// - A client that stalls within a head, within a body, between requests or while it should take its answer is cut off
///   with an [`io::ErrorKind::TimedOut`] error.
/// - A connection that is closed while the client still sends lingers for a moment: closed at once, the kernel would
///   answer what is yet to come with a reset, and that would take our answer from the client before it has read it.
pub(crate) struct ClientIo<S> {
    stream: S,
    scanner: Scanner,
    limits: Arc<Limits>,
    /// Set when nothing more may be read, with what is wrong.
    refusal: Option<&'static str>,
    /// How long the client may leave us waiting for more.
    read_deadline: Deadline,
    /// What `read_deadline` was set for: requests begun, and where in the current one.
    waiting_for: Option<(u64, Phase)>,
    /// How long the client may leave us waiting to take more.
    write_deadline: Deadline,
    /// How many bytes were thrown away since we said our last word.
    lingering: Option<usize>,
    /// Where bytes are counted; none where they are not.
    meters: Option<Desk>,
    /// Set once the connection has become something else than HTTP; none where it cannot.
    is_tunnel: Option<Arc<AtomicBool>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientIo<S> {
    /// A stream whose first head is awaited from now on.
    pub(crate) fn new(stream: S, limits: Arc<Limits>) -> Self {
        let mut read_deadline = Deadline::default();
        read_deadline.set(Instant::now() + limits.header_timeout);
        Self {
            stream,
            scanner: Scanner::new(limits.header_size),
            limits,
            refusal: None,
            read_deadline,
            waiting_for: Some((0, Phase::Idle)),
            write_deadline: Deadline::default(),
            lingering: None,
            meters: None,
            is_tunnel: None,
        }
    }

    /// The same stream, in which everything may pass at any time once this is set.
    pub(crate) fn tunnel(self, is_tunnel: Arc<AtomicBool>) -> Self {
        Self {
            is_tunnel: Some(is_tunnel),
            ..self
        }
    }

    fn is_tunnel(&self) -> bool {
        let is_tunnel = self.is_tunnel.as_ref();
        is_tunnel.is_some_and(|is_tunnel| is_tunnel.load(Relaxed))
    }

    /// The same stream, whose bytes are counted.
    pub(crate) fn counted(self, meters: Desk) -> Self {
        Self {
            meters: Some(meters),
            ..self
        }
    }

    /// Gives the client time for what it is to send next, unless it was given already.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let waiting_for = (self.scanner.messages(), self.scanner.phase());
        if self.waiting_for != Some(waiting_for) {
            let patience = match waiting_for.1 {
                Phase::Idle => self.limits.keepalive_timeout,
                Phase::Head => self.limits.header_timeout,
                Phase::Body => self.limits.client_timeout,
            };
            self.waiting_for = Some(waiting_for);
            self.read_deadline.set(Instant::now() + patience);
        }
        self.read_deadline
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Lets pass what may pass of the bytes read behind `start`.
    fn inspect(&mut self, buffer: &mut ReadBuf<'_>, start: usize) -> io::Result<()> {
        let Err(Offence { at, phase, reason }) = self.scanner.scan(&buffer.filled()[start..])
        else {
            if self.scanner.phase() == Phase::Body {
                self.waiting_for = None;
            }
            return Ok(());
        };
        self.refusal = Some(reason);
        tracing::debug!(reason, "refusing what a client sent");
        buffer.set_filled(start + at);
        if phase != Phase::Body {
            buffer.put_slice(b"\0");
        } else if at == 0 {
            return Err(refused(reason));
        }
        Ok(())
    }

    /// Throws away what the client still sends, until it stops or has had time to read our answer.
    fn poll_linger(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.lingering.is_none() {
            self.read_deadline.set(Instant::now() + LINGER.0);
        }
        let thrown_away = self.lingering.get_or_insert(0);
        let mut scratch = [0; 4096];
        while *thrown_away < LINGER.1 {
            let mut buffer = ReadBuf::new(&mut scratch);
            match Pin::new(&mut self.stream).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    *thrown_away += buffer.filled().len()
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return self.read_deadline.poll(context),
            }
        }
        Poll::Ready(())
    }

    /// What becomes of a write: a client that takes nothing for too long is cut off.
    fn timed_write(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if written.is_ready() {
            if let (Poll::Ready(Ok(sent)), Some(meters)) = (&written, &self.meters) {
                meters.counts().sent.add(*sent as u64);
            }
            self.write_deadline.clear();
            return written;
        }
        if !self.write_deadline.is_set() {
            self.write_deadline
                .set(Instant::now() + self.limits.client_timeout);
        }
        self.write_deadline
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }
}

fn refused(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(reason) = self.refusal {
            return Poll::Ready(Err(refused(reason)));
        }
        let start = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => {
                if let Some(meters) = &self.meters {
                    let received = buffer.filled().len() - start;
                    meters.counts().received.add(received as u64);
                }
                Poll::Ready(match self.is_tunnel() {
                    true => Ok(()),
                    false => self.inspect(buffer, start),
                })
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending if self.is_tunnel() => Poll::Pending,
            Poll::Pending => self.poll_patience(context),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.timed_write(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.timed_write(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.lingering.is_none() {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        }
        if self.refusal.is_some() || self.scanner.phase() != Phase::Idle {
            ready!(self.poll_linger(context));
        }
        Poll::Ready(Ok(()))
    }
}
