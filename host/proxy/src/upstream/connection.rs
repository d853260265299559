//! A connection to a member, for one request at a time (HTTP/1.1, AJP) or for many (HTTP/2), and one request on it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use equipoise_balancer::Counters;
use equipoise_http::http1::Framing;
use equipoise_http::http2::ErrorCode;
use equipoise_http::{Edit, Fields, Head, Violation};
use thiserror::Error;
use tokio::time::Instant;

use crate::body_frame::BodyFrame;
use crate::duplex::Duplex;
use crate::error::{ConnectError, MemberError};
use crate::observe::metrics::MemberMetrics;
use crate::upstream::ajp::Ajp;
use crate::upstream::connect::{ConnectOptions, Connected, connect};
use crate::upstream::http1::Http1;
use crate::upstream::http2::{Http2, MAX_STREAMS, Shared};
use crate::upstream::member_wire::NotIdle;
use crate::upstream::{Endpoint, Origin};
use equipoise_config::{Limits, Protocol};
use equipoise_dns::Address;

/// Why a request is not begun on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum BeginError {
    /// It cannot be said there.
    #[error("{0}")]
    Invalid(Violation),
    /// The connection takes no more requests, for now or any more.
    #[error("the connection takes no more requests")]
    Unavailable,
}

/// What a connection has carried, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ByteCounts {
    /// To the member.
    pub(crate) sent: u64,
    /// From the member.
    pub(crate) read: u64,
}

/// A connection to a member, for one exchange. Dropping it ends what is under way; with HTTP/1.1 and AJP it closes the connection
/// at once, with HTTP/2 when it is the last of those that share it.
pub(crate) struct Connection {
    http: Http,
    state: Rc<ConnectionState>,
    /// Whether it served a request before.
    is_reused: bool,
    /// What comes next of the response's body, where that was looked at.
    peeked: Option<BodyFrame>,
}

enum Http {
    Http1(Box<Http1>),
    Http2(Box<Http2>),
    Ajp(Box<Ajp>),
}

/// A connection of HTTP/2 as the pool keeps it: any number of exchanges branch off.
pub(crate) struct SharedConnection {
    shared: Shared,
    state: Rc<ConnectionState>,
    /// When it was made.
    begun: Instant,
}

/// What there is once of a connection.
struct ConnectionState {
    metrics: Arc<MemberMetrics>,
    /// Where it goes to, of the addresses of the member's name; none where it has no name.
    address: Option<Arc<Address>>,
    /// Requests in flight.
    streams: Cell<usize>,
    /// When the last of them ended.
    ended: Cell<Instant>,
    /// Whether it is counted as idle.
    is_idle: Cell<bool>,
    /// Whether many exchanges share it.
    is_shared: bool,
}

impl Connection {
    /// Connects to a member, until the deadline.
    ///
    /// # Errors
    /// As [`connect`].
    pub(crate) async fn open(
        endpoint: &Endpoint,
        counters: Arc<Counters>,
        limits: &Limits,
        options: ConnectOptions<'_>,
        deadline: Instant,
    ) -> Result<(Self, Option<SharedConnection>), ConnectError> {
        let Connected {
            stream,
            speaks_http2,
            address,
        } = connect(endpoint, options, deadline).await?;
        endpoint.metrics.opened.add(1);
        let state = Rc::new(ConnectionState {
            metrics: endpoint.metrics.clone(),
            address,
            streams: Cell::new(1),
            ended: Cell::new(Instant::now()),
            is_idle: Cell::new(false),
            is_shared: speaks_http2,
        });
        let limits = limits.message_limits();
        if endpoint.config.protocol == Protocol::Ajp {
            let ajp = Ajp::new(stream, counters, limits, endpoint.config.ajp_packet_size);
            return Ok((Self::new(Http::Ajp(Box::new(ajp)), state), None));
        }
        if !speaks_http2 {
            let http1 = Http1::new(stream, counters, limits);
            return Ok((Self::new(Http::Http1(Box::new(http1)), state), None));
        }
        let (is_tls, timeout) = (endpoint.tls.is_some(), endpoint.config.timeout);
        let shared = Shared::open(stream, counters, limits, is_tls, timeout);
        let shared = SharedConnection {
            shared,
            state,
            begun: Instant::now(),
        };
        Ok((shared.stream(), Some(shared)))
    }

    fn new(http: Http, state: Rc<ConnectionState>) -> Self {
        Self {
            http,
            state,
            is_reused: false,
            peeked: None,
        }
    }

