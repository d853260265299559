//! The life of one request, from the client's head to the last byte of a member's answer.

mod account;
mod body;
mod error;
mod gate;
mod headers;
mod notes;
mod retry_budget;
mod rewrite;
mod sticky_cookie;
mod translation;
mod tries;
mod tunnel;
mod upgrade;
mod upload;
mod view;

use std::borrow::Cow;
use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error as _;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use equipoise_balancer::{Choice, Outcome, Query, Refusal};
use equipoise_sdk::Affinity;
use http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, SET_COOKIE, TRANSFER_ENCODING,
};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Request, Response, StatusCode, Uri, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use tokio::select;
use tokio::time::{Instant, sleep, timeout};

use crate::admin::{self, BodySender};
use crate::config::{Manager, Protocol, Route};
use crate::deadline::Deadline;
use crate::health::Account;
use crate::server::{Client, ClientBody, Responder};
use crate::snapshot::{Cluster, Snapshot};
use crate::upstream::{ConnectError, Connection, Introduction, Slot, Upstream};
use crate::{path, router};
use body::Download;
use error::Repeat;
use gate::Gate;
use headers::Survey;
use notes::Notes;
use rewrite::Rewrite;
use tries::{Next, Tries};
use upgrade::Wish;
use upload::RequestBody;
pub(crate) use view::Services;
use view::View;

/// When a client may come again where nobody can be used, and neither `retry` nor a check will tell.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(crate) use body::Body;
pub(crate) use error::Failure;
pub(crate) use retry_budget::RetryBudget;
pub(crate) use upload::Upload;

/// Answers a client's request: by a member, or with what went wrong.
pub(crate) async fn handle(
    client: Rc<Client>,
    responder: Rc<Responder>,
    mut request: Request<ClientBody>,
) -> Result<Response<Body>, Infallible> {
    let snapshot = client.worker.snapshot();
    let translated = match client.speaks_http2 {
        true => translation::from_http2(&mut request, snapshot.limits.headers),
        false => Ok(()),
    };
    if let Some(manager) = &snapshot.config.manager
        && is_for(manager, &request)
        && translated.is_ok()
        && client.https_redirect().is_none()
    {
        let mut response = ask_manager(&client, manager, request).await.map(Body::text);
        client.part(&mut response);
        return Ok(response);
    }
    let (parts, incoming) = request.into_parts();
    let mut notes = Notes::begin(&client, &snapshot, &parts);
    let answered = match translated {
        Ok(()) => forward(&client, &responder, &snapshot, &parts, incoming, &mut notes).await,
        Err(failure) => Err(failure),
    };
    let mut response = answered.unwrap_or_else(|failure| {
        notes.note_failure(&failure);
        match speaks_grpc(&parts) {
            true => failure.into_grpc_response(),
            false => failure.into_response(),
        }
    });
    client.part(&mut response);
    Ok(notes.close(response).map(Body::departing))
}

