//! The eligible members of a decision.

/// The eligible members of one decision, at positions `0..len()`, as columns of numbers.
///
/// Every column has [`len`](Self::len) entries in the same order: that of the configuration, then the spares that stand in for
/// unusable members. A column is gathered when it is first read, so a policy pays only for what it reads.
pub trait Candidates {
    /// The number of candidates. Never 0 when a selector is called.
    fn len(&self) -> usize;

    /// Whether there are no candidates.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Member ids: small numbers, unique within the balancer, stable for as long as the member exists.
    fn ids(&self) -> &[u32];

    /// Weights in hundredths: `loadfactor = 1.5` is 150. Range 100..=10 000.
    fn weights(&self) -> &[u32];

    /// Requests in flight, over all worker threads.
    fn busy(&self) -> &[u32];

    /// Requests given to the member since it was started or reset.
    fn elected(&self) -> &[u64];

    /// Bytes sent to the member.
    fn bytes_sent(&self) -> &[u64];

    /// Bytes received from the member.
    fn bytes_received(&self) -> &[u64];

    /// Time from the decision to the response's head, in microseconds: an exponentially weighted moving average in which the
    /// last response weighs 1/8. 0 before the first response.
    fn latency_us(&self) -> &[u32];

    /// Failures in a row: no connection, a timeout, a reset or an invalid response. Any response ends the row.
    fn consecutive_failures(&self) -> &[u32];

    /// Idle slots in the member's last heartbeat; 0 without a heartbeat.
    fn ready_slots(&self) -> &[u32];

    /// Busy slots in the member's last heartbeat; 0 without a heartbeat.
    fn busy_slots(&self) -> &[u32];

    /// Milliseconds since the member's last heartbeat; `u32::MAX` without one.
    fn heartbeat_age_ms(&self) -> &[u32];

    /// Restricts the fallback method to these positions, should [`Selector::select`](crate::Selector::select) return `None`.
    ///
    /// The last call counts. An empty list lifts the restriction; a position of `len()` or more is a fault of the policy. The
    /// columns and the positions that may be returned stay as they are.
    fn restrict_fallback(&self, positions: &[usize]);
}
