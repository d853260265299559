//! Deciding which members are healthy.

use crate::{Env, PolicyConfig};

/// Why there was no response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection could be made.
    Unreachable,
    /// The member exceeded its timeout.
    TimedOut,
    /// The connection ended before the response did.
    Reset,
    /// What arrived is not a valid response.
    InvalidResponse,
}

/// A member's response to a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResponse {
    /// The status code; 0 where only a connection is checked.
    pub status: u16,
    /// The header fields named by `hcreport`, as received.
    pub headers: Vec<(String, String)>,
    /// The first bytes of the body.
    pub body: Vec<u8>,
}

/// The result of one active check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckResult {
    /// The member's id.
    pub member: u32,
    /// When it ended, on the clock of [`Env::now_ms`].
    pub at_ms: u64,
    /// How long it took, in microseconds.
    pub latency_us: u32,
    /// The response, or why there was none.
    pub response: Result<CheckResponse, Failure>,
    /// Whether the response is what the member's configuration expects (`hcexpect`; without it a status of 200 to 399).
    /// False without a response.
    pub passed: bool,
}

/// The outcome of a client's request at a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestOutcome {
    /// The member's id.
    pub member: u32,
    /// When it ended, on the clock of [`Env::now_ms`].
    pub at_ms: u64,
    /// From the decision to the response's head, in microseconds.
    pub latency_us: u32,
    /// The status code, or why there was no response.
    pub status: Result<u16, Failure>,
    /// Bytes sent to the member.
    pub bytes_sent: u64,
    /// Bytes received from the member.
    pub bytes_received: u64,
}

/// Whether a member is eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is.
    Healthy,
    /// It is not.
    Unhealthy,
}

/// A member's change of state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The member's id.
    pub member: u32,
    /// Its state from now on.
    pub state: State,
    /// Why, for the log and the operator.
    pub reason: String,
}

/// Decides which members are healthy, off the request path. Every member is healthy at first.
pub trait HealthPolicy: Send {
    /// Takes settings and members; called before anything else, and again when they change.
    ///
    /// # Errors
    /// What is wrong with the settings, and what would be right.
    fn configure(&mut self, config: &PolicyConfig) -> Result<(), String> {
        let _ = config;
        Ok(())
    }

    /// Active checks ended: at most 64 results at a time. Returns the transitions that follow.
    fn on_checks(&mut self, results: &[CheckResult], env: &dyn Env) -> Vec<Transition>;

    /// Requests ended: at most 1 024 outcomes at a time. Called with none about once a second while there is no traffic, so that
    /// the passing of time alone can change a state. Returns the transitions that follow.
    fn on_requests(&mut self, outcomes: &[RequestOutcome], env: &dyn Env) -> Vec<Transition>;

    /// The state for the next instance: at most 1 MiB, in the policy's own format.
    ///
    /// A component exports this and [`restore`](Self::restore) by [`export_health!`](crate::export_health)`(Type, state)`.
    fn save(&mut self) -> Vec<u8> {
        Vec::new()
    }

    /// Takes over what [`save`](Self::save) of the previous instance returned; called after [`configure`](Self::configure). The
    /// state may be of another version of the policy, or of another policy altogether.
    ///
    /// # Errors
    /// Why it is of no use; the instance goes on without it.
    fn restore(&mut self, blob: &[u8]) -> Result<(), String> {
        let _ = blob;
        Ok(())
    }
}
