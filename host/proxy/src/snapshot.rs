//! The configuration ready to serve: immutable, taken once a request and kept to its end.
//!
//! It is replaced in two steps: all that can fail is done for a [`PendingSnapshot`], whose activation cannot fail. Counters and
//! state are handed from one snapshot to the next by the identity of balancers (their names) and members (their balancer and
//! address).

mod aside;
mod cluster;
mod files;
mod policies;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::observe::explain::Explain;
use crate::observe::metrics::{Metrics, RouteMetrics};
use crate::observe::traces::{StartExport, Traces};
use cluster::PendingCluster;
use equipoise_balancer::{FaultKind, PluginVersion};
use equipoise_config::Source;
use equipoise_config::{Balancer, Config, Limits, Route};
use equipoise_metrics::clock;
use equipoise_tls::FileContents;
use policies::PolicyFactory;

pub use aside::{Aside, OnRefusal};
pub use cluster::Cluster;
pub use files::{Bodies, files, unusable};

/// For each plugin of a configuration, in its order, the version that serves; `None` where there is none.
pub type Versions = Vec<Option<Arc<dyn PluginVersion>>>;

/// The configuration ready to serve: shared by all workers, immutable, and replaced as a whole.
pub struct Snapshot {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where `config` comes from.
    pub source: Arc<Source>,
    /// The contents of the named files when this was made.
    contents: Arc<FileContents>,
    /// The limits of `config`; shared for as long as they do not change.
    pub limits: Arc<Limits>,
    /// Bodies of responses that are in files.
    pub bodies: Arc<Bodies>,
    /// In the order of the configuration.
    pub clusters: Vec<Arc<Cluster>>,
    /// Of its plugins.
    pub versions: Versions,
    /// The metrics of the process.
    pub metrics: Arc<Metrics>,
    /// The metrics of each route, in the order of the configuration.
    pub route_metrics: Vec<Arc<RouteMetrics>>,
    /// The last decisions; none where they are not kept.
    pub explain: Option<Arc<Explain>>,
    /// How requests are traced; none where they are not.
    pub traces: Option<Arc<Traces>>,
    /// How spans are sent.
    start_export: StartExport,
    /// The origin of the balancers' clock.
    started: Instant,
}

/// The inputs of a snapshot.
#[derive(Clone)]
pub struct Inputs {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where it comes from.
    pub source: Arc<Source>,
    /// Of its plugins, in its order.
    pub versions: Versions,
    /// The contents of the files that it names for TLS and for bodies: read once, and used for all that needs them.
    pub contents: Arc<FileContents>,
}

impl Inputs {
    /// The inputs of a configuration of which no plugin is loaded, with the current contents of its named files.
    pub fn of(config: Arc<Config>, source: Arc<Source>) -> Self {
        Self {
            versions: vec![None; config.plugins.len()],
            contents: Arc::new(FileContents::read(files(&config))),
            config,
            source,
        }
    }
}

/// Whether a plugin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// No version has been loaded yet.
    Unloaded,
    /// A version serves.
    Serving,
    /// Its version is out of service for its faults.
    Quarantined,
}

/// A snapshot that can be activated.
pub struct PendingSnapshot {
    config: Arc<Config>,
    source: Arc<Source>,
    contents: Arc<FileContents>,
    limits: Arc<Limits>,
    bodies: Arc<Bodies>,
    clusters: Vec<PendingCluster>,
    versions: Versions,
    metrics: Arc<Metrics>,
    route_metrics: Vec<Arc<RouteMetrics>>,
    explain: Option<Arc<Explain>>,
    traces: Option<Arc<Traces>>,
    start_export: StartExport,
    started: Instant,
}

impl Snapshot {
    /// The first snapshot, with all counters at zero. Spans are exported by `start_export`.
    ///
    /// # Errors
    /// A balancer cannot use a plugin that it names, or a file for the TLS of members is invalid.
    pub fn new(inputs: Inputs, start_export: StartExport) -> Result<Self> {
        let pending = PendingSnapshot::after(None, inputs, OnRefusal::Refuse, start_export)?;
        Ok(pending.activate())
    }

    /// The inputs of this one.
    pub fn inputs(&self) -> Inputs {
        Inputs {
            config: self.config.clone(),
            source: self.source.clone(),
            versions: self.versions.clone(),
            contents: self.contents.clone(),
        }
    }

    /// Prepares the successor of this one: another configuration, other versions of its plugins, or other contents of the files for
    /// TLS. Plugins that refuse it may be set aside.
    ///
    /// # Errors
    /// A balancer cannot use a plugin that it names, or a file for the TLS of a member whose TLS is new: which, and why.
    pub fn prepare(&self, inputs: Inputs, on_refusal: OnRefusal<'_>) -> Result<PendingSnapshot> {
        PendingSnapshot::after(Some(self), inputs, on_refusal, self.start_export)
    }

