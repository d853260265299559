//! A client's socket: strict about what comes in, impatient in both directions.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::config::Limits;
use crate::deadline::Deadline;
use crate::meters::Desk;
use crate::server::interim::{self, Interim};
use crate::server::linger::Linger;
use crate::server::outlet::Outlet;
use crate::server::strict::{Offence, Phase, Scanner};

/// The stream hyper reads a client's requests from and writes the answers to.
///
/// - A head that must not pass ends, for hyper, in a NUL, which no head may contain: hyper answers 400 in its turn and
///   closes. A body that must not pass ends in an [`io::ErrorKind::InvalidData`] error.
/// - A client that stalls within a head, within a body, between requests or while it should take its answer is cut off
///   with an [`io::ErrorKind::TimedOut`] error, as is one that takes its answers too slowly.
/// - A connection that is closed while the client still sends lingers for a moment.
/// - An interim answer of a request goes out when everything before it has.
/// - A connection that has become a tunnel is not HTTP any more: only its writes are timed.
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
    outlet: Outlet,
    linger: Linger,
    /// Where bytes are counted; none where they are not.
    meters: Option<Desk>,
    /// Set once the connection has become something else than HTTP; none where it cannot.
    is_tunnel: Option<Arc<AtomicBool>>,
    /// Where requests leave interim answers; none where they have none.
    interim: Option<Arc<Interim>>,
    /// What is still to be written of one.
    interim_left: Bytes,
}

impl<S: AsyncRead + AsyncWrite + Unpin> ClientIo<S> {
    /// A stream whose first head is awaited from now on.
    pub(crate) fn new(stream: S, limits: Arc<Limits>) -> Self {
        let mut read_deadline = Deadline::default();
        read_deadline.set(Instant::now() + limits.header_timeout);
        Self {
            stream,
            scanner: Scanner::new(limits.header_size),
            outlet: Outlet::new(limits.clone()),
            limits,
            refusal: None,
            read_deadline,
            waiting_for: Some((0, Phase::Idle)),
            linger: Linger::default(),
            meters: None,
            is_tunnel: None,
            interim: None,
            interim_left: Bytes::new(),
        }
    }

    /// The same stream, to which requests' interim answers are written.
    pub(crate) fn interim(self, interim: Arc<Interim>) -> Self {
        Self {
            interim: Some(interim),
            ..self
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
            if waiting_for.1 == Phase::Idle {
                self.outlet.renew();
            }
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

    /// Writes what is left of an interim answer.
    fn poll_interim(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.interim_left.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(context, &self.interim_left);
            let written = ready!(self.written(context, written))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.interim_left.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Counts what was written, and times what was not.
    fn written(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        if let (Poll::Ready(Ok(sent)), Some(meters)) = (&written, &self.meters) {
            meters.counts().sent.add(*sent as u64);
        }
        self.outlet.write(context, written)
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
        ready!(self.poll_interim(context))?;
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_interim(context))?;
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.written(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // hyper flushes when it has written everything before, and before it looks at the request again.
        if let Some(answer) = self.interim.as_ref().and_then(|interim| interim.take()) {
            self.interim_left = interim::written(&answer).into();
            context.waker().wake_by_ref();
        }
        ready!(self.poll_interim(context))?;
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.outlet.flush(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.linger.has_begun() {
            let shut = Pin::new(&mut this.stream).poll_shutdown(context);
            ready!(this.outlet.flush(context, shut))?;
        }
        let is_within_request = this.refusal.is_some() || this.scanner.phase() != Phase::Idle;
        if is_within_request && !this.is_tunnel() {
            ready!(this.linger.poll(&mut this.stream, context));
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;
    use crate::server::stream::ClientStream;

    /// hyper hands the stream out in a box that can be sent to other threads, where a connection is upgraded.
    #[test]
    fn a_clients_stream_can_be_upgraded() {
        fn assert_send<T: Send + 'static>() {}
        assert_send::<ClientIo<ClientStream>>();
    }

    #[tokio::test(start_paused = true)]
    async fn a_tunnel_is_neither_read_nor_timed() {
        let (mut client, server) = duplex(1024);
        let is_tunnel = Arc::new(AtomicBool::new(false));
        let io = ClientIo::new(server, Arc::new(Limits::default()));
        let mut io = io.tunnel(is_tunnel.clone());
        let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        client.write_all(request).await.unwrap();
        io.read_exact(&mut [0; 27]).await.unwrap();
        is_tunnel.store(true, Relaxed);
        let idle = io.read_u8();
        assert!(
            tokio::time::timeout(Duration::from_secs(1_000), idle)
                .await
                .is_err()
        );
        client.write_all(b"\0\n\r\xff").await.unwrap();
        let mut read = [0; 4];
        io.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"\0\n\r\xff");
        io.shutdown().await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_interim_answer_goes_out_whole_before_what_is_written_after_it() {
        let (mut client, server) = duplex(10);
        let slot = Arc::<Interim>::default();
        let mut io = ClientIo::new(server, Arc::new(Limits::default())).interim(slot.clone());
        let served = async move {
            io.write_all(b"before ").await.unwrap();
            let early = http::Response::builder().status(103).header("link", "<a>");
            let sending = slot.send(early.body(()).unwrap());
            // As hyper does: a request is looked at first, then what was written is flushed.
            let ((), flushed) = tokio::join!(sending, io.flush());
            flushed.unwrap();
            io.write_all(b" behind").await.unwrap();
        };
        let mut read = Vec::new();
        tokio::join!(served, async {
            client.read_to_end(&mut read).await.unwrap();
        });
        let expected = "before HTTP/1.1 103 Early Hints\r\nlink: <a>\r\n\r\n behind";
        assert_eq!(String::from_utf8(read).unwrap(), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_no_http_is_read_no_further() {
        let (mut client, server) = duplex(1024);
        let mut io = ClientIo::new(server, Arc::new(Limits::default()));
        client.write_all(b"GET / HTTP/1.1\nHost").await.unwrap();
        let mut read = [0; 100];
        assert_eq!(io.read(&mut read).await.unwrap(), 15);
        assert_eq!(&read[..15], b"GET / HTTP/1.1\0");
        let error = io.read(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_its_answer_too_slowly_is_cut_off() {
        let (mut client, server) = duplex(1024);
        let mut io = ClientIo::new(server, Arc::new(Limits::default()));
        let drip = async {
            loop {
                tokio::time::sleep(Duration::from_secs(3)).await;
                client.read_u8().await.unwrap();
            }
        };
        let error = tokio::select! {
            () = drip => unreachable!(),
            written = io.write_all(&[0; 100_000]) => written.unwrap_err(),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
