//! A client's connection under HTTP/2: guarded against floods, impatient in both directions.

use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::Limits;
use crate::deadline::Deadline;
use crate::meters::Desk;
use crate::server::activity::Activity;
use crate::server::frames::FrameGuard;
use crate::server::linger::Linger;
use crate::server::outlet::Outlet;
use crate::wire::Buffer;

/// The stream that h2 reads a client's requests from and writes the answers to.
///
/// - A client that floods us with frames that bring nobody forward ends its connection with an
///   [`io::ErrorKind::InvalidData`] error, and is told to be calm (GOAWAY) if there is room for it.
/// - A client that stalls within its preface, a frame or a header block, or that does not take what it is sent, ends it with
///   an [`io::ErrorKind::TimedOut`] error. How long its bodies may take is not looked at here.
/// - Once we have said our last word, the connection lingers for a moment.
pub(super) struct H2Io<S> {
    stream: S,
    /// What has come before.
    first: Buffer,
    guard: FrameGuard,
    /// Set when nothing more may be read, with what is wrong.
    refusal: Option<&'static str>,
    read_deadline: Deadline,
    /// What `read_deadline` is set to.
    wanted_by: Option<Instant>,
    outlet: Outlet,
    linger: Linger,
    /// Told when the client is heard.
    activity: Rc<Activity>,
    /// Where bytes are counted; none where they are not.
    meters: Option<Desk>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> H2Io<S> {
    /// A stream whose preface is awaited from now on.
    pub(super) fn new(stream: S, limits: Arc<Limits>, activity: Rc<Activity>) -> Self {
        Self {
            stream,
            first: Buffer::default(),
            guard: FrameGuard::new(limits.header_timeout, Instant::now()),
            refusal: None,
            read_deadline: Deadline::default(),
            wanted_by: None,
            outlet: Outlet::new(&limits),
            linger: Linger::default(),
            activity,
            meters: None,
        }
    }

    /// The same stream, of which this has come already.
    pub(super) fn behind(self, first: Vec<u8>) -> Self {
        Self {
            first: Buffer::of(first),
            ..self
        }
    }

    /// The same stream, whose bytes are counted.
    pub(super) fn counted(self, meters: Desk) -> Self {
        Self {
            meters: Some(meters),
            ..self
        }
    }

    /// Ready when the client has taken too long for what it has begun to send.
    fn poll_patience(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let wanted_by = self.guard.deadline();
        if wanted_by != self.wanted_by {
            self.wanted_by = wanted_by;
            match wanted_by {
                Some(deadline) => self.read_deadline.set(deadline),
                None => self.read_deadline.clear(),
            }
        }
        self.read_deadline
            .poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ends the connection for what the client sent, and says so between two frames of ours.
    fn refuse(&mut self, context: &mut Context<'_>, reason: &'static str) -> io::Error {
        tracing::debug!(reason, "refusing what a client sent");
        self.refusal = Some(reason);
        if let Some(farewell) = self.guard.farewell() {
            // Without waiting, and whether it gets through or not.
            let _ = Pin::new(&mut self.stream).poll_write(context, &farewell);
            let _ = Pin::new(&mut self.stream).poll_flush(context);
        }
        refused(reason)
    }

    /// Counts what was written of `slices`, and times what was not.
    fn written<'a>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
        slices: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            if let Some(meters) = &self.meters {
                meters.counts().sent.add(bytes as u64);
            }
            let now = Instant::now();
            let mut left = bytes;
            for slice in slices {
                let sent = &slice[..left.min(slice.len())];
                self.guard.sent(sent, now);
                left -= sent.len();
            }
        }
        self.outlet.write(context, written)
    }
}

fn refused(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for H2Io<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(reason) = self.refusal {
            return Poll::Ready(Err(refused(reason)));
        }
        let start = buffer.filled().len();
        if !self.first.is_empty() {
            let bytes = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first.unread()[..bytes]);
            self.first.consume(bytes);
        } else {
            let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) else {
                return self.poll_patience(context);
            };
            read?;
        }
        let received = &buffer.filled()[start..];
        if let Some(meters) = &self.meters {
            meters.counts().received.add(received.len() as u64);
        }
        let now = Instant::now();
        self.activity.note_heard(now);
        if let Err(reason) = self.guard.scan(received, now) {
            buffer.set_filled(start);
            return Poll::Ready(Err(self.refuse(context, reason)));
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for H2Io<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written, std::iter::once(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, written, slices.iter().map(|slice| &**slice))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.outlet.flush(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.linger.has_begun() {
            let shut = Pin::new(&mut this.stream).poll_shutdown(context);
            ready!(this.outlet.flush(context, shut))?;
        }
        this.linger.poll(&mut this.stream, context).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 17] = [0, 0, 8, 6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

    fn pair() -> (DuplexStream, H2Io<DuplexStream>) {
        let (client, server) = duplex(64 * 1024);
        (
            client,
            H2Io::new(server, Arc::new(Limits::default()), Activity::new()),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_client_sends_comes_through() {
        let (mut client, mut io) = pair();
        let sent = [PREFACE, &SETTINGS, &PING].concat();
        client.write_all(&sent).await.unwrap();
        let mut read = vec![0; sent.len()];
        io.read_exact(&mut read).await.unwrap();
        assert_eq!(read, sent);
        tokio::time::advance(Duration::from_secs(1_000)).await;
        client.write_all(&PING).await.unwrap();
        io.read_exact(&mut read[..17]).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_preface_that_does_not_come_ends_the_connection() {
        for sent in [&b""[..], &PREFACE[..10]] {
            let start = Instant::now();
            let (mut client, mut io) = pair();
            client.write_all(sent).await.unwrap();
            let error = io.read_to_end(&mut Vec::new()).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(start.elapsed(), Limits::default().header_timeout);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_header_block_that_drips_ends_the_connection() {
        let start = Instant::now();
        let (mut client, mut io) = pair();
        let headers = [0, 0, 200, 1, 4, 0, 0, 0, 1];
        let head = [PREFACE, &SETTINGS, &headers].concat();
        client.write_all(&head).await.unwrap();
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_millis(900)).await;
                client.write_all(b"x").await.unwrap();
            }
        };
        let mut rest = Vec::new();
        let error = tokio::select! {
            () = drip => unreachable!(),
            read = io.read_to_end(&mut rest) => read.unwrap_err(),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), Limits::default().header_timeout);
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_answered_with_a_farewell_and_read_no_more() {
        let (mut client, mut io) = pair();
        client
            .write_all(&[PREFACE, &SETTINGS].concat())
            .await
            .unwrap();
        io.read_exact(&mut [0; 33]).await.unwrap();
        let flood = tokio::spawn(async move {
            while client.write_all(&PING.repeat(100)).await.is_ok() {}
            let mut heard = Vec::new();
            client.read_to_end(&mut heard).await.unwrap();
            heard
        });
        let mut read = Vec::new();
        let error = io.read_to_end(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        let again = io.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::InvalidData);
        drop(io);
        let farewell = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];
        assert_eq!(flood.await.unwrap(), farewell);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_nothing_ends_the_connection() {
        let (_client, mut io) = pair();
        let start = Instant::now();
        let error = io.write_all(&[0; 1024 * 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), crate::rate::GRACE);
    }
}