    /// Whether it served a request before, so that the member may have closed it meanwhile.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Whether others may share it.
    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self.http, Http::Http2(_))
    }

    /// What it has carried of the request under way and its response.
    pub(crate) fn byte_counts(&self) -> ByteCounts {
        match &self.http {
            Http::Http1(http1) => http1.request_byte_counts(),
            Http::Http2(http2) => http2.byte_counts(),
            Http::Ajp(ajp) => ajp.request_byte_counts(),
        }
    }

    /// Whether something of the request under way may have reached the member.
    pub(crate) fn has_sent(&self) -> bool {
        match &self.http {
            Http::Http1(http1) => http1.request_byte_counts().sent > 0,
            Http::Http2(http2) => http2.has_sent(),
            Http::Ajp(ajp) => ajp.request_byte_counts().sent > 0,
        }
    }

    /// Whether something of the response under way has come.
    pub(crate) fn has_read(&self) -> bool {
        match &self.http {
            Http::Http1(http1) => http1.request_byte_counts().read > 0,
            Http::Http2(http2) => http2.byte_counts().read > 0,
            Http::Ajp(ajp) => ajp.request_byte_counts().read > 0,
        }
    }

    /// Whether the exchange is over, so that another may follow.
    #[inline]
    pub(crate) fn is_reusable(&self) -> bool {
        let is_over = match &self.http {
            Http::Http1(http1) => http1.is_reusable(),
            Http::Http2(http2) => http2.is_open(),
            Http::Ajp(ajp) => ajp.is_reusable(),
        };
        is_over && self.state.is_wanted()
    }

    /// Counts what the member has said behind the response, which was not asked for.
    pub(super) fn count_unasked(&self) {
        let has_more = match &self.http {
            Http::Http1(http1) => http1.has_more(),
            Http::Http2(_) => false,
            Http::Ajp(ajp) => ajp.has_more(),
        };
        if has_more {
            self.state.metrics.count_unasked();
        }
    }

    /// Whether the member has left it alone: it neither closed it nor said something unasked, which is counted.
    #[inline]
    pub(super) fn is_idle(&mut self) -> bool {
        let idle = match &mut self.http {
            Http::Http1(http1) => http1.check_idle(),
            Http::Http2(_) => return true,
            Http::Ajp(ajp) => ajp.check_idle(),
        };
        match idle {
            Ok(()) => self.state.is_wanted(),
            Err(NotIdle(has_spoken)) => {
                if has_spoken {
                    self.state.metrics.count_unasked();
                }
                false
            }
        }
    }

    /// The same connection, after an exchange: idle.
    #[inline]
    pub(super) fn into_idle(mut self) -> Self {
        match &mut self.http {
            Http::Http1(http1) => http1.release_buffers(),
            Http::Http2(_) => {}
            Http::Ajp(ajp) => ajp.release_buffers(),
        }
        self.state.set_idle();
        self
    }

    /// The same connection, for another exchange.
    #[inline]
    pub(super) fn into_reused(mut self) -> Self {
        self.is_reused = true;
        self.peeked = None;
        self.state.set_busy();
        self
    }

    /// Whether the member can be asked before a request whether it lives; by HTTP/1, there is nothing to ask it by.
    pub(crate) fn has_ping(&self) -> bool {
        !matches!(self.http, Http::Http1(_))
    }

    /// Ready when the member has shown that it lives, where it [can be asked](Self::has_ping).
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) async fn ping(&mut self) -> Result<(), MemberError> {
        match &mut self.http {
            Http::Http1(_) => Ok(()),
            Http::Http2(http2) => http2.ping().await,
            Http::Ajp(ajp) => ajp.ping().await,
        }
    }

    /// Whether a request on it may become something else than HTTP; by HTTP/2, the member says so first,
    /// and by AJP it never may.
    ///
    /// # Errors
    /// The connection is over.
    pub(crate) async fn supports_upgrades(&self) -> Result<bool, MemberError> {
        match &self.http {
            Http::Http1(_) => Ok(true),
            Http::Http2(http2) => http2.takes_connect().await,
            Http::Ajp(_) => Ok(false),
        }
    }

    /// No more requests begin on it, where it is shared.
    pub(crate) fn retire(&self) {
        if let Http::Http2(http2) = &self.http {
            http2.retire();
        }
    }

    /// Begins a request, with a body that ends like this. It is sent with what follows, or when it is flushed. `upgrade` is what the
    /// member is asked to become, as the head says it, too; `origin` is what a container of AJP is told besides.
    ///
    /// # Errors
    /// It cannot be said in HTTP/2 or AJP, or a shared connection takes no more; nothing is sent.
    pub(crate) fn begin(
        &mut self,
        head: &Head,
        edit: &Edit,
        framing: Framing,
        upgrade: Option<&str>,
        origin: &Origin<'_>,
    ) -> Result<(), BeginError> {
        match &mut self.http {
            Http::Http1(http1) => http1.begin(head, edit, framing),
            Http::Http2(http2) => http2.begin(head, edit, framing, upgrade)?,
            Http::Ajp(ajp) => {
                let begun = ajp.begin(head, edit, framing, origin);
                begun.map_err(BeginError::Invalid)?;
            }
        }
        Ok(())
    }

    /// Takes payload of the request, at least a byte. What was begun has to come again until all of it was taken.
    pub(crate) fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, MemberError>> {
        match &mut self.http {
            Http::Http1(http1) => http1
                .poll_payload(context, payload)
                .map_err(MemberError::Io),
            Http::Http2(http2) => http2.poll_payload(context, payload),
            Http::Ajp(ajp) => ajp.poll_payload(context, payload),
        }
    }

    /// The request is over; by AJP, there are no trailers.
    pub(crate) fn end(&mut self, trailers: Option<&Fields>) -> Result<(), MemberError> {
        match &mut self.http {
            Http::Http1(http1) => http1.end(trailers).map_err(MemberError::Io),
            Http::Http2(http2) => http2.end(trailers),
            Http::Ajp(ajp) => ajp.end(),
        }
    }

    /// Ready when all of the request was written that is there.
    #[inline]
    pub(crate) fn poll_flush(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), MemberError>> {
        match &mut self.http {
            Http::Http1(http1) => http1.poll_flush(context).map_err(MemberError::Io),
            // Whatever waits on it is written for all who share it.
            Http::Http2(_) => Poll::Ready(Ok(())),
            Http::Ajp(ajp) => ajp.poll_flush(context).map_err(MemberError::Io),
        }
    }

    /// The next head of the response; interim ones come first.
    #[inline]
    pub(crate) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Box<Head>,
    ) -> Poll<Result<(), MemberError>> {
        match &mut self.http {
            Http::Http1(http1) => http1.poll_head(context, head),
            Http::Http2(http2) => http2.poll_head(context, head),
            Http::Ajp(ajp) => ajp.poll_head(context, head),
        }
    }

    /// Where the body of the response ends.
    #[inline]
    pub(crate) fn framing(&self) -> Framing {
        match &self.http {
            Http::Http1(http1) => http1.framing(),
            Http::Http2(http2) => http2.framing(),
            Http::Ajp(ajp) => ajp.framing(),
        }
    }

    /// Looks at what has come of the response's body with its head: a body that is wrong from the beginning is no response.
    ///
    /// # Errors
    /// It must not pass.
    #[inline]
    pub(crate) fn peek(&mut self) -> Result<(), MemberError> {
        let Http::Http1(http1) = &mut self.http else {
            return Ok(());
        };
        if http1.framing() != Framing::Chunked || !http1.has_come() {
            return Ok(());
        }
        match http1.poll_body(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Ok(piece)) => self.peeked = Some(piece),
            Poll::Ready(Err(fault @ MemberError::Violation(_))) => return Err(fault),
            // Told again.
            Poll::Ready(Err(_)) | Poll::Pending => {}
        }
        Ok(())
    }

    /// What comes next of the response's body. Payload is taken before this is asked again.
    #[inline]
    pub(crate) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<BodyFrame, MemberError>> {
        if let Some(piece) = self.peeked.take() {
            return Poll::Ready(Ok(piece));
        }
        match &mut self.http {
            Http::Http1(http1) => http1.poll_body(context),
            Http::Http2(http2) => http2.poll_body(context),
            Http::Ajp(ajp) => ajp.poll_body(context),
        }
    }

    /// The payload that has come and is not taken yet.
    #[inline]
    pub(crate) fn payload(&self) -> &[u8] {
        match &self.http {
            Http::Http1(http1) => http1.payload(),
            Http::Http2(http2) => http2.payload(),
            Http::Ajp(ajp) => ajp.payload(),
        }
    }

    /// So many bytes of it are taken.
    #[inline]
    pub(crate) fn consume(&mut self, bytes: usize) {
        match &mut self.http {
            Http::Http1(http1) => http1.consume(bytes),
            Http::Http2(http2) => http2.consume(bytes),
            Http::Ajp(ajp) => ajp.consume(bytes),
        }
    }

    /// The trailers of the response, once they have come.
    pub(crate) fn trailers(&self) -> Option<&Fields> {
        match &self.http {
            Http::Http1(http1) => Some(http1.trailers()),
            Http::Http2(http2) => http2.trailers(),
            Http::Ajp(_) => None,
        }
    }

    /// Ends the request before its end; by HTTP/2 with the client's own reason, while the body is still being sent.
    pub(crate) fn reset(&mut self, reason: u32) {
        if let Http::Http2(http2) = &mut self.http {
            http2.reset(ErrorCode(reason));
        }
    }

    /// What the connection is behind a 101.
    pub(crate) fn tunnel(&mut self) -> Option<&mut dyn Duplex> {
        match &mut self.http {
            Http::Http1(http1) => Some(&mut **http1),
            Http::Http2(http2) => http2.tunnel(),
            Http::Ajp(_) => None,
        }
    }
}

