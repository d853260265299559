//! Choosing the member.

use crate::{Candidates, Column, Env, PolicyConfig, Request};

/// A load balancing method: compares the candidates and picks one.
///
/// One instance serves a balancer and is called by one thread at a time, so it may keep state in plain fields, keyed by
/// [`Candidates::ids`].
pub trait Selector: Send {
    /// Takes settings and members; called before the first [`select`](Self::select), and again when they change.
    ///
    /// # Errors
    /// What is wrong with the settings, and what would be right.
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// The columns that every [`select`](Self::select) reads, each once. A component gets these passed with the call, which costs
    /// much less than to fetch them; all others are fetched when they are read. Name 64-bit columns first: they need not be
    /// copied then.
    fn columns() -> &'static [Column]
    where
        Self: Sized,
    {
        &[]
    }

    /// The position of the member that takes this request, or `None` to let the balancer's fallback method decide: among
    /// all candidates, or those set by [`Candidates::restrict_fallback`].
    ///
    /// A position outside `0..candidates.len()` counts as a fault; the fallback decides then, too.
    fn select(
        &mut self,
        request: &dyn Request,
        candidates: &dyn Candidates,
        env: &dyn Env,
    ) -> Option<usize>;

    /// A sticky session went to `usable[chosen]` without calling [`select`](Self::select): the method accounts for it.
    ///
    /// `usable` are all usable members of the balancer, whatever their lbset, spares and standbys included. A component
    /// exports this, [`lbstatus`](Self::lbstatus) and [`reset`](Self::reset) by
    /// [`export_selector!`](crate::export_selector)`(Type, schedule)`.
    fn record_sticky(&mut self, usable: &dyn Candidates, chosen: usize) {
        let _ = (usable, chosen);
    }

    /// The member's `lbstatus`, as in Apache: its standing in the schedule, shown in the "Load" column.
    fn lbstatus(&mut self, id: u32) -> i64 {
        let _ = id;
        0
    }

    /// The `lbstatus` of several members, from the first on, of as many as are known in time: this is what the host calls. A
    /// policy implements [`lbstatus`](Self::lbstatus).
    fn lbstatuses(&mut self, ids: &[u32]) -> Vec<i64> {
        ids.iter().map(|&id| self.lbstatus(id)).collect()
    }

    /// Resets the schedule, as after a change of method or when a member returns to service.
    fn reset(&mut self) {}

    /// The state for the next instance: at most 1 MiB, in the method's own format.
    ///
    /// A component exports this and [`restore`](Self::restore) by
    /// [`export_selector!`](crate::export_selector)`(Type, state)`.
    fn save(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes over what [`save`](Self::save) of the previous instance returned; called after [`configure`](Self::configure). The
    /// state may be of another version of the method, or of another method altogether.
    ///
    /// # Errors
    /// Why it is of no use; the instance goes on without it.
    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let _ = blob;
        Ok(())
    }
}
