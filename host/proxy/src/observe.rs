//! What is observed of requests: the access log, metrics, traces, explained decisions, and what the health of members is judged by.

pub mod access_log;
pub mod chronicle;
pub mod exchanges;
pub mod explain;
pub mod loads;
pub mod meters;
pub mod traces;

pub use chronicle::{Chapter, Check, Chronicle, Tally};
pub use exchanges::{Exchanges, OutcomeContext, PendingOutcome};
pub use loads::Loads;
