//! The life of one request, from the client's head to the last byte of a member's response.

mod account;
mod attempt;
mod downstream;
mod error;
mod headers;
mod manager;
mod notes;
mod relay;
mod respond;
mod retry_budget;
mod rewrite;
mod sticky_cookie;
pub(crate) mod target;
mod template;
mod tries;
mod tunnel;
mod upgrade;
mod upload;
mod view;
mod workspace;

use std::borrow::Cow;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Poll, ready};
use std::time::Duration;

use equipoise_balancer::{NoMember, PickArgs, Selection};
use equipoise_http::head::Expectation;
use equipoise_http::host;
use equipoise_http::{Head, Known, Version};
use equipoise_sdk::Affinity;
use percent_encoding::{AsciiSet, percent_encode};
use tokio::time::{Instant, sleep, sleep_until};

use crate::downstream::Client;
use crate::observe::Account;
use crate::path;
use crate::router::{self, Found};
use crate::snapshot::{Cluster, Snapshot};
use crate::upstream::{Connection, Pool, Slot, Upstream};
use equipoise_config::Route;
use equipoise_tls::Connector;
use error::Retryability;
use notes::Notes;
use tries::{Next, Tries};
use upgrade::Wish;
use upload::Upload;
pub use view::Services;
use view::View;

/// Nothing is encoded but what is not ASCII, which always is.
const BEYOND_ASCII: &AsciiSet = &AsciiSet::EMPTY;

/// When a client may come again where no member is eligible, and neither `retry` nor a check will tell.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(crate) use downstream::{ClientError, Downstream, Piece};
pub(crate) use error::ProxyError;
pub use retry_budget::RetryBudget;
pub(crate) use tunnel::Duplex;
pub(crate) use workspace::{Room, Workspace};

/// Serves a client's request: by a member, or with what went wrong.
pub(crate) async fn serve(
    client: &Client,
    request: &Head,
    down: &mut dyn Downstream,
    room: &mut Room,
) {
    let snapshot = client.worker.snapshot();
    if let Some(manager) = &snapshot.config.manager
        && client.https_redirect().is_none()
        && manager::is_for(manager, request)
    {
        return Box::pin(manager::serve(client, manager, request, down, room)).await;
    }
    let notes = Notes::begin(client, &snapshot, request);
    let mut call = Call::new(down, room, notes);
    let served = match begin(client, &snapshot, request, &mut call) {
        Ok(exchange) => exchange.run(&mut call).await,
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        Box::pin(fail(request, &error, &mut call)).await;
    }
    call.notes.close();
}

/// Answers a request of which no more is read, and which goes to no member.
pub(crate) async fn refuse(
    client: &Client,
    request: &Head,
    error: ProxyError,
    down: &mut dyn Downstream,
    room: &mut Room,
) {
    let snapshot = client.worker.snapshot();
    let notes = Notes::begin(client, &snapshot, request);
    let mut call = Call::new(down, room, notes);
    fail(request, &error, &mut call).await;
    call.notes.close();
}

/// Tells a client what went wrong with its request, if it is still there.
async fn fail(request: &Head, error: &ProxyError, call: &mut Call<'_>) {
    let Call {
        down, room, notes, ..
    } = call;
    notes.record_error(error);
    let Room { response, edit, .. } = &mut **room;
    edit.clear();
    if let ProxyError::ClientAborted(_) = error {
        notes.note_answer(error.status(), edit);
        return down.abort();
    }
    if error.closes_connection() {
        down.close_behind();
    }
    let text = match speaks_grpc(request) {
        true => {
            error.respond_grpc(response);
            String::new()
        }
        false => error.respond(response),
    };
    notes.note_answer(response.status(), edit);
    relay::answer(request, text.as_bytes(), call).await;
}

