//! The interfaces `session` and `session-cookie`, answered by a [`SessionReader`].

use super::Instance;
use super::ambient::Ambient;
use super::bindings::imports::equipoise::balancer::types::{Entry, Member};
use super::bindings::session::exports::equipoise::balancer::session;
use super::bindings::session_cookie::exports::equipoise::balancer::session_cookie;
use crate::{Affinity, SessionReader, Setup};

impl<I: Instance<Policy: SessionReader>> session::Guest for I {
    fn configure(settings: Vec<Entry>, members: Vec<Member>) -> Result<(), String> {
        I::with(|policy| policy.configure(&Setup::received(settings, members)))
    }

    fn read() -> Option<session::Affinity> {
        let ambient = Ambient::default();
        let affinity = I::with(|policy| policy.read(&ambient, &ambient))?;
        Some(match affinity {
            Affinity::Route(route) => session::Affinity::Route(route),
            Affinity::Key(key) => session::Affinity::Key(key),
        })
    }
}

impl<I: Instance<Policy: SessionReader>> session_cookie::Guest for I {
    fn issue(route: String) -> Option<String> {
        let ambient = Ambient::default();
        I::with(|policy| policy.issue(&ambient, &ambient, &route))
    }
}
