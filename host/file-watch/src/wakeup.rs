//! Wakes the watching thread: a condition variable with the reasons it was notified for.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Wakeups by others, listened to by one thread. Ringing twice before it is heard is ringing once.
#[derive(Debug, Default)]
pub(super) struct Wakeup {
    wakeups: Mutex<Wakeups>,
    changed: Condvar,
}

/// What it was notified by since the last wait.
#[derive(Debug, Default)]
pub(super) struct Wakeups {
    pub(super) by_event: bool,
    pub(super) by_waker: bool,
}

impl Wakeup {
    /// A file system event: ends the wait once the debounce interval is over.
    pub(super) fn notify(&self) {
        self.lock().by_event = true;
        self.changed.notify_one();
    }

    /// A waker: ends the wait at once.
    pub(super) fn wake(&self) {
        self.lock().by_waker = true;
        self.changed.notify_one();
    }

    /// Waits for a notification, but no longer than `until`. Events end the wait from `events_from` on.
    pub(super) fn wait(&self, events_from: Instant, until: Instant) -> Wakeups {
        let mut wakeups = self.lock();
        loop {
            let end = if wakeups.by_event {
                until.min(events_from)
            } else {
                until
            };
            let left = end.saturating_duration_since(Instant::now());
            if wakeups.by_waker || left.is_zero() {
                return mem::take(&mut *wakeups);
            }
            let woken = self.changed.wait_timeout(wakeups, left);
            wakeups = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Wakeups> {
        self.wakeups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
