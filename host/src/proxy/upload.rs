//! A request body on its way to members, kept for another try as long as it fits.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::config::Limits;
use crate::patience::Patience;
use crate::proxy::error::Failure;
use crate::proxy::gate::Gate;
use crate::server::{BrokenBody, ClientBody};

/// The body of one request, whichever members it is sent to.
pub(crate) struct RequestBody {
    incoming: ClientBody,
    /// Its length, where the client said it.
    length: Option<u64>,
    /// The data read so far, while all of it fits into `limit`.
    kept: Vec<Bytes>,
    kept_bytes: usize,
    limit: usize,
    /// Whether data was read that is kept no more.
    is_lossy: bool,
    /// Whether the client has sent all of it.
    has_ended: bool,
    trailers: Option<HeaderMap>,
    /// What the client did wrong.
    fault: Option<Failure>,
    /// Whether the member waits for us because we wait for the client.
    awaits_client: bool,
    /// When the last data went to a member.
    last_progress: Instant,
    /// How long the client may leave us waiting; none once the member has answered: client and member may then talk with
    /// each other as slowly as they like.
    patience: Option<Patience>,
}

impl RequestBody {
    /// The body, of which up to `limit` bytes are kept to be sent again; `None` if there is none.
    ///
    /// The client may stall for `client-timeout`, and has to send `client-rate` on average until the member has answered,
    /// but for gRPC, whose bodies are messages that come when they come.
    pub(crate) fn of(
        incoming: ClientBody,
        limit: usize,
        headers: &HeaderMap,
        limits: &Limits,
    ) -> Option<Rc<RefCell<Self>>> {
        if incoming.is_end_stream() {
            return None;
        }
        let rate = if is_grpc(headers) {
            0
        } else {
            limits.client_rate
        };
        Some(Rc::new(RefCell::new(Self {
            length: incoming.size_hint().exact(),
            incoming,
            kept: Vec::new(),
            kept_bytes: 0,
            limit,
            is_lossy: false,
            has_ended: false,
            trailers: None,
            fault: None,
            awaits_client: false,
            last_progress: Instant::now(),
            patience: Some(Patience::new(limits.client_timeout, rate)),
        })))
    }

    /// Whether all of it can be sent to another member.
    pub(crate) fn can_be_sent_again(&self) -> bool {
        !self.is_lossy
    }

    /// What the client did wrong, if the body ended for that.
    pub(crate) fn take_fault(&mut self) -> Option<Failure> {
        self.fault.take()
    }

    /// Since when the member has been the one to be waited for; `None` while the client is.
    pub(crate) fn member_idle_since(&self) -> Option<Instant> {
        (!self.awaits_client).then_some(self.last_progress)
    }

    /// The member has answered: what the client still sends may take its time.
    pub(crate) fn relax(&mut self) {
        self.patience = None;
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        self.awaits_client = true;
        let Poll::Ready(frame) = Pin::new(&mut self.incoming).poll_frame(context) else {
            return self.poll_patience(context);
        };
        self.awaits_client = false;
        if let Some(patience) = &mut self.patience {
            patience.pass(length_of(&frame));
        }
        self.last_progress = Instant::now();
        Poll::Ready(match frame {
            None => {
                self.has_ended = true;
                None
            }
            Some(Ok(frame)) => {
                self.keep(&frame);
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.fault = Some(client_fault(&error));
                Some(Err(error))
            }
        })
    }

    /// Ready, with an error, when the client has left us waiting for too long.
    fn poll_patience(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let Some(patience) = &mut self.patience else {
            return Poll::Pending;
        };
        ready!(patience.poll(context));
        self.fault = Some(Failure::ClientStalled);
        Poll::Ready(Some(Err(BrokenBody::Stalled)))
    }

    fn keep(&mut self, frame: &Frame<Bytes>) {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
            self.has_ended = true;
        } else if let Some(data) = frame.data_ref() {
            self.kept_bytes = self.kept_bytes.saturating_add(data.len());
            if self.kept_bytes > self.limit {
                self.is_lossy = true;
                self.kept = Vec::new();
            } else {
                self.kept.push(data.clone());
            }
        }
    }
}

/// The bytes of data in what came of a body.
fn length_of<E>(frame: &Option<Result<Frame<Bytes>, E>>) -> usize {
    match frame {
        Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
        _ => 0,
    }
}

fn is_grpc(headers: &HeaderMap) -> bool {
    let content = headers.get(CONTENT_TYPE);
    content.is_some_and(|content| content.as_bytes().starts_with(b"application/grpc"))
}

/// Whose fault it is that a body could not be read: always the client's, in one way or another.
fn client_fault(error: &BrokenBody) -> Failure {
    match error.kind() {
        io::ErrorKind::TimedOut => Failure::ClientStalled,
        io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput => {
            Failure::BadRequest("the body is malformed")
        }
        _ => Failure::ClientGone,
    }
}

/// One sending of a request body to one member.
#[derive(Default)]
pub(crate) struct Upload {
    /// `None` for a request without a body.
    body: Option<Rc<RefCell<RequestBody>>>,
    /// How many of the kept pieces were sent.
    sent: usize,
    /// Whether the trailers were sent.
    has_sent_trailers: bool,
    /// Opens when the member asks for the body.
    gate: Option<Gate>,
}

impl Upload {
    /// Sends the body from its start, once the gate is open.
    pub(crate) fn new(body: Rc<RefCell<RequestBody>>, gate: Option<Gate>) -> Self {
        Self {
            body: Some(body),
            sent: 0,
            has_sent_trailers: false,
            gate,
        }
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BrokenBody;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenBody>>> {
        let Some(body) = self.body.clone() else {
            return Poll::Ready(None);
        };
        if let Some(gate) = &self.gate {
            ready!(gate.poll_open(context));
        }
        let mut body = body.borrow_mut();
        if let Some(data) = body.kept.get(self.sent) {
            self.sent += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if body.has_ended && !self.has_sent_trailers {
            self.has_sent_trailers = true;
            return Poll::Ready(
                body.trailers
                    .clone()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            );
        }
        let frame = ready!(body.poll_next(context));
        self.sent = body.kept.len();
        self.has_sent_trailers = body.has_ended;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.body {
            None => SizeHint::with_exact(0),
            Some(body) => body
                .borrow()
                .length
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
