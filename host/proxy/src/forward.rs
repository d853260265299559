//! The life of one request, from the client's head to the last byte of a member's response.

mod attempt;
mod downstream;
mod header_rules;
mod headers;
mod local_response;
mod manager;
mod observer;
mod outcome;
mod policy_request;
mod request_body;
mod respond;
mod response_body;
mod retry;
mod rewrite;
mod sticky_cookie;
mod template;
mod tunnel;
mod upgrade;
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
use equipoise_http::http1::Framing;
use equipoise_http::{Head, Known, Version};
use equipoise_sdk::Affinity;
use percent_encoding::{AsciiSet, percent_encode};
use tokio::time::{Instant, sleep, sleep_until};

use crate::downstream::Client;
use crate::observe::PendingOutcome;
use crate::path;
use crate::router::{self, Found};
use crate::snapshot::{Cluster, Snapshot};
use crate::target;
use crate::upstream::{Connection, Endpoint, Pool, RequestPermit};
use equipoise_config::{Member, Route};
use equipoise_tls::Connector;
use local_response::LocalRequest;
use observer::RequestObserver;
pub use policy_request::PolicyEnv;
use policy_request::PolicyRequest;
use request_body::RequestBody;
use retry::{RetryDecision, RetryState};
use template::{RequestId, Values};
use upgrade::UpgradeRequest;

/// Percent-encodes non-ASCII bytes only.
const NON_ASCII: &AsciiSet = &AsciiSet::EMPTY;

/// `Retry-After` where neither `retry` nor a health check says when a member may be eligible.
const RETRY_AFTER: Duration = Duration::from_secs(5);

use crate::error::{ClientError, ProxyError, Retryability};
pub(crate) use downstream::Downstream;
pub(crate) use workspace::{Buffers, Workspace};

/// Serves a request: forwards it to a member, or responds with the error.
pub(crate) async fn serve(
    client: &Client,
    request: &Head,
    downstream: &mut dyn Downstream,
    buffers: &mut Buffers,
) {
    let snapshot = client.worker.snapshot();
    if let Some(manager) = &snapshot.config.manager
        && client.https_redirect().is_none()
        && manager::is_for(manager, request)
    {
        return Box::pin(manager::serve(
            client, manager, request, downstream, buffers,
        ))
        .await;
    }
    let observer = RequestObserver::begin(client, &snapshot, request);
    let mut state = RequestState::new(downstream, buffers, observer);
    let served = match prepare(client, &snapshot, request, &mut state) {
        Ok(Prepared::Forwarded(forwarded)) => forwarded.run(&mut state).await,
        Ok(Prepared::Local(local)) => {
            Box::pin(local.respond(&mut state)).await;
            Ok(())
        }
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        Box::pin(respond_with_error(client, request, &error, &mut state)).await;
    }
    state.observer.close();
}

/// Responds to a refused request: nothing more of it is read, and it goes to no member.
pub(crate) async fn refuse(
    client: &Client,
    request: &Head,
    error: ProxyError,
    downstream: &mut dyn Downstream,
    buffers: &mut Buffers,
) {
    let snapshot = client.worker.snapshot();
    let observer = RequestObserver::begin(client, &snapshot, request);
    let mut state = RequestState::new(downstream, buffers, observer);
    respond_with_error(client, request, &error, &mut state).await;
    state.observer.close();
}

