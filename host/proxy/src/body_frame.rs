//! What a reader of a message body yields next.

/// What comes next of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFrame {
    /// Payload, to be taken.
    Data,
    /// The trailer section; the end follows.
    Trailers,
    /// Nothing more.
    End,
}
