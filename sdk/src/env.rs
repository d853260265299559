//! The environment of a policy: clocks, random numbers and the log.

/// Services of the host. A policy takes time and random numbers from here and nowhere else, so that a decision can be
/// replayed.
pub trait Env {
    /// A uniformly distributed number.
    fn random(&self) -> u32;

    /// Milliseconds on a monotonic clock, from an origin of the host's choice. Stands still within a call.
    fn now_ms(&self) -> u64;

    /// Milliseconds since 1970-01-01 00:00 UTC. Stands still within a call.
    fn unix_ms(&self) -> u64;

    /// Writes a line to the host's log, with the policy's name.
    fn log(&self, level: LogLevel, message: &str);
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something is wrong, and the policy goes on.
    Warn,
    /// A notable event.
    Info,
    /// Details for the policy's author.
    Debug,
}