#[cfg(test)]
impl Connection {
    /// One of HTTP/1.1 over this socket, of a member that is no balancer's.
    pub(crate) fn over(socket: crate::upstream::dial::Socket) -> Self {
        let stream = tokio_util::either::Either::Left(socket);
        let limits = equipoise_http::Limits::default();
        let http1 = Http1::new(stream, Arc::default(), limits);
        let state = ConnectionState {
            metrics: Arc::default(),
            address: None,
            streams: Cell::new(1),
            ended: Cell::new(Instant::now()),
            is_idle: Cell::new(false),
            is_shared: false,
        };
        Self::new(Http::Http1(Box::new(http1)), Rc::new(state))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.state.end_stream();
    }
}

impl SharedConnection {
    /// Whether there is room for another exchange.
    pub(super) fn has_room(&self) -> bool {
        // Also those count that are not begun, or of which the client has yet to take the response.
        let most = self.shared.max_streams().min(MAX_STREAMS);
        self.state.streams.get() < most && self.state.is_wanted()
    }

    /// Whether it was made then or later.
    pub(super) fn is_from(&self, time: Instant) -> bool {
        self.begun >= time
    }

    /// The connection for another exchange; `is_reused` says that it counts as one that served others before.
    pub(super) fn open_stream(&self, is_reused: bool) -> Connection {
        self.state.set_busy();
        self.state.streams.update(|count| count + 1);
        let mut connection = self.stream();
        connection.is_reused = is_reused;
        connection
    }

