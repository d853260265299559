//! The life of one request, from the client's head to the last byte of a member's response.

mod account;
mod downstream;
mod error;
mod headers;
mod manager;
mod notes;
mod relay;
mod retry_budget;
mod rewrite;
mod sticky_cookie;
pub(crate) mod target;
mod tries;
mod tunnel;
mod upgrade;
mod upload;
mod view;
mod workspace;

use std::borrow::Cow;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use equipoise_balancer::{Choice, Outcome, Query, Refusal};
use equipoise_http::head::Expectation;
use equipoise_http::http1::Framing;
use equipoise_http::{Edit, Head, Known, Version};
use equipoise_sdk::Affinity;
use percent_encoding::{AsciiSet, percent_encode};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::config::{Protocol, Route};
use crate::health::Account;
use crate::server::Client;
use crate::snapshot::{Cluster, Snapshot};
use crate::tls::Connector;
use crate::upstream::{
    ConnectError, ConnectOptions, Connection, MemberFault, Pool, Slot, Upstream,
};
use crate::{path, router};
use error::Repeat;
use notes::Notes;
use rewrite::Rewrite;
use tries::{Next, Tries};
use upgrade::Wish;
use upload::{Upload, UploadFault};
pub(crate) use view::Services;
use view::View;

/// Nothing is encoded but what is not ASCII, which always is.
const BEYOND_ASCII: &AsciiSet = &AsciiSet::EMPTY;

/// When a client may come again where no member is eligible, and neither `retry` nor a check will tell.
const RETRY_AFTER: Duration = Duration::from_secs(5);

pub(crate) use downstream::{ClientFault, Downstream, Piece};
pub(crate) use error::Failure;
pub(crate) use retry_budget::RetryBudget;
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
    let mut notes = Notes::begin(client, &snapshot, request);
    if let Err(failure) = forward(client, &snapshot, request, down, room, &mut notes).await {
        Box::pin(fail(request, &failure, down, room, &mut notes)).await;
    }
    notes.close();
}

/// Answers a request of which no more is read, and which goes to no member.
pub(crate) async fn refuse(
    client: &Client,
    request: &Head,
    failure: Failure,
    down: &mut dyn Downstream,
    room: &mut Room,
) {
    let snapshot = client.worker.snapshot();
    let mut notes = Notes::begin(client, &snapshot, request);
    fail(request, &failure, down, room, &mut notes).await;
    notes.close();
}

/// Tells a client what went wrong with its request, if it is still there.
async fn fail(
    request: &Head,
    failure: &Failure,
    down: &mut dyn Downstream,
    room: &mut Room,
    notes: &mut Notes<'_>,
) {
    notes.note_failure(failure);
    let Room { response, edit, .. } = room;
    edit.clear();
    if let Failure::ClientAborted(_) = failure {
        notes.note_answer(failure.status(), edit);
        return down.abort();
    }
    if failure.ends_connection() {
        down.close_behind();
    }
    let text = match speaks_grpc(request) {
        true => {
            failure.respond_grpc(response);
            String::new()
        }
        false => failure.respond(response),
    };
    notes.note_answer(response.status(), edit);
    relay::answer(request, response, edit, text.as_bytes(), down, notes).await;
}

/// Whether a request is one of gRPC, whose responses have their status in fields of their own.
fn speaks_grpc(request: &Head) -> bool {
    let content_type = request.get(Known::ContentType);
    let rest = content_type.and_then(|it| it.strip_prefix(b"application/grpc"));
    request.version() == Version::Http2 && matches!(rest, Some([] | [b'+' | b';', ..]))
}

