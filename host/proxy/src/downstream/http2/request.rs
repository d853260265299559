//! One request of a client that speaks HTTP/2, and the stream that it came by.

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

use super::lanes::Seat;
use crate::deadline::Deadline;
use crate::downstream::client::Client;
use crate::downstream::date::add_date;
use crate::downstream::outlet::Outlet;
use crate::downstream::stream::ClientStream;
use crate::forward::{self, ClientError, Downstream, Duplex, Piece, ProxyError, Workspace};
use crate::mux::{Held, Shared, Stream, StreamFault};
use crate::observe::meters::Desk;
use equipoise_config::Limits;

/// A request that has come.
pub(super) struct Asked {
    /// Where its head is.
    pub(super) workspace: Workspace,
    /// Its stream.
    pub(super) held: Held,
    /// What it is, or what is wrong with it.
    pub(super) request: Result<Request, Violation>,
    /// Whether nothing follows its head.
    pub(super) ends: bool,
}

/// The client's side of a request.
struct Side {
    stream: Stream<ClientStream, Desk>,
    framing: Framing,
    /// Whether it is extended CONNECT, which becomes a tunnel if it is answered with success.
    is_connect: bool,
    /// Whether the request is malformed: the stream is reset behind its response (RFC 9113, 8.1.1).
    is_malformed: bool,
    /// Payload of the response that is still to be sent, where its head says how much there is.
    left: Option<u64>,
    /// Whether the response could not be sent.
    is_broken: bool,
    /// How slowly the client may take the response.
    outlet: Outlet,
}

/// Answers one request after the other of a client's connection.
pub(super) async fn serve(
    client: Rc<Client>,
    limits: Arc<Limits>,
    mux: Shared<ClientStream, Desk>,
    seat: Rc<Seat<Asked>>,
) -> Infallible {
    // The lane's own timer: the runtime knows whom it wakes.
    let mut deadline = Deadline::default();
    loop {
        let mut asked = seat.next().await;
        mem::swap(&mut asked.workspace.split().1.deadline, &mut deadline);
        answer(&client, &limits, &mux, &mut asked).await;
        mem::swap(&mut asked.workspace.split().1.deadline, &mut deadline);
        deadline.clear();
    }
}

async fn answer(
    client: &Client,
    limits: &Limits,
    mux: &Shared<ClientStream, Desk>,
    asked: &mut Asked,
) {
    let Asked {
        ref mut workspace,
        held,
        request,
        ends,
    } = *asked;
    let (head, room) = workspace.split();
    let is_connect = request.is_ok_and(|request| request.is_connect);
    let mut side = Side {
        stream: Stream::new(mux.clone(), held, ends, false, ErrorCode::INTERNAL_ERROR),
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
        outlet: Outlet::new(limits),
    };
    if is_connect {
        add_key(head);
    }
    match request {
        Ok(_) => forward::serve(client, head, &mut side, room).await,
        Err(violation) => {
            let failure = ProxyError::Malformed(violation);
            forward::refuse(client, head, failure, &mut side, room).await;
        }
    }
}

/// Adds what shows a member of HTTP/1.1 that its answer is to this request (RFC 6455, 4.1; RFC 8441, 5).
fn add_key(head: &mut Head) {
    let key: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
    // Its value is a token; a head that has no room for it goes without.
    let _ = head.push(
        Known::SecWebsocketKey.name().as_bytes(),
        STANDARD.encode(key).as_bytes(),
    );
}

impl Side {
    /// What becomes of sending a part of the response: a client that takes nothing of it for too long, or too little, does not want
    /// it.
    fn timed(
        &mut self,
        taken: Poll<Result<usize, StreamFault>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, ClientError>> {
        match taken {
            Poll::Ready(Ok(bytes)) => {
                self.outlet.note_written(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(fault)) => Poll::Ready(Err(fault.into())),
            Poll::Pending => {
                ready!(self.outlet.poll_late(context));
                self.stream.set_code(ErrorCode::CANCEL);
                Poll::Ready(Err(ClientError::TimedOut))
            }
        }
    }

    /// What a fault of the request's stream means for its response.
    fn fault(&mut self, fault: StreamFault) -> ClientError {
        if let StreamFault::Violation(violation) = fault {
            self.is_malformed |= is_malformed(violation);
        }
        fault.into()
    }

    /// Sends payload, at least a byte.
    fn poll_send(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, StreamFault>> {
        let ends = self.left == Some(payload.len() as u64) && !self.is_malformed;
        let taken = ready!(self.stream.poll_payload(context, payload, ends))?;
        if let Some(left) = &mut self.left {
            *left = left.saturating_sub(taken as u64);
        }
        Poll::Ready(Ok(taken))
    }
}

/// Whether it is more than a request that is too large, or asks for what there is not.
fn is_malformed(violation: Violation) -> bool {
    violation.status() == 400
}

impl From<StreamFault> for ClientError {
    fn from(fault: StreamFault) -> Self {
        match fault {
            StreamFault::Reset(ErrorCode(code)) => Self::Aborted(Some(code)),
            StreamFault::Violation(violation) => Self::Malformed(violation),
            StreamFault::TimedOut => Self::TimedOut,
            StreamFault::Connection(_) | StreamFault::Closed => Self::Aborted(None),
        }
    }
}

impl Downstream for Side {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, ClientError>> {
        if self.is_connect {
            return Poll::Ready(Ok(Piece::End));
        }
        let piece = ready!(self.stream.poll_body(context));
        Poll::Ready(piece.map_err(|fault| self.fault(fault)))
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

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<ClientError> {
        match self.is_broken {
            true => Poll::Ready(ClientError::Aborted(None)),
            false => {
                let fault = ready!(self.stream.poll_fault(context));
                Poll::Ready(self.fault(fault))
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
        self.timed(taken, context)
    }

    fn close_behind(&mut self) {}

    fn end(&mut self, trailers: Option<&Fields>) {
        if self.is_malformed {
            return self.stream.reset(ErrorCode::PROTOCOL_ERROR);
        }
        self.is_broken |= self.stream.end(trailers).is_err();
        // What may still come of the request is of no use (RFC 9113, 8.1).
        self.stream.set_code(ErrorCode::NO_ERROR);
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
