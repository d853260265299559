//! One request of a client that speaks HTTP/2, and the stream that it came by.

use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use equipoise_http::http1::{Framing, Sender};
use equipoise_http::{Edit, Fields, Head, Known, Violation};
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response, StatusCode};

use super::activity::UnderWay;
use super::client::Client;
use super::date::date;
use super::http2_request;
use super::http2_tunnel::StreamTunnel;
use super::outlet::Outlet;
use crate::config::Limits;
use crate::http2_body::{Broken, Incoming, Outgoing, append};
use crate::proxy::{self, ClientFault, Downstream, Duplex, Failure, Piece, Workspace};

/// One request of a connection.
pub(super) struct Stream {
    respond: SendResponse<Bytes>,
    under_way: Option<UnderWay>,
    framing: Framing,
    incoming: Option<Incoming>,
    /// What its stream is read from, where that may become a tunnel.
    from_client: Option<RecvStream>,
    /// Where the response's body goes, once that has begun.
    outgoing: Option<Outgoing>,
    tunnel: Option<StreamTunnel>,
    /// Whether the response could not be handed over.
    is_broken: bool,
    /// How slowly the client may take the response.
    outlet: Outlet,
}

/// Answers a request of a client's connection.
pub(super) async fn serve(
    client: Rc<Client>,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    limits: Arc<Limits>,
    under_way: UnderWay,
) {
    let mut workspace = Workspace::take();
    let (head, room) = workspace.split();
    let (parts, incoming) = request.into_parts();
    let framing = http2_request::read(&parts, head, limits.headers);
    let is_connect = parts.method == http::Method::CONNECT;
    drop(parts);
    let outlet = Outlet::new(&limits);
    let mut stream = Stream {
        respond,
        under_way: Some(under_way),
        framing: Framing::None,
        incoming: None,
        from_client: None,
        outgoing: None,
        tunnel: None,
        is_broken: false,
        outlet,
    };
    if is_connect {
        stream.from_client = Some(incoming);
    } else {
        let incoming = Incoming::new(incoming, Sender::Client);
        stream.framing = match framing {
            _ if incoming.is_over() => Framing::None,
            Ok(Framing::Length(length)) => Framing::Length(length),
            _ => Framing::Chunked,
        };
        stream.incoming = Some(incoming);
    }
    match framing {
        Ok(_) => proxy::serve(&client, head, &mut stream, room).await,
        Err(violation) => {
            let failure = Failure::Malformed(violation);
            proxy::refuse(&client, head, failure, &mut stream, room).await;
        }
    }
}

impl Stream {
    /// What becomes of handing over a part of the response: a client that takes nothing of it for too long, or too little, does not
    /// want it.
    fn timed(
        &mut self,
        taken: Poll<Result<usize, h2::Error>>,
        context: &mut Context<'_>,
    ) -> Poll<Result<usize, ClientFault>> {
        match taken {
            Poll::Ready(Ok(bytes)) => {
                self.outlet.note_written(bytes);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(ClientFault::Aborted(None))),
            Poll::Pending => {
                let late = self.outlet.poll_late(context);
                late.map(|()| Err(ClientFault::TimedOut))
            }
        }
    }

    /// Sends the head of a response; `is_whole` says that nothing follows.
    fn send_head(&mut self, head: &Head, edit: &Edit, is_whole: bool) -> Result<(), h2::Error> {
        let response = response(head, edit);
        let stream = self.respond.send_response(response, is_whole)?;
        if is_whole {
            return Ok(());
        }
        match self.from_client.take() {
            Some(from_client) => {
                let under_way = self.under_way.take();
                self.tunnel = under_way.map(|it| StreamTunnel::new(stream, from_client, it));
            }
            None => self.outgoing = Some(Outgoing::new(stream)),
        }
        Ok(())
    }
}

