//! Keeps the addresses of all members' names up to date (DNS).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use equipoise_dns::{Resolver, refresh};
use equipoise_proxy::current::{CurrentSnapshot, SnapshotReader};
use tokio::task::{AbortHandle, JoinSet};

/// Keeps one task running for each name in the snapshot in force, for ever.
pub(crate) async fn supervise(current: CurrentSnapshot) {
    let mut changes = current.subscribe();
    let reader = current.reader();
    let mut names = Names {
        resolver: None,
        reader: RefCell::new(reader),
        tasks: JoinSet::new(),
        running: BTreeMap::new(),
    };
    loop {
        changes.borrow_and_update();
        names.reconcile();
        // What was ended leaves nothing behind.
        while names.tasks.try_join_next().is_some() {}
        if changes.changed().await.is_err() {
            return;
        }
    }
}

/// The names that are refreshed, each in a task of its own.
struct Names {
    resolver: Option<Rc<Resolver>>,
    reader: RefCell<SnapshotReader>,
    tasks: JoinSet<()>,
    /// By the members' [`Endpoint::key`](equipoise_proxy::upstream::Endpoint).
    running: BTreeMap<u64, Running>,
}

/// The task that refreshes a name; ended with this.
struct Running(AbortHandle);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Names {
    /// Begins and ends tasks until they are those of the snapshot in force. Those that stay are not disturbed, unless the
    /// settings of the resolver change.
    fn reconcile(&mut self) {
        let snapshot = self.reader.borrow_mut().pin();
        let mut before = std::mem::take(&mut self.running);
        let settings = &snapshot.config.resolver;
        let resolver = self.resolver.take().filter(|it| it.settings() == settings);
        let resolver = resolver.unwrap_or_else(|| {
            before.clear();
            Rc::new(Resolver::new(settings.clone()))
        });
        let endpoints = snapshot.clusters.iter().flat_map(|it| &it.endpoints);
        for endpoint in endpoints {
            let Some(addresses) = &endpoint.addresses else {
                continue;
            };
            let running = before.remove(&endpoint.key).unwrap_or_else(|| {
                let refresh = refresh(addresses.clone(), resolver.clone());
                Running(self.tasks.spawn_local(refresh))
            });
            self.running.insert(endpoint.key, running);
        }
        self.resolver = Some(resolver);
    }
}