/// Sends the response of an error; aborts where the client is gone.
async fn respond_with_error(
    client: &Client,
    request: &Head,
    error: &ProxyError,
    state: &mut RequestState<'_>,
) {
    let RequestState {
        downstream,
        buffers,
        observer,
        ..
    } = state;
    observer.record_error(error);
    let Buffers { response, edit, .. } = &mut **buffers;
    edit.clear();
    if let ProxyError::ClientAborted(_) = error {
        observer.record_response(error.status(), edit);
        return downstream.abort();
    }
    if error.closes_connection() {
        downstream.close_after_response();
    }
    if speaks_grpc(request) {
        error.respond_grpc(response);
        observer.record_response(response.status(), edit);
        return response_body::send_local(request, b"", state).await;
    }
    let text = error.respond(response);
    let body = match observer.error_page(error.status()) {
        None => text.as_bytes(),
        Some((route, page)) => {
            let values = Values {
                client,
                request,
                route,
                asked: None,
                captured: None,
                id: &RequestId::default(),
            };
            local_response::put_page(page, observer.snapshot(), &values, response, edit)
        }
    };
    let status = edit.status(response);
    observer.record_response(status, edit);
    response_body::send_local(request, body, state).await;
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
fn prepare<'request>(
    client: &'request Client,
    snapshot: &'request Snapshot,
    request: &'request Head,
    state: &mut RequestState<'request>,
) -> Result<Prepared<'request>, ProxyError> {
    let host = request.authority().unwrap_or_default();
    if let Some(port) = client.https_redirect()
        && request.target() != b"*"
    {
        return Err(https_redirect(host, port, request));
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
    if headers::max_forwards_exhausted(request) {
        return Err(ProxyError::MaxForwardsReached);
    }
    if request.expectation() == Expectation::Unknown {
        return Err(ProxyError::UnknownExpectation);
    }
    let Some(balancer) = route.balancer() else {
        state.observer.record_route(number, None);
        state.observer.record_local(route);
        return match route.admits(client.address.ip()) {
            false => Err(ProxyError::Forbidden),
            true => Ok(Prepared::Local(Box::new(LocalRequest {
                client,
                snapshot,
                request,
                route,
                path,
                captures,
            }))),
        };
    };
    let path = match &captures {
        None => path,
        Some(captures) => template::path_of(route, captures, path)?,
    };
    let cluster = &snapshot.clusters[balancer];
    state.observer.record_route(number, Some(cluster));
    if !route.admits(client.address.ip()) {
        return Err(ProxyError::Forbidden);
    }
    let framing = state.downstream.framing();
    if let Some(most) = route.max_body
        && let Framing::Length(length) = framing
        && length > most as u64
    {
        return Err(ProxyError::BodyTooLarge);
    }
    let time = state
        .observer
        .begun
        .saturating_duration_since(snapshot.started());
    let session = cluster.balancer.session(
        &PolicyRequest::new(request, client.address.ip()),
        &PolicyEnv::at(time),
    );
    state.body = RequestBody::of(
        framing,
        request,
        cluster.config.replay_buffer,
        route.max_body,
        &snapshot.limits,
    );
    let begun = Instant::from_std(state.observer.begun);
    let forwarded = ForwardedRequest {
        client,
        snapshot,
        request,
        host,
        path,
        rest,
        route,
        cluster,
        session,
        upgrade: match state.body {
            None => UpgradeRequest::of(request),
            Some(_) => None,
        },
        deadline: cluster.config.request_timeout.map(|it| begun + it),
        begun: time,
        now: Cell::new(begun),
        time: Cell::new(Some(time)),
        request_id: RequestId::default(),
    };
    state.observer.record_session(&forwarded);
    Ok(Prepared::Forwarded(forwarded))
}

/// A request whose route is found.
#[expect(
    clippy::large_enum_variant,
    reason = "it is taken apart at once, and what is plain shall not allocate"
)]
enum Prepared<'request> {
    /// A member is to be asked.
    Forwarded(ForwardedRequest<'request>),
    /// The proxy responds itself.
    Local(Box<LocalRequest<'request>>),
}

/// Sends a client to the same URL at `https`.
#[cold]
fn https_redirect(host: &[u8], port: u16, request: &Head) -> ProxyError {
    let host = String::from_utf8_lossy(&host[..host::port_at(host)]);
    if host.is_empty() {
        return ProxyError::BadRequest("the request has no host");
    }
    let (path, query) = target::split(request);
    let encoded = |bytes| percent_encode(bytes, NON_ASCII).to_string();
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

/// The mutable state of a request: the client's side, buffers, body and observer.
struct RequestState<'request> {
    /// Where the request came from, and where the response goes.
    downstream: &'request mut dyn Downstream,
    buffers: &'request mut Buffers,
    /// Its body; none without.
    body: Option<RequestBody>,
    observer: RequestObserver<'request>,
}

impl<'request> RequestState<'request> {
    /// A request without a body so far.
    fn new(
        downstream: &'request mut dyn Downstream,
        buffers: &'request mut Buffers,
        observer: RequestObserver<'request>,
    ) -> Self {
        Self {
            downstream,
            buffers,
            body: None,
            observer,
        }
    }
}

/// One request and everything that is known of it before a member is chosen.
struct ForwardedRequest<'request> {
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
    /// The upgrade the client requests.
    upgrade: Option<UpgradeRequest>,
    /// When all tries together have had their time.
    deadline: Option<Instant>,
    /// When its head was there, as the time that balancing goes by.
    begun: Duration,
    /// When it last waited for anything: the clock is not read for each step.
    now: Cell<Instant>,
    /// The same as the time that balancing goes by, once that is asked for.
    time: Cell<Option<Duration>>,
    request_id: RequestId,
}

