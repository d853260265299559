//! A client's HTTP/1 connection: its requests one after the other, in one task.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use equipoise_http::head::Expectation;
use equipoise_http::http1::{self, Framing, HeadEvent, Phase, RequestReader};
use equipoise_http::{Edit, Fields, Head, Known, Version, Violation};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::client::Client;
use super::date::add_date;
use super::lingering_close::LingeringClose;
use super::stream::{ClientStream, socket_error};
use super::write_timeout::WriteTimeout;
use crate::body_frame::BodyFrame;
use crate::duplex::Duplex;
use crate::error::{ClientError, ProxyError};
use crate::forward::{self, Downstream, Workspace};
use crate::lazy_timer::LazyTimer;
use crate::observe::metrics::WorkerMetricsHandle;
use crate::wire::{BodyReader, Wire};
use equipoise_config::Limits;

/// About how many bytes are read ahead while a response is awaited: more waits in the kernel.
const MAX_READ_AHEAD: usize = 12 * 1024;

/// How much of an unread body is discarded so that the connection can serve the next request, in bytes.
const MAX_DRAINED_BODY: u64 = 64 * 1024;

/// How often the kernel is asked whether a connection was reset, while it is not read.
const RESET_CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// A client's connection.
pub(super) struct Http1 {
    wire: Wire<ClientStream, WorkerMetricsHandle>,
    reader: RequestReader,
    client: Rc<Client>,
    limits: Arc<Limits>,
    /// When the client has to have sent what is awaited; while a response is awaited, when to check for a reset.
    deadline: LazyTimer,
    /// How slowly the client may take a response.
    write_timeout: WriteTimeout,
    /// The body of the request.
    body: BodyReader,
    /// Whether the client waits for `100 Continue`.
    expects_continue: bool,
    /// Whether the client speaks HTTP/1.0.
    is_http10: bool,
    /// Whether the connection is kept open after this response.
    keep_alive: bool,
    /// Whether the client is gone or too slow, perhaps within a response: nothing more is sent.
    is_lost: bool,
    /// Whether the client has closed its sending side, and when that has been for too long.
    half_closed: Option<Instant>,
}

/// What came of reading a head.
enum HeadResult {
    Request,
    Refused(Violation),
    /// Too little, for too long.
    TimedOut,
    /// The client has closed the connection.
    End,
}

/// Serves a client until its connection ends. `first` was read already; the head of the first request has to be whole at
/// `head_by`.
pub(super) async fn serve(
    stream: ClientStream,
    first: Vec<u8>,
    head_by: Instant,
    client: Rc<Client>,
    limits: &Arc<Limits>,
) {
    let mut http1 = Http1::new(stream, first, client.clone(), limits.clone());
    http1.deadline.set(head_by);
    while http1.await_request().await {
        let mut workspace = Workspace::take();
        let (request, buffers) = workspace.split();
        let refusal = match http1.read_head(request).await {
            HeadResult::Request => {
                // The connection's timer is armed for this task already.
                std::mem::swap(&mut http1.deadline, &mut buffers.deadline);
                forward::serve(&client, request, &mut http1, buffers).await;
                std::mem::swap(&mut http1.deadline, &mut buffers.deadline);
                if http1.make_reusable().await {
                    continue;
                }
                break;
            }
            HeadResult::Refused(violation) => ProxyError::Malformed(violation),
            HeadResult::TimedOut if http1.has_partial_head() => ProxyError::HeaderTimeout,
            HeadResult::End if http1.has_partial_head() => ProxyError::ClientAborted(None),
            HeadResult::TimedOut | HeadResult::End => break,
        };
        http1.keep_alive = false;
        http1.is_http10 = false;
        forward::refuse(&client, request, refusal, &mut http1, buffers).await;
        break;
    }
    http1.close().await;
}

impl Http1 {
    fn new(stream: ClientStream, first: Vec<u8>, client: Rc<Client>, limits: Arc<Limits>) -> Self {
        Self {
            wire: Wire::new(stream, client.worker.metrics.clone(), first),
            reader: RequestReader::new(limits.message_limits()),
            deadline: LazyTimer::default(),
            write_timeout: WriteTimeout::new(&limits),
            body: BodyReader::default(),
            expects_continue: false,
            is_http10: false,
            keep_alive: true,
            is_lost: false,
            half_closed: None,
            client,
            limits,
        }
    }

