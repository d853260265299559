//! `max`: how many requests may be in flight at a member at once.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::config::Member;

/// The places for requests at a member, shared by all workers. First come, first served.
#[derive(Debug)]
pub(crate) struct Slots {
    /// `None` without a bound.
    free: Option<Arc<Semaphore>>,
    /// How long a request waits for a place.
    acquire: Duration,
}

/// A place at a member, free again when dropped.
#[derive(Debug)]
pub(crate) struct Slot {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// As many places as the member's `max` says.
    pub(crate) fn new(member: &Member) -> Self {
        let free = member
            .max
            .map(|max| Arc::new(Semaphore::new(max.get().min(Semaphore::MAX_PERMITS))));
        Self {
            free,
            acquire: member.acquire,
        }
    }

    /// Waits for a place, for `acquire` at most; `None` when the time is up.
    pub(crate) async fn acquire(&self) -> Option<Slot> {
        let Some(free) = &self.free else {
            return Some(Slot { _permit: None });
        };
        if let Ok(permit) = free.clone().try_acquire_owned() {
            return Some(Slot {
                _permit: Some(permit),
            });
        }
        let permit = timeout(self.acquire, free.clone().acquire_owned())
            .await
            .ok()?
            .ok()?;
        Some(Slot {
            _permit: Some(permit),
        })
    }
}