/// Whether a request is one of gRPC, whose responses have their status in fields of their own.
fn speaks_grpc(request: &Head) -> bool {
    let content_type = request.get(Known::ContentType);
    let rest = content_type.and_then(|it| it.strip_prefix(b"application/grpc"));
    request.version() == Version::Http2 && matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// Finds the route of a request, and what there is to know before a member is chosen.
///
/// # Errors
/// It may not go to any member.
#[inline(always)]
fn begin<'request>(
    client: &'request Client,
    snapshot: &'request Snapshot,
    request: &'request Head,
    call: &mut Call<'request>,
) -> Result<Exchange<'request>, ProxyError> {
    let host = request.authority().unwrap_or_default();
    if let Some(port) = client.https_redirect()
        && request.target() != b"*"
    {
        return Err(by_tls_alone(host, port, request));
    }
    let (path, _) = target::split(request);
    let path = match path {
        path if request.has_plain_path() => Cow::Borrowed(path),
        b"*" => Cow::Borrowed(path),
        path => path::normalize(path)
            .ok_or(ProxyError::BadRequest("invalid path in the request target"))?,
    };
    let routes = &snapshot.config.routes;
    let listener = client.listener();
    let found = match &*path {
        b"*" => router::find_for_server(routes, listener, host).ok_or(ProxyError::ServerOptions)?,
        path => router::find(routes, listener, host, path).ok_or(ProxyError::NoRoute)?,
    };
    let Found {
        number,
        route,
        rest,
        captures,
    } = found;
    if headers::may_not_forward(request) {
        return Err(ProxyError::MaxForwardsReached);
    }
    if request.expectation() == Expectation::Unknown {
        return Err(ProxyError::UnknownExpectation);
    }
    let path = match &captures {
        None => path,
        Some(captures) => template::path_of(route, captures, path)?,
    };
    let cluster = &snapshot.clusters[route.balancer];
    call.notes.note_route(number, cluster);
    let time = call
        .notes
        .begun
        .saturating_duration_since(snapshot.started());
    let session = cluster.balancer.session(
        &View::new(request, client.address.ip()),
        &Services::at(time),
    );
    call.upload = Upload::of(
        call.down.framing(),
        request,
        cluster.config.replay_buffer,
        &snapshot.limits,
    );
    let begun = Instant::from_std(call.notes.begun);
    let exchange = Exchange {
        client,
        snapshot,
        request,
        host,
        path,
        rest,
        route,
        cluster,
        session,
        wish: match call.upload {
            None => Wish::of(request),
            Some(_) => None,
        },
        give_up: cluster.config.request_timeout.map(|it| begun + it),
        begun: time,
        now: Cell::new(begun),
        time: Cell::new(Some(time)),
    };
    call.notes.note_session(&exchange);
    Ok(exchange)
}

/// Sends a client to the same URL at `https`.
#[cold]
fn by_tls_alone(host: &[u8], port: u16, request: &Head) -> ProxyError {
    let host = String::from_utf8_lossy(&host[..host::port_at(host)]);
    if host.is_empty() {
        return ProxyError::BadRequest("the request has no host");
    }
    let (path, query) = target::split(request);
    let encoded = |bytes| percent_encode(bytes, BEYOND_ASCII).to_string();
    let mut target = encoded(path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(&encoded(query));
    }
    ProxyError::HttpsRequired(match port {
        443 => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    })
}

/// A request under way: its client's side, and what changes while it is served.
struct Call<'request> {
    /// Where the request came from, and where the response goes.
    down: &'request mut dyn Downstream,
    room: &'request mut Room,
    /// Its body; none without.
    upload: Option<Upload>,
    notes: Notes<'request>,
}

impl<'request> Call<'request> {
    /// One that goes to no member yet.
    fn new(
        down: &'request mut dyn Downstream,
        room: &'request mut Room,
        notes: Notes<'request>,
    ) -> Self {
        Self {
            down,
            room,
            upload: None,
            notes,
        }
    }
}

/// One request and everything that is known of it before a member is chosen.
struct Exchange<'request> {
    client: &'request Client,
    /// The configuration, from the request's beginning to its end.
    snapshot: &'request Snapshot,
    /// The head as the client sent it.
    request: &'request Head,
    /// The host it names, port and all.
    host: &'request [u8],
    /// The normalized path; where the route says it by what its pattern has captured, the one that members are asked for.
    path: Cow<'request, [u8]>,
    /// Where the path goes on behind the route's prefix.
    rest: usize,
    route: &'request Route,
    cluster: &'request Cluster,
    /// What keeps its session at a member.
    session: Option<Affinity>,
    /// What the client would have its connection become.
    wish: Option<Wish>,
    /// When all tries together have had their time.
    give_up: Option<Instant>,
    /// When its head was there, as the time that balancing goes by.
    begun: Duration,
    /// When it last waited for anything: the clock is not read for each step.
    now: Cell<Instant>,
    /// The same as the time that balancing goes by, once that is asked for.
    time: Cell<Option<Duration>>,
}

/// A member that has answered, and what must be held while its response is passed on.
struct Answered {
    connection: Connection,
    /// Where the connection is kept behind the response.
    pool: Rc<Pool>,
    /// What the judge is told when the response has been passed on.
    account: Option<Box<Account>>,
    /// Held until the response has been passed on.
    _slot: Slot,
}