    /// Waits for the first byte of a request, without any buffer; false if none comes.
    async fn await_request(&mut self) -> bool {
        let is_first = self.deadline.is_set();
        let mut is_woken = false;
        let has_come = poll_fn(|context| {
            if !self.wire.read_buffer.is_empty() {
                return Poll::Ready(true);
            }
            if self.half_closed.is_some() || self.client.guard.drain().is_forced() {
                return Poll::Ready(false);
            }
            let filled = match std::mem::replace(&mut is_woken, true) {
                true => self.wire.poll_fill(context),
                false => self.wire.poll_fill_watched(context),
            };
            match filled {
                Poll::Ready(read) => Poll::Ready(matches!(read, Ok(1..))),
                Poll::Pending => {
                    self.wire.release();
                    if !self.deadline.is_set() {
                        let limit = Instant::now() + self.limits.keepalive_timeout;
                        self.deadline.set(limit);
                    }
                    self.deadline.poll(context).map(|()| false)
                }
            }
        })
        .await;
        if !is_first {
            // Of the wait; the head has its own.
            self.deadline.clear();
        }
        has_come
    }

    /// Reads a head.
    async fn read_head(&mut self, request: &mut Head) -> HeadResult {
        let result = poll_fn(|context| {
            loop {
                let (used, event) = self.reader.head(self.wire.read_buffer.unread(), request);
                self.wire.read_buffer.consume(used);
                match event {
                    HeadEvent::Head | HeadEvent::Interim => {
                        return Poll::Ready(HeadResult::Request);
                    }
                    HeadEvent::Refused(violation) => {
                        return Poll::Ready(HeadResult::Refused(violation));
                    }
                    HeadEvent::More => {}
                }
                match self.wire.poll_fill(context) {
                    Poll::Ready(Ok(1..)) => {}
                    Poll::Ready(_) => return Poll::Ready(HeadResult::End),
                    Poll::Pending => {
                        if !self.deadline.is_set() {
                            let limit = Instant::now() + self.limits.header_timeout;
                            self.deadline.set(limit);
                        }
                        return self.deadline.poll(context).map(|()| HeadResult::TimedOut);
                    }
                }
            }
        })
        .await;
        self.deadline.clear();
        self.body.begin();
        self.is_http10 = request.version() == Version::Http10;
        self.keep_alive = self.reader.keeps_alive();
        self.expects_continue = self.reader.phase() == Phase::Body
            && !self.is_http10
            && self.wire.read_buffer.is_empty()
            && request.expectation() == Expectation::Continue;
        result
    }

    /// Whether a head has begun, and is not whole.
    fn has_partial_head(&self) -> bool {
        self.reader.phase() == Phase::Head
    }

    /// Discards what little may be left of the body; says whether the connection can serve another request.
    async fn make_reusable(&mut self) -> bool {
        self.write_timeout = WriteTimeout::new(&self.limits);
        // It may be set for the next check for a reset.
        self.deadline.clear();
        if !self.keep_alive || self.is_lost {
            return false;
        }
        if self.reader.phase() == Phase::Body {
            self.drain_body().await;
        }
        self.reader.is_reusable()
    }

