//! What a request needs of the configuration, taken once and kept to its end.
//!
//! A snapshot is never changed; another one succeeds it, in two steps: a [`Draft`] has everything in it that can go wrong, and
//! comes into force without fail. What counts and remembers is handed from one snapshot to the next by the identity of
//! balancers (their names) and members (their balancer and where they are).

mod aside;
mod cluster;
mod recipe;

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::observe::explain::Explain;
use crate::observe::meters::{Meters, RouteMeters};
use crate::observe::traces::{StartExport, Traces};
use cluster::ClusterDraft;
use equipoise_balancer::{FaultKind, PluginVersion};
use equipoise_config::Source;
use equipoise_config::{Balancer, Config, Limits, Route};
use equipoise_metrics::clock;
use equipoise_tls::{self as tls, Contents};
use recipe::Kitchen;

pub use aside::{Aside, OnRefusal};
pub use cluster::Cluster;

/// For each plugin of a configuration, in its order, the version that serves; `None` where there is none.
pub type Versions = Vec<Option<Arc<dyn PluginVersion>>>;

/// The configuration in force, ready to serve: shared by all workers and never changed, but exchanged as a whole.
pub struct Snapshot {
    /// What was read.
    pub config: Arc<Config>,
    /// Where `config` comes from.
    pub source: Arc<Source>,
    /// What the files for TLS had in them when this was made.
    tls: Arc<Contents>,
    /// Those of `config`; the same for as long as they do not change.
    pub limits: Arc<Limits>,
    /// In the order of the configuration.
    pub clusters: Vec<Arc<Cluster>>,
    /// Of its plugins.
    pub versions: Versions,
    /// What is counted of the process.
    pub meters: Arc<Meters>,
    /// What is counted of each route, in the order of the configuration.
    pub route_meters: Vec<Arc<RouteMeters>>,
    /// The last decisions; none where they are not kept.
    pub explain: Option<Arc<Explain>>,
    /// How requests are traced; none where they are not.
    pub traces: Option<Arc<Traces>>,
    /// How spans are sent.
    start_export: StartExport,
    /// Where the time that balancing goes by begins.
    started: Instant,
}

/// What a snapshot is made of.
#[derive(Clone)]
pub struct Inputs {
    /// The configuration.
    pub config: Arc<Config>,
    /// Where it comes from.
    pub source: Arc<Source>,
    /// Of its plugins, in its order.
    pub versions: Versions,
    /// Of the files that it names for TLS: read once, and used for all that needs them.
    pub tls: Arc<Contents>,
}

impl Inputs {
    /// Those of a configuration of which no plugin is loaded, with what its files for TLS have in them now.
    pub fn of(config: Arc<Config>, source: Arc<Source>) -> Self {
        Self {
            versions: vec![None; config.plugins.len()],
            tls: Arc::new(Contents::read(tls::files(&config))),
            config,
            source,
        }
    }
}

/// Whether a plugin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PluginState {
    /// No version of it could be loaded yet.
    Unloaded,
    /// It does.
    Serving,
    /// Its version is out of service for its faults.
    Quarantined,
}

/// A snapshot that could be in force.
pub struct Draft {
    config: Arc<Config>,
    source: Arc<Source>,
    tls: Arc<Contents>,
    limits: Arc<Limits>,
    clusters: Vec<ClusterDraft>,
    versions: Versions,
    meters: Arc<Meters>,
    route_meters: Vec<Arc<RouteMeters>>,
    explain: Option<Arc<Explain>>,
    traces: Option<Arc<Traces>>,
    start_export: StartExport,
    started: Instant,
}

impl Snapshot {
    /// Everything that is asked for, with all counters at zero. Spans are sent as `start_export` says.
    ///
    /// # Errors
    /// A balancer cannot work with a plugin that it names, or a file for the TLS of members cannot be used.
    pub fn new(inputs: Inputs, start_export: StartExport) -> Result<Self> {
        let draft = Draft::after(None, inputs, OnRefusal::Refuse, start_export)?;
        Ok(draft.come_into_force())
    }

    /// What this one was made of.
    pub fn inputs(&self) -> Inputs {
        Inputs {
            config: self.config.clone(),
            source: self.source.clone(),
            versions: self.versions.clone(),
            tls: self.tls.clone(),
        }
    }

    /// What may come after this one, made of something else: another configuration, other versions of its plugins, or other contents of
    /// the files for TLS. Plugins that refuse it may be set aside.
    ///
    /// # Errors
    /// A balancer cannot work with a plugin that it names, or with a file for the TLS of a member whose TLS is new: which,
    /// and why.
    pub fn draft(&self, inputs: Inputs, on_refusal: OnRefusal<'_>) -> Result<Draft> {
        Draft::after(Some(self), inputs, on_refusal, self.start_export)
    }

    /// The plugins that are set aside, each for a balancer.
    pub fn aside(&self) -> impl Iterator<Item = Aside<'_>> {
        self.clusters.iter().flat_map(|cluster| cluster.aside())
    }

    /// The balancer of this name, and its place.
    pub fn cluster(&self, name: &str) -> Option<(usize, &Arc<Cluster>)> {
        let mut clusters = self.clusters.iter().enumerate();
        clusters.find(|(_, cluster)| cluster.name() == name)
    }

    /// The time that balancing goes by.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// When that time began.
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

    /// The last fault of a plugin on this thread since this was last asked; see [`PluginVersion::take_fault`].
    pub(crate) fn take_fault(&self) -> Option<FaultKind> {
        self.versions.iter().flatten().next()?.take_fault()
    }

    /// What a plugin is called.
    pub(crate) fn plugin_name(&self, plugin: usize) -> &str {
        &self.config.plugins[plugin].name
    }
}

impl Draft {
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
            tls,
        } = inputs;
        let kitchen = Kitchen {
            config: &config,
            versions: &versions,
            contents: &tls,
            on_refusal,
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
            started: before.map_or_else(clock::origin, Snapshot::started),
            meters: before.map_or_else(
                || Arc::new(Meters::new(config.workers.get())),
                |before| before.meters.clone(),
            ),
            route_meters: route_meters(&config, before),
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
            tls,
            start_export,
        })
    }

    /// The snapshot, from now on.
    pub fn come_into_force(self) -> Snapshot {
        let now = self.started.elapsed();
        let clusters = self.clusters.into_iter();
        Snapshot {
            clusters: clusters
                .map(|cluster| cluster.come_into_force(now))
                .collect(),
            config: self.config,
            source: self.source,
            tls: self.tls,
            limits: self.limits,
            versions: self.versions,
            meters: self.meters,
            route_meters: self.route_meters,
            explain: self.explain,
            traces: self.traces,
            start_export: self.start_export,
            started: self.started,
        }
    }
}

/// What is counted of each route: on from where it was, for a route of the same hosts, listeners and path.
fn route_meters(config: &Config, before: Option<&Snapshot>) -> Vec<Arc<RouteMeters>> {
    let known = before.map(|before| {
        let routes = before.config.routes.iter().zip(&before.route_meters);
        routes.collect::<Vec<_>>()
    });
    let known = known.unwrap_or_default();
    let meters = |route: &Route| {
        let mut known = known.iter();
        let same = known.find(|(it, _)| {
            let is_same_path = it.path == route.path && it.pattern == route.pattern;
            is_same_path && it.hosts == route.hosts && it.listeners == route.listeners
        });
        same.map_or_else(Arc::default, |(_, meters)| Arc::clone(meters))
    };
    config.routes.iter().map(meters).collect()
}

#[cfg(test)]
mod tests;
