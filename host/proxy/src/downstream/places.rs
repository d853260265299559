//! `limits.connections`: how many clients may be connected at once.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for connections, shared by whoever accepts them. First come, first served. Clones are of the same.
#[derive(Debug, Clone)]
pub struct Places(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    free: Arc<Semaphore>,
    /// Places to be taken away when they become free.
    excess: AtomicUsize,
    /// How many there are to be.
    count: Mutex<usize>,
}

/// A place for a connection, free again when dropped.
#[derive(Debug)]
pub struct Place {
    /// `None` only while it is dropped, or where there are no places at all.
    permit: Option<OwnedSemaphorePermit>,
    shared: Arc<Shared>,
}

impl Places {
    /// So many.
    pub fn new(count: usize) -> Self {
        let count = count.min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Shared {
            free: Arc::new(Semaphore::new(count)),
            excess: AtomicUsize::new(0),
            count: Mutex::new(count),
        }))
    }

    /// A place, if one is free.
    pub(crate) fn take_now(&self) -> Option<Place> {
        let permit = self.0.free.clone().try_acquire_owned().ok()?;
        Some(Place {
            permit: Some(permit),
            shared: self.0.clone(),
        })
    }

    /// Waits for a place.
    pub async fn take(&self) -> Place {
        // An error would mean that the semaphore is closed, which nobody does.
        let permit = self.0.free.clone().acquire_owned().await.ok();
        Place {
            permit,
            shared: self.0.clone(),
        }
    }

    /// Has more or fewer places from now on. Those that are taken stay so: with fewer, nobody gets a new one until enough of
    /// them are free.
    pub(crate) fn resize(&self, wanted: usize) {
        let Shared {
            free,
            excess,
            count,
        } = &*self.0;
        let wanted = wanted.min(Semaphore::MAX_PERMITS);
        let mut count = count.lock().unwrap_or_else(PoisonError::into_inner);
        for _ in *count..wanted {
            if !take_one(excess) {
                free.add_permits(1);
            }
        }
        let fewer = count.saturating_sub(wanted);
        let forgotten = free.forget_permits(fewer);
        excess.fetch_add(fewer - forgotten, Relaxed);
        *count = wanted;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take()
            && take_one(&self.shared.excess)
        {
            permit.forget();
        }
    }
}

/// Counts down by one, unless there is nothing left.
fn take_one(count: &AtomicUsize) -> bool {
    let taken = count.fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
    taken.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn free(places: &Places) -> usize {
        places.0.free.available_permits()
    }

    #[tokio::test]
    async fn a_place_is_free_again_when_dropped() {
        let places = Places::new(2);
        let place = places.take().await;
        assert_eq!(free(&places), 1);
        drop(place);
        assert_eq!(free(&places), 2);
    }

    #[tokio::test]
    async fn a_place_is_had_now_only_where_one_is_free() {
        let places = Places::new(1);
        let place = places.take_now();
        assert!(place.is_some() && places.take_now().is_none());
        drop(place);
        assert!(places.take_now().is_some());
    }

    #[tokio::test]
    async fn fewer_places_are_there_when_those_taken_are_given_back() {
        let places = Places::new(4);
        let taken = [
            places.take().await,
            places.take().await,
            places.take().await,
        ];
        places.resize(1);
        assert_eq!(free(&places), 0);
        let [first, second, third] = taken;
        drop(first);
        drop(second);
        assert_eq!(free(&places), 0, "one is still taken, and there is one");
        drop(third);
        assert_eq!(free(&places), 1);
    }

    #[tokio::test]
    async fn more_places_are_there_at_once() {
        let places = Places::new(1);
        let _taken = places.take().await;
        places.resize(3);
        assert_eq!(free(&places), 2);
    }

    #[tokio::test]
    async fn places_that_were_to_go_and_are_wanted_again_stay() {
        let places = Places::new(3);
        let taken = [
            places.take().await,
            places.take().await,
            places.take().await,
        ];
        places.resize(1);
        places.resize(2);
        drop(taken);
        assert_eq!(free(&places), 2);
    }
}