    /// Discards what is left of the body of a request that was responded to, up to [`MAX_DRAINED_BODY`].
    async fn drain_body(&mut self) {
        let mut left = MAX_DRAINED_BODY;
        // What has come already costs nothing.
        self.consume(self.payload().len());
        poll_fn(|context| {
            while self.reader.phase() == Phase::Body {
                match self.poll_body(context) {
                    Poll::Ready(Ok(_)) => {
                        let come = self.payload().len();
                        if come as u64 > left {
                            return Poll::Ready(());
                        }
                        left -= come as u64;
                        self.consume(come);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(()),
                    Poll::Pending => {
                        if !self.deadline.is_set() {
                            let limit = Instant::now() + self.limits.header_timeout;
                            self.deadline.set(limit);
                        }
                        return self.deadline.poll(context);
                    }
                }
            }
            Poll::Ready(())
        })
        .await;
        self.deadline.clear();
    }

    /// Closes the connection, lingering if the client may still be sending: see [`LingeringClose`].
    async fn close(&mut self) {
        if self.is_lost {
            return;
        }
        let is_sending = self.reader.phase() != Phase::Idle || !self.wire.read_buffer.is_empty();
        let mut lingering = LingeringClose::default();
        let mut is_shut = false;
        poll_fn(|context| {
            if !is_shut {
                let shut = Pin::new(&mut self.wire.stream).poll_shutdown(context);
                if ready!(self.with_write_timeout(context, shut)).is_err() {
                    return Poll::Ready(());
                }
                is_shut = true;
            }
            if is_sending && self.half_closed.is_none() {
                return lingering.poll(&mut self.wire.stream, context);
            }
            Poll::Ready(())
        })
        .await;
    }

    /// Applies the write timeout to a write.
    #[inline]
    fn with_write_timeout<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<Result<T, ClientError>> {
        match polled {
            Poll::Ready(Ok(done)) if self.wire.written == 0 => Poll::Ready(Ok(done)),
            polled => self.check_write_timeout(context, polled),
        }
    }

    /// The same where something was written, or nothing can be.
    fn check_write_timeout<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<Result<T, ClientError>> {
        let written = std::mem::take(&mut self.wire.written);
        self.write_timeout.record_written(written);
        if written > 0 && self.half_closed.is_some() {
            self.half_closed = Some(Instant::now() + self.limits.half_close);
        }
        let fault = match polled {
            Poll::Ready(Ok(done)) => return Poll::Ready(Ok(done)),
            Poll::Ready(Err(_)) => ClientError::Aborted(None),
            // It was too slow before.
            Poll::Pending if self.is_lost => ClientError::TimedOut,
            Poll::Pending => {
                ready!(self.write_timeout.poll_expired(context));
                ClientError::TimedOut
            }
        };
        self.is_lost = true;
        Poll::Ready(Err(fault))
    }

    /// Checks a connection that is not read for now, or is half-closed, for a reset.
    #[cold]
    fn poll_reset(&mut self, context: &mut Context<'_>) -> Poll<ClientError> {
        loop {
            let now = Instant::now();
            let is_late = self.half_closed.is_some_and(|until| until <= now);
            if is_late || socket_error(&self.wire.stream).is_some() {
                self.is_lost = true;
                return Poll::Ready(ClientError::Aborted(None));
            }
            let next = now + RESET_CHECK_INTERVAL;
            let next = self.half_closed.map_or(next, |until| until.min(next));
            self.deadline.set(next);
            ready!(self.deadline.poll(context));
        }
    }

    /// Whether the connection can be kept open after the response that begins now.
    fn can_be_kept(&self) -> bool {
        let is_body_short = match self.reader.phase() {
            Phase::Body => {
                !self.expects_continue
                    && matches!(self.reader.framing(), Framing::Length(_))
                    && self.reader.left() <= MAX_DRAINED_BODY
            }
            Phase::Over => false,
            Phase::Idle | Phase::Head => true,
        };
        self.keep_alive
            && is_body_short
            && (self.half_closed.is_none() || !self.wire.read_buffer.is_empty())
            && !self.client.guard.drain().is_draining()
    }
}

impl Downstream for Http1 {
    fn framing(&self) -> Framing {
        self.reader.framing()
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<BodyFrame, ClientError>> {
        loop {
            let reader = &mut self.reader;
            let read = |input: &[u8], trailers: &mut Fields| reader.body(input, trailers);
            if let Some(piece) = self.body.next(&mut self.wire.read_buffer, read) {
                return Poll::Ready(piece.map_err(ClientError::Malformed));
            }
            if std::mem::take(&mut self.expects_continue) {
                self.wire
                    .write_buffer
                    .vec()
                    .extend_from_slice(http1::CONTINUE);
            }
            if !self.wire.write_buffer.is_empty() {
                // What is not written now is written with what comes behind.
                if let Poll::Ready(Err(fault)) = self.poll_flush(context) {
                    return Poll::Ready(Err(fault));
                }
            }
            match ready!(self.wire.poll_fill(context)) {
                Ok(1..) => {}
                _ => return Poll::Ready(Err(ClientError::Aborted(None))),
            }
        }
    }

    #[inline]
    fn payload(&self) -> &[u8] {
        self.body.payload(&self.wire.read_buffer)
    }

    #[inline]
    fn consume(&mut self, bytes: usize) {
        self.body.consume(&mut self.wire.read_buffer, bytes);
    }

    fn trailers(&self) -> &Fields {
        self.body.trailers()
    }

    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<ClientError> {
        while self.half_closed.is_none() && self.wire.read_buffer.len() < MAX_READ_AHEAD {
            match self.wire.poll_fill_watched(context) {
                Poll::Ready(Ok(0)) => {
                    self.half_closed = Some(Instant::now() + self.limits.half_close);
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(_)) => {
                    self.is_lost = true;
                    return Poll::Ready(ClientError::Aborted(None));
                }
                Poll::Pending => {
                    self.wire.read_buffer.release();
                    return Poll::Pending;
                }
            }
        }
        self.poll_reset(context)
    }

    fn interim(&mut self, head: &Head, edit: &Edit) {
        if !self.is_http10 {
            edit.write(head, self.wire.write_buffer.vec());
        }
    }

    fn begin(&mut self, head: &Head, edit: &mut Edit, framing: Framing) {
        self.deadline.clear();
        let status = edit.status(head);
        let framing = match framing {
            Framing::Chunked | Framing::Close if self.is_http10 => Framing::Close,
            Framing::Close => Framing::Chunked,
            framing => framing,
        };
        match framing {
            Framing::Chunked => edit.add(Known::TransferEncoding, b"chunked"),
            // HTTP/2 need not have it.
            Framing::Length(0) if !head.has(Known::ContentLength) => {
                edit.add(Known::ContentLength, b"0");
            }
            _ => {}
        }
        if status != 101 {
            self.keep_alive = self.can_be_kept() && framing != Framing::Close;
            match self.keep_alive {
                false => edit.add(Known::Connection, b"close"),
                true if self.is_http10 => edit.add(Known::Connection, b"keep-alive"),
                true => {}
            }
        }
        if !head.has(Known::Date) {
            add_date(edit);
        }
        edit.write(head, self.wire.write_buffer.vec());
        self.wire.begin_body(framing);
    }

    fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, ClientError>> {
        let taken = self.wire.poll_payload(context, payload);
        self.with_write_timeout(context, taken)
    }

    fn close_after_response(&mut self) {
        self.keep_alive = false;
    }

    fn end(&mut self, trailers: Option<&Fields>) {
        if self.wire.end_body(trailers).is_err() {
            self.abort();
        }
    }

    fn abort(&mut self) {
        self.keep_alive = false;
    }

    fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        if self.wire.is_flushed() {
            return Poll::Ready(Ok(()));
        }
        let flushed = self.wire.poll_flush(context);
        let is_flushed = flushed.is_ready();
        let with_write_timeout = self.with_write_timeout(context, flushed);
        if is_flushed {
            self.write_timeout.record_flushed();
        }
        with_write_timeout
    }

    fn tunnel(&mut self) -> Option<&mut dyn Duplex> {
        self.keep_alive = false;
        Some(self)
    }
}

/// Reads of a connection that has become a tunnel.
impl AsyncRead for Http1 {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.half_closed.is_some() && this.wire.read_buffer.is_empty() {
            return Poll::Ready(Ok(()));
        }
        this.wire.poll_read(context, buffer)
    }
}

impl AsyncWrite for Http1 {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let written = this.wire.poll_write_raw(context, bytes);
        this.with_write_timeout(context, written)
            .map_err(io::Error::other)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Downstream::poll_flush(&mut *self, context).map_err(io::Error::other)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let shut = Pin::new(&mut this.wire.stream).poll_shutdown(context);
        this.with_write_timeout(context, shut)
            .map_err(io::Error::other)
    }
}
