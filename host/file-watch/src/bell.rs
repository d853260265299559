//! What the watching thread sleeps on.

use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// Rung by others, listened to by one thread. Ringing twice before it is heard is ringing once.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rung: Mutex<Rung>,
    changed: Condvar,
}

/// Who rang since it was last listened to.
#[derive(Debug, Default)]
pub(super) struct Rung {
    pub(super) by_event: bool,
    pub(super) by_waker: bool,
}

impl Bell {
    /// An event: heard when the listener is ready to.
    pub(super) fn ring(&self) {
        self.lock().by_event = true;
        self.changed.notify_one();
    }

    /// A waker: heard at once.
    pub(super) fn wake(&self) {
        self.lock().by_waker = true;
        self.changed.notify_one();
    }

    /// Sleeps until somebody rings, but no longer than `until`. Events end the sleep from `events_from` on.
    pub(super) fn wait(&self, events_from: Instant, until: Instant) -> Rung {
        let mut rung = self.lock();
        loop {
            let end = if rung.by_event {
                until.min(events_from)
            } else {
                until
            };
            let left = end.saturating_duration_since(Instant::now());
            if rung.by_waker || left.is_zero() {
                return mem::take(&mut *rung);
            }
            let woken = self.changed.wait_timeout(rung, left);
            rung = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
