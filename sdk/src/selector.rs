//! Choosing the member.

use crate::{Candidates, Host, Request};

/// A load balancing method: compares the candidates and picks one.
///
/// One instance serves a balancer and is asked by one thread at a time, so it may keep a schedule in plain fields,
/// keyed by [`Candidates::ids`].
pub trait Selector: Send {
    /// The position of the member that takes this request, or `None` to let the balancer's fallback method decide.
    ///
    /// A position outside `0..candidates.len()` counts as a fault; the fallback decides then, too.
    fn select(
        &mut self,
        request: &dyn Request,
        candidates: &dyn Candidates,
        host: &dyn Host,
    ) -> Option<usize>;

    /// A sticky session went to `usable[chosen]` without asking, so that the schedule can account for it.
    ///
    /// `usable` are all usable members of the balancer, whatever their set, spares and standbys included.
    fn charge(&mut self, usable: &dyn Candidates, chosen: usize) {
        let _ = (usable, chosen);
    }

    /// Where the member stands in the schedule: Apache's `lbstatus`, the "Load" column. For display.
    fn load(&self, id: u32) -> i64 {
        let _ = id;
        0
    }

    /// Starts over, as after a change of method or when a member returns to service.
    fn reset(&mut self) {}
}
