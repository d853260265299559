//! Concurrency limit (`max`): requests in flight at a member.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use equipoise_config::Member;

/// Limits the requests in flight at a member, of all workers together; first in, first out.
#[derive(Debug)]
pub(crate) struct ConcurrencyLimit {
    max: Option<NonZeroUsize>,
    /// `None` without a bound.
    free: Option<Arc<Semaphore>>,
    /// How long a request waits for a permit.
    acquire: Duration,
}

/// A request in flight at a member; released when dropped.
#[derive(Debug)]
pub(crate) struct RequestPermit {
    _permit: Option<OwnedSemaphorePermit>,
}

impl ConcurrencyLimit {
    /// The member's `max`. Where that is as `before`, requests in flight keep their permits.
    pub(crate) fn new(member: &Member, before: Option<&Self>) -> Self {
        let same = before.filter(|before| before.max == member.max);
        let free = match same {
            Some(before) => before.free.clone(),
            None => member
                .max
                .map(|max| Arc::new(Semaphore::new(max.get().min(Semaphore::MAX_PERMITS)))),
        };
        Self {
            max: member.max,
            free,
            acquire: member.acquire,
        }
    }

    /// A permit, if one is free.
    #[inline]
    pub(crate) fn try_acquire(&self) -> Option<RequestPermit> {
        let _permit = match &self.free {
            None => None,
            Some(free) => Some(free.clone().try_acquire_owned().ok()?),
        };
        Some(RequestPermit { _permit })
    }

    /// Waits for a permit, for `acquire` at most; `None` on timeout.
    pub(crate) async fn acquire(&self) -> Option<RequestPermit> {
        let Some(free) = &self.free else {
            return Some(RequestPermit { _permit: None });
        };
        let permit = timeout(self.acquire, free.clone().acquire_owned())
            .await
            .ok()?
            .ok()?;
        Some(RequestPermit {
            _permit: Some(permit),
        })
    }
}