/// Whether a request is one of gRPC, whose answers have their status in fields of their own.
fn speaks_grpc(parts: &Parts) -> bool {
    let content_type = parts.headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let rest = content_type.and_then(|it| it.strip_prefix(b"application/grpc"));
    parts.version == Version::HTTP_2 && matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// Has the manager answer, which reads as much of the body as it wants.
#[cold]
async fn ask_manager(
    client: &Client,
    manager: &Manager,
    request: Request<ClientBody>,
) -> Response<String> {
    let (parts, incoming) = request.into_parts();
    let (sender, body) = admin::channel();
    let portal = &client.worker.portal;
    let mut answer = pin!(portal.ask(manager, client.address, parts, body));
    select! {
        biased;
        answer = &mut answer => answer,
        () = pump(incoming, sender) => answer.await,
    }
}

/// Sends a body on, for as long as it is read.
async fn pump(mut incoming: ClientBody, mut sender: BodySender) {
    while poll_fn(|context| sender.poll_ready(context)).await.is_ok() {
        match poll_fn(|context| Pin::new(&mut incoming).poll_frame(context)).await {
            // Trailers mean nothing there.
            Some(Ok(frame)) => sender.send(frame.into_data().unwrap_or_default()),
            Some(Err(_)) => return sender.fail(),
            None => return,
        }
    }
}

/// Whether a request is for the balancer-manager.
#[cold]
fn is_for(manager: &Manager, request: &Request<ClientBody>) -> bool {
    let path = path::normalize(request.uri().path().as_bytes());
    path.is_some_and(|path| path::strip_prefix(&path, &manager.path).is_some())
}

/// Finds the route and asks the members behind it.
async fn forward<'request>(
    client: &Rc<Client>,
    responder: &Rc<Responder>,
    snapshot: &'request Snapshot,
    parts: &Parts,
    incoming: ClientBody,
    notes: &mut Notes<'request>,
) -> Result<Response<Body>, Failure> {
    let host =
        router::host(parts).ok_or(Failure::BadRequest("the request target and Host disagree"))?;
    let path = path::normalize(parts.uri.path().as_bytes())
        .ok_or(Failure::BadRequest("the request target is no path"))?;
    if let Some(port) = client.https_redirect() {
        return Err(by_tls_alone(host, port, &parts.uri));
    }
    let (number, route, rest) =
        router::find(&snapshot.config.routes, host, &path).ok_or(Failure::NoRoute)?;
    if headers::may_not_forward(&parts.method, &parts.headers) {
        return Err(Failure::MayNotForward);
    }
    let cluster = &snapshot.clusters[route.balancer];
    notes.note_route(number, cluster);
    let begun = notes.begun;
    let session = cluster.balancer.session(
        &View::new(parts, client.address.ip()),
        &Services::at(begun - snapshot.started()),
    );
    let body = RequestBody::of(
        incoming,
        cluster.config.replay_buffer,
        &parts.headers,
        &snapshot.limits,
    );
    let wish = match body {
        None => Wish::of(parts, responder),
        Some(_) => None,
    };
    let exchange = Exchange {
        begun,
        client,
        responder,
        snapshot,
        parts,
        host,
        path,
        rest,
        route,
        cluster,
        session,
        body,
        wish,
    };
    notes.note_session(&exchange);
    exchange.run(notes).await
}

/// Sends a client to the same URL at `https`.
#[cold]
fn by_tls_alone(host: &str, port: u16, uri: &Uri) -> Failure {
    let host = router::without_port(host);
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let place = match port {
        443 => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    };
    match HeaderValue::try_from(place) {
        Ok(place) if !host.is_empty() => Failure::ByTlsAlone(place),
        _ => Failure::BadRequest("the request names no host"),
    }
}

/// One request and everything that is known of it before a member is chosen.
struct Exchange<'request> {
    /// When its head was there.
    begun: std::time::Instant,
    client: &'request Rc<Client>,
    /// Takes what the client is told beside the answer.
    responder: &'request Responder,
    /// The configuration, from the request's beginning to its end.
    snapshot: &'request Snapshot,
    /// The head as the client sent it.
    parts: &'request Parts,
    /// The host it names, port and all.
    host: &'request str,
    /// The normalized path.
    path: Cow<'request, [u8]>,
    /// Where the path goes on behind the route's prefix.
    rest: usize,
    route: &'request Route,
    cluster: &'request Cluster,
    /// What keeps its session at a member.
    session: Option<Affinity>,
    body: Option<Rc<RefCell<RequestBody>>>,
    /// What the client would have its connection become.
    wish: Option<Wish>,
}

/// A member's answer, and what must be held while it is passed on.
struct Answer {
    response: Response<Incoming>,
    survey: Survey,
    connection: Connection,
    slot: Slot,
    deadline: Deadline,
    /// What the judge is told when the answer has been passed on.
    account: Option<Box<Account>>,
}

/// What a member says.
enum Heard {
    /// Something before the answer (1xx).
    Interim(Response<()>),
    Answer(Response<Incoming>),
}

/// A try that brought no answer.
struct Failed {
    failure: Failure,
    /// Whether the request went over a connection that had served another.
    was_reused: bool,
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self {
            failure,
            was_reused: false,
        }
    }
}

