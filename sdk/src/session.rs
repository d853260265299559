//! Reading the sticky session.

use crate::{Env, PolicyConfig, Request};

/// What ties a session to its member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// The session names its member by the member's `route`. A route that no member carries counts as none.
    Route(String),
    /// The session has a key, and the host maps it to a member by rendezvous hashing: a key stays at its member while that is
    /// eligible, and when members come or go only their own keys move.
    Key(String),
}

/// Finds the session that a request belongs to.
pub trait SessionReader: Send + Sync {
    /// Takes settings and members; called before the first [`read`](Self::read).
    ///
    /// # Errors
    /// What is wrong with the settings, and what would be right.
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// What ties the request's session to its member, or `None` when it has no session yet.
    fn read(&self, request: &dyn Request, env: &dyn Env) -> Option<Affinity>;

    /// The value of a `Set-Cookie` field for the response, such as `SID=a1.r2; Path=/`; `None` for no cookie.
    ///
    /// Called when the member that responds carries `route` and the request's session did not name it. A component exports
    /// it by [`export_session!`](crate::export_session)`(Type, cookie)`.
    fn issue_cookie(&self, request: &dyn Request, env: &dyn Env, route: &str) -> Option<String> {
        let _ = (request, env, route);
        None
    }

    /// The state for the next instance: at most 1 MiB, in the reader's own format.
    ///
    /// A component exports this and [`restore`](Self::restore) by [`export_session!`](crate::export_session)`(Type, state)`.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes over what [`save`](Self::save) of the previous instance returned; called after [`configure`](Self::configure). The
    /// state may be of another version of the reader, or of another reader altogether.
    ///
    /// # Errors
    /// Why it is of no use; the instance goes on without it.
    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let _ = blob;
        Ok(())
    }
}
