//! Connections that become something else than HTTP: WebSocket, mostly.
//!
//! A client wishes for it (`Upgrade`), the member's `upgrade` says what may be passed on, and the member's 101 decides.

use std::rc::Rc;

use equipoise_balancer::Choice;
use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Response, StatusCode, Version};

use super::headers::list_of;
use super::tunnel::Tunnel;
use super::{Answer, Body, Exchange, Failure};
use crate::config::{self, Member, Protocol};
use crate::server::{Becoming, Responder};

/// Protocols that are never passed on: what they do between client and member could not be told from what we do.
const NEVER: [&str; 2] = ["h2c", "http/2.0"];

/// A client's wish that its connection becomes something else.
pub(super) struct Wish {
    /// The client's connection or stream, when it has.
    pub(super) becoming: Becoming,
    /// What the client would have, in its order.
    protocols: Vec<String>,
    /// Whether it came by HTTP/2: a 200 is what tells it then (RFC 8441).
    pub(super) is_extended_connect: bool,
}

impl Wish {
    /// The wish of a request that has no body; `None` if it has none.
    pub(super) fn of(parts: &Parts, responder: &Rc<Responder>) -> Option<Self> {
        if parts.version < Version::HTTP_11 {
            return None;
        }
        let upgrades = parts.headers.get_all(UPGRADE);
        let mut protocols = upgrades.iter().flat_map(list_of).peekable();
        protocols.peek()?;
        let mut options = parts.headers.get_all(CONNECTION).iter().flat_map(list_of);
        if !options.any(|option| option.eq_ignore_ascii_case(b"upgrade")) {
            return None;
        }
        let protocols = protocols.filter_map(|it| std::str::from_utf8(it).ok());
        Some(Self {
            becoming: responder.becoming(parts)?,
            protocols: protocols.map(str::to_owned).collect(),
            is_extended_connect: parts.version == Version::HTTP_2,
        })
    }

    /// What a member may be told of it; `None` for nothing.
    pub(super) fn for_member(&self, member: &Member) -> Option<HeaderValue> {
        if member.protocol == Protocol::Http2 {
            return None;
        }
        let may_pass = |protocol: &&String| {
            let lower = protocol.to_ascii_lowercase();
            !NEVER.contains(&&*lower)
                && match &member.upgrade {
                    config::Upgrade::Never => false,
                    config::Upgrade::Any => true,
                    config::Upgrade::To(these) => these.contains(&lower),
                }
        };
        let passed = self.protocols.iter().filter(may_pass);
        let passed = passed.map(String::as_str).collect::<Vec<_>>().join(", ");
        HeaderValue::try_from(passed)
            .ok()
            .filter(|it| !it.is_empty())
    }
}

impl Exchange<'_> {
    /// What this member is asked to become.
    ///
    /// # Errors
    /// Nothing, and the client wants nothing else.
    pub(super) fn asked(&self, member: &Member) -> Result<Option<HeaderValue>, Failure> {
        let asked = self.wish.as_ref().and_then(|wish| wish.for_member(member));
        match asked {
            None if self.wants_tunnel_only() => Err(Failure::NotUpgraded),
            asked => Ok(asked),
        }
    }

    /// Whether an answer that is a success would be taken for a tunnel.
    pub(super) fn wants_tunnel_only(&self) -> bool {
        let wish = self.wish.as_ref();
        wish.is_some_and(|wish| wish.is_extended_connect)
    }

    /// The answer that makes a tunnel of the client's connection, after the member's 101.
    pub(super) fn open_tunnel(
        &self,
        choice: Choice,
        answer: Answer,
        wish: &Wish,
    ) -> Response<Body> {
        let Answer {
            mut response,
            survey,
            connection,
            slot,
            deadline,
            account,
        } = answer;
        self.client.put_deadline(deadline);
        let member_side = hyper::upgrade::on(&mut response);
        let config = &self.upstream(&choice).config;
        let tunnel = Tunnel {
            begun: self.begun,
            client_side: wish.becoming.clone(),
            member_side,
            client: self.client.clone(),
            connection,
            patience: config.tunnel_timeout,
            parting: self.snapshot.limits.client_timeout,
            account,
            _lease: choice.lease,
            _slot: slot,
        };
        let (mut parts, _) = response.into_parts();
        let granted = parts.headers.get(UPGRADE).cloned();
        survey.make_fit_for_client(&mut parts.headers, parts.version, self.route);
        if let Some(granted) = granted {
            grant(&mut parts.status, &mut parts.headers, granted, wish);
        }
        parts.version = Version::HTTP_11;
        Response::from_parts(parts, Body::tunnel(tunnel))
    }
}

/// Says in a member's request what it is asked to become.
pub(super) fn ask(headers: &mut HeaderMap, protocols: HeaderValue) {
    headers.insert(UPGRADE, protocols);
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
}

/// Whether a member's 101 names what it was asked for (RFC 9110, 7.8), and nothing else.
pub(super) fn is_granted(headers: &HeaderMap, asked: &HeaderValue) -> bool {
    let mut granted = headers.get_all(UPGRADE).iter().flat_map(list_of).peekable();
    granted.peek().is_some()
        && granted.all(|granted| list_of(asked).any(|asked| asked.eq_ignore_ascii_case(granted)))
}

/// Makes of a member's 101, of which what concerns its connection was removed, the answer for the client.
pub(super) fn grant(
    status: &mut StatusCode,
    headers: &mut HeaderMap,
    granted: HeaderValue,
    wish: &Wish,
) {
    if wish.is_extended_connect {
        *status = StatusCode::OK;
        headers.remove(SEC_WEBSOCKET_ACCEPT);
    } else {
        headers.insert(UPGRADE, granted);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
}
