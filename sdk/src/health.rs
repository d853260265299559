//! Judging which members can serve.

use crate::{Host, Setup};

/// Why there was no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Unreachable,
    /// The member took longer than it may.
    TimedOut,
    /// The connection ended in the middle.
    BrokenOff,
    /// What came is no answer.
    Unintelligible,
}

/// A member's answer to a probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status code; 0 where a connection is all that is checked.
    pub status: u16,
    /// The header fields that were asked for, as they came.
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body.
    pub body: Vec<u8>,
}

/// The result of one active check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// The member's id.
    pub member: u32,
    /// When it ended, on the clock of [`Host::now_ms`].
    pub at_ms: u64,
    /// How long it took, in microseconds.
    pub latency_us: u32,
    /// What came of it.
    pub outcome: Result<Answer, Failure>,
    /// Whether that is what the member's configuration expects (`hcexpect`; without it a status of 200 to 399). False
    /// without an answer.
    pub expected: bool,
}

/// What became of a client's request at a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// The member's id.
    pub member: u32,
    /// When it ended, on the clock of [`Host::now_ms`].
    pub at_ms: u64,
    /// From the decision to the head of the answer, in microseconds.
    pub latency_us: u32,
    /// The status code, or why there was none.
    pub outcome: Result<u16, Failure>,
    /// Bytes sent to the member.
    pub transferred: u64,
    /// Bytes read from the member.
    pub read: u64,
}

/// Whether a member may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may.
    Healthy,
    /// It may not.
    Unhealthy,
}

/// A change of mind about a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The member's id.
    pub member: u32,
    /// What it is from now on.
    pub state: State,
    /// Why, for the log and the operator.
    pub reason: String,
}

/// Judges which members can serve, off the way of requests. Every member is healthy at first.
pub trait Judge: Send {
    /// Takes over settings and members; called before anything else, and again when they change.
    ///
    /// # Errors
    /// What is wrong with the settings, and what would be right.
    fn configure(&mut self, setup: &Setup) -> Result<(), String> {
        let _ = setup;
        Ok(())
    }

    /// Results of active checks came in, at most 64 at a time. Answers the changes that follow from them.
    fn judge_probes(&mut self, probes: &[Probe], host: &dyn Host) -> Vec<Transition>;

    /// Requests ended, at most 1 024 at a time; none, about once a second, where there were none, so that time alone can
    /// change its mind. Answers the changes that follow.
    fn judge_exchanges(&mut self, exchanges: &[Exchange], host: &dyn Host) -> Vec<Transition>;

    /// What the next instance should know: at most 1 MiB, in a form of the judge's own.
    ///
    /// A component exports this and [`restore`](Self::restore) by [`export_judge!`](crate::export_judge)`(Type, state)`.
    fn save(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// What the instance before answered to [`save`](Self::save), handed over after [`configure`](Self::configure). It
    /// may be of another version of the judge, or of another judge altogether.
    ///
    /// # Errors
    /// Why it is of no use; the instance goes on as it is.
    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let _ = blob;
        Ok(())
    }
}
