//! Forwarding a member's response to the client, and releasing the connection afterwards.

use std::future::poll_fn;
use std::time::Duration;

use equipoise_balancer::Selection;
use equipoise_http::http1::Framing;
use equipoise_http::{Edit, Known};
use tokio::task::yield_now;

use super::policy_request::{PolicyEnv, PolicyRequest};
use super::response_body::{Ended, ResponseBody};
use super::rewrite::Rewrite;
use super::workspace::Buffers;
use super::{
    ForwardedRequest, MemberResponse, RequestState, headers, response_body, sticky_cookie, tunnel,
    upgrade,
};
use crate::error::ClientError;
use crate::upstream::Connection;
use equipoise_config::Member;

impl ForwardedRequest<'_> {
    /// Passes the member's response on to the client, to its end.
    pub(super) async fn forward_response(
        &self,
        choice: &Selection,
        member_response: &mut MemberResponse,
        state: &mut RequestState<'_>,
    ) -> Ended {
        let config = &self.endpoint(choice).config;
        if let Some(body) = &mut state.body {
            body.response_started();
        }
        let RequestState {
            downstream,
            buffers,
            observer,
            ..
        } = &mut *state;
        self.edit_response(choice, config, buffers);
        observer.record_response(buffers.edit.status(&buffers.response), &mut buffers.edit);
        let connection = &mut member_response.connection;
        if buffers.response.status() == 101 {
            let is_extended = self.requires_upgrade();
            upgrade::accept(&mut buffers.edit, &buffers.response, is_extended);
            downstream.begin(&buffers.response, &mut buffers.edit, Framing::None);
            Box::pin(self.run_tunnel(connection, config.tunnel_timeout, state)).await;
            return Ended::AsTunnel;
        }
        let framing = connection.framing();
        downstream.begin(&buffers.response, &mut buffers.edit, framing);
        let mut response_body = ResponseBody::new(self.member_timeout(config));
        let mut has_waited = false;
        let ended = poll_fn(|context| {
            let ended = response_body.poll(connection, state, context);
            has_waited |= ended.is_pending();
            ended
        });
        let ended = ended.await;
        if has_waited {
            self.read_clock();
        }
        ended
    }

    /// The member is done with: what the client has yet to take is not its business.
    #[inline(always)]
    pub(super) fn release(
        &self,
        choice: Selection,
        mut member_response: MemberResponse,
        ended: &Ended,
    ) {
        member_response.close(ended.failure());
        let endpoint = self.endpoint(&choice);
        match ended {
            Ended::Whole if endpoint.config.is_reusable() => {
                let MemberResponse {
                    connection, pool, ..
                } = member_response;
                pool.put(connection, self.now.get());
            }
            Ended::ByClient(ClientError::Aborted(Some(code))) => {
                member_response.connection.reset(*code)
            }
            Ended::ByMember(_) => endpoint.metrics.count_truncated(),
            Ended::Whole | Ended::ByClient(_) | Ended::AsTunnel => {}
        }
    }

    /// Sends the client what it has yet to take, and takes note of how the response ended.
    pub(super) async fn finish_response(&self, ended: &Ended, state: &mut RequestState<'_>) {
        match ended {
            Ended::Whole => response_body::finish(state, self.elapsed()).await,
            Ended::ByClient(fault) => state.observer.record_client_error(*fault),
            Ended::ByMember(fault) => {
                state.observer.record_abort(fault);
                state.observer.close_after(self.elapsed());
                // What came before is worth something, and HTTP/2 is not to overtake it.
                let _ = poll_fn(|context| state.downstream.poll_flush(context)).await;
                yield_now().await;
                state.downstream.abort();
            }
            Ended::AsTunnel => {}
        }
    }

    /// Makes the head of a member's response the client's.
    #[inline(always)]
    fn edit_response(&self, choice: &Selection, member: &Member, buffers: &mut Buffers) {
        let Buffers { response, edit, .. } = buffers;
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
        if let Some(rules) = &self.route.response_headers {
            self.apply_response_rules(rules, member, response, edit);
        }
    }

    /// Copies both ways what client and member say behind a 101.
    async fn run_tunnel(
        &self,
        connection: &mut Connection,
        idle: Duration,
        state: &mut RequestState<'_>,
    ) {
        let RequestState {
            downstream,
            observer,
            ..
        } = state;
        let limits = tunnel::Limits {
            idle,
            half_closed: self.snapshot.limits.client_timeout,
        };
        if let Err(fault) = poll_fn(|context| downstream.poll_flush(context)).await {
            return observer.record_client_error(fault);
        }
        if let (Some(client), Some(member)) = (downstream.tunnel(), connection.tunnel()) {
            let (bytes, ended) = tunnel::relay(client, member, limits).await;
            observer.count_bytes(bytes);
            if let Err(error) = ended {
                let address = self.client.address;
                tracing::debug!(%address, %error, "tunnel aborted");
                observer.record_abort(&error);
            }
        }
    }

    /// The cookies that keep the session at its member, where the client has none or another: ours and the plugin's.
    #[cold]
    pub(super) fn set_sticky_cookies(&self, choice: &Selection, edit: &mut Edit) {
        let config = &self.cluster.config;
        let Some(route) = choice.lease.member().settings.route.as_deref() else {
            return;
        };
        if let (Some(cookie), Some(sticky)) = (&config.sticky_cookie, &config.sticky) {
            let is_tls = self.client.is_tls();
            let ours = sticky_cookie::issue(cookie, sticky.separator, route, is_tls);
            edit.add(Known::SetCookie, ours.as_bytes());
        }
        let policy_request = PolicyRequest::new(self.request, self.client.address.ip());
        let env = PolicyEnv::at(self.time());
        let balancer = &self.cluster.balancer;
        if let Some(cookie) = balancer.session_cookie(&policy_request, &env, route) {
            edit.add(Known::SetCookie, cookie.as_bytes());
        }
    }
}