impl Downstream for Stream {
    fn framing(&self) -> Framing {
        self.framing
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Piece, ClientFault>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(Ok(Piece::End));
        };
        incoming.poll(context).map_err(|broken| match broken {
            Broken::Violation(violation) => ClientFault::Malformed(violation),
            // Mostly that it is not as long as was said (RFC 9113, 8.1.1): h2 does not tell.
            Broken::Http2(error) if is_malformed(&error) => {
                ClientFault::Malformed(Violation::Length)
            }
            Broken::Http2(error) => ClientFault::Aborted(error.reason().map(Into::into)),
        })
    }

    fn payload(&self) -> &[u8] {
        self.incoming.as_ref().map_or(&[], Incoming::payload)
    }

    fn consume(&mut self, bytes: usize) {
        if let Some(incoming) = &mut self.incoming {
            incoming.consume(bytes);
        }
    }

    fn trailers(&self) -> &Fields {
        static NONE: std::sync::LazyLock<Fields> = std::sync::LazyLock::new(Fields::default);
        self.incoming.as_ref().map_or(&NONE, Incoming::trailers)
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<ClientFault> {
        if self.is_broken {
            return Poll::Ready(ClientFault::Aborted(None));
        }
        let reset = match &mut self.outgoing {
            Some(outgoing) => ready!(outgoing.poll_reset(context)),
            None => ready!(self.respond.poll_reset(context)),
        };
        Poll::Ready(ClientFault::Aborted(reset.ok().map(Into::into)))
    }

    fn interim(&mut self, head: &Head, edit: &Edit) {
        let sent = self.respond.send_informational(response(head, edit));
        self.is_broken |= sent.is_err();
    }

    fn begin(&mut self, head: &Head, edit: &mut Edit, framing: Framing) {
        if !head.has(Known::Date) {
            date(|date| edit.add(Known::Date, date));
        }
        let is_tunnel = self.from_client.is_some() && (200..300).contains(&edit.status(head));
        let is_whole = matches!(framing, Framing::None | Framing::Length(0)) && !is_tunnel;
        if !is_tunnel && !is_whole {
            self.from_client = None;
        }
        self.is_broken |= self.send_head(head, edit, is_whole).is_err();
    }

    fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, ClientFault>> {
        let Some(outgoing) = &mut self.outgoing else {
            return Poll::Ready(Err(ClientFault::Aborted(None)));
        };
        if let Poll::Ready(reset) = outgoing.poll_reset(context) {
            let code = reset.ok().map(Into::into);
            return Poll::Ready(Err(ClientFault::Aborted(code)));
        }
        let taken = outgoing.poll_payload(context, payload);
        self.timed(taken, context)
    }

    fn close_behind(&mut self) {}

    fn end(&mut self, trailers: Option<&Fields>) {
        if let Some(mut outgoing) = self.outgoing.take() {
            self.is_broken |= outgoing.end(trailers).is_err();
        }
    }

    fn abort(&mut self) {
        if let Some(mut outgoing) = self.outgoing.take() {
            outgoing.reset(Reason::INTERNAL_ERROR);
        }
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ClientFault>> {
        let flushed = self.outgoing.as_mut().map_or(Ok(()), Outgoing::flush);
        let is_broken = self.is_broken || flushed.is_err();
        Poll::Ready(match is_broken {
            true => Err(ClientFault::Aborted(None)),
            false => Ok(()),
        })
    }

    fn tunnel(&mut self) -> Option<&mut dyn Duplex> {
        self.tunnel.as_mut().map(|tunnel| tunnel as &mut dyn Duplex)
    }
}

/// Whether the client broke the rules, and not the connection.
fn is_malformed(error: &h2::Error) -> bool {
    error.is_library() && error.reason() == Some(Reason::PROTOCOL_ERROR)
}

/// A response as HTTP/2 has it: without what HTTP/1.1 says of the connection.
fn response(head: &Head, edit: &Edit) -> Response<()> {
    let mut headers = HeaderMap::with_capacity(head.len() + 4);
    for field in edit.fields(head) {
        if !matches!(
            field.known,
            Some(Known::Connection | Known::TransferEncoding | Known::Upgrade)
        ) {
            append(&mut headers, field.name, field.value);
        }
    }
    let mut response = Response::new(());
    *response.status_mut() =
        StatusCode::from_u16(edit.status(head)).unwrap_or(StatusCode::BAD_GATEWAY);
    *response.headers_mut() = headers;
    response
}
