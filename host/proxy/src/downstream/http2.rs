//! One client's connection of HTTP/2: many requests at once, all of them in the connection's own task.

mod lanes;
mod quiet;
mod request;

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

use self::lanes::{Lanes, Seat};
use self::quiet::{Due, Quiet};
use self::request::Asked;
use super::client::Client;
use super::linger::Linger;
use super::outlet::Outlet;
use super::stream::ClientStream;
use crate::deadline::Deadline;
use crate::forward::Workspace;
use crate::mux::{Mux, Shared, StreamFault};
use crate::observe::meters::{Desk, Limit};
use equipoise_config::Limits;

/// What a client may send of one body before it is read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What a client may send of all bodies before they are read, in bytes.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// How often the socket and the requests are looked at in a row, before other connections have their turn.
const ROUNDS: usize = 32;

/// What bounds a connection.
///
/// A client can have in our memory, at most and in all: one megabyte of bodies that no member has taken yet
/// ([`CONNECTION_WINDOW`]); 64 KiB of answers that wait for the socket; for each of `streams` requests, heads of `header-size`;
/// one frame; and two tables of HPACK, of 4 KiB each.
fn options(limits: &Limits) -> Options {
    Options {
        streams: limits.streams,
        stream_window: STREAM_WINDOW,
        connection_window: CONNECTION_WINDOW,
        takes_connect: true,
        limits: limits.of_messages(),
    }
}

/// Serves a client that speaks HTTP/2, until its connection ends, or is to end and has no request under way. `first` has come
/// already.
pub(super) async fn serve(
    socket: ClientStream,
    first: Vec<u8>,
    client: Rc<Client>,
    limits: &Arc<Limits>,
) {
    let meters = client.worker.meters.clone();
    let mux = Mux::new(Role::Server, options(limits), socket, meters, first);
    let mux = Rc::new(RefCell::new(mux));
    let mut session = Session {
        mux: mux.clone(),
        requests: Lanes::new(|seat| {
            request::serve(client.clone(), limits.clone(), mux.clone(), seat)
        }),
        client: &client,
        limits,
        has_unread: true,
        is_lost: false,
        written: 0,
        late: Deadline::default(),
        quiet: Quiet::new(limits, Instant::now()),
        outlet: Outlet::new(limits),
    };
    poll_fn(|context| session.poll(context)).await;
    session.close().await;
}

/// A connection, as its task drives it.
struct Session<'c, F, B> {
    mux: Shared<ClientStream, Desk>,
    /// Those under way.
    requests: Lanes<Asked, F, B>,
    client: &'c Client,
    limits: &'c Limits,
    /// Whether bytes may be there that came before.
    has_unread: bool,
    /// Whether nothing can be said to the client any more.
    is_lost: bool,
    /// What of the bytes that were written `outlet` knows of.
    written: u64,
    /// When the client has had its time to complete what has begun to come.
    late: Deadline,
    quiet: Quiet,
    /// How slowly the client may take what it is sent.
    outlet: Outlet,
}

impl<F, B> Session<'_, F, B>
where
    F: Future<Output = Infallible>,
    B: Fn(Rc<Seat<Asked>>) -> F,
{
    /// Carries on the connection and the requests on it; ready when it is to be closed.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let now = Instant::now();
        self.requests.resume(context);
        self.follow_drain();
        for _ in 0..ROUNDS {
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

    /// Tells the client that the connection is to end, if so.
    fn follow_drain(&mut self) {
        let drain = self.client.guest.drain();
        if drain.has_begun() && self.quiet.leave() {
            self.mux.borrow_mut().engine.go_away();
        }
        if drain.insists() {
            self.mux.borrow_mut().engine.go_away();
        }
    }

    /// Reads all that has come, and begins what requests are in it.
    fn poll_read(&mut self, now: Instant, context: &mut Context<'_>) {
        while !self.is_lost && self.mux.borrow().over().is_none() {
            if !mem::take(&mut self.has_unread) {
                let filled = self.mux.borrow_mut().poll_fill(context);
                match filled {
                    Poll::Ready(Ok(1..)) => self.quiet.note_heard(now),
                    Poll::Ready(_) => return self.lose(StreamFault::Closed),
                    Poll::Pending => return,
                }
            }
            self.receive(now);
            self.mux.borrow_mut().wake_senders();
        }
    }

    /// Looks at all that was read.
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
                    tracing::debug!(address = %self.client.address, %error, "a client breaks the rules of HTTP/2");
                    return self.client.worker.meters.counts().count_http2_error(error);
                }
                Event::More => return,
                _ => continue,
            };
            let held = self.mux.borrow_mut().hold(stream);
            self.add(Asked {
                workspace: mem::replace(&mut workspace, Workspace::take()),
                held,
                request,
                ends,
            });
        }
    }

    fn add(&mut self, asked: Asked) {
        self.requests.add(asked);
        if self.requests.len() == self.limits.streams as usize {
            let meters = &self.client.worker.meters;
            meters.counts().count_limit(Limit::Streams);
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
            self.outlet.note_written(written as usize);
            mux.wake_senders();
        }
        drop(mux);
        match flushed {
            Poll::Ready(Ok(())) => self.outlet.note_flushed(),
            Poll::Ready(Err(_)) => self.lose(StreamFault::Closed),
            Poll::Pending => {
                ready!(self.outlet.poll_late(context));
                self.lose(StreamFault::TimedOut);
            }
        }
        Poll::Ready(())
    }

    /// Nothing more is said: those who serve requests are told why.
    #[cold]
    fn lose(&mut self, fault: StreamFault) {
        self.is_lost = true;
        self.mux.borrow_mut().fail(fault);
    }

    /// Waits for the client: for the rest of what has begun to come, and for any sign of life.
    fn poll_timers(&mut self, now: Instant, context: &mut Context<'_>) {
        if self.is_lost {
            return;
        }
        let incomplete = self.mux.borrow().engine.incomplete_since();
        match incomplete {
            Some(since) => self
                .late
                .set(Instant::from_std(since) + self.limits.header_timeout),
            None => self.late.clear(),
        }
        let due = match self.late.poll(context) {
            Poll::Ready(()) => Poll::Ready(Due::End),
            Poll::Pending => self.quiet.poll(!self.requests.is_empty(), now, context),
        };
        let Poll::Ready(due) = due else {
            return;
        };
        match due {
            Due::Rest => {
                self.requests.shrink();
                self.mux.borrow_mut().shrink();
            }
            Due::Ping => self.mux.borrow_mut().engine.ping(*b"are-you?"),
            Due::Leave => self.mux.borrow_mut().engine.go_away(),
            Due::End => {
                tracing::debug!(address = %self.client.address, "a client gives no sign of life");
                self.lose(StreamFault::TimedOut);
            }
        }
        context.waker().wake_by_ref();
    }

    /// Closes the connection. A client that may still be sending is listened to for a while, so that it gets our last words.
    async fn close(&mut self) {
        if self.is_lost {
            return;
        }
        let (mut linger, mut is_shut) = (Linger::default(), false);
        poll_fn(|context| {
            let mut mux = self.mux.borrow_mut();
            if !is_shut {
                let shut = Pin::new(mux.socket()).poll_shutdown(context);
                if ready!(self.outlet.flush(context, shut)).is_err() {
                    return Poll::Ready(());
                }
                is_shut = true;
            }
            linger.poll(mux.socket(), context)
        })
        .await;
    }
}
