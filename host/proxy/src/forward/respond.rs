//! A member's response on its way to the client, and what is kept, counted and closed behind it.

use std::future::poll_fn;
use std::time::Duration;

use equipoise_balancer::Choice;
use equipoise_http::http1::Framing;
use equipoise_http::{Edit, Known};
use tokio::task::yield_now;

use super::downstream::ClientFault;
use super::relay::Relay;
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
        choice: Choice,
        mut answered: Answered,
        call: &mut Call<'_>,
    ) {
        let upstream = self.upstream(&choice);
        let config = &upstream.config;
        if let Some(upload) = &mut call.upload {
            upload.relax();
        }
        let Call {
            down, room, notes, ..
        } = &mut *call;
        self.edit_answer(&choice, config, room);
        notes.note_answer(room.edit.status(&room.response), &mut room.edit);
        let connection = &mut answered.connection;
        if room.response.status() == 101 {
            let is_extended = self.wants_tunnel_only();
            upgrade::grant(&mut room.edit, &room.response, is_extended);
            down.begin(&room.response, &mut room.edit, Framing::None);
            Box::pin(self.open_tunnel(connection, config.tunnel_timeout, call)).await;
            return answered.close(None);
        }
        let framing = connection.framing();
        down.begin(&room.response, &mut room.edit, framing);
        let mut relay = Relay::new(config.timeout);
        let ended = poll_fn(|context| relay.poll(connection, call, context)).await;
        self.tick();
        answered.close(ended.failure());
        match ended {
            relay::Ended::Whole => {
                let Answered {
                    connection,
                    pool,
                    slot,
                    ..
                } = answered;
                if config.is_reusable() {
                    pool.put(connection, self.now.get());
                }
                // What the client has yet to take is not the member's business.
                drop((choice, slot));
                relay::finish(call, self.now.get()).await;
            }
            relay::Ended::ByClient(fault) => {
                if let ClientFault::Aborted(Some(code)) = fault {
                    answered.connection.reset(code);
                }
                call.notes.note_client_fault(fault);
            }
            relay::Ended::ByMember(fault) => {
                upstream.meters.count_truncated();
                call.notes.note_break(&fault);
                call.notes.close_at(self.now.get());
                // What the client has yet to take is not the member's business.
                drop((choice, answered));
                // What came before is worth something, and HTTP/2 is not to overtake it.
                let _ = poll_fn(|context| call.down.poll_flush(context)).await;
                yield_now().await;
                call.down.abort();
            }
        }
    }

    /// Makes the head of a member's response the client's.
    fn edit_answer(&self, choice: &Choice, member: &Member, room: &mut Room) {
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
        let services = Services::at(self.time());
        let balancer = &self.cluster.balancer;
        if let Some(cookie) = balancer.session_cookie(&view, &services, route) {
            edit.add(Known::SetCookie, cookie.as_bytes());
        }
    }
}
