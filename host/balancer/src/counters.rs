//! What a member counts.

/// What a member counts; lives on when the configuration changes.
#[derive(Debug, Default)]
pub struct Counters {}

/// A request in flight at a member.
#[derive(Debug)]
pub struct Lease {}
