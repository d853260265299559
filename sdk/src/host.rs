//! What a policy may ask of the host besides the request and the candidates.

/// Services of the host. A policy takes time and randomness from here and nowhere else, so that a decision can be
/// replayed.
pub trait Host {
    /// A uniformly distributed number.
    fn random(&self) -> u32;

    /// Milliseconds on a clock that never goes back, from an origin of the host's choice. Stands still within a call.
    fn now_ms(&self) -> u64;

    /// Milliseconds since 1970-01-01 00:00 UTC. Stands still within a call.
    fn unix_ms(&self) -> u64;

    /// Writes a line to the host's log, with the policy's name.
    fn log(&self, level: Level, message: &str);
}

/// How much a log line matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Something does not work.
    Error,
    /// Something will not work, or works by way of exception.
    Warn,
    /// Worth knowing.
    Info,
    /// For the author.
    Debug,
}
