//! One attempt: sends the request to the selected member, and waits for the head of its response.

use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use equipoise_balancer::{AttemptOutcome, Selection};
use equipoise_http::http1::Framing;
use equipoise_http::{Head, Known, Version};
use tokio::time::{Instant, timeout};

use super::downstream::Downstream;
use super::request_body::{RequestBody, RequestBodyError};
use super::workspace::Buffers;
use super::{
    FailedAttempt, ForwardedRequest, MemberResponse, ProxyError, RequestState, headers, rewrite,
    upgrade,
};
use crate::error::{ConnectError, MemberError};
use crate::upstream::{BeginError, ConnectOptions, Connection, Endpoint, Origin, Pool};
use equipoise_config::Protocol;

impl ForwardedRequest<'_> {
    /// Sends the request to the chosen member and waits for the head of its response.
    pub(super) async fn attempt(
        &self,
        choice: &Selection,
        needs_fresh_connection: bool,
        state: &mut RequestState<'_>,
    ) -> Result<MemberResponse, FailedAttempt> {
        let endpoint = self.endpoint(choice);
        let mut offered = self.offered(&endpoint.config)?;
        let permit = match endpoint.concurrency_limit.try_acquire() {
            Some(permit) => permit,
            None => {
                let acquiring = Box::pin(
                    self.or_aborted(state.downstream, endpoint.concurrency_limit.acquire()),
                );
                let permit = acquiring.await?;
                self.read_clock();
                permit.ok_or(ProxyError::ConcurrencyLimit)?
            }
        };
        let pool = self.pool(endpoint);
        // By HTTP/2, a stream becomes something else, and not the connection.
        let may_share = offered.is_none() || endpoint.config.protocol == Protocol::Http2;
        let kept = match needs_fresh_connection {
            true => None,
            false => pool.take(endpoint.config.ttl, may_share, self.now.get()),
        };
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let connecting = self.connect(choice, &pool, needs_fresh_connection, may_share);
                let connected = Box::pin(self.or_aborted(state.downstream, connecting)).await?;
                self.read_clock();
                connected?
            }
        };
        let was_reused = connection.is_reused();
        let needs_preparation = endpoint.config.ping.is_some() || offered.is_some();
        if needs_preparation && connection.has_ping() {
            let accepted =
                Box::pin(self.prepare(endpoint, &mut connection, offered, state.downstream)).await;
            offered = accepted.map_err(|error| self.fail_attempt(choice, error, was_reused))?;
        }
        let offered = offered.as_deref();
        self.send(endpoint, offered, &mut connection, state)
            .map_err(|error| self.fail_attempt(choice, error, was_reused))?;
        // It may be set from the attempt before.
        state.buffers.deadline.clear();
        let received =
            poll_fn(|context| self.poll_final_head(endpoint, &mut connection, state, context));
        let checked = match received.await {
            Ok(()) => self.validate_response(&state.buffers.response, offered),
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
            return Err(self.fail_attempt(choice, error, was_reused));
        }
        let status = state.buffers.response.status();
        self.report(choice, AttemptOutcome::Responded(status));
        Ok(MemberResponse {
            connection,
            pool,
            pending_outcome: self.pending_outcome(choice, status),
            _permit: permit,
        })
    }

    /// A try that failed after the request was handed to a connection.
    fn fail_attempt(
        &self,
        choice: &Selection,
        error: ProxyError,
        was_reused: bool,
    ) -> FailedAttempt {
        match error {
            ProxyError::ResponseTimeout(_) => self.report_failure(choice, AttemptOutcome::TimedOut),
            ProxyError::PingTimeout(_) | ProxyError::Unreachable(_) => {
                self.report_failure(choice, AttemptOutcome::Unreachable);
            }
            ProxyError::InvalidResponse(_) => {
                self.report_failure(choice, AttemptOutcome::ResponseFailed)
            }
            ProxyError::Reset(_) if !was_reused => {
                self.report_failure(choice, AttemptOutcome::ResponseFailed)
            }
            _ => {}
        }
        FailedAttempt { error, was_reused }
    }

    /// A new connection to the chosen member, or one that another request has just made and that may be shared.
    async fn connect(
        &self,
        choice: &Selection,
        pool: &Rc<Pool>,
        needs_fresh: bool,
        may_share: bool,
    ) -> Result<Connection, ProxyError> {
        let endpoint = self.endpoint(choice);
        let config = &endpoint.config;
        let may_speak_http2 = matches!(config.protocol, Protocol::Http2 | Protocol::Negotiated);
        let is_shared = may_share && config.is_reusable() && may_speak_http2;
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
            .connect(endpoint, counters, limits, options, is_shared, since)
            .await;
        match &opened {
            Ok(connection) if connection.is_reused() => {}
            Ok(_) => self.report(choice, AttemptOutcome::Connected),
            Err(ConnectError::Name(_)) => return Err(ProxyError::Misdirected),
            Err(error) if error.is_member_error() => {
                self.report_failure(choice, AttemptOutcome::Unreachable)
            }
            Err(_) => {}
        }
        Ok(opened?)
    }

    /// Has a connection of HTTP/2 or AJP show that the member lives, if it has a `ping`, and say whether the request may become what it asks
    /// for; it goes without that wish if not.
    async fn prepare(
        &self,
        endpoint: &Endpoint,
        connection: &mut Connection,
        offered: Option<String>,
        downstream: &mut dyn Downstream,
    ) -> Result<Option<String>, ProxyError> {
        let config = &endpoint.config;
        if let Some(ping) = config.ping {
            let pinging = timeout(ping, connection.ping());
            let ponged = self.or_aborted(downstream, pinging).await?;
            self.read_clock();
            let lives = ponged.inspect_err(|_| connection.retire());
            let lives = lives.map_err(|_| ProxyError::PingTimeout(ping))?;
            lives.map_err(|_| ProxyError::NotSent)?;
        }
        if offered.is_none() {
            return Ok(None);
        }
        let limit = config.connection_timeout;
        let settling = timeout(limit, connection.supports_upgrades());
        let settled = self.or_aborted(downstream, settling).await?;
        self.read_clock();
        match settled.map_err(|_| ConnectError::TimedOut(limit))? {
            Ok(true) => Ok(offered),
            Ok(false) if self.requires_upgrade() => Err(ProxyError::UpgradeRejected),
            Ok(false) => Ok(None),
            Err(_) => Err(ProxyError::NotSent),
        }
    }

    /// Begins the request as the member gets it over this connection.
    #[inline(always)]
    fn send(
        &self,
        endpoint: &Endpoint,
        offered: Option<&str>,
        connection: &mut Connection,
        state: &mut RequestState<'_>,
    ) -> Result<(), ProxyError> {
        let Endpoint { config, host, .. } = endpoint;
        let (edit, request) = (&mut state.buffers.edit, self.request);
        edit.clear();
        if let Some(target) =
            rewrite::request_target(request, &self.path, self.rest, self.route, config)
        {
            edit.set_target(&target)
                .map_err(|_| ProxyError::BadRequest("invalid URI in the request target"))?;
        }
        headers::for_member(edit, request, self.client, self.route, host);
        if let Some(offered) = offered {
            upgrade::offer(edit, offered);
        } else if !config.is_reusable() {
            edit.add(Known::Connection, b"close");
        }
        let mut framing = Framing::None;
        if let Some(body) = &mut state.body {
            framing = body.framing();
            // Where the member can be asked by a ping, it has been already.
            let ping = config.ping.filter(|_| !connection.has_ping());
            body.rewind(ping);
            if framing == Framing::Chunked {
                edit.add(Known::TransferEncoding, b"chunked");
            }
            if ping.is_some() {
                edit.add(Known::Expect, b"100-continue");
            }
        }
        state.observer.inject_trace(edit, request);
        if let Some(rules) = &self.route.request_headers {
            self.apply_request_rules(rules, config, edit);
        }
        let origin = Origin {
            client: self.client.address,
            listener: self.client.listener(),
            tls: self.client.tls.as_ref(),
            member: config,
        };
        let begun = connection.begin(request, edit, framing, offered, &origin);
        begun.map_err(|not| match not {
            BeginError::Invalid(violation) => ProxyError::Malformed(violation),
            BeginError::Unavailable => ProxyError::NotSent,
        })
    }

    /// Waits for the head of the response, for as long as the member may take, and passes on what it says before.
    #[inline(always)]
    fn poll_final_head(
        &self,
        endpoint: &Endpoint,
        connection: &mut Connection,
        state: &mut RequestState<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ProxyError>> {
        loop {
            if let Err(error) =
                ready!(self.poll_response_head(endpoint, connection, state, context))
            {
                return Poll::Ready(Err(error));
            }
            self.read_clock();
            let RequestState {
                downstream,
                buffers,
                body,
                ..
            } = &mut *state;
            // It lives.
            buffers.deadline.clear();
            if !buffers.response.is_interim() {
                return Poll::Ready(Ok(()));
            }
            if buffers.response.status() == 100
                && let Some(body) = body
                && body.awaits_continue()
            {
                body.continue_received();
                // Ours to hear, not the client's.
                continue;
            }
            self.forward_informational(*downstream, buffers);
        }
    }

    /// The next head of the response, whichever it is.
    #[inline(always)]
    fn poll_response_head(
        &self,
        endpoint: &Endpoint,
        connection: &mut Connection,
        state: &mut RequestState<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), ProxyError>> {
        let RequestState {
            downstream,
            buffers,
            body,
            ..
        } = state;
        let mut broken = None;
        match body.as_mut().filter(|body| !body.is_done()) {
            Some(body) => {
                match body.poll(context, &mut buffers.replay, *downstream, connection) {
                    Poll::Ready(Err(RequestBodyError::Client(fault))) => {
                        return Poll::Ready(Err(fault.into()));
                    }
                    Poll::Ready(Err(RequestBodyError::Member(fault))) => {
                        // It may have responded before it stopped reading.
                        body.stop();
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
        match connection.poll_head(context, &mut buffers.response) {
            Poll::Ready(received) => {
                let error = |fault| error_of(connection, broken.unwrap_or(fault));
                return Poll::Ready(received.map_err(error));
            }
            Poll::Pending => {}
        }
        if let Some(fault) = broken {
            return Poll::Ready(Err(error_of(connection, fault)));
        }
        let body = body.as_ref();
        if body.is_none_or(|body| !body.awaits_client())
            && let Poll::Ready(fault) = downstream.poll_closed(context)
        {
            return Poll::Ready(Err(fault.into()));
        }
        // An interim response may be on its way.
        if let Poll::Ready(Err(fault)) = downstream.poll_flush(context) {
            return Poll::Ready(Err(fault.into()));
        }
        self.poll_timeout(endpoint, body, buffers, context).map(Err)
    }

    /// Passes an interim response on to a client that knows of such (RFC 9110, 15.2).
    #[cold]
    fn forward_informational(&self, downstream: &mut dyn Downstream, buffers: &mut Buffers) {
        let Buffers { response, edit, .. } = buffers;
        // 100 is the proxy's own: the client got it, or did not ask for it.
        if self.request.version() < Version::Http11 || response.status() == 100 {
            return;
        }
        edit.clear();
        headers::for_client(edit, response, self.route);
        downstream.interim(response, edit);
    }

    /// Ready when the member has had the time that it may take.
    ///
    /// The time runs from the last part of the body it was sent, and stands still while the client owes us more.
    fn poll_timeout(
        &self,
        endpoint: &Endpoint,
        body: Option<&RequestBody>,
        buffers: &mut Buffers,
        context: &mut Context<'_>,
    ) -> Poll<ProxyError> {
        let timeout = self.member_timeout(&endpoint.config);
        let ping = endpoint
            .config
            .ping
            .filter(|_| body.is_some_and(RequestBody::awaits_continue));
        let deadline = &mut buffers.deadline;
        let soonest = |at: Instant| self.deadline.map_or(at, |deadline| deadline.min(at));
        if !deadline.is_set() {
            deadline.set(soonest(self.now.get() + ping.unwrap_or(timeout)));
        }
        loop {
            ready!(deadline.poll(context));
            if let Some(error) = self.request_timeout_error() {
                return Poll::Ready(error);
            }
            if let Some(ping) = ping {
                return Poll::Ready(ProxyError::PingTimeout(ping));
            }
            let now = Instant::now();
            let waiting_since = match body {
                Some(body) => body.member_idle_since().unwrap_or(now),
                None => return Poll::Ready(ProxyError::ResponseTimeout(timeout)),
            };
            if waiting_since + timeout <= now {
                return Poll::Ready(ProxyError::ResponseTimeout(timeout));
            }
            deadline.set(soonest(waiting_since + timeout));
        }
    }

    /// Holds a member's response to what an edge may pass on.
    fn validate_response(&self, response: &Head, offered: Option<&str>) -> Result<(), ProxyError> {
        let invalid = |what| Err(ProxyError::InvalidResponse(MemberError::Invalid(what)));
        if response.status() == 101 {
            match offered {
                None => return invalid("101 without a requested upgrade"),
                Some(offered) if !upgrade::is_accepted(response, offered) => {
                    return invalid("101 for a protocol that was not requested");
                }
                Some(_) => {}
            }
        } else if (200..300).contains(&response.status()) && self.requires_upgrade() {
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
