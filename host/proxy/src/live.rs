//! The snapshot in force, and how it is exchanged while requests are served.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// The snapshot in force. Clones are of the same.
#[derive(Clone)]
pub struct Live {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Told of every exchange.
    exchanged: watch::Sender<()>,
}

impl Live {
    /// Puts the first snapshot into force.
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            exchanged: watch::Sender::new(()),
        }
    }

    /// A view for one thread.
    pub fn view(&self) -> View {
        View {
            pinned: Rc::new(Pinned(self.snapshot.load_full())),
            cache: Cache::new(self.snapshot.clone()),
        }
    }

    /// The snapshot in force.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Puts another snapshot into force, made of the one before. One thread alone does that.
    pub fn put(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.exchanged.send_replace(());
    }

    /// Hears of every exchange from now on.
    pub fn exchanges(&self) -> watch::Receiver<()> {
        self.exchanged.subscribe()
    }
}

/// One thread's view of the snapshot in force: costs a load from memory while that stays the same.
pub struct View {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    /// The same again, to be cloned without touching what threads share.
    pinned: Rc<Pinned>,
}

/// A snapshot that somebody keeps.
pub struct Pinned(Arc<Snapshot>);

impl Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl View {
    /// The snapshot in force, for a request to keep to its end.
    pub fn pin(&mut self) -> Rc<Pinned> {
        let latest = self.cache.load();
        if !Arc::ptr_eq(latest, &self.pinned.0) {
            self.pinned = Rc::new(Pinned(latest.clone()));
        }
        self.pinned.clone()
    }
}
