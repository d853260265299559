//! One try of a request: sent to the chosen member, until the head of its response is there.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use equipoise_balancer::{AttemptOutcome, Selection};
use equipoise_http::http1::Framing;
use equipoise_http::{Head, Known, Version};
use tokio::time::{Instant, timeout};

use super::downstream::Downstream;
use super::upload::{RequestBodyError, Upload};
use super::workspace::Room;
use super::{Answered, Call, Exchange, Failed, ProxyError, headers, rewrite, upgrade};
use crate::upstream::{
    ConnectError, ConnectOptions, Connection, MemberError, NotBegun, Pool, Upstream,
};
use equipoise_config::Protocol;

impl Exchange<'_> {
    /// Sends the request to the chosen member and waits for the head of its response.
    pub(super) async fn attempt(
        &self,
        choice: &Selection,
        needs_fresh_connection: bool,
        call: &mut Call<'_>,
    ) -> Result<Answered, Failed> {
        let upstream = self.upstream(choice);
        let mut asked = self.asked(&upstream.config)?;
        let slot = match upstream.slots.acquire_now() {
            Some(slot) => slot,
            None => {
                let acquiring = Box::pin(self.unless_gone(call.down, upstream.slots.acquire()));
                let slot = acquiring.await?;
                self.tick();
                slot.ok_or(ProxyError::ConcurrencyLimit)?
            }
        };
        let pool = self.pool(upstream);
        // By HTTP/2, a stream becomes something else, and not the connection.
        let may_share = asked.is_none() || upstream.config.protocol == Protocol::Http2;
        let kept = match needs_fresh_connection {
            true => None,
            false => pool.take(upstream.config.ttl, may_share, self.now.get()),
        };
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let connecting = self.connect(choice, &pool, needs_fresh_connection, may_share);
                let connected = Box::pin(self.unless_gone(call.down, connecting)).await?;
                self.tick();
                connected?
            }
        };
        let was_reused = connection.is_reused();
        let has_question = upstream.config.ping.is_some() || asked.is_some();
        if has_question && connection.speaks_http2() {
            let told = Box::pin(self.question(upstream, &connection, asked, call.down)).await;
            asked = told.map_err(|error| self.failed(choice, error, was_reused))?;
        }
        let asked = asked.as_deref();
        self.send(upstream, asked, &mut connection, call)
            .map_err(|error| self.failed(choice, error, was_reused))?;
        // It may be set for the member that was asked before.
        call.room.deadline.clear();
        let heard = poll_fn(|context| self.poll_final(upstream, &mut connection, call, context));
        let checked = match heard.await {
            Ok(()) => self.check_answer(&call.room.response, asked),
            Err(error) => Err(error),
        };
        let checked = match checked {
            Ok(()) => connection.peek().map_err(ProxyError::InvalidResponse),
            Err(error) => Err(error),
        };
        if let Err(error) = checked {
            if let ProxyError::ClientAborted(Some(code)) = error {
                connection.reset(code);
            }
            return Err(self.failed(choice, error, was_reused));
        }
        let status = call.room.response.status();
        self.report(choice, AttemptOutcome::Responded(status));
        Ok(Answered {
            connection,
            pool,
            account: self.account(choice, status),
            _slot: slot,
        })
    }

    /// A try that failed after the request was handed to a connection.
    fn failed(&self, choice: &Selection, error: ProxyError, was_reused: bool) -> Failed {
        match error {
            ProxyError::ResponseTimeout(_) => self.report_trouble(choice, AttemptOutcome::TimedOut),
            ProxyError::PingTimeout(_) | ProxyError::Unreachable(_) => {
                self.report_trouble(choice, AttemptOutcome::Unreachable);
            }
            ProxyError::InvalidResponse(_) => {
                self.report_trouble(choice, AttemptOutcome::ResponseFailed)
            }
            ProxyError::Reset(_) if !was_reused => {
                self.report_trouble(choice, AttemptOutcome::ResponseFailed)
            }
            _ => {}
        }
        Failed { error, was_reused }
    }

    /// A new connection to the chosen member, or one that another request has just made and that may be shared.
    async fn connect(
        &self,
        choice: &Selection,
        pool: &Rc<Pool>,
        needs_fresh: bool,
        may_share: bool,
    ) -> Result<Connection, ProxyError> {
        let upstream = self.upstream(choice);
        let config = &upstream.config;
        let is_shared = may_share && config.is_reusable() && config.protocol != Protocol::Http1;
        // One that others have made for the same reason is as fresh.
        let since = needs_fresh.then(|| self.now.get());
        let counters = choice.lease.member().counters.clone();
        let options = ConnectOptions {
            client: Some(self.client.address),
            sent_host: self.sent_host(),
            only_http1: !may_share,
            ..ConnectOptions::default()
        };
        let limits = &self.snapshot.limits;
        let opened = pool
            .connect(upstream, counters, limits, options, is_shared, since)
            .await;
        match &opened {
            Ok(connection) if connection.is_reused() => {}
            Ok(_) => self.report(choice, AttemptOutcome::Connected),
            Err(ConnectError::Name(_)) => return Err(ProxyError::Misdirected),
            Err(error) if error.is_the_members() => {
                self.report_trouble(choice, AttemptOutcome::Unreachable)
            }
            Err(_) => {}
        }
        Ok(opened?)
    }

    /// Has a connection of HTTP/2 show that the member lives, if it has a `ping`, and say whether the request may become what it asks
    /// for; it goes without that wish if not.
    async fn question(
        &self,
        upstream: &Upstream,
        connection: &Connection,
        asked: Option<String>,
        down: &mut dyn Downstream,
    ) -> Result<Option<String>, ProxyError> {
        let config = &upstream.config;
        if let Some(ping) = config.ping {
            let pinging = timeout(ping, connection.ping());
            let ponged = self.unless_gone(down, pinging).await?;
            self.tick();
            let lives = ponged.inspect_err(|_| connection.give_up());
            let lives = lives.map_err(|_| ProxyError::PingTimeout(ping))?;
            lives.map_err(|_| ProxyError::NotSent)?;
        }
        if asked.is_none() {
            return Ok(None);
        }
        let limit = config.connection_timeout;
        let settling = timeout(limit, connection.takes_upgrades());
        let settled = self.unless_gone(down, settling).await?;
        self.tick();
        match settled.map_err(|_| ConnectError::TimedOut(limit))? {
            Ok(true) => Ok(asked),
            Ok(false) if self.wants_tunnel_only() => Err(ProxyError::UpgradeRejected),
            Ok(false) => Ok(None),
            Err(_) => Err(ProxyError::NotSent),
        }
    }

    /// Begins the request as the member gets it over this connection.
    #[inline(always)]
    fn send(
        &self,
        upstream: &Upstream,
        asked: Option<&str>,
        connection: &mut Connection,
        call: &mut Call<'_>,
    ) -> Result<(), ProxyError> {
        let Upstream { config, host, .. } = upstream;
        let (edit, request) = (&mut call.room.edit, self.request);
        edit.clear();
        if let Some(target) = rewrite::target(request, &self.path, self.rest, self.route, config) {
            edit.set_target(&target)
                .map_err(|_| ProxyError::BadRequest("invalid URI in the request target"))?;
        }
        headers::for_member(edit, request, self.client, self.route, host);
        if let Some(asked) = asked {
            upgrade::ask(edit, asked);
        } else if !config.is_reusable() {
            edit.add(Known::Connection, b"close");
        }
        let mut framing = Framing::None;
        if let Some(upload) = &mut call.upload {
            framing = upload.framing();
            // With HTTP/2, a member has been asked already.
            let ping = config.ping.filter(|_| !connection.speaks_http2());
            upload.rewind(ping);
            if framing == Framing::Chunked {
                edit.add(Known::TransferEncoding, b"chunked");
            }
            if ping.is_some() {
                edit.add(Known::Expect, b"100-continue");
            }
        }
        call.notes.mark(edit, request);
        let begun = connection.begin(request, edit, framing, asked);
        begun.map_err(|not| match not {
            NotBegun::Invalid(violation) => ProxyError::Malformed(violation),
            NotBegun::Taken => ProxyError::NotSent,
        })
    }

    /// Waits for the head of the response, for as long as the member may take, and passes on what it says before.
    #[inline(always)]
    fn poll_final(
        &self,
        upstream: &Upstream,
        connection: &mut Connection,
        call: &mut Call<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ProxyError>> {
        loop {
            if let Err(error) = ready!(self.poll_answer(upstream, connection, call, context)) {
                return Poll::Ready(Err(error));
            }
            self.tick();
            let Call {
                down, room, upload, ..
            } = &mut *call;
            // It lives.
            room.deadline.clear();
            if !room.response.is_interim() {
                return Poll::Ready(Ok(()));
            }
            if room.response.status() == 100
                && let Some(upload) = upload
                && upload.awaits_go_ahead()
            {
                upload.go_ahead();
                // Ours to hear, not the client's.
                continue;
            }
            self.pass_on_interim(*down, room);
        }
    }

    /// The next head of the response, whichever it is.
    #[inline(always)]
    fn poll_answer(
        &self,
        upstream: &Upstream,
        connection: &mut Connection,
        call: &mut Call<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ProxyError>> {
        let Call {
            down, room, upload, ..
        } = call;
        let mut broken = None;
        match upload.as_mut().filter(|upload| !upload.is_done()) {
            Some(upload) => {
                match upload.poll(context, &mut room.replay, *down, connection) {
                    Poll::Ready(Err(RequestBodyError::Client(fault))) => {
                        return Poll::Ready(Err(fault.into()));
                    }
                    Poll::Ready(Err(RequestBodyError::Member(fault))) => {
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
                let error = |fault| error_of(connection, broken.unwrap_or(fault));
                return Poll::Ready(heard.map_err(error));
            }
            Poll::Pending => {}
        }
        if let Some(fault) = broken {
            return Poll::Ready(Err(error_of(connection, fault)));
        }
        let upload = upload.as_ref();
        if upload.is_none_or(|upload| !upload.awaits_client())
            && let Poll::Ready(fault) = down.poll_gone(context)
        {
            return Poll::Ready(Err(fault.into()));
        }
        // An interim response may be on its way.
        if let Poll::Ready(Err(fault)) = down.poll_flush(context) {
            return Poll::Ready(Err(fault.into()));
        }
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
    ) -> Poll<ProxyError> {
        let timeout = upstream.config.timeout;
        let ping = upstream
            .config
            .ping
            .filter(|_| upload.is_some_and(Upload::awaits_go_ahead));
        let deadline = &mut room.deadline;
        let soonest = |at: Instant| self.give_up.map_or(at, |give_up| give_up.min(at));
        if !deadline.is_set() {
            deadline.set(soonest(self.now.get() + ping.unwrap_or(timeout)));
        }
        loop {
            ready!(deadline.poll(context));
            if let Some(error) = self.out_of_time() {
                return Poll::Ready(error);
            }
            if let Some(ping) = ping {
                return Poll::Ready(ProxyError::PingTimeout(ping));
            }
            let now = Instant::now();
            let waiting_since = match upload {
                Some(upload) => upload.member_idle_since().unwrap_or(now),
                None => return Poll::Ready(ProxyError::ResponseTimeout(timeout)),
            };
            if waiting_since + timeout <= now {
                return Poll::Ready(ProxyError::ResponseTimeout(timeout));
            }
            deadline.set(soonest(waiting_since + timeout));
        }
    }

    /// Holds a member's response to what an edge may pass on.
    fn check_answer(&self, response: &Head, asked: Option<&str>) -> Result<(), ProxyError> {
        let nonsense = |what| Err(ProxyError::InvalidResponse(MemberError::Invalid(what)));
        if response.status() == 101 {
            match asked {
                None => return nonsense("101 without a requested upgrade"),
                Some(asked) if !upgrade::is_granted(response, asked) => {
                    return nonsense("101 for a protocol that was not requested");
                }
                Some(_) => {}
            }
        } else if (200..300).contains(&response.status()) && self.wants_tunnel_only() {
            return Err(ProxyError::UpgradeRejected);
        }
        Ok(())
    }
}

/// What is behind a member's fault: a connection that was gone already, or the member.
fn error_of(connection: &Connection, fault: MemberError) -> ProxyError {
    match fault {
        _ if fault.is_unseen() => ProxyError::NotSent,
        MemberError::Violation(_) | MemberError::Invalid(_) => ProxyError::InvalidResponse(fault),
        _ if !connection.has_sent() && !connection.has_read() => ProxyError::NotSent,
        _ => ProxyError::Reset(fault),
    }
}
