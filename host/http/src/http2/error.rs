//! Connection errors (RFC 9113, 5.4.1), with their code and their name in metrics.

use thiserror::Error;

use crate::http2::code::ErrorCode;

/// Why a connection is over.
///
/// The message says it to the log in a sentence without its end, [`name`](Self::name) to metrics in a word, and
/// [`code`](Self::code) to the peer, in GOAWAY.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
#[expect(missing_docs, reason = "each has its message")]
pub enum ConnectionError {
    #[error("it does not begin with the preface of HTTP/2")]
    Preface,
    #[error("the first frame is not SETTINGS")]
    FirstFrame,
    #[error("a frame is larger than it may be, or has not the size of its kind")]
    FrameSize,
    #[error("padding is as long as its frame")]
    Padding,
    #[error("a frame for a stream that it cannot be for")]
    StreamId,
    #[error("a frame for a stream that was never opened")]
    IdleStream,
    #[error("a frame for a stream that is closed")]
    ClosedStream,
    #[error("a header block is interrupted, or goes on where there is none")]
    Continuation,
    #[error("a push that was not allowed")]
    Push,
    #[error("a setting has a value that it cannot have")]
    Setting,
    #[error("a WINDOW_UPDATE of nothing")]
    Increment,
    #[error("more data than the connection's flow-control window allows")]
    Window,
    #[error("a flow-control window larger than it may be")]
    WindowOverflow,
    #[error("a header block cannot be decoded")]
    Compression,
    #[error("a header block is too large to be decoded")]
    BlockTooLarge,
    #[error("a flood of DATA without content")]
    DataFlood,
    #[error("a flood of PRIORITY")]
    PriorityFlood,
    #[error("a flood of RST_STREAM")]
    ResetFlood,
    #[error("a flood of streams that have to be reset")]
    FaultFlood,
    #[error("a flood of SETTINGS")]
    SettingsFlood,
    #[error("a flood of PING")]
    PingFlood,
    #[error("a flood of WINDOW_UPDATE")]
    WindowUpdateFlood,
    #[error("a flood of CONTINUATION")]
    ContinuationFlood,
    #[error("a flood of frames that are of no use")]
    UselessFlood,
    #[error("replies to its control frames are not read")]
    Unread,
}

impl ConnectionError {
    /// All of them, for tables of metrics.
    pub const ALL: [Self; 25] = [
        Self::Preface,
        Self::FirstFrame,
        Self::FrameSize,
        Self::Padding,
        Self::StreamId,
        Self::IdleStream,
        Self::ClosedStream,
        Self::Continuation,
        Self::Push,
        Self::Setting,
        Self::Increment,
        Self::Window,
        Self::WindowOverflow,
        Self::Compression,
        Self::BlockTooLarge,
        Self::DataFlood,
        Self::PriorityFlood,
        Self::ResetFlood,
        Self::FaultFlood,
        Self::SettingsFlood,
        Self::PingFlood,
        Self::WindowUpdateFlood,
        Self::ContinuationFlood,
        Self::UselessFlood,
        Self::Unread,
    ];

    /// The code that the peer is told.
    pub const fn code(self) -> ErrorCode {
        match self {
            Self::FrameSize => ErrorCode::FRAME_SIZE_ERROR,
            Self::ClosedStream => ErrorCode::STREAM_CLOSED,
            Self::Window | Self::WindowOverflow => ErrorCode::FLOW_CONTROL_ERROR,
            Self::Compression => ErrorCode::COMPRESSION_ERROR,
            Self::BlockTooLarge | Self::Unread => ErrorCode::ENHANCE_YOUR_CALM,
            _ if self.is_flood() => ErrorCode::ENHANCE_YOUR_CALM,
            _ => ErrorCode::PROTOCOL_ERROR,
        }
    }

    /// Whether the peer's frames were right, each by itself, but too many.
    pub const fn is_flood(self) -> bool {
        matches!(
            self,
            Self::DataFlood
                | Self::PriorityFlood
                | Self::ResetFlood
                | Self::FaultFlood
                | Self::SettingsFlood
                | Self::PingFlood
                | Self::WindowUpdateFlood
                | Self::ContinuationFlood
                | Self::UselessFlood
        )
    }

    /// What it is called as a label of metrics: lower case, words joined by dashes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preface => "preface",
            Self::FirstFrame => "first-frame",
            Self::FrameSize => "frame-size",
            Self::Padding => "padding",
            Self::StreamId => "stream-id",
            Self::IdleStream => "idle-stream",
            Self::ClosedStream => "closed-stream",
            Self::Continuation => "continuation",
            Self::Push => "push",
            Self::Setting => "setting",
            Self::Increment => "increment",
            Self::Window => "window",
            Self::WindowOverflow => "window-overflow",
            Self::Compression => "compression",
            Self::BlockTooLarge => "block-too-large",
            Self::DataFlood => "data-flood",
            Self::PriorityFlood => "priority-flood",
            Self::ResetFlood => "reset-flood",
            Self::FaultFlood => "fault-flood",
            Self::SettingsFlood => "settings-flood",
            Self::PingFlood => "ping-flood",
            Self::WindowUpdateFlood => "window-update-flood",
            Self::ContinuationFlood => "continuation-flood",
            Self::UselessFlood => "useless-flood",
            Self::Unread => "unread",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_a_message() {
        let names: HashSet<_> = ConnectionError::ALL.iter().map(|it| it.name()).collect();
        assert_eq!(names.len(), ConnectionError::ALL.len());
        for error in ConnectionError::ALL {
            assert!(!error.to_string().ends_with('.'), "{error}");
            let is_calmed = error.code() == ErrorCode::ENHANCE_YOUR_CALM;
            assert!(is_calmed || !error.is_flood(), "{error}");
        }
    }
}