    fn stream(&self) -> Connection {
        let http2 = Http2::new(self.shared.clone());
        Connection::new(Http::Http2(Box::new(http2)), self.state.clone())
    }

    /// Gives memory back, if nothing is under way.
    pub(super) fn shrink(&self) {
        if self.state.streams.get() == 0 {
            self.shared.shrink();
        }
    }

    /// Whether it should be kept: it is open, and has not been idle for `ttl`.
    pub(super) fn is_of_use(&self, ttl: Duration) -> bool {
        let is_busy = self.state.streams.get() > 0;
        let is_kept = is_busy || self.state.ended.get().elapsed() < ttl;
        self.shared.is_open() && is_kept && self.state.is_wanted()
    }
}

impl ConnectionState {
    /// Whether the member is still where it goes to.
    fn is_wanted(&self) -> bool {
        self.address.as_ref().is_none_or(|it| !it.is_retired())
    }

    /// An exchange begins that is not the first.
    fn set_busy(&self) {
        self.metrics.reused.add(1);
        if self.is_idle.take() {
            self.metrics.idle.take(1);
        }
    }

    /// Nothing is under way, and it is kept.
    fn set_idle(&self) {
        if !self.is_idle.replace(true) {
            self.metrics.idle.add(1);
        }
    }

    /// An exchange is over.
    fn end_stream(&self) {
        let left = self.streams.get().saturating_sub(1);
        self.streams.set(left);
        if left == 0 && self.is_shared {
            self.ended.set(Instant::now());
            self.set_idle();
        }
    }
}

impl Drop for ConnectionState {
    fn drop(&mut self) {
        if self.is_idle.take() {
            self.metrics.idle.take(1);
        }
    }
}
