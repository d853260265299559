//! A member's connection of HTTP/2, shared by many requests, and one request on it. The h2 crate speaks it, in a task of its own.

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use equipoise_balancer::Counters;
use equipoise_http::http1::{Framing, Sender, response_framing};
use equipoise_http::{Edit, Fields, Head, Known, Method, Version, Violation, reason};
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, Reason};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, Request, Response, Uri};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::connection::{MemberFault, Traffic};
use super::stream::MemberStream;
use crate::config::Limits;
use crate::http2_body::{Broken, Incoming, Outgoing, append};
use crate::proxy::Piece;

/// The most requests at once on one connection; fewer where the member says so.
pub(super) const MOST_STREAMS: usize = 100;

/// What a member may send of one response, and of all responses on a connection, before we have taken some: so much waits
/// in memory if clients are slow. One response that waits must not keep the others waiting, so the second is as much as all.
const WINDOWS: (u32, u32) = (256 * 1024, MOST_STREAMS as u32 * 256 * 1024);

/// What is kept of one request until the member's socket takes it, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// How often a connection with requests under way is asked for a sign of life, and how long that may take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// A connection that many requests share.
#[derive(Clone)]
pub(super) struct Shared {
    sender: SendRequest<Bytes>,
    state: Rc<State>,
}

struct State {
    /// Drives the connection; ended with it.
    driver: JoinHandle<()>,
    has_ended: Rc<Cell<bool>>,
    carried: Rc<Cell<Traffic>>,
}

impl Drop for State {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Shared {
    /// Begins to speak HTTP/2 with a member. `is_busy` says whether requests are under way.
    pub(super) async fn open(
        stream: MemberStream,
        counters: Arc<Counters>,
        limits: &Limits,
        is_busy: impl Fn() -> bool + 'static,
    ) -> Result<Self, h2::Error> {
        let carried = Rc::new(Cell::new(Traffic::default()));
        let io = Counted {
            stream,
            counters,
            carried: carried.clone(),
        };
        let header_size = u32::try_from(limits.header_size).unwrap_or(u32::MAX);
        let (sender, connection) = Builder::new()
            .enable_push(false)
            .max_header_list_size(header_size)
            .initial_window_size(WINDOWS.0)
            .initial_connection_window_size(WINDOWS.1)
            .max_send_buffer_size(SEND_BUFFER)
            .handshake(io)
            .await?;
        let has_ended = Rc::new(Cell::new(false));
        let ended = has_ended.clone();
        let driver = spawn_local(async move {
            if let Err(error) = drive(connection, is_busy).await {
                tracing::debug!(%error, "a connection to a member ended");
            }
            ended.set(true);
        });
        let state = State {
            driver,
            has_ended,
            carried,
        };
        Ok(Self {
            sender,
            state: Rc::new(state),
        })
    }

    /// Whether more requests may begin on it.
    pub(super) fn is_open(&self) -> bool {
        !self.state.has_ended.get()
    }

    /// How many requests the member takes at once.
    pub(super) fn most_streams(&self) -> usize {
        self.sender.current_max_send_streams().min(MOST_STREAMS)
    }

