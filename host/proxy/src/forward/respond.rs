//! A member's response on its way to the client, and what is kept, counted and closed behind it.

use std::future::poll_fn;
use std::time::Duration;

use equipoise_balancer::Selection;
use equipoise_http::http1::Framing;
use equipoise_http::{Edit, Known};
use tokio::task::yield_now;

use super::downstream::ClientError;
use super::relay::{Ended, Relay};
use super::rewrite::Rewrite;
use super::view::{Services, View};
use super::workspace::Room;
use super::{Answered, Call, Exchange, headers, relay, sticky_cookie, tunnel, upgrade};
use crate::upstream::Connection;
use equipoise_config::Member;

impl Exchange<'_> {
    /// Passes the member's response on to the client, to its end.
    pub(super) async fn pass_on(
        &self,
        choice: &Selection,
        answered: &mut Answered,
        call: &mut Call<'_>,
    ) -> Ended {
        let config = &self.upstream(choice).config;
        if let Some(upload) = &mut call.upload {
            upload.relax();
        }
        let Call {
            down, room, notes, ..
        } = &mut *call;
        self.edit_answer(choice, config, room);
        notes.note_answer(room.edit.status(&room.response), &mut room.edit);
        let connection = &mut answered.connection;
        if room.response.status() == 101 {
            let is_extended = self.wants_tunnel_only();
            upgrade::grant(&mut room.edit, &room.response, is_extended);
            down.begin(&room.response, &mut room.edit, Framing::None);
            Box::pin(self.open_tunnel(connection, config.tunnel_timeout, call)).await;
            return Ended::AsTunnel;
        }
        let framing = connection.framing();
        down.begin(&room.response, &mut room.edit, framing);
        let mut relay = Relay::new(config.timeout);
        let mut has_waited = false;
        let ended = poll_fn(|context| {
            let ended = relay.poll(connection, call, context);
            has_waited |= ended.is_pending();
            ended
        });
        let ended = ended.await;
        if has_waited {
            self.tick();
        }
        ended
    }

    /// The member is done with: what the client has yet to take is not its business.
    #[inline(always)]
    pub(super) fn part(&self, choice: Selection, mut answered: Answered, ended: &Ended) {
        answered.close(ended.failure());
        let upstream = self.upstream(&choice);
        match ended {
            Ended::Whole if upstream.config.is_reusable() => {
                let Answered {
                    connection, pool, ..
                } = answered;
                pool.put(connection, self.now.get());
            }
            Ended::ByClient(ClientError::Aborted(Some(code))) => answered.connection.reset(*code),
            Ended::ByMember(_) => upstream.meters.count_truncated(),
            Ended::Whole | Ended::ByClient(_) | Ended::AsTunnel => {}
        }
    }

    /// Sends the client what it has yet to take, and takes note of how the response ended.
    pub(super) async fn conclude(&self, ended: &Ended, call: &mut Call<'_>) {
        match ended {
            Ended::Whole => relay::finish(call, self.took()).await,
            Ended::ByClient(fault) => call.notes.note_client_fault(*fault),
            Ended::ByMember(fault) => {
                call.notes.note_break(fault);
                call.notes.close_after(self.took());
                // What came before is worth something, and HTTP/2 is not to overtake it.
                let _ = poll_fn(|context| call.down.poll_flush(context)).await;
                yield_now().await;
                call.down.abort();
            }
            Ended::AsTunnel => {}
        }
    }

    /// Makes the head of a member's response the client's.
    #[inline(always)]
    fn edit_answer(&self, choice: &Selection, member: &Member, room: &mut Room) {
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
    async fn open_tunnel(&self, connection: &mut Connection, idle: Duration, call: &mut Call<'_>) {
        let Call { down, notes, .. } = call;
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
                tracing::debug!(%address, %error, "tunnel aborted");
                notes.note_break(&error);
            }
        }
    }

    /// The cookies that keep the session at its member, where the client has none or another: ours and the plugin's.
    #[cold]
    fn set_sticky_cookies(&self, choice: &Selection, edit: &mut Edit) {
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
        let services = Services::at(self.time());
        let balancer = &self.cluster.balancer;
        if let Some(cookie) = balancer.session_cookie(&view, &services, route) {
            edit.add(Known::SetCookie, cookie.as_bytes());
        }
    }
}
