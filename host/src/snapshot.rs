//! What a request needs of the configuration, taken once and kept to its end.
//!
//! A snapshot is never changed; another one succeeds it, in two steps: a [`Draft`] has everything in it that can go wrong, and
//! comes into force without fail. What counts and remembers is handed from one snapshot to the next by the identity of
//! balancers (their names) and members (their balancer and where they are).

mod cluster;
mod recipe;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::config::{Balancer, Config, Limits};
use crate::control::Source;
use crate::wasm::Version;
use cluster::ClusterDraft;
use recipe::Kitchen;

pub(crate) use cluster::Cluster;

/// For each plugin of a configuration, in its order, the version that serves; `None` where there is none.
pub(crate) type Versions = Vec<Option<Arc<Version>>>;

/// The configuration in force, ready to serve: shared by all workers and never changed, but exchanged as a whole.
pub(crate) struct Snapshot {
    pub(crate) config: Arc<Config>,
    /// Where `config` comes from.
    pub(crate) source: Arc<Source>,
    /// Those of `config`; the same for as long as they do not change.
    pub(crate) limits: Arc<Limits>,
    /// In the order of the configuration.
    pub(crate) clusters: Vec<Arc<Cluster>>,
    pub(crate) versions: Versions,
    /// Where the time that balancing goes by begins.
    started: Instant,
}

/// A snapshot that could be in force.
pub(crate) struct Draft {
    config: Arc<Config>,
    source: Arc<Source>,
    limits: Arc<Limits>,
    clusters: Vec<ClusterDraft>,
    versions: Versions,
    started: Instant,
}

impl Snapshot {
    /// Everything a configuration asks for, with all counters at zero and no plugin loaded.
    ///
    /// # Errors
    /// None: without plugins nothing can go wrong.
    pub(crate) fn new(config: Arc<Config>, source: Arc<Source>) -> Result<Self> {
        let versions = vec![None; config.plugins.len()];
        Ok(Draft::after(None, config, source, versions)?.come_into_force())
    }

    /// What may come after this one: another configuration, or other versions of its plugins.
    ///
    /// # Errors
    /// A balancer cannot work with a plugin that it names: which, and why.
    pub(crate) fn draft(
        &self,
        config: Arc<Config>,
        source: Arc<Source>,
        versions: Versions,
    ) -> Result<Draft> {
        Draft::after(Some(self), config, source, versions)
    }

    /// The balancer of this name, and its place.
    pub(crate) fn cluster(&self, name: &str) -> Option<(usize, &Arc<Cluster>)> {
        let mut clusters = self.clusters.iter().enumerate();
        clusters.find(|(_, cluster)| cluster.name() == name)
    }

    /// The time that balancing goes by.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When that time began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// Whether every plugin is loaded.
    pub(crate) fn is_ready(&self) -> bool {
        self.versions.iter().all(Option::is_some)
    }
}

impl Draft {
    fn after(
        before: Option<&Snapshot>,
        config: Arc<Config>,
        source: Arc<Source>,
        versions: Versions,
    ) -> Result<Self> {
        let kitchen = Kitchen {
            config: &config,
            versions: &versions,
        };
        let draft = |balancer: &Balancer| {
            let name = &balancer.settings.name;
            let cluster = before.and_then(|before| before.cluster(name));
            let draft = ClusterDraft::new(balancer, &kitchen, cluster.map(|(_, it)| it));
            draft.with_context(|| format!("balancer {name} cannot use it"))
        };
        let clusters = config.balancers.iter().map(draft);
        let limits = before.map(|before| before.limits.clone());
        let limits = limits.filter(|limits| **limits == config.limits);
        Ok(Self {
            clusters: clusters.collect::<Result<_>>()?,
            limits: limits.unwrap_or_else(|| Arc::new(config.limits.clone())),
            started: before.map_or_else(Instant::now, Snapshot::started),
            config,
            source,
            versions,
        })
    }

    /// The snapshot, from now on.
    pub(crate) fn come_into_force(self) -> Snapshot {
        let now = self.started.elapsed();
        let clusters = self.clusters.into_iter();
        Snapshot {
            clusters: clusters
                .map(|cluster| cluster.come_into_force(now))
                .collect(),
            config: self.config,
            source: self.source,
            limits: self.limits,
            versions: self.versions,
            started: self.started,
        }
    }
}

#[cfg(test)]
mod tests;