/// A try that brought no answer.
struct Failed {
    error: ProxyError,
    /// Whether the request went over a connection that had served another.
    was_reused: bool,
}

impl From<ProxyError> for Failed {
    fn from(error: ProxyError) -> Self {
        Self {
            error,
            was_reused: false,
        }
    }
}

impl Exchange<'_> {
    /// Asks one member after another, until one answers or the request may not be tried again, and passes the answer on.
    ///
    /// # Errors
    /// Nothing was sent to the client yet.
    async fn run(&self, call: &mut Call<'_>) -> Result<(), ProxyError> {
        let mut tries = Tries::new(self.cluster.config.max_attempts);
        let mut last_error = None;
        if let Some(share) = self.cluster.config.retry_budget {
            self.cluster.retry_budget.deposit(share);
        }
        loop {
            if let Some(error) = self.out_of_time() {
                return Err(error);
            }
            let choice = match self.choose(&tries, &mut call.notes) {
                Err(NoMember::NoneEligible) if !self.cluster.config.timeout.is_zero() => {
                    Box::pin(self.await_eligible(&tries, call)).await?
                }
                choice => choice,
            };
            let choice = match choice {
                Ok(choice) => choice,
                Err(refusal) => {
                    return Err(last_error.unwrap_or_else(|| self.refused(refusal)));
                }
            };
            call.notes.note_choice(self, &choice);
            let is_fresh = tries.needs_fresh_connection();
            match self.attempt(&choice, is_fresh, call).await {
                Ok(mut answered) => {
                    let status = call.room.response.status();
                    call.notes.note_outcome(Ok(status));
                    let repeats = self.repeats_on(status, call.upload.as_ref())
                        && self.affords(tries.next_after_answer(&choice));
                    if !repeats {
                        let ended = self.pass_on(&choice, &mut answered, call).await;
                        self.part(choice, answered, &ended);
                        self.conclude(&ended, call).await;
                        return Ok(());
                    }
                    answered.close(None);
                    self.cluster.meters.count_retry(None);
                }
                Err(Failed { error, was_reused }) => {
                    call.notes.note_outcome(Err(&error));
                    tracing::debug!(member = choice.lease.member().settings.name, %error, "attempt failed");
                    if !(self.may_repeat(&error, call.upload.as_ref())
                        && self.affords(tries.next_after_error(&choice, &error, was_reused)))
                    {
                        return Err(error);
                    }
                    self.cluster.meters.count_retry(Some(&error));
                    last_error = Some(error);
                }
            }
            self.tick();
        }
    }

    /// Chooses a member, waiting for one to become eligible for as long as the balancer's `timeout` says.
    ///
    /// # Errors
    /// The client has left meanwhile.
    async fn await_eligible(
        &self,
        tries: &Tries,
        call: &mut Call<'_>,
    ) -> Result<Result<Selection, NoMember>, ProxyError> {
        let limit = self.cluster.config.timeout;
        let step = (limit / 100).max(Duration::from_millis(1));
        let give_up = self.now.get() + limit;
        loop {
            self.unless_gone(call.down, sleep(step)).await?;
            self.tick();
            let choice = self.choose(tries, &mut call.notes);
            if !matches!(choice, Err(NoMember::NoneEligible)) || self.now.get() >= give_up {
                return Ok(choice);
            }
        }
    }

    /// Chooses a member.
    #[inline(always)]
    fn choose(&self, tries: &Tries, notes: &mut Notes<'_>) -> Result<Selection, NoMember> {
        let services = Services::at(self.time());
        let view = View::new(self.request, self.client.address.ip()).tried(tries);
        let query = PickArgs {
            worker: self.client.worker.number,
            request: &view,
            session: self.session.as_ref(),
            tried: tries.tried(),
            now: services.now,
            host: &services,
        };
        notes.choose(self, &query)
    }

    /// No member is eligible: says when one may be.
    #[cold]
    fn refused(&self, refusal: NoMember) -> ProxyError {
        let Cluster {
            balancer, config, ..
        } = self.cluster;
        let checks = config.members.iter().filter_map(|it| it.check.as_ref());
        let until_passed = checks.map(|check| check.interval * check.passes).min();
        let until_retry = balancer.retry_in(self.time());
        let times = until_passed.into_iter().chain(until_retry);
        ProxyError::NoMember {
            refusal,
            retry_after: times.min().unwrap_or(RETRY_AFTER),
        }
    }

    /// Whether there is a next try, which the balancer's budget has room for.
    fn affords(&self, next: Next) -> bool {
        match next {
            Next::None => false,
            Next::Free => true,
            Next::Retry => {
                let Cluster {
                    config,
                    retry_budget,
                    ..
                } = self.cluster;
                config.retry_budget.is_none() || retry_budget.withdraw(self.time())
            }
        }
    }

    /// Whether the request may go to another member after this error.
    fn may_repeat(&self, error: &ProxyError, upload: Option<&Upload>) -> bool {
        match error.retryability() {
            Retryability::Always => is_whole(upload),
            Retryability::IfIdempotent => self.is_repeatable(upload),
            Retryability::IfConfigured => {
                let retry_on = &self.cluster.config.retry_on;
                let is_configured = retry_on.statuses.contains(&error.status())
                    || (retry_on.timeout && matches!(error, ProxyError::ResponseTimeout(_)));
                is_configured && self.is_repeatable(upload)
            }
            Retryability::Never => false,
        }
    }

    /// Whether `retry-on` wants the request tried again after a response with this status.
    fn repeats_on(&self, status: u16, upload: Option<&Upload>) -> bool {
        let statuses = &self.cluster.config.retry_on.statuses;
        !statuses.is_empty() && statuses.contains(&status) && self.is_repeatable(upload)
    }

    fn is_repeatable(&self, upload: Option<&Upload>) -> bool {
        self.request.method().is_idempotent() && is_whole(upload)
    }

    /// What comes of a future, unless the client leaves before, or `request-timeout` passes.
    async fn unless_gone<F: Future>(
        &self,
        down: &mut dyn Downstream,
        future: F,
    ) -> Result<F::Output, ProxyError> {
        let mut future = pin!(future);
        let mut give_up = self.give_up.map(|at| Box::pin(sleep_until(at)));
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            if let Poll::Ready(fault) = down.poll_gone(context) {
                return Poll::Ready(Err(fault.into()));
            }
            if let Some(give_up) = &mut give_up {
                ready!(give_up.as_mut().poll(context));
                let limit = self.cluster.config.request_timeout.unwrap_or_default();
                return Poll::Ready(Err(ProxyError::RequestTimeout(limit)));
            }
            Poll::Pending
        })
        .await
    }

    /// What there is to say once `request-timeout` has passed.
    fn out_of_time(&self) -> Option<ProxyError> {
        if self.give_up? > Instant::now() {
            return None;
        }
        let limit = self.cluster.config.request_timeout.unwrap_or_default();
        Some(ProxyError::RequestTimeout(limit))
    }

    /// It has waited: reads the clock.
    fn tick(&self) {
        self.now.set(Instant::now());
        self.time.set(None);
    }

    /// When it last waited for anything, as the time that balancing goes by.
    fn time(&self) -> Duration {
        let time = self.time.get().unwrap_or_else(|| {
            let now = self.now.get().into_std();
            now.saturating_duration_since(self.snapshot.started())
        });
        self.time.set(Some(time));
        time
    }

    /// How long it has been under way.
    fn took(&self) -> Duration {
        self.time().saturating_sub(self.begun)
    }

    /// `Host` as members get it, where that is the client's.
    fn sent_host(&self) -> Option<&str> {
        let host = self.host;
        let is_sent = self.route.preserve_host && !host.is_empty();
        // What names a host is ASCII.
        is_sent.then(|| std::str::from_utf8(host).ok()).flatten()
    }

    /// The kept connections to the chosen member that this request may use.
    #[inline(always)]
    fn pool(&self, upstream: &Upstream) -> Rc<Pool> {
        let host = self.sent_host();
        // The member has proved to be this host, and no other.
        let host = host.filter(|_| upstream.tls.as_ref().is_some_and(Connector::follows_host));
        self.client.worker.pool(upstream.key, host)
    }

    fn upstream(&self, choice: &Selection) -> &Upstream {
        &self.cluster.upstreams[choice.position]
    }
}

impl Answered {
    /// The exchange is over: the judge is told.
    fn close(&mut self, failure: Option<equipoise_sdk::health::Failure>) {
        if let Some(account) = self.account.take() {
            account.close(failure, self.connection.carried());
        }
    }
}

/// Whether all of a body can be sent to another member.
fn is_whole(upload: Option<&Upload>) -> bool {
    upload.is_none_or(Upload::can_be_sent_again)
}