/// Finds the route and asks the members behind it.
///
/// # Errors
/// Nothing was sent to the client yet.
async fn forward<'request>(
    client: &'request Client,
    snapshot: &'request Snapshot,
    request: &'request Head,
    down: &mut dyn Downstream,
    room: &mut Room,
    notes: &mut Notes<'request>,
) -> Result<(), Failure> {
    let host = request.authority().unwrap_or_default();
    // What names a host is ASCII.
    let host = std::str::from_utf8(host).unwrap_or_default();
    if let Some(port) = client.https_redirect()
        && request.target() != b"*"
    {
        return Err(by_tls_alone(host, port, request));
    }
    let (path, _) = target::split(request);
    let path = match path {
        b"*" => Cow::Borrowed(path),
        path => {
            path::normalize(path).ok_or(Failure::BadRequest("the request target is no path"))?
        }
    };
    let routes = &snapshot.config.routes;
    let (number, route, rest) = match &*path {
        b"*" => router::find_for_server(routes, host).ok_or(Failure::ServerOptions)?,
        path => router::find(routes, host, path).ok_or(Failure::NoRoute)?,
    };
    if headers::may_not_forward(request) {
        return Err(Failure::MayNotForward);
    }
    if request.expectation() == Expectation::Unknown {
        return Err(Failure::UnknownExpectation);
    }
    let cluster = &snapshot.clusters[route.balancer];
    notes.note_route(number, cluster);
    let session = cluster.balancer.session(
        &View::new(request, client.address.ip()),
        &Services::at(notes.begun - snapshot.started()),
    );
    let mut upload = Upload::of(
        down.framing(),
        request,
        cluster.config.replay_buffer,
        &snapshot.limits,
    );
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
        wish: match upload {
            None => Wish::of(request),
            Some(_) => None,
        },
        give_up: cluster.config.request_timeout.map(|it| Instant::now() + it),
    };
    notes.note_session(&exchange);
    exchange.run(down, room, &mut upload, notes).await
}

/// Sends a client to the same URL at `https`.
#[cold]
fn by_tls_alone(host: &str, port: u16, request: &Head) -> Failure {
    let host = router::without_port(host);
    if host.is_empty() {
        return Failure::BadRequest("the request names no host");
    }
    let (path, query) = target::split(request);
    let encoded = |bytes| percent_encode(bytes, BEYOND_ASCII).to_string();
    let mut target = encoded(path);
    if let Some(query) = query {
        target.push('?');
        target.push_str(&encoded(query));
    }
    Failure::ByTlsAlone(match port {
        443 => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    })
}

/// One request and everything that is known of it before a member is chosen.
struct Exchange<'request> {
    client: &'request Client,
    /// The configuration, from the request's beginning to its end.
    snapshot: &'request Snapshot,
    /// The head as the client sent it.
    request: &'request Head,
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
    /// What the client would have its connection become.
    wish: Option<Wish>,
    /// When all tries together have had their time.
    give_up: Option<Instant>,
}

