//! One connection to a member, for one request at a time (HTTP/1.1) or for many (HTTP/2).

use std::cell::Cell;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use equipoise_balancer::Counters;
use futures_util::future::Either;
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::config::Limits;
use crate::meters::MemberMeters;
use crate::names::Address;
use crate::proxy::Upload;
use crate::upstream::Upstream;
use crate::upstream::answers::Answers;
use crate::upstream::connect::{ConnectError, ConnectOptions, Connected, connect};
use crate::upstream::metered::{Carried, Metered, Traffic};
use crate::upstream::stream::MemberStream;

/// The least that hyper may buffer of a connection, in bytes.
pub(crate) const MIN_BUFFER: usize = 128 * 1024;

/// The most requests at once on one connection of HTTP/2; fewer where the member says so.
const MOST_STREAMS: usize = 100;

/// What a member may send of one answer, and of all answers on a connection of HTTP/2, before we have taken some: so much waits
/// in memory if clients are slow. One answer that waits must not keep the others waiting, so the second is as much as all.
const WINDOWS: (u32, u32) = (256 * 1024, MOST_STREAMS as u32 * 256 * 1024);

/// When a connection of HTTP/2 with requests under way is asked for a sign of life, and how long that may take.
const SIGN_OF_LIFE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// For whom a connection is made, as far as the member is told of it by a PROXY header.
pub(crate) struct Introduction {
    /// Where the client is.
    pub(crate) client: SocketAddr,
}

/// A connection to a member, for one exchange. Dropping it ends what is under way; with HTTP/1.1 it closes the connection at
/// once, with HTTP/2 when it is the last of those that share it.
pub(crate) struct Connection {
    sender: Sender,
    link: Rc<Link>,
    /// Whether it served a request before.
    is_reused: bool,
}

enum Sender {
    Http1(http1::SendRequest<Upload>),
    Http2(http2::SendRequest<Upload>),
}

/// A connection of HTTP/2 as the pool keeps it: any number of exchanges branch off.
pub(crate) struct Trunk {
    sender: http2::SendRequest<Upload>,
    link: Rc<Link>,
}

/// What there is once of a connection.
struct Link {
    /// Drives the connection; ended with it.
    driver: JoinHandle<()>,
    carried: Arc<Carried>,
    /// Reads along with the answers; none with HTTP/2.
    answers: Option<Arc<Answers>>,
    meters: Arc<MemberMeters>,
    /// Where it goes to, of the addresses of the member's name; none where it has no name.
    address: Option<Arc<Address>>,
    /// Exchanges under way.
    exchanges: Cell<usize>,
    /// How many the member takes at once.
    most_exchanges: Rc<Cell<usize>>,
    /// When the last of them ended.
    ended: Cell<Instant>,
    /// Whether it is counted as idle.
    is_idle: Cell<bool>,
}

impl Connection {
    /// Connects to a member: to the first of its addresses that takes the connection.
    ///
    /// `upgrades` says that the connection may become something else: then it speaks HTTP/1.1.
    ///
    /// # Errors
    /// As [`connect`].
    pub(crate) async fn open(
        upstream: &Upstream,
        counters: Arc<Counters>,
        limits: &Limits,
        introduction: Introduction,
        upgrades: bool,
    ) -> Result<Self, ConnectError> {
        let options = ConnectOptions {
            client: Some(introduction.client),
            only_http1: upgrades,
            ..ConnectOptions::default()
        };
        let Connected {
            stream,
            speaks_http2,
            address,
        } = connect(upstream, options).await?;
        let carried = Arc::<Carried>::default();
        let answers = (!speaks_http2).then(|| Arc::new(Answers::new(limits.header_size)));
        let metered = Metered::new(stream, counters, carried.clone(), answers.clone());
        let io = TokioIo::new(metered);
        let most_exchanges = Rc::new(Cell::new(if speaks_http2 { MOST_STREAMS } else { 1 }));
        let (sender, driver) = match speaks_http2 {
            true => open_http2(io, limits, most_exchanges.clone()).await,
            false => open_http1(io, limits).await,
        }
        .map_err(io::Error::other)?;
        upstream.meters.opened.add(1);
        let link = Link {
            driver,
            carried,
            answers,
            meters: upstream.meters.clone(),
            address,
            exchanges: Cell::new(1),
            most_exchanges,
            ended: Cell::new(Instant::now()),
            is_idle: Cell::new(false),
        };
        Ok(Self {
            sender,
            link: Rc::new(link),
            is_reused: false,
        })
    }

    /// Whether it served a request before, so that the member may have closed it meanwhile.
    pub(crate) fn is_reused(&self) -> bool {
        self.is_reused
    }