/// A response whose head has come, and what is held until it has been forwarded.
struct MemberResponse {
    connection: Connection,
    /// Where the connection is kept behind the response.
    pool: Rc<Pool>,
    /// Reported for health when the response has been forwarded.
    pending_outcome: Option<Box<PendingOutcome>>,
    /// Held until the response has been passed on.
    _permit: RequestPermit,
}

/// An attempt without a response.
struct FailedAttempt {
    error: ProxyError,
    /// Whether the request went over a connection that had served another.
    was_reused: bool,
}

impl From<ProxyError> for FailedAttempt {
    fn from(error: ProxyError) -> Self {
        Self {
            error,
            was_reused: false,
        }
    }
}

impl ForwardedRequest<'_> {
    /// Tries one member after another until one responds or no retry is left, and forwards the response.
    ///
    /// # Errors
    /// Nothing was sent to the client yet.
    async fn run(&self, state: &mut RequestState<'_>) -> Result<(), ProxyError> {
        let mut retries = RetryState::new(self.cluster.config.max_attempts);
        let mut last_error = None;
        if let Some(share) = self.cluster.config.retry_budget {
            self.cluster.retry_budget.deposit(share);
        }
        loop {
            if let Some(error) = self.request_timeout_error() {
                return Err(error);
            }
            let choice = match self.choose(&retries, &mut state.observer) {
                Err(NoMember::NoneEligible) if !self.cluster.config.timeout.is_zero() => {
                    Box::pin(self.await_eligible(&retries, state)).await?
                }
                choice => choice,
            };
            let choice = match choice {
                Ok(choice) => choice,
                Err(refusal) => {
                    return Err(last_error.unwrap_or_else(|| self.refused(refusal)));
                }
            };
            state.observer.record_selection(self, &choice);
            let is_fresh = retries.needs_fresh_connection();
            match self.attempt(&choice, is_fresh, state).await {
                Ok(mut member_response) => {
                    let status = state.buffers.response.status();
                    state.observer.record_outcome(Ok(status));
                    let repeats = self.retries_status(status, state.body.as_ref())
                        && self.budget_allows(retries.after_response(&choice));
                    if !repeats && self.replaces(status) {
                        let replaced = self.replace_response(choice, member_response, state);
                        Box::pin(replaced).await;
                        return Ok(());
                    }
                    if !repeats {
                        let ended = self
                            .forward_response(&choice, &mut member_response, state)
                            .await;
                        self.release(choice, member_response, &ended);
                        self.finish_response(&ended, state).await;
                        return Ok(());
                    }
                    member_response.close(None);
                    self.cluster.metrics.count_retry(None);
                }
                Err(FailedAttempt { error, was_reused }) => {
                    state.observer.record_outcome(Err(&error));
                    tracing::debug!(member = choice.lease.member().settings.name, %error, "attempt failed");
                    if !(self.may_retry(&error, state.body.as_ref())
                        && self.budget_allows(retries.after_error(&choice, &error, was_reused)))
                    {
                        return Err(error);
                    }
                    self.cluster.metrics.count_retry(Some(&error));
                    last_error = Some(error);
                }
            }
            self.read_clock();
        }
    }

    /// Chooses a member, waiting for one to become eligible for as long as the balancer's `timeout` says.
    ///
    /// # Errors
    /// The client has left meanwhile.
    async fn await_eligible(
        &self,
        retries: &RetryState,
        state: &mut RequestState<'_>,
    ) -> Result<Result<Selection, NoMember>, ProxyError> {
        let limit = self.cluster.config.timeout;
        let step = (limit / 100).max(Duration::from_millis(1));
        let deadline = self.now.get() + limit;
        loop {
            self.or_aborted(state.downstream, sleep(step)).await?;
            self.read_clock();
            let choice = self.choose(retries, &mut state.observer);
            if !matches!(choice, Err(NoMember::NoneEligible)) || self.now.get() >= deadline {
                return Ok(choice);
            }
        }
    }

    /// Chooses a member.
    #[inline(always)]
    fn choose(
        &self,
        retries: &RetryState,
        observer: &mut RequestObserver<'_>,
    ) -> Result<Selection, NoMember> {
        let env = PolicyEnv::at(self.time());
        let policy_request =
            PolicyRequest::new(self.request, self.client.address.ip()).tried(retries);
        let query = PickArgs {
            worker: self.client.worker.number,
            request: &policy_request,
            session: self.session.as_ref(),
            tried: retries.tried(),
            now: env.now,
            host: &env,
        };
        observer.choose(self, &query)
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
    fn budget_allows(&self, next: RetryDecision) -> bool {
        match next {
            RetryDecision::None => false,
            RetryDecision::Free => true,
            RetryDecision::Retry => {
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
    fn may_retry(&self, error: &ProxyError, body: Option<&RequestBody>) -> bool {
        match error.retryability() {
            Retryability::Always => is_replayable(body),
            Retryability::IfIdempotent => self.is_retryable(body),
            Retryability::IfConfigured => {
                let retry_on = &self.cluster.config.retry_on;
                let is_configured = retry_on.statuses.contains(&error.status())
                    || (retry_on.timeout && matches!(error, ProxyError::ResponseTimeout(_)));
                is_configured && self.is_retryable(body)
            }
            Retryability::Never => false,
        }
    }

    /// Whether `retry-on` wants the request tried again after a response with this status.
    fn retries_status(&self, status: u16, body: Option<&RequestBody>) -> bool {
        let statuses = &self.cluster.config.retry_on.statuses;
        !statuses.is_empty() && statuses.contains(&status) && self.is_retryable(body)
    }

    fn is_retryable(&self, body: Option<&RequestBody>) -> bool {
        self.request.method().is_idempotent() && is_replayable(body)
    }

    /// Awaits a future, unless the client aborts or `request-timeout` passes first.
    async fn or_aborted<F: Future>(
        &self,
        downstream: &mut dyn Downstream,
        future: F,
    ) -> Result<F::Output, ProxyError> {
        let mut future = pin!(future);
        let mut deadline = self.deadline.map(|at| Box::pin(sleep_until(at)));
        poll_fn(|context| {
            if let Poll::Ready(output) = future.as_mut().poll(context) {
                return Poll::Ready(Ok(output));
            }
            if let Poll::Ready(fault) = downstream.poll_closed(context) {
                return Poll::Ready(Err(fault.into()));
            }
            if let Some(deadline) = &mut deadline {
                ready!(deadline.as_mut().poll(context));
                let limit = self.cluster.config.request_timeout.unwrap_or_default();
                return Poll::Ready(Err(ProxyError::RequestTimeout(limit)));
            }
            Poll::Pending
        })
        .await
    }

    /// The error once `request-timeout` has passed.
    fn request_timeout_error(&self) -> Option<ProxyError> {
        if self.deadline? > Instant::now() {
            return None;
        }
        let limit = self.cluster.config.request_timeout.unwrap_or_default();
        Some(ProxyError::RequestTimeout(limit))
    }

    /// Reads the clock, after a wait.
    fn read_clock(&self) {
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
    fn elapsed(&self) -> Duration {
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
    fn pool(&self, endpoint: &Endpoint) -> Rc<Pool> {
        let host = self.sent_host();
        // The member has proved to be this host, and no other.
        let host = host.filter(|_| endpoint.tls.as_ref().is_some_and(Connector::follows_host));
        self.client.worker.pool(endpoint.key, host)
    }

    /// How long a member may take to respond, and stall within a body.
    fn member_timeout(&self, member: &Member) -> Duration {
        self.route.timeout.unwrap_or(member.timeout)
    }

    fn endpoint(&self, choice: &Selection) -> &Endpoint {
        &self.cluster.endpoints[choice.position]
    }
}

impl MemberResponse {
    /// The request is over: reports its outcome for health.
    fn close(&mut self, failure: Option<equipoise_sdk::health::Failure>) {
        if let Some(pending_outcome) = self.pending_outcome.take() {
            pending_outcome.close(failure, self.connection.byte_counts());
        }
    }
}

/// Whether all of a body can be sent to another member.
fn is_replayable(body: Option<&RequestBody>) -> bool {
    body.is_none_or(RequestBody::is_replayable)
}
