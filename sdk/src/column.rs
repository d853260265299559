//! The columns of the candidates, by name.

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
    BytesSent,
    BytesReceived,
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
        Self::BytesSent,
        Self::BytesReceived,
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
            Self::BytesSent => "bytes-sent",
            Self::BytesReceived => "bytes-received",
            Self::LatencyUs => "latency-us",
            Self::ConsecutiveFailures => "consecutive-failures",
            Self::ReadySlots => "ready-slots",
            Self::BusySlots => "busy-slots",
            Self::HeartbeatAgeMs => "heartbeat-age-ms",
        }
    }

    /// 32-bit numbers per entry when it is passed with the call: 2 for a 64-bit column.
    pub fn width(self) -> usize {
        match self {
            Self::Elected | Self::BytesSent | Self::BytesReceived => 2,
            _ => 1,
        }
    }
}
