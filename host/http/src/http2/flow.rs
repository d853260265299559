//! Flow-control windows (RFC 9113, 5.2 and 6.9), of a stream or of a connection.

/// What a window has at the start of a connection, in bytes.
pub(crate) const INITIAL: u32 = 65_535;

/// The largest window, in bytes.
pub(crate) const MAX_WINDOW: u32 = (1 << 31) - 1;

/// A window went beyond what it may be (RFC 9113, 6.9.1), or more has come than it allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exceeded;

/// What we may send. It may be below zero, after a change of settings (RFC 9113, 6.9.2).
#[derive(Debug, Clone, Copy)]
pub(crate) struct SendWindow(i32);

impl SendWindow {
    pub(crate) fn new(size: u32) -> Self {
        Self(size.min(MAX_WINDOW) as i32)
    }

    /// How many bytes may be sent now.
    #[inline]
    pub(crate) fn room(self) -> usize {
        self.0.max(0) as usize
    }

    /// So many bytes are sent, which there was room for.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) {
        self.0 -= bytes.min(self.room()) as i32;
    }

    /// The peer allows so many more.
    pub(crate) fn widen(&mut self, increment: u32) -> Result<(), Exceeded> {
        self.shift(i64::from(increment))
    }

    /// The size that the window began with is changed by so much.
    pub(crate) fn shift(&mut self, change: i64) -> Result<(), Exceeded> {
        let window = i64::from(self.0) + change;
        self.0 = i32::try_from(window).map_err(|_| Exceeded)?;
        Ok(())
    }
}

/// What the peer may send. What was taken from it is given back in large pieces, so that few WINDOW_UPDATEs are needed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ReceiveWindow {
    size: u32,
    /// What the peer may send now.
    left: u32,
    /// What came and has been consumed, and the peer was not told of.
    consumed: u32,
}

impl ReceiveWindow {
    pub(crate) fn new(size: u32) -> Self {
        let size = size.min(MAX_WINDOW);
        Self {
            size,
            left: size,
            consumed: 0,
        }
    }

    /// So many bytes come.
    #[inline]
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), Exceeded> {
        let bytes = u32::try_from(bytes).map_err(|_| Exceeded)?;
        self.left = self.left.checked_sub(bytes).ok_or(Exceeded)?;
        Ok(())
    }

    /// So many of the bytes that came are consumed. Says what the peer is to be told: nothing until half of the window is
    /// used up.
    #[inline]
    pub(crate) fn give_back(&mut self, bytes: usize) -> Option<u32> {
        // Of more than came, as much as came.
        let owed = self.size - self.left - self.consumed;
        self.consumed += u32::try_from(bytes).unwrap_or(owed).min(owed);
        if self.consumed == 0 || self.consumed < self.size / 2 {
            return None;
        }
        self.left += self.consumed;
        Some(std::mem::take(&mut self.consumed))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_window_to_send_into_may_be_below_zero_and_is_never_above_the_largest() {
        let mut window = SendWindow::new(100);
        window.take(80);
        assert_eq!(window.room(), 20);
        window.shift(-90).unwrap();
        assert_eq!(window.room(), 0);
        window.widen(70).unwrap();
        assert_eq!(window.room(), 0);
        window.widen(1).unwrap();
        assert_eq!(window.room(), 1);
        assert_eq!(window.widen(MAX_WINDOW), Err(Exceeded));
        window.widen(MAX_WINDOW - 1).unwrap();
        assert_eq!(window.room(), MAX_WINDOW as usize);
        assert_eq!(window.shift(1), Err(Exceeded));
        let mut window = SendWindow::new(0);
        window.shift(-i64::from(MAX_WINDOW)).unwrap();
        assert_eq!(window.room(), 0);
    }

    #[test]
    fn more_than_the_window_is_told_from_all_of_it() {
        let mut window = ReceiveWindow::new(100);
        assert_eq!(window.take(101), Err(Exceeded));
        window.take(100).unwrap();
        assert_eq!(window.take(1), Err(Exceeded));
        assert_eq!(window.take(usize::MAX), Err(Exceeded));
    }

    #[test]
    fn what_is_consumed_is_given_back_by_halves() {
        let mut window = ReceiveWindow::new(100);
        window.take(80).unwrap();
        assert_eq!(window.give_back(0), None);
        assert_eq!(window.give_back(49), None);
        assert_eq!(window.give_back(1), Some(50));
        assert_eq!(window.give_back(1_000), None, "only 30 are owed");
        window.take(70).unwrap();
        assert_eq!(window.give_back(usize::MAX), Some(100));
    }

    proptest! {
        /// Whatever is consumed of what came, the peer may never have more under way than the window, and never waits for less
        /// than the half of it.
        #[test]
        fn a_window_is_neither_exceeded_nor_lost(size in 1_u32..1000, steps in prop::collection::vec((0_u32..400, 0_u32..400), 1..50)) {
            let mut window = ReceiveWindow::new(size);
            let (mut may_send, mut held) = (size, 0);
            for (sent, consumed) in steps {
                let sent = sent.min(may_send);
                prop_assert!(window.take(sent as usize).is_ok());
                may_send -= sent;
                held += sent;
                let consumed = consumed.min(held);
                held -= consumed;
                may_send += window.give_back(consumed as usize).unwrap_or(0);
                prop_assert!(may_send + held <= size);
                prop_assert!(may_send + held > size / 2 || size == 1);
            }
        }
    }
}