/// A member that has answered, and what must be held while its response is passed on.
struct Answered {
    connection: Connection,
    /// What the judge is told when the response has been passed on.
    account: Option<Box<Account>>,
    slot: Slot,
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
    async fn run(
        &self,
        down: &mut dyn Downstream,
        room: &mut Room,
        upload: &mut Option<Upload>,
        notes: &mut Notes<'_>,
    ) -> Result<(), Failure> {
        let mut tries = Tries::new(self.cluster.config.max_attempts);
        let mut last_failure = None;
        if let Some(share) = self.cluster.config.retry_budget {
            self.cluster.retry_budget.deposit(share);
        }
        loop {
            if let Some(failure) = self.out_of_time() {
                return Err(failure);
            }
            let choice = match self.choose(&tries, down, notes).await? {
                Ok(choice) => choice,
                Err(refusal) => {
                    return Err(last_failure.unwrap_or_else(|| self.refused(refusal)));
                }
            };
            notes.note_choice(self, &choice);
            let is_fresh = tries.needs_fresh_connection();
            let attempt = self.attempt(&choice, is_fresh, down, room, upload, notes);
            match attempt.await {
                Ok(mut answered) => {
                    let status = room.response.status();
                    notes.note_outcome(Ok(status));
                    let repeats = self.repeats_on(status, upload.as_ref())
                        && self.affords(tries.next_after_answer(&choice));
                    if !repeats {
                        self.pass_on(choice, answered, down, room, upload, notes)
                            .await;
                        return Ok(());
                    }
                    answered.close(None);
                    self.cluster.meters.count_retry(None);
                }
                Err(Failed {
                    failure,
                    was_reused,
                }) => {
                    notes.note_outcome(Err(&failure));
                    tracing::debug!(member = choice.lease.member().settings.name, %failure, "a try failed");
                    if !(self.may_repeat(&failure, upload.as_ref())
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
    ///
    /// # Errors
    /// The client has left meanwhile.
    async fn choose(
        &self,
        tries: &Tries,
        down: &mut dyn Downstream,
        notes: &mut Notes<'_>,
    ) -> Result<Result<Choice, Refusal>, Failure> {
        let choice = self.choose_now(tries, notes);
        if self.cluster.config.timeout.is_zero() || !matches!(choice, Err(Refusal::NoneEligible)) {
            return Ok(choice);
        }
        Box::pin(self.await_eligible(tries, down, notes)).await
    }

    async fn await_eligible(
        &self,
        tries: &Tries,
        down: &mut dyn Downstream,
        notes: &mut Notes<'_>,
    ) -> Result<Result<Choice, Refusal>, Failure> {
        let limit = self.cluster.config.timeout;
        let step = (limit / 100).max(Duration::from_millis(1));
        let give_up = Instant::now() + limit;
        loop {
            self.unless_gone(down, sleep(step)).await?;
            let choice = self.choose_now(tries, notes);
            if !matches!(choice, Err(Refusal::NoneEligible)) || Instant::now() >= give_up {
                return Ok(choice);
            }
        }
    }

    fn choose_now(&self, tries: &Tries, notes: &mut Notes<'_>) -> Result<Choice, Refusal> {
        let services = Services::at(self.snapshot.now());
        let view = View::new(self.request, self.client.address.ip()).tried(tries);
        let query = Query {
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

    /// Sends the request to the chosen member and waits for the head of its response.
    async fn attempt(
        &self,
        choice: &Choice,
        needs_fresh_connection: bool,
        down: &mut dyn Downstream,
        room: &mut Room,
        upload: &mut Option<Upload>,
        notes: &Notes<'_>,
    ) -> Result<Answered, Failed> {
        let upstream = self.upstream(choice);
        let asked = self.asked(&upstream.config)?;
        let slot = match upstream.slots.acquire_now() {
            Some(slot) => slot,
            None => {
                let acquiring = Box::pin(self.unless_gone(down, upstream.slots.acquire()));
                acquiring.await?.ok_or(Failure::Full)?
            }
        };
        let pool = self.pool(upstream);
        let may_share = asked.is_none();
        let kept = match needs_fresh_connection {
            true => None,
            false => pool.take(upstream.config.ttl, may_share),
        };
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let connecting = self.connect(choice, &pool, needs_fresh_connection, may_share);
                Box::pin(self.unless_gone(down, connecting)).await??
            }
        };
        self.send(
            upstream,
            asked.as_deref(),
            &mut connection,
            room,
            upload,
            notes,
        )?;
        let was_reused = connection.is_reused();
        let heard = self.await_answer(upstream, &mut connection, down, room, upload);
        let checked = match heard.await {
            Ok(()) => self.check_answer(&room.response, asked.as_deref()),
            Err(failure) => Err(failure),
        };
        let checked = match checked {
            Ok(()) => connection.peek().map_err(Failure::Nonsense),
            Err(failure) => Err(failure),
        };
        if let Err(failure) = checked {
            if let Failure::ClientAborted(Some(code)) = failure {
                connection.reset(code);
            }
            return Err(self.failed(choice, failure, was_reused));
        }
        let status = room.response.status();
        self.report(choice, Outcome::Answered(status));
        Ok(Answered {
            connection,
            account: self.account(choice, status),
            slot,
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

    /// A new connection to the chosen member, or one that another request has just made and that may be shared.
    async fn connect(
        &self,
        choice: &Choice,
        pool: &Rc<Pool>,
        needs_fresh: bool,
        may_share: bool,
    ) -> Result<Connection, Failure> {
        let upstream = self.upstream(choice);
        let config = &upstream.config;
        let is_shared =
            may_share && !needs_fresh && config.is_reusable() && config.protocol != Protocol::Http1;
        let turn = match is_shared {
            true => {
                let turn = timeout(config.connection_timeout, pool.turn()).await;
                turn.map_err(|_| ConnectError::TimedOut(config.connection_timeout))?
            }
            false => None,
        };
        // The request that had the turn before may have made one that has room.
        if turn.is_some()
            && let Some(connection) = pool.take(config.ttl, may_share)
        {
            return Ok(connection);
        }
        let counters = choice.lease.member().counters.clone();
        let options = ConnectOptions {
            client: Some(self.client.address),
            sent_host: self.sent_host(),
            only_http1: !may_share,
            ..ConnectOptions::default()
        };
        let limits = &self.snapshot.limits;
        let opened = Connection::open(upstream, counters, limits, options).await;
        match &opened {
            Ok(_) => self.report(choice, Outcome::Connected),
            Err(ConnectError::Name(_)) => return Err(Failure::Misdirected),
            Err(error) if error.is_the_members() => self.report(choice, Outcome::Unreachable),
            Err(_) => {}
        }
        let (connection, trunk) = opened?;
        if is_shared {
            pool.share(trunk);
        }
        Ok(connection)
    }

    /// Begins the request as the member gets it over this connection.
    fn send(
        &self,
        upstream: &Upstream,
        asked: Option<&str>,
        connection: &mut Connection,
        room: &mut Room,
        upload: &mut Option<Upload>,
        notes: &Notes<'_>,
    ) -> Result<(), Failure> {
        let Upstream { config, host, .. } = upstream;
        let (edit, request) = (&mut room.edit, self.request);
        edit.clear();
        if let Some(target) = rewrite::target(request, &self.path, self.rest, self.route, config) {
            edit.set_target(&target)
                .map_err(|_| Failure::BadRequest("the request target is no URI"))?;
        }
        headers::for_member(edit, request, self.client, self.route, host);
        if let Some(asked) = asked {
            upgrade::ask(edit, asked);
        } else if !config.is_reusable() {
            edit.add(Known::Connection, b"close");
        }
        let mut framing = Framing::None;
        if let Some(upload) = upload {
            framing = upload.framing();
            // With HTTP/2, a member is not asked for a go-ahead.
            let ping = config.ping.filter(|_| !connection.speaks_http2());
            upload.rewind(ping);
            if framing == Framing::Chunked {
                edit.add(Known::TransferEncoding, b"chunked");
            }
            if ping.is_some() {
                edit.add(Known::Expect, b"100-continue");
            }
        }
        notes.mark(edit, request);
        connection
            .begin(request, edit, framing)
            .map_err(Failure::BadRequest)
    }

    /// Waits for the head of the response, for as long as the member may take, and passes on what it says before.
    async fn await_answer(
        &self,
        upstream: &Upstream,
        connection: &mut Connection,
        down: &mut dyn Downstream,
        room: &mut Room,
        upload: &mut Option<Upload>,
    ) -> Result<(), Failure> {
        // It may be set for the member that was asked before.
        room.deadline.clear();
        loop {
            poll_fn(|context| {
                self.poll_answer(upstream, connection, down, room, upload.as_mut(), context)
            })
            .await?;
            // It lives.
            room.deadline.clear();
            if !room.response.is_interim() {
                return Ok(());
            }
            if room.response.status() == 100
                && let Some(upload) = upload
                && upload.awaits_go_ahead()
            {
                upload.go_ahead();
                // Ours to hear, not the client's.
                continue;
            }
            self.pass_on_interim(down, room);
        }
    }

    fn poll_answer(
        &self,
        upstream: &Upstream,
        connection: &mut Connection,
        down: &mut dyn Downstream,
        room: &mut Room,
        mut upload: Option<&mut Upload>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Failure>> {
        let mut broken = None;
        match upload.as_deref_mut().filter(|upload| !upload.is_done()) {
            Some(upload) => {
                match upload.poll(context, &mut room.replay, down, connection) {
                    Poll::Ready(Err(UploadFault::Client(fault))) => {
                        return Poll::Ready(Err(fault.into()));
                    }
                    Poll::Ready(Err(UploadFault::Member(fault))) => {
                        // It may have answered before it stopped to listen.
                        upload.give_up();
                        broken = Some(fault);
                    }
                    Poll::Ready(Ok(())) | Poll::Pending => {}
                }
            }
            None => match connection.poll_flush(context) {
                Poll::Ready(Err(fault)) => broken = Some(fault),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            },
        }
        match connection.poll_head(context, &mut room.response) {
            Poll::Ready(heard) => {
                let failure = |fault| failure_of(connection, broken.unwrap_or(fault));
                return Poll::Ready(heard.map_err(failure));
            }
            Poll::Pending => {}
        }
        if let Some(fault) = broken {
            return Poll::Ready(Err(failure_of(connection, fault)));
        }
        if upload
            .as_deref()
            .is_none_or(|upload| !upload.awaits_client())
            && let Poll::Ready(fault) = down.poll_gone(context)
        {
            return Poll::Ready(Err(fault.into()));
        }
        // An interim response may be on its way.
        if let Poll::Ready(Err(fault)) = down.poll_flush(context) {
            return Poll::Ready(Err(fault.into()));
        }
        let upload = upload.as_deref();
        self.poll_patience(upstream, upload, room, context).map(Err)
    }

    /// Passes an interim response on to a client that knows of such (RFC 9110, 15.2).
    #[cold]
    fn pass_on_interim(&self, down: &mut dyn Downstream, room: &mut Room) {
        let Room { response, edit, .. } = room;
        // Ours to give: the client has had its own, or asked for none.
        if self.request.version() < Version::Http11 || response.status() == 100 {
            return;
        }
        edit.clear();
        headers::for_client(edit, response, self.route);
        down.interim(response, edit);
    }

    /// Ready when the member has had the time that it may take.
    ///
    /// The time runs from the last part of the body it was sent, and stands still while the client owes us more.
    fn poll_patience(
        &self,
        upstream: &Upstream,
        upload: Option<&Upload>,
        room: &mut Room,
        context: &mut Context<'_>,
    ) -> Poll<Failure> {
        let timeout = upstream.config.timeout;
        let ping = upstream
            .config
            .ping
            .filter(|_| upload.is_some_and(Upload::awaits_go_ahead));
        let deadline = &mut room.deadline;
        let soonest = |at: Instant| self.give_up.map_or(at, |give_up| give_up.min(at));
        if !deadline.is_set() {
            deadline.set(soonest(Instant::now() + ping.unwrap_or(timeout)));
        }
        loop {
            ready!(deadline.poll(context));
            if let Some(failure) = self.out_of_time() {
                return Poll::Ready(failure);
            }
            if let Some(ping) = ping {
                return Poll::Ready(Failure::NotReady(ping));
            }
            let now = Instant::now();
            let waiting_since = match upload {
                Some(upload) => upload.member_idle_since().unwrap_or(now),
                None => return Poll::Ready(Failure::TimedOut(timeout)),
            };
            if waiting_since + timeout <= now {
                return Poll::Ready(Failure::TimedOut(timeout));
            }
            deadline.set(soonest(waiting_since + timeout));
        }
    }

    /// Holds a member's response to what an edge may pass on.
    fn check_answer(&self, response: &Head, asked: Option<&str>) -> Result<(), Failure> {
        let nonsense = |what| Err(Failure::Nonsense(MemberFault::Nonsense(what)));
        if response.status() == 101 {
            match asked {
                None => return nonsense("101 without having been asked for an upgrade"),
                Some(asked) if !upgrade::is_granted(response, asked) => {
                    return nonsense("101 for another protocol than it was asked for");
                }
                Some(_) => {}
            }
        } else if (200..300).contains(&response.status()) && self.wants_tunnel_only() {
            return Err(Failure::NotUpgraded);
        }
        Ok(())
    }

    /// Passes the member's response on to the client, to its end.
    async fn pass_on(
        &self,
        choice: Choice,
        mut answered: Answered,
        down: &mut dyn Downstream,
        room: &mut Room,
        upload: &mut Option<Upload>,
        notes: &mut Notes<'_>,
    ) {
        let upstream = self.upstream(&choice);
        let config = &upstream.config;
        if let Some(upload) = upload {
            upload.relax();
        }
        self.edit_answer(&choice, config, room);
        notes.note_answer(room.edit.status(&room.response), &mut room.edit);
        let connection = &mut answered.connection;
        if room.response.status() == 101 {
            let is_extended = self.wants_tunnel_only();
            upgrade::grant(&mut room.edit, &room.response, is_extended);
            down.begin(&room.response, &mut room.edit, Framing::None);
            Box::pin(self.open_tunnel(connection, config.tunnel_timeout, down, notes)).await;
            return answered.close(None);
        }
        let framing = connection.framing();
        down.begin(&room.response, &mut room.edit, framing);
        let ended = relay::response(connection, down, room, upload, config.timeout, notes).await;
        answered.close(ended.failure());
        match ended {
            relay::Ended::Whole => {
                if config.is_reusable() {
                    self.pool(upstream).put(answered.connection);
                }
                // What the client has yet to take is not the member's business.
                drop((choice, answered.slot));
                relay::finish(down, notes).await;
            }
            relay::Ended::ByClient(fault) => {
                if let ClientFault::Aborted(Some(code)) = fault {
                    answered.connection.reset(code);
                }
                notes.note_client_fault(fault);
            }
            relay::Ended::ByMember(fault) => {
                upstream.meters.count_truncated();
                notes.note_break(&fault);
                notes.close();
                // What came before is worth something, and HTTP/2 is not to overtake it.
                let _ = poll_fn(|context| down.poll_flush(context)).await;
                yield_now().await;
                down.abort();
            }
        }
    }

    /// Makes the head of a member's response the client's.
    fn edit_answer(&self, choice: &Choice, member: &crate::config::Member, room: &mut Room) {
        let Room { response, edit, .. } = room;
        edit.clear();
        headers::for_client(edit, response, self.route);
        Rewrite {
            scheme: self.client.scheme(),
            host: self.host,
            route: self.route,
            members: &self.cluster.config.members,
            member,
        }
        .apply(edit, response);
        if choice.route_changed {
            self.set_sticky_cookies(choice, edit);
        }
    }

    /// Copies both ways what client and member say behind a 101.
    async fn open_tunnel(
        &self,
        connection: &mut Connection,
        idle: Duration,
        down: &mut dyn Downstream,
        notes: &mut Notes<'_>,
    ) {
        let limits = tunnel::Limits {
            idle,
            half_ended: self.snapshot.limits.client_timeout,
        };
        if let Err(fault) = poll_fn(|context| down.poll_flush(context)).await {
            return notes.note_client_fault(fault);
        }
        if let (Some(client), Some(member)) = (down.tunnel(), connection.tunnel()) {
            let (bytes, ended) = tunnel::relay(client, member, limits).await;
            notes.count_bytes(bytes);
            if let Err(error) = ended {
                let address = self.client.address;
                tracing::debug!(%address, %error, "a tunnel broke off");
                notes.note_break(&error);
            }
        }
    }

    /// The cookies that keep the session at its member, where the client has none or another: ours and the plugin's.
    #[cold]
    fn set_sticky_cookies(&self, choice: &Choice, edit: &mut Edit) {
        let config = &self.cluster.config;
        let Some(route) = choice.lease.member().settings.route.as_deref() else {
            return;
        };
        if let (Some(cookie), Some(sticky)) = (&config.sticky_cookie, &config.sticky) {
            let is_tls = self.client.is_tls();
            let ours = sticky_cookie::issue(cookie, sticky.separator, route, is_tls);
            edit.add(Known::SetCookie, ours.as_bytes());
        }
        let view = View::new(self.request, self.client.address.ip());
        let services = Services::at(self.snapshot.now());
        let balancer = &self.cluster.balancer;
        if let Some(cookie) = balancer.session_cookie(&view, &services, route) {
            edit.add(Known::SetCookie, cookie.as_bytes());
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
                config.retry_budget.is_none() || retry_budget.withdraw(self.snapshot.now())
            }
        }
    }

    /// Whether the request may go to another member after this failure.
    fn may_repeat(&self, failure: &Failure, upload: Option<&Upload>) -> bool {
        match failure.repeat() {
            Repeat::Always => is_whole(upload),
            Repeat::IfIdempotent => self.is_repeatable(upload),
            Repeat::IfConfigured => {
                let retry_on = &self.cluster.config.retry_on;
                let is_configured = retry_on.statuses.contains(&failure.status())
                    || (retry_on.timeout && matches!(failure, Failure::TimedOut(_)));
                is_configured && self.is_repeatable(upload)
            }
            Repeat::Never => false,
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
    ) -> Result<F::Output, Failure> {
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
                return Poll::Ready(Err(Failure::RequestTimedOut(limit)));
            }
            Poll::Pending
        })
        .await
    }

    /// What there is to say once `request-timeout` has passed.
    fn out_of_time(&self) -> Option<Failure> {
        let is_over = self.give_up.is_some_and(|at| at <= Instant::now());
        let limit = self.cluster.config.request_timeout.unwrap_or_default();
        is_over.then_some(Failure::RequestTimedOut(limit))
    }

    /// `Host` as members get it, where that is the client's.
    fn sent_host(&self) -> Option<&str> {
        (self.route.preserve_host && !self.host.is_empty()).then_some(self.host)
    }

    /// The kept connections to the chosen member that this request may use.
    fn pool(&self, upstream: &Upstream) -> Rc<Pool> {
        let host = self.sent_host();
        // The member has proved to be this host, and no other.
        let host = host.filter(|_| upstream.tls.as_ref().is_some_and(Connector::follows_host));
        self.client.worker.pool(upstream.key, host)
    }

    fn upstream(&self, choice: &Choice) -> &Upstream {
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

/// What is behind a member's fault: a connection that was gone already, or the member.
fn failure_of(connection: &Connection, fault: MemberFault) -> Failure {
    match fault {
        _ if fault.is_unseen() => Failure::Unsent,
        MemberFault::Violation(_) | MemberFault::Nonsense(_) => Failure::Nonsense(fault),
        _ if !connection.has_sent() && !connection.has_read() => Failure::Unsent,
        _ => Failure::BrokenOff(fault),
    }
}
