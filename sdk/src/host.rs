//! What a policy may ask of the host besides the request and the candidates.

/// Services of the host. A policy takes randomness from here and nowhere else, so that a decision can be replayed.
pub trait Host {
    /// A uniformly distributed number.
    fn random(&self) -> u64;
}
