//! One client's connection of HTTP/2: many requests at once, a task each.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Ping, PingPong, Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::{Method, Request, Response};
use http_body::Body as _;
use thiserror::Error;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::activity::{Activity, UnderWay};
use super::client::Client;
use super::client_body::{ClientBody, StreamBody};
use super::date::date;
use super::h2_io::H2Io;
use super::responder::Responder;
use super::stream::ClientStream;
use super::stream_tunnel::StreamTunnel;
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::proxy::{self, Body};

/// The largest frame a client may send, in bytes: the least that the RFC allows. A frame is read into memory as a whole.
const FRAME_SIZE: u32 = 16 * 1024;

/// What a client may send of one body before it is read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What a client may send of all bodies before they are read, in bytes.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What is kept of one answer until the client's socket takes it, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that a client may have reset before we have looked at them.
const PENDING_RESETS: usize = 20;

/// Streams that a client may make us reset, by what it does wrong on them, while the connection lives: it is ended behind
/// them, as is one that opens so many streams beyond the limit.
const RESETS_BY_US: usize = 1024;

/// How long a connection that is to end for want of requests may take to end.
const PARTING: Duration = Duration::from_secs(5);

/// What bounds a connection of HTTP/2.
///
/// A client can have in our memory, at most and in all: one megabyte of bodies that no member has taken yet
/// ([`CONNECTION_WINDOW`]); for each of `streams` requests, 64 KiB of its answer ([`SEND_BUFFER`], and the piece of it that
/// was read last) and heads of `header-size`; one frame ([`FRAME_SIZE`]); and two tables of HPACK, of 4 KiB and at most
/// 16 KiB.
fn bounds(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .max_frame_size(FRAME_SIZE)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(RESETS_BY_US))
        .enable_connect_protocol();
    builder
}

/// Serves a client that speaks HTTP/2, until its connection ends, or is to end and has no request under way.
///
/// # Errors
/// The client breaks the protocol, stalls, or is gone.
pub(super) async fn serve(
    stream: ClientStream,
    client: Rc<Client>,
    limits: &Arc<Limits>,
) -> Result<(), h2::Error> {
    let activity = Activity::new();
    let io =
        H2Io::new(stream, limits.clone(), activity.clone()).counted(client.worker.meters.clone());
    let handshake = bounds(limits).handshake(io);
    let Some(connection) = client.guest.unless_insisted(handshake).await else {
        return Ok(());
    };
    let mut connection = connection?;
    let mut vigil = Vigil::new(connection.ping_pong(), limits);
    let mut idle = Deadline::default();
    idle.set(Instant::now() + limits.keepalive_timeout);
    let mut is_ending = false;
    poll_fn(|context| {
        if client.guest.drain().has_begun() && !is_ending {
            is_ending = true;
            connection.graceful_shutdown();
        }
        if vigil.poll(&activity, context).is_ready() {
            tracing::debug!(address = %client.address, "a client gives no sign of life");
            connection.abrupt_shutdown(Reason::NO_ERROR);
        }
        if let Poll::Ready(ended) =
            poll_requests(&mut connection, &client, &activity, limits, context)
        {
            return Poll::Ready(ended);
        }
        while idle.poll(context).is_ready() {
            let now = Instant::now();
            let until = activity.idle_since().unwrap_or(now) + limits.keepalive_timeout;
            if until > now {
                idle.set(until);
            } else if is_ending {
                // It takes nothing that would let it end.
                return Poll::Ready(Ok(()));
            } else {
                is_ending = true;
                connection.graceful_shutdown();
                idle.set(now + PARTING);
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    })
    .await
}

/// Carries the connection on, and begins what requests come; ready when no more do.
fn poll_requests(
    connection: &mut Connection<H2Io<ClientStream>, Bytes>,
    client: &Rc<Client>,
    activity: &Rc<Activity>,
    limits: &Arc<Limits>,
    context: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    while let Some(accepted) = ready!(connection.poll_accept(context)) {
        let (request, respond) = accepted?;
        let stream = Stream {
            client: client.clone(),
            respond,
            limits: limits.clone(),
            under_way: activity.begin(),
        };
        spawn_local(stream.run(request));
    }
    Poll::Ready(Ok(()))
}

/// Asks a client that has been silent for `keepalive-timeout` for a sign of life, and waits `client-timeout` for it.
struct Vigil {
    /// None where somebody else has them.
    pings: Option<PingPong>,
    interval: Duration,
    patience: Duration,
    deadline: Deadline,
    has_asked: bool,
}

impl Vigil {
    fn new(pings: Option<PingPong>, limits: &Limits) -> Self {
        let mut deadline = Deadline::default();
        deadline.set(Instant::now() + limits.keepalive_timeout);
        Self {
            pings,
            interval: limits.keepalive_timeout,
            patience: limits.client_timeout,
            deadline,
            has_asked: false,
        }
    }

    /// Ready, once, when the client has given none.
    fn poll(&mut self, activity: &Activity, context: &mut Context<'_>) -> Poll<()> {
        let Some(pings) = &mut self.pings else {
            return Poll::Pending;
        };
        loop {
            if self.has_asked {
                if let Poll::Ready(answer) = pings.poll_pong(context) {
                    if answer.is_err() {
                        // The connection ends, and says why.
                        return Poll::Pending;
                    }
                    self.has_asked = false;
                    self.deadline.set(Instant::now() + self.interval);
                    continue;
                }
                return self.deadline.poll(context);
            }
            ready!(self.deadline.poll(context));
            let (now, due) = (Instant::now(), activity.heard() + self.interval);
            if due > now {
                self.deadline.set(due);
            } else if pings.send_ping(Ping::opaque()).is_ok() {
                self.has_asked = true;
                self.deadline.set(now + self.patience);
            } else {
                return Poll::Pending;
            }
        }
    }
}

/// One request of a connection.
struct Stream {
    client: Rc<Client>,
    respond: SendResponse<Bytes>,
    limits: Arc<Limits>,
    under_way: UnderWay,
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
    async fn run(self, request: Request<RecvStream>) {
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
