//! The current snapshot, replaced atomically while requests are served.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use arc_swap::{ArcSwap, Cache};
use tokio::sync::watch;

use crate::snapshot::Snapshot;

/// The current snapshot. Clones share it.
#[derive(Clone)]
pub struct CurrentSnapshot {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Notified of every replacement.
    changed: watch::Sender<()>,
}

impl CurrentSnapshot {
    /// Starts with this snapshot.
    pub fn new(snapshot: Snapshot) -> Self {
        Self {
            snapshot: Arc::new(ArcSwap::from_pointee(snapshot)),
            changed: watch::Sender::new(()),
        }
    }

    /// A reader for one thread.
    pub fn reader(&self) -> SnapshotReader {
        SnapshotReader {
            held: Rc::new(SnapshotRef(self.snapshot.load_full())),
            cache: Cache::new(self.snapshot.clone()),
        }
    }

    /// The current snapshot.
    pub fn load(&self) -> Arc<Snapshot> {
        self.snapshot.load_full()
    }

    /// Replaces the snapshot by its successor. To be called by one thread only.
    pub fn replace(&self, snapshot: Snapshot) {
        self.snapshot.store(Arc::new(snapshot));
        self.changed.send_replace(());
    }

    /// Subscribes to replacements from now on.
    pub fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }
}

/// One thread's reader of the current snapshot: costs a load from memory while that stays the same.
pub struct SnapshotReader {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    /// The same snapshot, counted for this thread alone, so that a clone touches nothing shared.
    held: Rc<SnapshotRef>,
}

/// A reference to a snapshot, kept by a request.
pub struct SnapshotRef(Arc<Snapshot>);

impl Deref for SnapshotRef {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl SnapshotReader {
    /// The current snapshot, for a request to keep to its end.
    pub fn pin(&mut self) -> Rc<SnapshotRef> {
        let latest = self.cache.load();
        if !Arc::ptr_eq(latest, &self.held.0) {
            self.held = Rc::new(SnapshotRef(latest.clone()));
        }
        self.held.clone()
    }
}
