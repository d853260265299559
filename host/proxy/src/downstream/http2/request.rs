//! One request of an HTTP/2 client, and its stream.

use std::convert::Infallible;
use std::mem;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use equipoise_http::http1::Framing;
use equipoise_http::http2::ErrorCode;
use equipoise_http::http2::message::Request;
use equipoise_http::{Edit, Fields, Head, Known, Version, Violation};

use super::subtasks::SubtaskInput;
use crate::body_frame::BodyFrame;
use crate::downstream::client::Client;
use crate::downstream::date::add_date;
use crate::downstream::stream::ClientStream;
use crate::downstream::write_timeout::WriteTimeout;
use crate::duplex::Duplex;
use crate::error::{ClientError, ProxyError};
use crate::forward::{self, Downstream, Workspace};
use crate::lazy_timer::LazyTimer;
use crate::mux::{SharedMux, Stream, StreamError, StreamKey};
use crate::observe::metrics::WorkerMetricsHandle;
use equipoise_config::Limits;

/// A request that was received.
pub(super) struct IncomingRequest {
    /// Where its head is.
    pub(super) workspace: Workspace,
    /// Its stream.
    pub(super) key: StreamKey,
    /// What is known of it beside its head, or what is wrong with it.
    pub(super) request: Result<Request, Violation>,
    /// Whether nothing follows its head.
    pub(super) ends: bool,
}

/// The client's stream of a request.
struct ServerStream {
    stream: Stream<ClientStream, WorkerMetricsHandle>,
    framing: Framing,
    /// Whether it is extended CONNECT, which becomes a tunnel with a 2xx response.
    is_connect: bool,
    /// Whether the request is malformed: the stream is reset behind its response (RFC 9113, 8.1.1).
    is_malformed: bool,
    /// Payload of the response that is still to be sent, where its head says how much there is.
    left: Option<u64>,
    /// Whether the response could not be sent.
    is_broken: bool,
    /// How slowly the client may take the response.
    write_timeout: WriteTimeout,
}

/// Serves one request after the other of a client's connection: a subtask.
pub(super) async fn serve(
    client: Rc<Client>,
    limits: Arc<Limits>,
    mux: SharedMux<ClientStream, WorkerMetricsHandle>,
    input: Rc<SubtaskInput<IncomingRequest>>,
) -> Infallible {
    // The subtask's own timer: it is armed for this task already.
    let mut deadline = LazyTimer::default();
    loop {
        let mut incoming = input.next().await;
        mem::swap(&mut incoming.workspace.split().1.deadline, &mut deadline);
        serve_one(&client, &limits, &mux, &mut incoming).await;
        mem::swap(&mut incoming.workspace.split().1.deadline, &mut deadline);
        deadline.clear();
    }
}

async fn serve_one(
    client: &Client,
    limits: &Limits,
    mux: &SharedMux<ClientStream, WorkerMetricsHandle>,
    incoming: &mut IncomingRequest,
) {
    let IncomingRequest {
        ref mut workspace,
        key,
        request,
        ends,
    } = *incoming;
    let (head, buffers) = workspace.split();
    let is_connect = request.is_ok_and(|request| request.is_connect);
    let mut stream = ServerStream {
        stream: Stream::new(mux.clone(), key, ends, false, ErrorCode::INTERNAL_ERROR),
        framing: match request {
            _ if ends || is_connect => Framing::None,
            Ok(Request {
                framing: Framing::Length(length),
                ..
            }) => Framing::Length(length),
            _ => Framing::Chunked,
        },
        is_connect,
        is_malformed: request.is_err_and(is_malformed),
        left: None,
        is_broken: false,
        write_timeout: WriteTimeout::new(limits),
    };
    if is_connect {
        add_key(head);
    }
    match request {
        Ok(_) => forward::serve(client, head, &mut stream, buffers).await,
        Err(violation) => {
            let failure = ProxyError::Malformed(violation);
            forward::refuse(client, head, failure, &mut stream, buffers).await;
        }
    }
}

/// Adds what shows a member of HTTP/1.1 that its serve_one is to this request (RFC 6455, 4.1; RFC 8441, 5).
fn add_key(head: &mut Head) {
    let key: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    // Its value is a token; a head that has no room for it goes without.
    let _ = head.push(
        Known::SecWebsocketKey.name().as_bytes(),
        STANDARD.encode(key).as_bytes(),
    );
}

