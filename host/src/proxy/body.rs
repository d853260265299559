//! The body of an answer on its way to the client.

use std::error::Error;
use std::fmt::Display;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::Instant;

use equipoise_balancer::Lease;
use equipoise_sdk::health::Failure;

use crate::access_log::Record;
use crate::deadline::Deadline;
use crate::health::Account;
use crate::proxy::tunnel::Tunnel;
use crate::server::Client;
use crate::traces::Trace;
use crate::upstream::{Connection, Slot};

/// An answer's body: a member's or a text of ours.
pub(crate) struct Body {
    source: Source,
    aftermath: Aftermath,
}

enum Source {
    Empty,
    Text(Bytes),
    Member(Box<Download>),
    /// Nothing: the connection becomes a tunnel.
    Tunnel(Box<Tunnel>),
}

/// What is done when a request is done with.
#[derive(Default)]
pub(crate) struct Aftermath {
    /// The request's line in the access log is written.
    record: Option<Box<Record>>,
    /// The request's span is over.
    trace: Option<Box<Trace>>,
}

impl Aftermath {
    /// So many bytes went to the client.
    pub(crate) fn count_bytes(&mut self, bytes: usize) {
        if let Some(record) = &mut self.record {
            record.count_bytes(bytes);
        }
    }

    /// It broke off.
    pub(crate) fn note_break(&mut self, error: &dyn Display) {
        if let Some(record) = &mut self.record {
            record.note_break(error);
        }
        if let Some(trace) = &mut self.trace {
            trace.note_break(error);
        }
    }
}

impl From<Source> for Body {
    fn from(source: Source) -> Self {
        Self {
            source,
            aftermath: Aftermath::default(),
        }
    }
}

impl Body {
    /// No body.
    pub(crate) fn empty() -> Self {
        Source::Empty.into()
    }

    /// A text of ours.
    pub(crate) fn text(text: String) -> Self {
        Source::Text(text.into()).into()
    }

    /// A member's body.
    pub(crate) fn member(download: Download) -> Self {
        Source::Member(Box::new(download)).into()
    }

    /// None, behind an answer that makes the connection a tunnel.
    pub(crate) fn tunnel(tunnel: Tunnel) -> Self {
        Source::Tunnel(Box::new(tunnel)).into()
    }

    /// The same body; when it is done with, the request's span is over.
    pub(crate) fn traced(mut self, trace: Box<Trace>) -> Self {
        self.aftermath.trace = Some(trace);
        self
    }

    /// The same body; when it is done with, the request is logged.
    pub(crate) fn logged(mut self, record: Box<Record>) -> Self {
        self.aftermath.record = Some(record);
        self
    }

    /// The body as it goes out to its client: a tunnel begins.
    pub(crate) fn departing(mut self) -> Self {
        if let Source::Tunnel(_) = self.source
            && let Source::Tunnel(tunnel) = std::mem::replace(&mut self.source, Source::Empty)
        {
            tunnel.begin(std::mem::take(&mut self.aftermath));
        }
        self
    }
}

/// The member broke off within its answer's body, or stalled.
#[derive(Debug, Error)]
pub(crate) enum DownloadError {
    /// What hyper says of it.
    #[error("the member's body broke off: {0}")]
    BrokenOff(#[from] hyper::Error),
    /// Nothing came for the member's `timeout`.
    #[error("the member's body stalled for {0:?}")]
    Stalled(Duration),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = &mut *self;
        let polled = match &mut this.source {
            Source::Empty | Source::Tunnel(_) => Poll::Ready(None),
            Source::Text(text) if text.is_empty() => Poll::Ready(None),
            Source::Text(text) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(text))))),
            Source::Member(download) => download.poll_frame(context),
        };
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.aftermath.count_bytes(bytes);
            }
            Poll::Ready(Some(Err(error))) => this.aftermath.note_break(error),
            Poll::Ready(None) | Poll::Pending => {}
        }
        polled.map(|frame| frame.map(|result| result.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Empty | Source::Tunnel(_) => true,
            Source::Text(text) => text.is_empty(),
            Source::Member(download) => download.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Empty | Source::Tunnel(_) => SizeHint::with_exact(0),
            Source::Text(text) => SizeHint::with_exact(text.len() as u64),
            Source::Member(download) => download.incoming.size_hint(),
        }
    }
}

/// A member's answer being passed on. It is the member's business to its last byte: until then the request counts as in
/// flight, and only then its connection is free for another.
pub(crate) struct Download {
    /// When the request's head was there.
    pub(crate) begun: StdInstant,
    pub(crate) incoming: Incoming,
    /// Its connection, given back at the end if it may serve another request; none after that.
    pub(crate) connection: Option<Connection>,
    pub(crate) is_reusable: bool,
    /// Who it is for; the worker that serves it has the pool the connection goes back to.
    pub(crate) client: Rc<Client>,
    /// Where the member stands in the configuration: balancer and member.
    pub(crate) pool: u64,
    /// How long the member may stall.
    pub(crate) timeout: Duration,
    /// Whether all of it has been read.
    pub(crate) has_ended: bool,
    /// The member broke off, or stalled.
    pub(crate) failure: Option<Failure>,
    /// What the judge is told at the end; none where it does not care.
    pub(crate) account: Option<Box<Account>>,
    pub(crate) deadline: Deadline,
    pub(crate) _lease: Lease,
    pub(crate) _slot: Slot,
}

impl Download {
    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, DownloadError>>> {
        match http_body::Body::poll_frame(Pin::new(&mut self.incoming), context) {
            Poll::Ready(frame) => {
                self.deadline.clear();
                self.has_ended = frame.is_none();
                if let Some(Err(_)) = frame {
                    self.failure = Some(Failure::BrokenOff);
                }
                Poll::Ready(frame.map(|result| result.map_err(Into::into)))
            }
            Poll::Pending => {
                if !self.deadline.is_set() {
                    self.deadline.set(Instant::now() + self.timeout);
                }
                ready!(self.deadline.poll(context));
                self.failure = Some(Failure::TimedOut);
                Poll::Ready(Some(Err(DownloadError::Stalled(self.timeout))))
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        let is_whole = self.has_ended || http_body::Body::is_end_stream(&self.incoming);
        if let Some(connection) = self.connection.take() {
            let durations = &connection.meters().balancer.durations;
            durations.observe(self.begun.elapsed());
            if let Some(account) = self.account.take() {
                account.close(self.failure, connection.carried());
            }
            if is_whole && self.is_reusable {
                self.client.worker.pool(self.pool).put(connection);
            }
        }
        self.client.put_deadline(std::mem::take(&mut self.deadline));
    }
}
