//! Reading the sticky session.

use crate::Request;

/// Reads which route (Apache's name for a member's share in a session) a request asks for.
pub trait SessionReader: Send + Sync {
    /// The route of the request's session, or `None` when it has no session yet.
    fn route(&self, request: &dyn Request) -> Option<String>;
}
