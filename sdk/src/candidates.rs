//! The members a policy may choose from.

/// The eligible members of one decision, at positions `0..len()`, as columns of numbers.
///
/// Every column has [`len`](Self::len) entries in the order the members are to be asked: configuration order, then the
/// spares that stand in for unusable members. A column is gathered when it is first asked for, so a policy pays for
/// what it reads only.
pub trait Candidates {
    /// How many members may be chosen. Never 0 when a selector is asked.
    fn len(&self) -> usize;

    /// Whether there is nobody to choose.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Identities: small numbers, unique within the balancer, that a member keeps as long as it lives.
    fn ids(&self) -> &[u32];

    /// Weights in hundredths: `loadfactor = 1.5` is 150. Range 100..=10 000.
    fn weights(&self) -> &[u32];

    /// Requests in flight, over all worker threads.
    fn busy(&self) -> &[u32];

    /// Requests given to the member since it was started or reset.
    fn elected(&self) -> &[u64];

    /// Bytes sent to the member.
    fn transferred(&self) -> &[u64];

    /// Bytes read from the member.
    fn read(&self) -> &[u64];

    /// How long the member takes from the decision to the head of its answer, in microseconds: a mean in which the last
    /// answer weighs an eighth. 0 before the first answer.
    fn latency_us(&self) -> &[u32];

    /// Failures in a row: no connection, no answer in time, an answer broken off or unintelligible. Any answer ends the
    /// row.
    fn consecutive_failures(&self) -> &[u32];

    /// Idle slots the member's last heartbeat reported; 0 without a heartbeat.
    fn ready_slots(&self) -> &[u32];

    /// Busy slots the member's last heartbeat reported; 0 without a heartbeat.
    fn busy_slots(&self) -> &[u32];

    /// Milliseconds since the member's last heartbeat; `u32::MAX` without one.
    fn heartbeat_age_ms(&self) -> &[u32];

    /// Leaves only these positions to the fallback method, should [`Selector::select`](crate::Selector::select) answer
    /// `None`.
    ///
    /// The last call counts. An empty list leaves all; a position of `len()` or more is a fault of the policy. The
    /// columns and the positions that may be answered stay as they are.
    fn narrow(&self, positions: &[usize]);
}