    pub(super) fn carried(&self) -> Traffic {
        self.state.carried.get()
    }
}

/// Carries a connection on, and asks for a sign of life while requests are under way.
async fn drive<S: AsyncRead + AsyncWrite + Unpin>(
    mut connection: Connection<S, Bytes>,
    is_busy: impl Fn() -> bool,
) -> Result<(), h2::Error> {
    let mut pings = connection.ping_pong();
    let mut keepalive = pin!(async {
        let mut ticks = interval(KEEPALIVE.0);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await;
        loop {
            ticks.tick().await;
            if let Some(pings) = pings.as_mut().filter(|_| is_busy()) {
                let asked = timeout(KEEPALIVE.1, pings.ping(Ping::opaque()));
                if asked.await.is_err() {
                    return;
                }
            }
        }
    });
    poll_fn(|context| {
        if let Poll::Ready(ended) = Pin::new(&mut connection).poll(context) {
            return Poll::Ready(ended);
        }
        ready!(keepalive.as_mut().poll(context));
        // Those who use it are told that it is over.
        tracing::debug!("a member gives no sign of life");
        Poll::Ready(Ok(()))
    })
    .await
}

/// One request on a shared connection.
pub(crate) struct Http2 {
    shared: Shared,
    is_secure: bool,
    method: Method,
    /// The head that is yet to be sent, and whether nothing follows.
    request: Option<(Request<()>, bool)>,
    response: Option<ResponseFuture>,
    outgoing: Option<Outgoing>,
    incoming: Option<Incoming>,
    framing: Framing,
    before: Traffic,
    /// Interim responses to the request.
    interims: u16,
    limits: equipoise_http::Limits,
}

impl Http2 {
    pub(super) fn new(shared: Shared, is_secure: bool, limits: equipoise_http::Limits) -> Self {
        Self {
            before: shared.carried(),
            shared,
            is_secure,
            method: Method::Get,
            request: None,
            response: None,
            outgoing: None,
            incoming: None,
            framing: Framing::None,
            interims: 0,
            limits,
        }
    }

    /// What the connection has carried since the request began, of all requests on it.
    pub(super) fn carried_now(&self) -> Traffic {
        let now = self.shared.carried();
        Traffic {
            sent: now.sent - self.before.sent,
            read: now.read - self.before.read,
        }
    }

    /// Whether the connection has taken the request.
    pub(super) fn has_sent(&self) -> bool {
        self.request.is_none()
    }

    pub(super) fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Begins a request.
    ///
    /// # Errors
    /// What it cannot have in HTTP/2.
    pub(super) fn begin(
        &mut self,
        head: &Head,
        edit: &Edit,
        framing: Framing,
    ) -> Result<(), &'static str> {
        self.method = head.method();
        let is_whole = matches!(framing, Framing::None | Framing::Length(0));
        let request = request(head, edit, self.is_secure)?;
        self.request = Some((request, is_whole));
        Ok(())
    }

