//! The columns of the candidates by name.

/// A column of [`Candidates`](crate::Candidates), to be named by [`Selector::columns`](crate::Selector::columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(
    missing_docs,
    reason = "each is the function of the same name of Candidates"
)]
pub enum Column {
    Ids,
    Weights,
    Busy,
    Elected,
    Transferred,
    Read,
    LatencyUs,
    ConsecutiveFailures,
    ReadySlots,
    BusySlots,
    HeartbeatAgeMs,
}

impl Column {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Ids,
        Self::Weights,
        Self::Busy,
        Self::Elected,
        Self::Transferred,
        Self::Read,
        Self::LatencyUs,
        Self::ConsecutiveFailures,
        Self::ReadySlots,
        Self::BusySlots,
        Self::HeartbeatAgeMs,
    ];

    /// The name of its function in the contract, such as `latency-us`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ids => "ids",
            Self::Weights => "weights",
            Self::Busy => "busy",
            Self::Elected => "elected",
            Self::Transferred => "transferred",
            Self::Read => "read",
            Self::LatencyUs => "latency-us",
            Self::ConsecutiveFailures => "consecutive-failures",
            Self::ReadySlots => "ready-slots",
            Self::BusySlots => "busy-slots",
            Self::HeartbeatAgeMs => "heartbeat-age-ms",
        }
    }

    /// How many numbers of 32 bits an entry is when it comes with the question: 2 where it has 64 bits.
    pub fn width(self) -> usize {
        match self {
            Self::Elected | Self::Transferred | Self::Read => 2,
            _ => 1,
        }
    }
}