    /// Whether others may share it.
    pub(crate) fn speaks_http2(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// What it has carried up to now, for whomever.
    pub(crate) fn carried(&self) -> Traffic {
        self.link.carried.now()
    }

    /// The next interim answer (1xx) to the request under way. A member's of HTTP/2 are not heard.
    pub(crate) fn poll_interim(&self, context: &Context<'_>) -> Poll<Response<()>> {
        match &self.link.answers {
            Some(answers) => answers.poll_interim(context),
            None => Poll::Pending,
        }
    }

    /// Whether the last exchange is over and the next may start.
    pub(crate) fn is_ready(&self) -> bool {
        let is_open = match &self.sender {
            Sender::Http1(sender) => {
                let answers = self.link.answers.as_ref();
                sender.is_ready() && !sender.is_closed() && answers.is_none_or(|it| it.are_over())
            }
            Sender::Http2(sender) => !sender.is_closed(),
        };
        is_open && self.link.is_wanted()
    }

    /// What is counted of its member.
    pub(crate) fn meters(&self) -> &MemberMeters {
        &self.link.meters
    }

    /// The same connection for the pool, so that others may share it; `None` where they cannot.
    pub(super) fn trunk(&self) -> Option<Trunk> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Trunk {
                sender: sender.clone(),
                link: self.link.clone(),
            }),
        }
    }

    /// The same connection, after an exchange: idle.
    pub(super) fn rested(self) -> Self {
        self.link.rest();
        self
    }

    /// The same connection, for another exchange.
    pub(super) fn reused(mut self) -> Self {
        self.is_reused = true;
        self.link.work();
        self
    }

    /// Sends a request and waits for the head of the answer.
    ///
    /// # Errors
    /// hyper's, with the request in it if not a byte of it was sent.
    pub(crate) fn send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>
    {
        if let Some(answers) = &self.link.answers {
            answers.begin(request.method() == Method::HEAD);
        }
        match &mut self.sender {
            Sender::Http1(sender) => Either::Left(sender.try_send_request(request)),
            Sender::Http2(sender) => Either::Right(sender.try_send_request(request)),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.link.end_exchange();
    }
}

impl Trunk {
    /// Whether there is room for another exchange.
    pub(super) fn has_room(&self) -> bool {
        let has_room = self.link.exchanges.get() < self.link.most_exchanges.get();
        !self.sender.is_closed() && has_room && self.link.is_wanted()
    }

    /// The connection for another exchange.
    pub(super) fn branch(&self) -> Connection {
        self.link.work();
        self.link.exchanges.update(|count| count + 1);
        Connection {
            sender: Sender::Http2(self.sender.clone()),
            link: self.link.clone(),
            is_reused: true,
        }
    }

    /// Whether it should be kept: it is open, and has not been idle for `ttl`.
    pub(super) fn is_of_use(&self, ttl: Duration) -> bool {
        let is_busy = self.link.exchanges.get() > 0;
        let is_kept = is_busy || self.link.ended.get().elapsed() < ttl;
        !self.sender.is_closed() && is_kept && self.link.is_wanted()
    }
}

impl Link {
    /// Whether the member is still where it goes to.
    fn is_wanted(&self) -> bool {
        self.address.as_ref().is_none_or(|it| !it.is_gone())
    }

    /// An exchange begins that is not the first.
    fn work(&self) {
        self.meters.reused.add(1);
        if self.is_idle.take() {
            self.meters.idle.take(1);
        }
    }

    /// Nothing is under way, and it is kept.
    fn rest(&self) {
        if !self.is_idle.replace(true) {
            self.meters.idle.add(1);
        }
    }

    /// An exchange is over.
    fn end_exchange(&self) {
        let left = self.exchanges.get().saturating_sub(1);
        self.exchanges.set(left);
        if left == 0 {
            self.ended.set(Instant::now());
            if self.most_exchanges.get() > 1 {
                self.rest();
            }
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        if self.is_idle.take() {
            self.meters.idle.take(1);
        }
        self.driver.abort();
    }
}

type Io = TokioIo<Metered<MemberStream>>;

async fn open_http1(io: Io, limits: &Limits) -> hyper::Result<(Sender, JoinHandle<()>)> {
    let mut http = http1::Builder::new();
    http.max_header_size(limits.header_size)
        .max_buf_size(limits.header_size.max(MIN_BUFFER));
    if let Some(headers) = limits.own_headers() {
        http.max_headers(headers);
    }
    let (sender, connection) = http.handshake(io).await?;
    let driver = tokio::task::spawn_local(async move {
        if let Err(error) = connection.with_upgrades().await {
            tracing::debug!(%error, "a connection to a member ended");
        }
    });
    Ok((Sender::Http1(sender), driver))
}

async fn open_http2(
    io: Io,
    limits: &Limits,
    most_exchanges: Rc<Cell<usize>>,
) -> hyper::Result<(Sender, JoinHandle<()>)> {
    let header_size = u32::try_from(limits.header_size).unwrap_or(u32::MAX);
    let (interval, patience) = SIGN_OF_LIFE;
    let mut http = http2::Builder::new(OnThisThread);
    http.timer(TokioTimer::new())
        .max_header_list_size(header_size)
        .initial_stream_window_size(WINDOWS.0)
        .initial_connection_window_size(WINDOWS.1)
        .keep_alive_interval(interval)
        .keep_alive_timeout(patience);
    let (sender, connection) = http.handshake(io).await?;
    let driver = tokio::task::spawn_local(async move {
        let mut connection = pin!(connection);
        let ended = poll_fn(|context| {
            let polled = connection.as_mut().poll(context);
            most_exchanges.set(connection.current_max_send_streams().min(MOST_STREAMS));
            polled
        });
        if let Err(error) = ended.await {
            tracing::debug!(%error, "a connection to a member ended");
        }
    });
    Ok((Sender::Http2(sender), driver))
}

/// Runs what belongs to a connection on the thread that uses it.
#[derive(Clone)]
struct OnThisThread;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