    /// The plugins that are set aside, each for a balancer.
    pub fn aside(&self) -> impl Iterator<Item = Aside<'_>> {
        self.clusters.iter().flat_map(|cluster| cluster.aside())
    }

    /// The balancer of this name, and its position.
    pub fn cluster(&self, name: &str) -> Option<(usize, &Arc<Cluster>)> {
        let mut clusters = self.clusters.iter().enumerate();
        clusters.find(|(_, cluster)| cluster.name() == name)
    }

    /// The balancers' clock: the time since [`started`](Self::started).
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The origin of the balancers' clock.
    pub fn started(&self) -> Instant {
        self.started
    }

    /// The plugins that are loaded, by name, in the order of the configuration.
    pub fn loaded_plugins(&self) -> impl Iterator<Item = (&str, &dyn PluginVersion)> {
        let plugins = self.config.plugins.iter().zip(&self.versions);
        plugins.filter_map(|(plugin, version)| Some((&*plugin.name, &**version.as_ref()?)))
    }

    /// Whether a plugin serves.
    pub fn plugin_state(&self, plugin: usize) -> PluginState {
        match &self.versions[plugin] {
            None => PluginState::Unloaded,
            Some(version) if version.is_quarantined() => PluginState::Quarantined,
            Some(_) => PluginState::Serving,
        }
    }

    /// The last fault of a plugin on this thread since the last call; see [`PluginVersion::take_fault`].
    pub(crate) fn take_fault(&self) -> Option<FaultKind> {
        self.versions.iter().flatten().next()?.take_fault()
    }

    /// A plugin's name.
    pub(crate) fn plugin_name(&self, plugin: usize) -> &str {
        &self.config.plugins[plugin].name
    }
}

impl PendingSnapshot {
    fn after(
        before: Option<&Snapshot>,
        inputs: Inputs,
        on_refusal: OnRefusal<'_>,
        start_export: StartExport,
    ) -> Result<Self> {
        let Inputs {
            config,
            source,
            versions,
            contents,
        } = inputs;
        let factory = PolicyFactory {
            config: &config,
            versions: &versions,
            contents: &contents,
            on_refusal,
        };
        let pending = |balancer: &Balancer| {
            let name = &balancer.settings.name;
            let cluster = before.and_then(|before| before.cluster(name));
            let pending = PendingCluster::new(balancer, &factory, cluster.map(|(_, it)| it));
            pending.with_context(|| format!("balancer {name} cannot use it"))
        };
        let clusters = config.balancers.iter().map(pending);
        let limits = before.map(|before| before.limits.clone());
        let limits = limits.filter(|limits| **limits == config.limits);
        Ok(Self {
            clusters: clusters.collect::<Result<_>>()?,
            bodies: Arc::new(Bodies::of(&config, &contents, before.map(|it| &*it.bodies))),
            limits: limits.unwrap_or_else(|| Arc::new(config.limits.clone())),
            started: before.map_or_else(clock::origin, Snapshot::started),
            metrics: before.map_or_else(
                || Arc::new(Metrics::new(config.workers.get())),
                |before| before.metrics.clone(),
            ),
            route_metrics: route_metrics(&config, before),
            explain: match before.filter(|before| before.config.explain == config.explain) {
                Some(before) => before.explain.clone(),
                None => Explain::new(&config.explain).map(Arc::new),
            },
            traces: match before.filter(|before| before.config.traces == config.traces) {
                Some(before) => before.traces.clone(),
                None => {
                    let traces = config.traces.as_ref();
                    traces.map(|config| Arc::new(Traces::new(config, start_export)))
                }
            },
            config,
            source,
            versions,
            contents,
            start_export,
        })
    }

    /// Makes it a snapshot, which takes over the state of the one before. Cannot fail.
    pub fn activate(self) -> Snapshot {
        let now = self.started.elapsed();
        let clusters = self.clusters.into_iter();
        Snapshot {
            clusters: clusters.map(|cluster| cluster.activate(now)).collect(),
            config: self.config,
            source: self.source,
            contents: self.contents,
            limits: self.limits,
            bodies: self.bodies,
            versions: self.versions,
            metrics: self.metrics,
            route_metrics: self.route_metrics,
            explain: self.explain,
            traces: self.traces,
            start_export: self.start_export,
            started: self.started,
        }
    }
}

/// The metrics of each route: those of the route before with the same hosts, listeners and path, where there is one.
fn route_metrics(config: &Config, before: Option<&Snapshot>) -> Vec<Arc<RouteMetrics>> {
    let known = before.map(|before| {
        let routes = before.config.routes.iter().zip(&before.route_metrics);
        routes.collect::<Vec<_>>()
    });
    let known = known.unwrap_or_default();
    let metrics = |route: &Route| {
        let mut known = known.iter();
        let same = known.find(|(it, _)| {
            let is_same_path = it.path == route.path && it.pattern == route.pattern;
            is_same_path && it.hosts == route.hosts && it.listeners == route.listeners
        });
        same.map_or_else(Arc::default, |(_, metrics)| Arc::clone(metrics))
    };
    config.routes.iter().map(metrics).collect()
}

#[cfg(test)]
mod tests;
