//! A gate that holds a member's answer back until the test lets it go.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::WAIT_TIMEOUT;

/// Closed at first; waiters go on once it is opened.
#[derive(Clone, Default)]
pub struct Gate {
    state: Arc<(Mutex<bool>, Condvar)>,
}

impl Gate {
    /// A gate that is closed.
    pub fn closed() -> Self {
        Self::default()
    }

    /// Lets all pass, now and later.
    pub fn open(&self) {
        *self.state.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.state.1.notify_all();
    }

    /// Waits until the gate is open, and whether it was opened in time.
    pub fn wait(&self) -> bool {
        let open = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .state
            .1
            .wait_timeout_while(open, WAIT_TIMEOUT, |open| !*open);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }
}
