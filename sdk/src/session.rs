//! Reading the sticky session.

use crate::{Host, Request, Setup};

/// What keeps a session at its member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Affinity {
    /// The session names its member by the member's `route`. A route that no member carries is as good as none.
    Route(String),
    /// The session has a key, and the host finds the member by it: the same key goes to the same member for as long as
    /// that is eligible, and when members come or go only their own keys move.
    Key(String),
}

/// Reads which session a request belongs to.
pub trait SessionReader: Send + Sync {
    /// Takes over settings and members; called before the first [`read`](Self::read).
    ///
    /// # Errors
    /// What is wrong with the settings, and what would be right.
    fn configure(&mut self, setup: &Setup) -> Result<(), String> {
        let _ = setup;
        Ok(())
    }

    /// What keeps the request's session at its member, or `None` when it has no session yet.
    fn read(&self, request: &dyn Request, host: &dyn Host) -> Option<Affinity>;

    /// The value of a `Set-Cookie` field for the answer, such as `SID=a1.r2; Path=/`; `None` for no cookie.
    ///
    /// Asked when the member that answers carries `route` and the request's session did not name it. A component exports
    /// it by [`export_session!`](crate::export_session)`(Type, cookie)`.
    fn issue(&self, request: &dyn Request, host: &dyn Host, route: &str) -> Option<String> {
        let _ = (request, host, route);
        None
    }

    /// What the next instance should know: at most 1 MiB, in a form of the reader's own.
    ///
    /// A component exports this and [`restore`](Self::restore) by [`export_session!`](crate::export_session)`(Type, state)`.
    fn save(&self) -> Vec<u8> {
        Vec::new()
    }

    /// What the instance before answered to [`save`](Self::save), handed over after [`configure`](Self::configure). It
    /// may be of another version of the reader, or of another reader altogether.
    ///
    /// # Errors
    /// Why it is of no use; the instance goes on as it is.
    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let _ = blob;
        Ok(())
    }
}
