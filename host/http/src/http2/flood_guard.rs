//! A token bucket against floods of frames.
//!
//! RFC 9113, 10.5 names frames that are right, each by itself, and make no progress: PING, SETTINGS, DATA without content,
//! PRIORITY, requests that are reset at once (CVE-2023-44487) or have to be reset by us (CVE-2025-8671), header blocks in many
//! CONTINUATIONs, windows that are opened by a byte (CVE-2019-9511). Each of them costs tokens, and messages earn some. A bucket
//! that is used up ends the connection.

use std::time::{Duration, Instant};

use crate::http2::error::ConnectionError;
use crate::http2::frame::{Frame, flag, kind};

/// The capacity of the bucket, which begins full: more than three hundred requests that are reset before their response, where
/// Envoy takes two hundred and fifty for an attack; or a hundred SETTINGS, or two thousand PINGs, in no time.
pub(crate) const MAX_TOKENS: u32 = 2_000;

/// What is added each second: thirty such requests, or two hundred PINGs.
pub(crate) const TOKENS_PER_SECOND: u32 = 200;

/// What a message earns that begins to come: a PRIORITY and a WINDOW_UPDATE go with each at some clients.
pub(crate) const OPENED: u32 = 2;

/// What DATA with content earns.
pub(crate) const RECEIVED: u32 = 1;

/// The least content that counts as some, in bytes. DATA with less is free of charge: messages may be small.
pub(crate) const CONTENT: usize = 128;

/// What a header block to the peer earns, head or trailers: as much as a RST_STREAM costs, so that a request that was responded
/// to may be reset.
pub(crate) const ANSWERED: u32 = RESET;

/// What a RST_STREAM costs.
pub(crate) const RESET: u32 = 6;

/// What a stream costs that we have to reset for what the peer did.
pub(crate) const FAULT: u32 = 6;

/// What a request beyond the limit of streams costs. A client may send many before it knows of the limit.
pub(crate) const REFUSED: u32 = 2;

/// What a frame costs on a stream that we have reset, which it may have crossed; there may be a window full of them.
pub(crate) const LATE: u32 = 1;

/// What DATA to the peer earns: a WINDOW_UPDATE for the stream and one for the connection, as the plainest clients send
/// them.
const SENT: u32 = 2;

/// For each so many bytes of DATA to the peer there is one more: Go sends two WINDOW_UPDATEs for each 4 KiB, and clients of gRPC
/// a PING at any time.
const SENT_FOR_ONE: usize = 1024;

/// A token bucket that refills over time.
#[derive(Debug)]
pub(crate) struct FloodGuard {
    tokens: u32,
    /// Up to when it was filled.
    filled: Instant,
}

impl FloodGuard {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            tokens: MAX_TOKENS,
            filled: now,
        }
    }

    /// Adds tokens.
    #[inline]
    pub(crate) fn earn(&mut self, tokens: u32) {
        self.tokens = self.tokens.saturating_add(tokens).min(MAX_TOKENS);
    }

    /// Adds what so many bytes of DATA to the peer earn. Where the peer's window has cut them short, less than a kilobyte is
    /// nothing: else it would pay for a window that is opened by a byte with that byte.
    #[inline]
    pub(crate) fn earn_by_sending(&mut self, bytes: usize, is_cut_short: bool) {
        if is_cut_short && bytes < SENT_FOR_ONE {
            return;
        }
        let more = u32::try_from(bytes / SENT_FOR_ONE).unwrap_or(MAX_TOKENS);
        self.earn(SENT.saturating_add(more));
    }

    /// Takes tokens.
    ///
    /// # Errors
    /// `flood`, if there are not so many; then none are taken.
    pub(crate) fn charge(
        &mut self,
        tokens: u32,
        flood: ConnectionError,
        now: Instant,
    ) -> Result<(), ConnectionError> {
        self.fill(now);
        self.tokens = self.tokens.checked_sub(tokens).ok_or(flood)?;
        Ok(())
    }

    /// Takes what a frame costs by its header, whatever else it turns out to be.
    #[inline]
    pub(crate) fn charge_frame(
        &mut self,
        frame: Frame,
        now: Instant,
    ) -> Result<(), ConnectionError> {
        match cost(frame) {
            (0, _) => Ok(()),
            (tokens, flood) => self.charge(tokens, flood, now),
        }
    }

    fn fill(&mut self, now: Instant) {
        const STEP: u32 = 1_000 / TOKENS_PER_SECOND;
        let elapsed = now.saturating_duration_since(self.filled);
        // As long as it takes to fill, or longer.
        let most = Duration::from_millis(u64::from(STEP * MAX_TOKENS));
        if elapsed >= most {
            (self.tokens, self.filled) = (MAX_TOKENS, now);
            return;
        }
        let tokens = elapsed.subsec_millis() / STEP + elapsed.as_secs() as u32 * TOKENS_PER_SECOND;
        self.tokens = (self.tokens + tokens).min(MAX_TOKENS);
        self.filled += Duration::from_millis(u64::from(STEP * tokens));
    }
}