impl Exchange<'_> {
    /// Asks one member after another, until one answers or the request may not be tried again.
    async fn run(&self, notes: &mut Notes<'_>) -> Result<Response<Body>, Failure> {
        let mut tries = Tries::new(self.cluster.config.max_attempts);
        let mut last_failure = None;
        if let Some(share) = self.cluster.config.retry_budget {
            self.cluster.retry_budget.deposit(share);
        }
        loop {
            let choice = match self.choose(&tries, notes).await {
                Ok(choice) => choice,
                Err(refusal) => {
                    return Err(last_failure.unwrap_or_else(|| self.refused(refusal)));
                }
            };
            notes.note_choice(self, &choice);
            match self
                .attempt(&choice, tries.needs_fresh_connection(), notes)
                .await
            {
                Ok(answer) => {
                    notes.note_outcome(Ok(answer.response.status().as_u16()));
                    let repeats = self.repeats_on(answer.response.status())
                        && self.affords(tries.next_after_answer(&choice));
                    if !repeats {
                        return Ok(self.pass_on(choice, answer));
                    }
                    self.cluster.meters.count_retry(None);
                }
                Err(Failed {
                    failure,
                    was_reused,
                }) => {
                    notes.note_outcome(Err(&failure));
                    tracing::debug!(member = choice.lease.member().settings.name, %failure, "a try failed");
                    if !(self.may_repeat(&failure)
                        && self.affords(tries.next_after_failure(&choice, &failure, was_reused)))
                    {
                        return Err(failure);
                    }
                    self.cluster.meters.count_retry(Some(&failure));
                    last_failure = Some(failure);
                }
            }
        }
    }

    /// Chooses a member; waits for one to become eligible for as long as the balancer's `timeout` says.
    async fn choose(&self, tries: &Tries, notes: &mut Notes<'_>) -> Result<Choice, Refusal> {
        let config = &self.cluster.config;
        let worker = &self.client.worker;
        let view = View::new(self.parts, self.client.address.ip()).tried(tries);
        let mut choose = || {
            let services = Services::at(self.snapshot.now());
            let query = Query {
                worker: worker.number,
                request: &view,
                session: self.session.as_ref(),
                tried: tries.tried(),
                now: services.now,
                host: &services,
            };
            notes.choose(self, &query)
        };
        let mut choice = choose();
        if !config.timeout.is_zero() {
            let step = (config.timeout / 100).max(Duration::from_millis(1));
            let give_up = Instant::now() + config.timeout;
            while matches!(choice, Err(Refusal::NoneEligible)) && Instant::now() < give_up {
                sleep(step).await;
                choice = choose();
            }
        }
        choice
    }

    /// Nobody is there: says when somebody may be.
    fn refused(&self, refusal: Refusal) -> Failure {
        let Cluster {
            balancer, config, ..
        } = self.cluster;
        let checks = config.members.iter().filter_map(|it| it.check.as_ref());
        let until_passed = checks.map(|check| check.interval * check.passes).min();
        let until_retry = balancer.until_retry(self.snapshot.now());
        let times = until_passed.into_iter().chain(until_retry);
        Failure::Refused {
            refusal,
            retry_after: times.min().unwrap_or(RETRY_AFTER),
        }
    }

    /// Sends the request to the chosen member and waits for the head of its answer.
    async fn attempt(
        &self,
        choice: &Choice,
        needs_fresh_connection: bool,
        notes: &Notes<'_>,
    ) -> Result<Answer, Failed> {
        let upstream = self.upstream(choice);
        let asked = self.asked(&upstream.config)?;
        let slot = upstream.slots.acquire().await.ok_or(Failure::Full)?;
        let mut connection = self
            .connect(choice, needs_fresh_connection, asked.is_some())
            .await?;
        let (mut request, gate) = self.request(upstream, asked.as_ref(), &connection)?;
        notes.mark(request.headers_mut());
        let carried = connection.carried();
        let sending = connection.send(request);
        let mut deadline = self.client.take_deadline();
        let failed = |failure| self.failed(choice, failure, connection.is_reused());
        let response = self
            .await_answer(sending, &connection, upstream, gate.as_ref(), &mut deadline)
            .await
            .map_err(failed)?;
        let survey = self
            .check_answer(&response, asked.as_ref())
            .map_err(failed)?;
        let status = response.status().as_u16();
        self.report(choice, Outcome::Answered(status));
        Ok(Answer {
            response,
            survey,
            connection,
            slot,
            deadline,
            account: self.account(choice, status, carried),
        })
    }

    /// A try that failed after the request was handed to a connection.
    fn failed(&self, choice: &Choice, failure: Failure, was_reused: bool) -> Failed {
        match failure {
            Failure::TimedOut(_) => self.report(choice, Outcome::TimedOut),
            Failure::NotReady(_) => self.report(choice, Outcome::Unreachable),
            Failure::Nonsense(_) => self.report(choice, Outcome::BrokenOff),
            Failure::BrokenOff(_) if !was_reused => self.report(choice, Outcome::BrokenOff),
            _ => {}
        }
        Failed {
            failure,
            was_reused,
        }
    }

    /// A connection to the chosen member: one that is kept, or a new one.
    async fn connect(
        &self,
        choice: &Choice,
        needs_fresh: bool,
        upgrades: bool,
    ) -> Result<Connection, Failure> {
        let upstream = self.upstream(choice);
        let config = &upstream.config;
        let pool = self.client.worker.pool(upstream.key);
        let may_share =
            !upgrades && !needs_fresh && config.is_reusable() && config.protocol != Protocol::Http1;
        let kept = || match needs_fresh {
            true => None,
            false => pool.take(config.ttl, !upgrades),
        };
        if let Some(connection) = kept() {
            return Ok(connection);
        }
        let turn = match may_share {
            true => {
                let turn = timeout(config.connection_timeout, pool.turn()).await;
                turn.map_err(|_| ConnectError::TimedOut(config.connection_timeout))?
            }
            false => None,
        };
        // Who had the turn before may have made one that has room.
        if turn.is_some()
            && let Some(connection) = kept()
        {
            return Ok(connection);
        }
        let counters = choice.lease.member().counters.clone();
        let introduction = Introduction {
            client: self.client.address,
        };
        let limits = &self.snapshot.limits;
        let opened = Connection::open(upstream, counters, limits, introduction, upgrades).await;
        match &opened {
            Ok(_) => self.report(choice, Outcome::Connected),
            Err(error) if error.is_the_members() => self.report(choice, Outcome::Unreachable),
            Err(_) => {}
        }
        let connection = opened?;
        if may_share {
            pool.share(&connection);
        }
        Ok(connection)
    }

    /// The request as the member gets it over this connection, and the gate its body waits at if the member is asked for a
    /// go-ahead.
    fn request(
        &self,
        upstream: &Upstream,
        asked: Option<&HeaderValue>,
        connection: &Connection,
    ) -> Result<(Request<Upload>, Option<Gate>), Failure> {
        let Upstream { config, host, .. } = upstream;
        let uri = rewrite::target(&self.parts.uri, &self.path, self.rest, self.route, config)
            .ok_or(Failure::BadRequest("the request target is no URI"))?;
        let mut request = Request::new(Upload::default());
        *request.method_mut() = self.parts.method.clone();
        *request.uri_mut() = uri;
        *request.headers_mut() = headers::for_member(self.parts, self.client, self.route, host);
        if let Some(asked) = asked {
            upgrade::ask(request.headers_mut(), asked.clone());
        } else if !config.is_reusable() {
            request
                .headers_mut()
                .append(CONNECTION, HeaderValue::from_static("close"));
        }
        // With HTTP/2, nobody tells us of a go-ahead.
        let ping = config.ping.filter(|_| !connection.speaks_http2());
        let gate = self
            .body
            .as_ref()
            .and_then(|body| attach(body, &mut request, ping));
        if connection.speaks_http2() {
            let is_secure = config.tls.is_some();
            translation::to_http2(&mut request, is_secure)?;
        }
        Ok((request, gate))
    }

    /// Waits for the head of the answer, for as long as the member may take, and passes on what it says before.
    async fn await_answer(
        &self,
        sending: impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>>,
        connection: &Connection,
        upstream: &Upstream,
        gate: Option<&Gate>,
        deadline: &mut Deadline,
    ) -> Result<Response<Incoming>, Failure> {
        let mut sending = pin!(sending);
        loop {
            let heard = poll_fn(|context| {
                if let Poll::Ready(interim) = connection.poll_interim(context) {
                    return Poll::Ready(Ok(Heard::Interim(interim)));
                }
                match sending.as_mut().poll(context) {
                    Poll::Ready(result) => Poll::Ready(match result {
                        Ok(response) => Ok(Heard::Answer(response)),
                        Err(error) => Err(self.send_failure(error)),
                    }),
                    Poll::Pending => self
                        .poll_patience(upstream, gate, deadline, context)
                        .map(Err),
                }
            });
            match heard.await? {
                Heard::Answer(response) => return Ok(response),
                Heard::Interim(interim) => self.pass_on_interim(interim).await,
            }
            // It lives.
            deadline.clear();
        }
    }

    /// Passes an interim answer on to a client that knows of such (RFC 9110, 15.2).
    #[cold]
    async fn pass_on_interim(&self, mut interim: Response<()>) {
        if self.parts.version < Version::HTTP_11 {
            return;
        }
        let headers = interim.headers_mut();
        Survey::of(headers).make_fit_for_client(headers, Version::HTTP_11, self.route);
        self.responder.interim.send(interim).await;
    }

    /// Ready when the member has had the time that it may take.
    ///
    /// The time runs from the last part of the body it was sent, and stands still while the client owes us more.
    fn poll_patience(
        &self,
        upstream: &Upstream,
        gate: Option<&Gate>,
        deadline: &mut Deadline,
        context: &mut Context<'_>,
    ) -> Poll<Failure> {
        let timeout = upstream.config.timeout;
        let ping = upstream
            .config
            .ping
            .filter(|_| gate.is_some_and(Gate::is_shut));
        if !deadline.is_set() {
            deadline.set(Instant::now() + ping.unwrap_or(timeout));
        }
        loop {
            ready!(deadline.poll(context));
            if let Some(ping) = ping {
                return Poll::Ready(Failure::NotReady(ping));
            }
            let now = Instant::now();
            let waiting_since = match &self.body {
                Some(body) => body.borrow().member_idle_since().unwrap_or(now),
                None => return Poll::Ready(Failure::TimedOut(timeout)),
            };
            if waiting_since + timeout <= now {
                return Poll::Ready(Failure::TimedOut(timeout));
            }
            deadline.set(waiting_since + timeout);
        }
    }

    /// What is behind hyper's error: the client, a connection that was gone already, or the member.
    fn send_failure(&self, mut error: TrySendError<Request<Upload>>) -> Failure {
        if let Some(fault) = self
            .body
            .as_ref()
            .and_then(|body| body.borrow_mut().take_fault())
        {
            return fault;
        }
        if error.take_message().is_some() {
            return Failure::Unsent;
        }
        let error = error.into_error();
        if has_not_seen(&error) {
            Failure::Unsent
        } else if error.is_parse() || is_refused(&error) {
            let reason = error.source().map(ToString::to_string);
            Failure::Nonsense(reason.unwrap_or_else(|| error.to_string()))
        } else {
            Failure::BrokenOff(error)
        }
    }

    /// Holds a member's answer to what an edge may pass on.
    fn check_answer(
        &self,
        response: &Response<Incoming>,
        asked: Option<&HeaderValue>,
    ) -> Result<Survey, Failure> {
        let nonsense = |what: &str| Err(Failure::Nonsense(what.to_owned()));
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            match asked {
                None => return nonsense("101 without having been asked for an upgrade"),
                Some(asked) if !upgrade::is_granted(response.headers(), asked) => {
                    return nonsense("101 for another protocol than it was asked for");
                }
                Some(_) => {}
            }
        } else if response.status().is_success() && self.wants_tunnel_only() {
            return Err(Failure::NotUpgraded);
        }
        let survey = Survey::of(response.headers());
        if survey.is_ambiguous() {
            return nonsense("the length of the body is given twice");
        }
        Ok(survey)
    }

    /// The member's answer as the client gets it.
    fn pass_on(&self, choice: Choice, answer: Answer) -> Response<Body> {
        if let Some(wish) = &self.wish
            && answer.response.status() == StatusCode::SWITCHING_PROTOCOLS
        {
            return self.open_tunnel(choice, answer, wish);
        }
        let Answer {
            response,
            survey,
            connection,
            slot,
            deadline,
            account,
        } = answer;
        if let Some(body) = &self.body {
            body.borrow_mut().relax();
        }
        let (mut parts, incoming) = response.into_parts();
        let Upstream {
            config: member,
            key,
            ..
        } = self.upstream(&choice);
        survey.make_fit_for_client(&mut parts.headers, parts.version, self.route);
        let Self {
            client,
            route,
            cluster,
            host,
            ..
        } = *self;
        Rewrite {
            scheme: client.scheme(),
            host,
            route,
            members: &cluster.config.members,
            member,
        }
        .apply(&mut parts.headers, &survey);
        for cookie in self.sticky_cookies(&choice) {
            parts.headers.append(SET_COOKIE, cookie);
        }
        parts.version = Version::HTTP_11;
        let download = Download {
            begun: self.begun,
            incoming,
            pool: *key,
            connection: Some(connection),
            is_reusable: member.is_reusable(),
            client: client.clone(),
            timeout: member.timeout,
            has_ended: false,
            failure: None,
            account,
            deadline,
            _lease: choice.lease,
            _slot: slot,
        };
        Response::from_parts(parts, Body::member(download))
    }

    /// The cookies that keep the session at its member, where the client has none or another: ours and the plugin's.
    fn sticky_cookies(&self, choice: &Choice) -> impl Iterator<Item = HeaderValue> {
        let config = &self.cluster.config;
        let route = choice.lease.member().settings.route.as_deref();
        let new_route = route.filter(|_| choice.route_changed);
        let ours = new_route.and_then(|route| {
            let (cookie, sticky) = (config.sticky_cookie.as_ref()?, config.sticky.as_ref()?);
            sticky_cookie::issue(cookie, sticky.separator, route, self.client.is_tls())
        });
        let issued = new_route.and_then(|route| {
            let view = View::new(self.parts, self.client.address.ip());
            let services = Services::at(self.snapshot.now());
            let balancer = &self.cluster.balancer;
            let cookie = balancer.session_cookie(&view, &services, route)?;
            HeaderValue::try_from(cookie).ok()
        });
        ours.into_iter().chain(issued)
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
                config.retry_budget.is_none() || retry_budget.withdraw(self.snapshot.now())
            }
        }
    }

    /// Whether the request may go to another member after this failure.
    fn may_repeat(&self, failure: &Failure) -> bool {
        match failure.repeat() {
            Repeat::Always => self.body_is_whole(),
            Repeat::IfIdempotent => self.is_repeatable(),
            Repeat::IfConfigured => {
                let retry_on = &self.cluster.config.retry_on;
                let is_configured = retry_on.statuses.contains(&failure.status().as_u16())
                    || (retry_on.timeout && matches!(failure, Failure::TimedOut(_)));
                is_configured && self.is_repeatable()
            }
            Repeat::Never => false,
        }
    }

    /// Whether `retry-on` wants the request tried again after an answer with this status.
    fn repeats_on(&self, status: StatusCode) -> bool {
        let statuses = &self.cluster.config.retry_on.statuses;
        !statuses.is_empty() && statuses.contains(&status.as_u16()) && self.is_repeatable()
    }

    fn is_repeatable(&self) -> bool {
        self.parts.method.is_idempotent() && self.body_is_whole()
    }

    fn body_is_whole(&self) -> bool {
        self.body
            .as_ref()
            .is_none_or(|body| body.borrow().can_be_sent_again())
    }

    fn upstream(&self, choice: &Choice) -> &Upstream {
        &self.cluster.upstreams[choice.position]
    }
}

/// Gives a request its body: behind a gate, where the member is asked for a go-ahead first.
fn attach(
    body: &Rc<RefCell<RequestBody>>,
    request: &mut Request<Upload>,
    ping: Option<Duration>,
) -> Option<Gate> {
    let headers = request.headers_mut();
    if !headers.contains_key(CONTENT_LENGTH) {
        // hyper takes it for granted that a GET of unknown length has no body.
        headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
    if ping.is_some() {
        headers.insert(EXPECT, HeaderValue::from_static("100-continue"));
    }
    let gate = ping.map(|_| Gate::before(request));
    *request.body_mut() = Upload::new(body.clone(), gate.clone());
    gate
}

/// Whether we would not read on because of what the member sent.
fn is_refused(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|it| it.downcast_ref::<io::Error>());
    error.is_some_and(|error| error.kind() == io::ErrorKind::InvalidData)
}

/// Whether a member has certainly not looked at a request that it got by HTTP/2 (RFC 9113, 8.7): it said so.
fn has_not_seen(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|it| it.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        error.is_remote()
            && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}
