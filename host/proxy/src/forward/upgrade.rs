//! Protocol upgrades, mostly WebSocket.
//!
//! The client requests one (`Upgrade`), the member's `upgrade` key says which are offered, and the member's 101 accepts. To a member of
//! HTTP/2 it is an extended CONNECT, if supported; acceptance comes as a 101, too.

use equipoise_http::{Edit, Head, Known, KnownSet, Method, Version};

use super::{ForwardedRequest, ProxyError};
use equipoise_config::{self as config, Member, Protocol};

/// Protocols that are never offered: the proxy speaks them itself.
const NEVER_FORWARDED: [&str; 2] = ["h2c", "http/2.0"];

/// The upgrade a client requests.
pub(super) struct UpgradeRequest {
    /// The protocols, in the client's order.
    protocols: Vec<String>,
    /// Whether the request is a GET, as which alone HTTP/2 can pass the wish on.
    is_get: bool,
    /// Whether it came by HTTP/2: a 200 is what tells it then (RFC 8441).
    pub(super) is_extended_connect: bool,
}

impl UpgradeRequest {
    /// The wish of a request that has no body; `None` if it has none.
    pub(super) fn of(request: &Head) -> Option<Self> {
        if request.version() < Version::Http11 || !request.has(Known::Upgrade) {
            return None;
        }
        let protocols = request.upgrades();
        let protocols = protocols.filter_map(|it| std::str::from_utf8(it).ok());
        let protocols: Vec<_> = protocols.map(str::to_owned).collect();
        (!protocols.is_empty()).then_some(Self {
            protocols,
            is_get: request.method() == Method::Get,
            is_extended_connect: request.version() == Version::Http2,
        })
    }

    /// What a member may be told of it; `None` for nothing. By HTTP/2, that is one protocol, in lower case (RFC 8441, 4).
    pub(super) fn for_member(&self, member: &Member) -> Option<String> {
        let may_pass = |protocol: &&String| {
            let lower = protocol.to_ascii_lowercase();
            !NEVER_FORWARDED.contains(&&*lower)
                && match &member.upgrade {
                    config::Upgrade::Never => false,
                    config::Upgrade::Any => true,
                    config::Upgrade::To(these) => these.contains(&lower),
                }
        };
        let mut passed = self.protocols.iter().filter(may_pass);
        if member.protocol == Protocol::Http2 {
            let first = passed.next().filter(|_| self.is_get);
            return first.map(|protocol| protocol.to_ascii_lowercase());
        }
        let passed = passed.map(String::as_str).collect::<Vec<_>>().join(", ");
        Some(passed).filter(|it| !it.is_empty())
    }
}

impl ForwardedRequest<'_> {
    /// The protocols offered to this member.
    ///
    /// # Errors
    /// Nothing, and the client wants nothing else.
    pub(super) fn offered(&self, member: &Member) -> Result<Option<String>, ProxyError> {
        let offered = self
            .upgrade
            .as_ref()
            .and_then(|upgrade| upgrade.for_member(member));
        match offered {
            None if self.requires_upgrade() => Err(ProxyError::UpgradeRejected),
            offered => Ok(offered),
        }
    }

    /// Whether a response that is a success would be taken for a tunnel.
    pub(super) fn requires_upgrade(&self) -> bool {
        let upgrade = self.upgrade.as_ref();
        upgrade.is_some_and(|upgrade| upgrade.is_extended_connect)
    }
}

/// Adds `Upgrade` to the request to a member.
pub(super) fn offer(edit: &mut Edit, protocols: &str) {
    edit.add(Known::Upgrade, protocols.as_bytes());
    edit.add(Known::Connection, b"upgrade");
}

/// Whether a 101 names offered protocols only, and at least one (RFC 9110, 7.8).
pub(super) fn is_accepted(response: &Head, offered: &str) -> bool {
    let is_asked = |accepted: &[u8]| {
        let mut offered = offered.split(", ");
        offered.any(|offered| offered.as_bytes().eq_ignore_ascii_case(accepted))
    };
    let mut accepted = response.elements(Known::Upgrade).peekable();
    accepted.peek().is_some() && accepted.all(is_asked)
}

/// Makes of a member's 101, of which what concerns its connection is left out, the response for the client.
pub(super) fn accept(edit: &mut Edit, response: &Head, is_extended_connect: bool) {
    if is_extended_connect {
        // Three digits.
        let _ = edit.set_status(200, "OK");
        edit.leave_out(KnownSet::of(&[Known::SecWebsocketAccept]));
        return;
    }
    for accepted in response.all(Known::Upgrade) {
        edit.add(Known::Upgrade, accepted);
    }
    edit.add(Known::Connection, b"upgrade");
}
