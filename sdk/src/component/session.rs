//! The interfaces `session` and `session-cookie`, implemented by a [`SessionReader`].

use super::Instance;
use super::bindings::imports::equipoise::balancer::types::{Entry, MemberConfig as Member};
use super::bindings::session::exports::equipoise::balancer::session;
use super::bindings::session_cookie::exports::equipoise::balancer::session_cookie;
use super::call_context::CallContext;
use crate::{Affinity, PolicyConfig, SessionReader};

impl<I: Instance<Policy: SessionReader>> session::Guest for I {
    fn configure(settings: Vec<Entry>, members: Vec<Member>) -> Result<(), String> {
        I::with(|policy| policy.configure(&PolicyConfig::received(settings, members)))
    }

    fn read() -> Option<session::Affinity> {
        let context = CallContext::default();
        let affinity = I::with(|policy| policy.read(&context, &context))?;
        Some(match affinity {
            Affinity::Route(route) => session::Affinity::Route(route),
            Affinity::Key(key) => session::Affinity::Key(key),
        })
    }
}

impl<I: Instance<Policy: SessionReader>> session_cookie::Guest for I {
    fn issue(route: String) -> Option<String> {
        let context = CallContext::default();
        I::with(|policy| policy.issue_cookie(&context, &context, &route))
    }
}