    /// Sends the head as soon as the connection takes it.
    fn poll_begun(&mut self, context: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        if self.request.is_some() {
            ready!(self.shared.sender.poll_ready(context))?;
        }
        if let Some((request, is_whole)) = self.request.take() {
            let (response, outgoing) = self.shared.sender.send_request(request, is_whole)?;
            self.response = Some(response);
            self.outgoing = (!is_whole).then(|| Outgoing::new(outgoing));
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, MemberFault>> {
        ready!(self.poll_begun(context)).map_err(MemberFault::Http2)?;
        match &mut self.outgoing {
            Some(outgoing) => outgoing
                .poll_payload(context, payload)
                .map_err(MemberFault::Http2),
            None => Poll::Ready(Err(MemberFault::Closed)),
        }
    }

    pub(super) fn end(&mut self, trailers: Option<&Fields>) -> Result<(), MemberFault> {
        match (self.outgoing.take(), &mut self.request) {
            (Some(mut outgoing), _) => outgoing.end(trailers).map_err(MemberFault::Http2),
            // Nothing of it was sent yet, so that its head is all of it.
            (None, Some((_, is_whole))) => {
                *is_whole = true;
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }

    pub(super) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), MemberFault>> {
        ready!(self.poll_begun(context)).map_err(MemberFault::Http2)?;
        let flushed = self.outgoing.as_mut().map_or(Ok(()), Outgoing::flush);
        Poll::Ready(flushed.map_err(MemberFault::Http2))
    }

    /// The next head of the response; interim ones come first.
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Head,
    ) -> Poll<Result<(), MemberFault>> {
        ready!(self.poll_begun(context)).map_err(MemberFault::Http2)?;
        let Some(response) = &mut self.response else {
            return Poll::Ready(Err(MemberFault::Closed));
        };
        if let Poll::Ready(Some(interim)) = response.poll_informational(context) {
            let interim = interim.map_err(MemberFault::Http2)?;
            self.interims += 1;
            if self.interims > self.limits.interims {
                return Poll::Ready(Err(MemberFault::Violation(Violation::TooManyInterims)));
            }
            return Poll::Ready(read_head(&interim, head, &self.limits));
        }
        let response = ready!(Pin::new(response).poll(context)).map_err(MemberFault::Http2)?;
        self.response = None;
        let (parts, incoming) = response.into_parts();
        let whole = Response::from_parts(parts, ());
        read_head(&whole, head, &self.limits)?;
        if head.status() == 101 {
            // RFC 9113, 8.6.
            return Poll::Ready(Err(MemberFault::Nonsense("101 in HTTP/2")));
        }
        let framing = response_framing(head, self.method).map_err(MemberFault::Violation)?;
        let incoming = Incoming::new(incoming, Sender::Member);
        self.framing = match framing {
            // Where a stream ends, it says itself.
            Framing::Close if incoming.is_over() => Framing::Length(0),
            Framing::Close => Framing::Chunked,
            framing => framing,
        };
        self.incoming = Some(incoming);
        Poll::Ready(Ok(()))
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<Piece, MemberFault>> {
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(Ok(Piece::End));
        };
        incoming.poll(context).map_err(|broken| match broken {
            Broken::Http2(error) => MemberFault::Http2(error),
            Broken::Violation(violation) => MemberFault::Violation(violation),
        })
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.incoming.as_ref().map_or(&[], Incoming::payload)
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        if let Some(incoming) = &mut self.incoming {
            incoming.consume(bytes);
        }
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.incoming.as_ref().map(Incoming::trailers)
    }

    /// Ends the request before its end, for this reason.
    pub(super) fn reset(&mut self, reason: Reason) {
        if let Some(outgoing) = &mut self.outgoing {
            outgoing.reset(reason);
        }
    }
}

/// A request as HTTP/2 has it (RFC 9113, 8.3.1).
fn request(head: &Head, edit: &Edit, is_secure: bool) -> Result<Request<()>, &'static str> {
    let mut headers = HeaderMap::with_capacity(head.len() + 4);
    let mut authority = None;
    for field in edit.fields(head) {
        match field.known {
            Some(Known::Host) => authority = Authority::try_from(field.value).ok(),
            // What is said of a connection is not said here.
            Some(Known::Connection | Known::TransferEncoding | Known::Upgrade) => {}
            _ => append(&mut headers, field.name, field.value),
        }
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(match is_secure {
        true => Scheme::HTTPS,
        false => Scheme::HTTP,
    });
    uri.authority = Some(authority.ok_or("the host cannot be said in HTTP/2")?);
    let target = PathAndQuery::try_from(edit.target(head));
    uri.path_and_query = Some(target.map_err(|_| "the target cannot be said in HTTP/2")?);
    let mut request = Request::new(());
    *request.method_mut() =
        http::Method::from_bytes(head.method_bytes()).map_err(|_| "the method is not a token")?;
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| "the target cannot be said in HTTP/2")?;
    *request.version_mut() = http::Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}

fn read_head(
    response: &Response<()>,
    head: &mut Head,
    limits: &equipoise_http::Limits,
) -> Result<(), MemberFault> {
    if response.headers().len() > usize::from(limits.head.fields) {
        return Err(MemberFault::Violation(Violation::TooManyFields));
    }
    let status = response.status().as_u16();
    head.begin_response(status, reason(status), Version::Http2)
        .map_err(MemberFault::Violation)?;
    for (name, value) in response.headers() {
        head.push(name.as_str().as_bytes(), value.as_bytes())
            .map_err(MemberFault::Violation)?;
    }
    Ok(())
}

/// A stream whose bytes count as the member's traffic.
struct Counted {
    stream: MemberStream,
    counters: Arc<Counters>,
    carried: Rc<Cell<Traffic>>,
}

impl Counted {
    fn note_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = written {
            self.counters.add_transferred(bytes as u64);
            self.carried.update(|carried| Traffic {
                sent: carried.sent + bytes as u64,
                ..carried
            });
        }
        written
    }
}

impl AsyncRead for Counted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        let bytes = (buffer.filled().len() - before) as u64;
        self.counters.add_read(bytes);
        self.carried.update(|carried| Traffic {
            read: carried.read + bytes,
            ..carried
        });
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.note_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.note_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