/// What a frame costs, and what to call too many of them.
fn cost(frame: Frame) -> (u32, ConnectionError) {
    use ConnectionError::{
        ContinuationFlood, DataFlood, PingFlood, PriorityFlood, ResetFlood, SettingsFlood,
        UselessFlood, WindowUpdateFlood,
    };
    match frame.kind {
        // The end of a body, of which a stream has one, is free.
        kind::DATA if frame.has(flag::END_STREAM) || frame.least_content() > 0 => (0, DataFlood),
        kind::DATA => (4, DataFlood),
        // Where they begin nothing, it costs what becomes of them.
        kind::HEADERS => (0, UselessFlood),
        kind::PRIORITY => (1, PriorityFlood),
        kind::PRIORITY_UPDATE => (2, PriorityFlood),
        kind::RST_STREAM => (RESET, ResetFlood),
        kind::SETTINGS if frame.has(flag::ACK) => (1, SettingsFlood),
        // Each may touch every stream that is open.
        kind::SETTINGS => (20, SettingsFlood),
        kind::PING => (1, PingFlood),
        kind::WINDOW_UPDATE => (1, WindowUpdateFlood),
        kind::CONTINUATION => (4, ContinuationFlood),
        _ => (4, UselessFlood),
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a time to give, whichever")]
mod tests {
    use super::*;

    const FLOOD: ConnectionError = ConnectionError::PingFlood;

    fn spends(flood_guard: &mut FloodGuard, tokens: u32, now: Instant) -> bool {
        flood_guard.charge(tokens, FLOOD, now).is_ok()
    }

    #[test]
    fn a_budget_is_spent_and_fills_again() {
        let start = Instant::now();
        let mut flood_guard = FloodGuard::new(start);
        assert_eq!(flood_guard.charge(MAX_TOKENS, FLOOD, start), Ok(()));
        assert_eq!(flood_guard.charge(1, FLOOD, start), Err(FLOOD));
        let later = start + Duration::from_secs(1);
        assert!(spends(&mut flood_guard, TOKENS_PER_SECOND, later));
        assert!(!spends(&mut flood_guard, 1, later));
        flood_guard.earn(3);
        assert!(!spends(&mut flood_guard, 4, later));
        assert!(spends(&mut flood_guard, 3, later));
    }

    #[test]
    fn a_budget_holds_no_more_than_it_began_with() {
        let start = Instant::now();
        let mut flood_guard = FloodGuard::new(start);
        flood_guard.earn(u32::MAX);
        for seconds in [9, 19, 40, 1_000_000_000] {
            let later = start + Duration::from_secs(seconds);
            assert!(spends(&mut flood_guard, MAX_TOKENS / 2, later));
            flood_guard.earn(MAX_TOKENS);
            assert!(spends(&mut flood_guard, MAX_TOKENS, later));
            assert!(!spends(&mut flood_guard, 1, later));
        }
    }

    #[test]
    fn filling_often_fills_as_much() {
        let mut now = Instant::now();
        let mut flood_guard = FloodGuard::new(now);
        assert!(spends(&mut flood_guard, MAX_TOKENS, now));
        for _ in 0..1_000 {
            now += Duration::from_millis(1);
            assert!(spends(&mut flood_guard, 0, now));
        }
        assert!(spends(&mut flood_guard, TOKENS_PER_SECOND, now));
        assert!(!spends(&mut flood_guard, 1, now));
    }

    #[test]
    fn a_window_that_is_opened_by_a_byte_earns_nothing() {
        let start = Instant::now();
        let earned = |bytes, is_cut_short| {
            let mut flood_guard = FloodGuard::new(start);
            assert!(spends(&mut flood_guard, MAX_TOKENS, start));
            flood_guard.earn_by_sending(bytes, is_cut_short);
            flood_guard.tokens
        };
        assert_eq!((earned(1, true), earned(1_023, true)), (0, 0));
        assert_eq!((earned(1, false), earned(16_384, true)), (2, 18));
    }

    #[test]
    fn what_makes_no_progress_costs() {
        let table = [
            (kind::DATA, 0, 0, 4),
            (kind::DATA, flag::END_STREAM, 0, 0),
            (kind::DATA, 0, 1, 0),
            // All of it may be padding.
            (kind::DATA, flag::PADDED, 256, 4),
            (kind::DATA, flag::PADDED, 257, 0),
            (kind::HEADERS, 0, 10, 0),
            (kind::PRIORITY, 0, 5, 1),
            (kind::PRIORITY_UPDATE, 0, 7, 2),
            (kind::RST_STREAM, 0, 4, RESET),
            (kind::SETTINGS, 0, 6, 20),
            (kind::SETTINGS, flag::ACK, 0, 1),
            (kind::PING, 0, 8, 1),
            (kind::PING, flag::ACK, 8, 1),
            (kind::WINDOW_UPDATE, 0, 4, 1),
            (kind::CONTINUATION, 0, 16_384, 4),
            (0xbe, 0, 5, 4),
        ];
        for (kind, flags, length, expected) in table {
            let frame = Frame {
                length,
                kind,
                flags,
                stream: 1,
            };
            assert_eq!(cost(frame).0, expected, "{frame:?}");
        }
    }
}
