//! Priorities (RFC 9218): how urgent a response is, and whether it is of use piece by piece.

use crate::syntax::{elements, trim};

/// The priority of a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Priority {
    /// From 0, which is first, to 7.
    pub urgency: u8,
    /// Whether each piece is of use, so that it is sent by turns with others as urgent. Others come one after the other.
    pub is_incremental: bool,
}

impl Default for Priority {
    /// What holds where nothing is said: urgency 3, and not incremental.
    fn default() -> Self {
        Self {
            urgency: 3,
            is_incremental: false,
        }
    }
}

impl Priority {
    /// The priority that a field `Priority` or PRIORITY_UPDATE tells; what is not said in it, or cannot be understood, is as by
    /// default.
    pub fn of(value: &[u8]) -> Self {
        Self::default().with(value)
    }

    /// The same where what is not said is as it was: a member's response may change what its request said (RFC 9218, 8).
    pub fn with(mut self, value: &[u8]) -> Self {
        for member in elements(value) {
            let end = member.iter().position(|&byte| byte == b';');
            match trim(&member[..end.unwrap_or(member.len())]) {
                [b'u', b'=', urgency @ b'0'..=b'7'] => self.urgency = urgency - b'0',
                b"i" | b"i=?1" => self.is_incremental = true,
                b"i=?0" => self.is_incremental = false,
                _ => {}
            }
        }
        self
    }
}

/// The most priorities that are kept of requests that have not come yet.
const MAX_EARLY: usize = 32;

/// Priorities of requests that have not come yet: PRIORITY_UPDATE may be before its request (RFC 9218, 7.1).
#[derive(Debug, Default)]
pub(crate) struct EarlyPriorities(Vec<(u32, Priority)>);

impl EarlyPriorities {
    /// Keeps the priority of a stream, if there is room.
    pub(crate) fn keep(&mut self, stream: u32, priority: Priority) {
        if let Some((_, before)) = self.0.iter_mut().find(|(other, _)| *other == stream) {
            *before = priority;
        } else if self.0.len() < MAX_EARLY {
            self.0.push((stream, priority));
        }
    }

    /// The priority of the stream that begins now. Those of earlier ones are forgotten, for these cannot begin any more.
    #[inline]
    pub(crate) fn take(&mut self, stream: u32) -> Option<Priority> {
        if self.0.is_empty() {
            return None;
        }
        let found = self.0.iter().find(|(other, _)| *other == stream);
        let priority = found.map(|(_, priority)| *priority);
        self.0.retain(|(other, _)| *other > stream);
        priority
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn priority(urgency: u8, is_incremental: bool) -> Priority {
        Priority {
            urgency,
            is_incremental,
        }
    }

    #[test]
    fn priorities_are_read_as_far_as_they_can_be() {
        let table = [
            ("", priority(3, false)),
            ("u=0", priority(0, false)),
            ("u=7, i", priority(7, true)),
            ("i, u=1", priority(1, true)),
            ("i=?1", priority(3, true)),
            ("i=?0", priority(3, false)),
            ("u=1;a=2 , i;b", priority(1, true)),
            ("u=1, u=2", priority(2, false)),
            ("u=8", priority(3, false)),
            ("u=-1", priority(3, false)),
            ("u=10", priority(3, false)),
            ("u", priority(3, false)),
            ("i=1", priority(3, false)),
            ("x=y, u=5", priority(5, false)),
            ("\u{ff}\0", priority(3, false)),
        ];
        for (value, expected) in table {
            assert_eq!(Priority::of(value.as_bytes()), expected, "{value}");
        }
        assert_eq!(priority(1, true).with(b"u=5"), priority(5, true));
    }

    #[test]
    fn few_priorities_are_kept_of_what_may_come() {
        let mut early = EarlyPriorities::default();
        for stream in 0..1_000 {
            early.keep(2 * stream + 1, priority(1, false));
        }
        early.keep(5, priority(2, false));
        assert_eq!(early.0.len(), MAX_EARLY);
        assert_eq!(early.take(5), Some(priority(2, false)));
        assert_eq!((early.take(5), early.take(3)), (None, None));
        assert_eq!(early.0.len(), MAX_EARLY - 3);
        assert_eq!(early.take(1_001), None);
        assert_eq!(early.0.len(), 0);
    }
}
