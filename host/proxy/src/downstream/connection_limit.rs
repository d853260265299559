//! `limits.connections`: how many clients may be connected at once.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Permits for connections, shared by all that accept. First come, first served. Clones share one limit.
#[derive(Debug, Clone)]
pub struct ConnectionLimit(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    permits: Arc<Semaphore>,
    /// Permits to be forgotten when they are released.
    excess: AtomicUsize,
    /// The limit.
    count: Mutex<usize>,
}

/// A permit for one connection, released when dropped.
#[derive(Debug)]
pub struct ConnectionPermit {
    /// `None` only while it is dropped.
    permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl ConnectionLimit {
    /// A limit of so many connections.
    pub fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            permits: Arc::new(Semaphore::new(count)),
            excess: AtomicUsize::new(0),
            count: Mutex::new(count),
        }))
    }

    /// A permit, if one is free.
    pub(crate) fn try_acquire(&self) -> Option<ConnectionPermit> {
        let permit = self.0.permits.clone().try_acquire_owned().ok()?;
        Some(ConnectionPermit {
            permit: Some(permit),
            shared: self.0.clone(),
        })
    }

    /// Waits for a permit.
    pub async fn acquire(&self) -> ConnectionPermit {
        // An error would mean that the semaphore is closed, which it never is.
        let permit = self.0.permits.clone().acquire_owned().await.ok();
        ConnectionPermit {
            permit,
            shared: self.0.clone(),
        }
    }

    /// Changes the limit. Permits that are held stay valid: below them, none is granted until enough are released.
    pub(crate) fn resize(&self, wanted: usize) {
        let Shared {
            permits,
            excess,
            count,
        } = &*self.0;
        let wanted = wanted.min(Semaphore::MAX_PERMITS);
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in *count..wanted {
            if !take_one(excess) {
                permits.add_permits(1);
            }
        }
        let fewer = count.saturating_sub(wanted);
        let forgotten = permits.forget_permits(fewer);
        excess.fetch_add(fewer - forgotten, Relaxed);
        *count = wanted;
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && take_one(&self.shared.excess)
        {
            permit.forget();
        }
    }
}

/// Counts down by one, unless the count is 0.
fn take_one(count: &AtomicUsize) -> bool {
    let taken = count.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
    taken.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(limit: &ConnectionLimit) -> usize {
        limit.0.permits.available_permits()
    }

    #[tokio::test]
    async fn a_dropped_permit_is_released() {
        let limit = ConnectionLimit::new(2);
        let permit = limit.acquire().await;
        assert_eq!(free(&limit), 1);
        drop(permit);
        assert_eq!(free(&limit), 2);
    }

    #[tokio::test]
    async fn a_permit_is_had_at_once_only_below_the_limit() {
        let limit = ConnectionLimit::new(1);
        let permit = limit.try_acquire();
        assert!(permit.is_some() && limit.try_acquire().is_none());
        drop(permit);
        assert!(limit.try_acquire().is_some());
    }

    #[tokio::test]
    async fn a_lower_limit_holds_once_enough_permits_are_released() {
        let limit = ConnectionLimit::new(4);
        let taken = [
            limit.acquire().await,
            limit.acquire().await,
            limit.acquire().await,
        ];
        limit.resize(1);
        assert_eq!(free(&limit), 0);
        let [first, second, third] = taken;
        drop(first);
        drop(second);
        assert_eq!(free(&limit), 0, "one is still taken, and there is one");
        drop(third);
        assert_eq!(free(&limit), 1);
    }

    #[tokio::test]
    async fn a_higher_limit_holds_at_once() {
        let limit = ConnectionLimit::new(1);
        let _taken = limit.acquire().await;
        limit.resize(3);
        assert_eq!(free(&limit), 2);
    }

    #[tokio::test]
    async fn a_limit_that_is_lowered_and_raised_again_forgets_only_the_difference() {
        let limit = ConnectionLimit::new(3);
        let taken = [
            limit.acquire().await,
            limit.acquire().await,
            limit.acquire().await,
        ];
        limit.resize(1);
        limit.resize(2);
        drop(taken);
        assert_eq!(free(&limit), 2);
    }
}