impl ServerStream {
    /// Applies the write timeout to sending a part of the response: a client that is too slow has its stream reset.
    fn with_write_timeout(
        &mut self,
        taken: Poll<Result<usize, StreamError>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, ClientError>> {
        match taken {
            Poll::Ready(Ok(bytes)) => {
                self.write_timeout.record_written(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error.into())),
            Poll::Pending => {
                ready!(self.write_timeout.poll_expired(context));
                self.stream.set_reset_code(ErrorCode::CANCEL);
                Poll::Ready(Err(ClientError::TimedOut))
            }
        }
    }

    /// The client's error for an error of its stream.
    fn client_error(&mut self, error: StreamError) -> ClientError {
        if let StreamError::Violation(violation) = error {
            self.is_malformed |= is_malformed(violation);
        }
        error.into()
    }

    /// Sends payload, at least a byte.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, StreamError>> {
        let ends = self.left == Some(payload.len() as u64) && !self.is_malformed;
        let taken = ready!(self.stream.poll_payload(context, payload, ends))?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(taken as u64);
        }
        Poll::Ready(Ok(taken))
    }
}

/// Whether the request is malformed, rather than too large or not supported.
fn is_malformed(violation: Violation) -> bool {
    violation.status() == 400
}

impl From<StreamError> for ClientError {
    fn from(error: StreamError) -> Self {
        match error {
            StreamError::Reset(ErrorCode(code)) => Self::Aborted(Some(code)),
            StreamError::Violation(violation) => Self::Malformed(violation),
            StreamError::TimedOut => Self::TimedOut,
            StreamError::Connection(_) | StreamError::Closed => Self::Aborted(None),
        }
    }
}

impl Downstream for ServerStream {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<BodyFrame, ClientError>> {
        if self.is_connect {
            return Poll::Ready(Ok(BodyFrame::End));
        }
        let piece = ready!(self.stream.poll_body(context));
        Poll::Ready(piece.map_err(|error| self.client_error(error)))
    }

    fn payload(&self) -> &[u8] {
        self.stream.payload()
    }

    fn consume(&mut self, bytes: usize) {
        self.stream.consume(bytes);
    }

    fn trailers(&self) -> &Fields {
        self.stream.trailers()
    }

    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<ClientError> {
        match self.is_broken {
            true => Poll::Ready(ClientError::Aborted(None)),
            false => {
                let error = ready!(self.stream.poll_error(context));
                Poll::Ready(self.client_error(error))
            }
        }
    }

    fn interim(&mut self, head: &Head, edit: &Edit) {
        let sent = self
            .stream
            .with(|engine, id| engine.interim(id, head, edit));
        self.is_broken |= sent.is_err();
    }

    fn begin(&mut self, head: &Head, edit: &mut Edit, framing: Framing) {
        if !head.has(Known::Date) {
            add_date(edit);
        }
        self.is_connect &= (200..300).contains(&edit.status(head));
        let has_more = self.is_connect || self.is_malformed;
        let is_whole = matches!(framing, Framing::None | Framing::Length(0)) && !has_more;
        // Of a member of HTTP/2, trailers may follow.
        self.left = match framing {
            Framing::Length(length) if head.version() < Version::Http2 => Some(length),
            _ => None,
        };
        let sent = self.stream.begin(
            |engine, id| engine.respond(id, head, edit, is_whole),
            is_whole,
        );
        self.is_broken |= sent.is_err();
    }

    fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, ClientError>> {
        let taken = self.poll_send(context, payload);
        self.with_write_timeout(taken, context)
    }

    fn close_after_response(&mut self) {}

    fn end(&mut self, trailers: Option<&Fields>) {
        if self.is_malformed {
            return self.stream.reset(ErrorCode::PROTOCOL_ERROR);
        }
        self.is_broken |= self.stream.end(trailers).is_err();
        // What may still come of the request is of no use (RFC 9113, 8.1).
        self.stream.set_reset_code(ErrorCode::NO_ERROR);
    }

    fn abort(&mut self) {
        self.stream.reset(ErrorCode::INTERNAL_ERROR);
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientError>> {
        Poll::Ready(match self.is_broken {
            true => Err(ClientError::Aborted(None)),
            false => Ok(()),
        })
    }

    fn tunnel(&mut self) -> Option<&mut dyn Duplex> {
        self.is_connect
            .then_some(&mut self.stream as &mut dyn Duplex)
    }
}
