//! One request of a client that speaks HTTP/2, and the stream that it came by.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{Method, Request, Response};
use http_body::Body as _;
use thiserror::Error;
use tokio::time::Instant;

use super::activity::UnderWay;
use super::client::Client;
use super::client_body::{ClientBody, StreamBody};
use super::date::date;
use super::http2_tunnel::StreamTunnel;
use super::responder::Responder;
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::proxy::{self, Body};

/// One request of a connection.
pub(super) struct Stream {
    pub(super) client: Rc<Client>,
    pub(super) respond: SendResponse<Bytes>,
    pub(super) limits: Arc<Limits>,
    pub(super) under_way: UnderWay,
}

/// Why a client did not get an answer, or not all of it.
#[derive(Debug, Error)]
enum Broken {
    /// Its connection is gone.
    #[error("{0}")]
    Gone(#[from] h2::Error),
    /// It said so.
    #[error("the client wants no answer any more ({0:?})")]
    Reset(Reason),
    /// It takes nothing of it.
    #[error("the client takes nothing of the answer")]
    Stalled,
    /// The member broke off.
    #[error("{0}")]
    Source(Box<dyn std::error::Error + Send + Sync>),
}

impl Stream {
    /// Answers the request, or tells the client that it is not answered.
    pub(super) async fn run(self, request: Request<RecvStream>) {
        let client = self.client.clone();
        if let Err(error) = self.serve(request).await {
            // Whatever is left of the stream was dropped, and its client is told.
            tracing::debug!(address = %client.address, %error, "an answer broke off");
        }
    }

    async fn serve(mut self, request: Request<RecvStream>) -> Result<(), Broken> {
        if request.method() == Method::CONNECT {
            return self.serve_connect(request).await;
        }
        let (parts, incoming) = request.into_parts();
        let body = StreamBody::new(incoming, &parts.headers);
        let request = Request::from_parts(parts, ClientBody::Http2(body));
        let answer = self.ask(Responder::default(), request).await?;
        self.answer(answer).await
    }

    /// A request for a tunnel, or for what only a forward proxy does.
    async fn serve_connect(mut self, request: Request<RecvStream>) -> Result<(), Broken> {
        let (parts, from_client) = request.into_parts();
        let (responder, opened) = Responder::with_tunnel();
        let request = Request::from_parts(parts, ClientBody::Empty);
        let answer = self.ask(responder, request).await?;
        if !answer.status().is_success() {
            return self.answer(answer).await;
        }
        let (head, _) = for_http2(answer);
        let to_client = self.respond.send_response(head, false)?;
        // Where nobody waits for it, there is no tunnel, and the client is told.
        let _ = opened.send(StreamTunnel::new(to_client, from_client, self.under_way));
        Ok(())
    }

    /// Has the request answered, unless the client loses interest.
    async fn ask(
        &mut self,
        responder: Responder,
        request: Request<ClientBody>,
    ) -> Result<Response<Body>, Broken> {
        let responder = Rc::new(responder);
        let (respond, interim) = (&mut self.respond, responder.interim.clone());
        let mut handling = pin!(proxy::handle(self.client.clone(), responder, request));
        poll_fn(|context| {
            loop {
                if let Poll::Ready(Ok(answer)) = handling.as_mut().poll(context) {
                    return Poll::Ready(Ok(answer));
                }
                let Some(interim) = interim.take() else {
                    break;
                };
                respond.send_informational(interim)?;
            }
            let reason = ready!(respond.poll_reset(context))?;
            Poll::Ready(Err(Broken::Reset(reason)))
        })
        .await
    }

    /// Sends an answer to its end.
    async fn answer(&mut self, answer: Response<Body>) -> Result<(), Broken> {
        let (head, body) = for_http2(answer);
        if body.is_end_stream() {
            self.respond.send_response(head, true)?;
            return Ok(());
        }
        let mut to_client = self.respond.send_response(head, false)?;
        let mut body = pin!(body);
        loop {
            let frame = poll_fn(|context| {
                poll_reset(&mut to_client, context)?;
                body.as_mut().poll_frame(context).map(Ok::<_, Broken>)
            });
            let Some(frame) = frame.await? else {
                to_client.send_data(Bytes::new(), true)?;
                return Ok(());
            };
            let frame = frame.map_err(|error| {
                to_client.send_reset(Reason::INTERNAL_ERROR);
                Broken::Source(error)
            })?;
            match frame.into_data() {
                Ok(data) => {
                    let is_last = body.is_end_stream();
                    self.send(&mut to_client, data, is_last).await?;
                    if is_last {
                        return Ok(());
                    }
                }
                Err(frame) => {
                    if let Ok(trailers) = frame.into_trailers() {
                        to_client.send_trailers(trailers)?;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Sends a piece of a body, as the client gives room for it. What it does not take within `client-timeout` and the time
    /// that the piece is worth at `client-rate`, it does not want.
    async fn send(
        &self,
        to_client: &mut SendStream<Bytes>,
        mut data: Bytes,
        is_last: bool,
    ) -> Result<(), Broken> {
        let mut deadline = Deadline::default();
        let rate = self.limits.client_rate.max(1) as u64;
        let patience = self.limits.client_timeout + Duration::from_secs(data.len() as u64 / rate);
        loop {
            let mut room = 0;
            if !data.is_empty() {
                to_client.reserve_capacity(data.len());
                room = poll_fn(|context| {
                    poll_reset(to_client, context)?;
                    let Poll::Ready(room) = poll_room(to_client, context) else {
                        if !deadline.is_set() {
                            deadline.set(Instant::now() + patience);
                        }
                        return deadline.poll(context).map(|()| Err(Broken::Stalled));
                    };
                    Poll::Ready(room)
                })
                .await?;
            }
            let piece = data.split_to(room.min(data.len()));
            to_client.send_data(piece, is_last && data.is_empty())?;
            if data.is_empty() {
                return Ok(());
            }
        }
    }
}

/// Whether the client still wants the answer.
fn poll_reset(to_client: &mut SendStream<Bytes>, context: &mut Context<'_>) -> Result<(), Broken> {
    match to_client.poll_reset(context) {
        Poll::Ready(reason) => Err(Broken::Reset(reason?)),
        Poll::Pending => Ok(()),
    }
}

/// How many bytes the client takes now of what there is; at least one.
fn poll_room(
    to_client: &mut SendStream<Bytes>,
    context: &mut Context<'_>,
) -> Poll<Result<usize, Broken>> {
    while to_client.capacity() == 0 {
        match ready!(to_client.poll_capacity(context)) {
            Some(room) => room?,
            None => return Poll::Ready(Err(Broken::Reset(Reason::STREAM_CLOSED))),
        };
    }
    Poll::Ready(Ok(to_client.capacity()))
}

/// An answer as HTTP/2 has it: without what HTTP/1.1 says of the connection, and with what it says of its length and time.
fn for_http2(answer: Response<Body>) -> (Response<()>, Body) {
    let (mut head, body) = answer.into_parts();
    head.headers.remove(CONNECTION);
    if !head.headers.contains_key(DATE) {
        head.headers.insert(DATE, date());
    }
    if let Some(length) = body.size_hint().exact()
        && !body.is_end_stream()
        && !head.headers.contains_key(CONTENT_LENGTH)
    {
        head.headers.insert(CONTENT_LENGTH, length.into());
    }
    (Response::from_parts(head, ()), body)
}
