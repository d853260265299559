//! A client's HTTP/2 connection: many requests at once, all of them in the connection's own task.

mod keepalive;
mod request;
mod subtasks;

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use equipoise_http::http2::{Event, Options, Role};
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use self::keepalive::{Due, Keepalive};
use self::request::IncomingRequest;
use self::subtasks::{SubtaskInput, Subtasks};
use super::client::Client;
use super::lingering_close::LingeringClose;
use super::stream::ClientStream;
use super::write_timeout::WriteTimeout;
use crate::forward::Workspace;
use crate::lazy_timer::LazyTimer;
use crate::mux::{Mux, SharedMux, StreamError};
use crate::observe::metrics::{Limit, WorkerMetricsHandle};
use equipoise_config::Limits;

/// The flow-control window of a stream: what a client may send of one body before it is read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// The flow-control window of the connection: the same of all bodies.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How often the socket and the requests are polled in a row before other connections have their turn.
const MAX_ROUNDS: usize = 32;

/// The limits of a connection.
///
/// The memory that a client can take up is at most, in all: one megabyte of bodies that no member has taken yet
/// ([`CONNECTION_WINDOW`]); 64 KiB of responses that wait for the socket; for each of `streams` requests, heads of `header-size`;
/// one frame; and two tables of HPACK, of 4 KiB each.
fn options(limits: &Limits) -> Options {
    Options {
        streams: limits.streams,
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        takes_connect: true,
        limits: limits.message_limits(),
    }
}

/// Serves a client that speaks HTTP/2 until its connection ends, or is drained and has no request in flight. `first` was read
/// already.
pub(super) async fn serve(
    socket: ClientStream,
    first: Vec<u8>,
    client: Rc<Client>,
    limits: &Arc<Limits>,
) {
    let metrics = client.worker.metrics.clone();
    let mux = Mux::new(Role::Server, options(limits), socket, metrics, first);
    let mux = Rc::new(RefCell::new(mux));
    let mut session = Session {
        mux: mux.clone(),
        requests: Subtasks::new(|input| {
            request::serve(client.clone(), limits.clone(), mux.clone(), input)
        }),
        client: &client,
        limits,
        has_unread: true,
        is_lost: false,
        written: 0,
        incomplete_timer: LazyTimer::default(),
        keepalive: Keepalive::new(limits, Instant::now()),
        write_timeout: WriteTimeout::new(limits),
    };
    poll_fn(|context| session.poll(context)).await;
    session.close().await;
}

/// A connection, as its task drives it.
struct Session<'c, F, B> {
    mux: SharedMux<ClientStream, WorkerMetricsHandle>,
    /// Those in flight.
    requests: Subtasks<IncomingRequest, F, B>,
    client: &'c Client,
    limits: &'c Limits,
    /// Whether bytes may be there that were read before.
    has_unread: bool,
    /// Whether nothing can be sent to the client any more.
    is_lost: bool,
    /// Bytes written, as far as `write_timeout` has counted them.
    written: u64,
    /// When the client has to have completed a frame or head that has begun.
    incomplete_timer: LazyTimer,
    keepalive: Keepalive,
    /// How slowly the client may take what it is sent.
    write_timeout: WriteTimeout,
}

