//! Choosing the member.

use crate::{Candidates, Column, Host, Request, Setup};

/// A load balancing method: compares the candidates and picks one.
///
/// One instance serves a balancer and is asked by one thread at a time, so it may keep a schedule in plain fields,
/// keyed by [`Candidates::ids`].
pub trait Selector: Send {
    /// Takes over settings and members; called before the first [`select`](Self::select), and again when they change.
    ///
    /// # Errors
    /// What is wrong with the settings, and what would be right.
    fn configure(&mut self, setup: &Setup) -> Result<(), String> {
        let _ = setup;
        Ok(())
    }

    /// The columns that every [`select`](Self::select) reads, each once. A component is handed these with the question,
    /// which costs much less than to fetch them; all others are fetched when they are looked at. Best are those of 64 bits
    /// first: they need not be copied then.
    fn columns() -> &'static [Column]
    where
        Self: Sized,
    {
        &[]
    }

    /// The position of the member that takes this request, or `None` to let the balancer's fallback method decide: among
    /// all candidates, or those that [`Candidates::narrow`] left.
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
    /// `usable` are all usable members of the balancer, whatever their set, spares and standbys included. A component
    /// exports this, [`load`](Self::load) and [`reset`](Self::reset) by
    /// [`export_selector!`](crate::export_selector)`(Type, schedule)`.
    fn charge(&mut self, usable: &dyn Candidates, chosen: usize) {
        let _ = (usable, chosen);
    }

    /// Where the member stands in the schedule: Apache's `lbstatus`, the "Load" column. For display.
    fn load(&mut self, id: u32) -> i64 {
        let _ = id;
        0
    }

    /// The same of several members, from the first on, of as many as can be told: the host asks by this. A policy answers
    /// [`load`](Self::load).
    fn loads(&mut self, ids: &[u32]) -> Vec<i64> {
        ids.iter().map(|&id| self.load(id)).collect()
    }

    /// Starts over, as after a change of method or when a member returns to service.
    fn reset(&mut self) {}

    /// What the next instance should know: at most 1 MiB, in a form of the method's own.
    ///
    /// A component exports this and [`restore`](Self::restore) by
    /// [`export_selector!`](crate::export_selector)`(Type, state)`.
    fn save(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// What the instance before answered to [`save`](Self::save), handed over after [`configure`](Self::configure). It
    /// may be of another version of the method, or of another method altogether.
    ///
    /// # Errors
    /// Why it is of no use; the instance goes on as it is.
    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let _ = blob;
        Ok(())
    }
}
