//! What is observed of requests: the access log, metrics, traces, explained decisions, and what the health of members is judged by.

pub mod access_log;
pub mod explain;
pub mod health_history;
pub mod loads;
pub mod metrics;
pub mod outcome_queue;
pub mod traces;

pub use health_history::{Check, CheckCounts, HealthHistory, MemberHistory};
pub use loads::Loads;
pub use outcome_queue::{OutcomeContext, OutcomeQueue, PendingOutcome};