impl<F, B> Session<'_, F, B>
where
    F: Future<Output = Infallible>,
    B: Fn(Rc<SubtaskInput<IncomingRequest>>) -> F,
{
    /// Drives the connection and its requests; ready when it is to be closed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        self.requests.resume(context);
        self.follow_drain();
        for _ in 0..MAX_ROUNDS {
            self.poll_read(now, context);
            self.requests.poll();
            let is_written = self.poll_write(context).is_ready();
            if !self.requests.pause() {
                continue;
            }
            let is_idle = self.requests.is_empty();
            if is_idle && (self.is_lost || (is_written && self.mux.borrow().engine.is_done())) {
                return Poll::Ready(());
            }
            self.poll_timers(now, context);
            return Poll::Pending;
        }
        self.requests.pause();
        context.waker().wake_by_ref();
        Poll::Pending
    }

    /// Sends GOAWAY if the connection is to be drained.
    fn follow_drain(&mut self) {
        let drain = self.client.guard.drain();
        if drain.is_draining() && self.keepalive.begin_goaway() {
            self.mux.borrow_mut().engine.go_away();
        }
        if drain.is_forced() {
            self.mux.borrow_mut().engine.go_away();
        }
    }

    /// Reads all that has come, and begins the requests in it.
    fn poll_read(&mut self, now: Instant, context: &mut Context<'_>) {
        while !self.is_lost && self.mux.borrow().error().is_none() {
            if !mem::take(&mut self.has_unread) {
                let filled = self.mux.borrow_mut().poll_fill(context);
                match filled {
                    Poll::Ready(Ok(1..)) => self.keepalive.record_received(now),
                    Poll::Ready(_) => return self.fail(StreamError::Closed),
                    Poll::Pending => return,
                }
            }
            self.receive(now);
            self.mux.borrow_mut().wake_senders();
        }
    }

    /// Processes all that was read.
    fn receive(&mut self, now: Instant) {
        let mut workspace = Workspace::take();
        loop {
            let event = self.mux.borrow_mut().next(now, workspace.split().0);
            let (stream, request, ends) = match event {
                Event::Request {
                    stream,
                    request,
                    ends,
                } => (stream, Ok(request), ends),
                Event::Refused {
                    stream, violation, ..
                } => (stream, Err(violation), true),
                Event::Over(error) => {
                    tracing::debug!(address = %self.client.address, %error, "HTTP/2 connection error of a client");
                    return self.client.worker.metrics.counts().count_http2_error(error);
                }
                Event::More => return,
                _ => continue,
            };
            let key = self.mux.borrow_mut().register(stream);
            self.add(IncomingRequest {
                workspace: mem::replace(&mut workspace, Workspace::take()),
                key,
                request,
                ends,
            });
        }
    }

    fn add(&mut self, request: IncomingRequest) {
        self.requests.add(request);
        if self.requests.len() == self.limits.streams as usize {
            let metrics = &self.client.worker.metrics;
            metrics.counts().count_limit(Limit::Streams);
        }
    }

    /// Writes all that is to be written.
    fn poll_write(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_lost {
            return Poll::Ready(());
        }
        let mut mux = self.mux.borrow_mut();
        let flushed = mux.poll_flush(context);
        let written = mux.written() - mem::replace(&mut self.written, mux.written());
        if written > 0 {
            self.write_timeout.record_written(written as usize);
            mux.wake_senders();
        }
        drop(mux);
        match flushed {
            Poll::Ready(Ok(())) => self.write_timeout.record_flushed(),
            Poll::Ready(Err(_)) => self.fail(StreamError::Closed),
            Poll::Pending => {
                ready!(self.write_timeout.poll_expired(context));
                self.fail(StreamError::TimedOut);
            }
        }
        Poll::Ready(())
    }

    /// Fails all streams: nothing more is sent.
    #[cold]
    fn fail(&mut self, error: StreamError) {
        self.is_lost = true;
        self.mux.borrow_mut().fail(error);
    }

    /// Polls the timers: for the rest of an incomplete frame or head, and of the keepalive.
    fn poll_timers(&mut self, now: Instant, context: &mut Context<'_>) {
        if self.is_lost {
            return;
        }
        let incomplete = self.mux.borrow().engine.incomplete_since();
        match incomplete {
            Some(since) => self
                .incomplete_timer
                .set(Instant::from_std(since) + self.limits.header_timeout),
            None => self.incomplete_timer.clear(),
        }
        let due = match self.incomplete_timer.poll(context) {
            Poll::Ready(()) => Poll::Ready(Due::Close),
            Poll::Pending => self.keepalive.poll(!self.requests.is_empty(), now, context),
        };
        let Poll::Ready(due) = due else {
            return;
        };
        match due {
            Due::Shrink => {
                self.requests.shrink();
                self.mux.borrow_mut().shrink();
            }
            Due::Ping => self.mux.borrow_mut().engine.ping(*b"are-you?"),
            Due::GoAway => self.mux.borrow_mut().engine.go_away(),
            Due::Close => {
                tracing::debug!(address = %self.client.address, "keepalive timeout: closing the client's HTTP/2 connection");
                self.fail(StreamError::TimedOut);
            }
        }
        context.waker().wake_by_ref();
    }

    /// Closes the connection, lingering: see [`LingeringClose`].
    async fn close(&mut self) {
        if self.is_lost {
            return;
        }
        let (mut lingering, mut is_shut) = (LingeringClose::default(), false);
        poll_fn(|context| {
            let mut mux = self.mux.borrow_mut();
            if !is_shut {
                let shut = Pin::new(mux.socket()).poll_shutdown(context);
                if ready!(self.write_timeout.flush(context, shut)).is_err() {
                    return Poll::Ready(());
                }
                is_shut = true;
            }
            lingering.poll(mux.socket(), context)
        })
        .await;
    }
}
