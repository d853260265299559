//! Plugins as operators see them.

use std::collections::BTreeMap;

use serde::Serialize;

use super::balancers::seconds;
use crate::control::Handle;
use equipoise_balancer::FaultKind;
use equipoise_config::{self as config, Method, SessionSource};
use equipoise_proxy::snapshot::{PluginState, Snapshot};
use equipoise_wasm::{Stats, Version};

/// All plugins.
#[derive(Debug, Serialize)]
pub(super) struct Plugins<'snapshot> {
    plugins: Vec<PluginView<'snapshot>>,
}

/// A plugin.
#[derive(Debug, Serialize)]
pub(super) struct PluginView<'snapshot> {
    name: &'snapshot str,
    file: String,
    /// What the version in force is fit to be.
    roles: Vec<&'static str>,
    /// The version in force, by the first 12 digits of its hash; none while nothing is loaded.
    version: Option<String>,
    /// `serving`, `out of service`, `compiling` or `not loaded`.
    state: &'static str,
    /// The version that is being compiled, by the first 12 digits of its hash; none while nothing is.
    compiling: Option<String>,
    /// The balancers that name it.
    used_by: Vec<&'snapshot str>,
    /// Those of them that it is set aside for, whose fallbacks decide.
    set_aside: Vec<AsideView<'snapshot>>,
    /// Over all versions: calls, those that were left to the fallback, and faults by kind.
    calls: u64,
    declined: u64,
    /// Calls that were not made, since the plugin was over its budget.
    over_budget: u64,
    /// Seconds that its calls took, as they were charged to its budget.
    cpu_seconds: f64,
    faults: BTreeMap<String, u64>,
    /// How long calls of the version in force take: half of them, and 99 %, take no longer.
    p50_us: f64,
    p99_us: f64,
    /// How often another version came to serve.
    swaps: u64,
    /// The last content of its file that was refused, unless another was taken since.
    refused: Option<RefusedView>,
    /// What happened, the newest last.
    history: Vec<EventView>,
    /// The versions that can be put back, the last one last.
    previous: Vec<String>,
}

#[derive(Debug, Serialize)]
struct RefusedView {
    at: f64,
    detail: String,
}

/// A balancer that a plugin is set aside for.
#[derive(Debug, Serialize)]
struct AsideView<'snapshot> {
    balancer: &'snapshot str,
    /// What it refused, and why.
    reason: &'snapshot str,
}

#[derive(Debug, Serialize)]
struct EventView {
    version: String,
    at: f64,
    what: String,
}

impl<'snapshot> Plugins<'snapshot> {
    pub(super) fn of(snapshot: &'snapshot Snapshot, control: &Handle) -> Self {
        let places = 0..snapshot.config.plugins.len();
        Self {
            plugins: places
                .map(|place| PluginView::of(snapshot, control, place))
                .collect(),
        }
    }
}

impl<'snapshot> PluginView<'snapshot> {
    /// The plugin at this place of the configuration.
    pub(super) fn of(snapshot: &'snapshot Snapshot, control: &Handle, place: usize) -> Self {
        let plugin = &snapshot.config.plugins[place];
        let version = snapshot.versions[place].as_deref().and_then(Version::of);
        let record = version.map(|version| &version.stats);
        let pages = control.book(&plugin.name).map(|book| book.state());
        let pages = pages.unwrap_or_default();
        let balancers = snapshot.config.balancers.iter();
        Self {
            name: &plugin.name,
            file: plugin.file.display().to_string(),
            roles: version.map_or_else(Vec::new, |version| {
                version.roles().iter().map(|role| role.name()).collect()
            }),
            version: version.map(|version| version.short_hash()),
            state: match snapshot.plugin_state(place) {
                PluginState::Unloaded if pages.compiling.is_some() => "compiling",
                PluginState::Unloaded => "not loaded",
                PluginState::Quarantined => "out of service",
                PluginState::Serving => "serving",
            },
            compiling: pages.compiling,
            used_by: balancers
                .filter(|balancer| names(balancer, place))
                .map(|balancer| &*balancer.settings.name)
                .collect(),
            set_aside: snapshot
                .aside()
                .filter(|aside| aside.plugin == plugin.name)
                .map(|aside| AsideView {
                    balancer: aside.balancer,
                    reason: aside.reason,
                })
                .collect(),
            calls: record.map_or(0, |record| record.calls()),
            declined: record.map_or(0, |record| record.declined()),
            over_budget: record.map_or(0, |record| record.over_budget()),
            cpu_seconds: record.map_or(0.0, |record| record.seconds()),
            faults: record.map_or_else(BTreeMap::new, faults),
            p50_us: record.map_or(0.0, |record| record.p50_us()),
            p99_us: record.map_or(0.0, |record| record.p99_us()),
            swaps: record.map_or(0, |record| record.swaps()),
            refused: pages.refused.map(|(at, detail)| RefusedView {
                at: seconds(at),
                detail,
            }),
            history: pages
                .events
                .into_iter()
                .map(|event| EventView {
                    version: event.version,
                    at: seconds(event.at),
                    what: event.what,
                })
                .collect(),
            previous: pages.previous,
        }
    }
}

/// Faults by the names of their kinds; of those kinds that there were.
fn faults(record: &Stats) -> BTreeMap<String, u64> {
    let counted = FaultKind::ALL.map(|kind| (kind.to_string(), record.faults(kind)));
    counted
        .into_iter()
        .filter(|(_, count)| *count > 0)
        .collect()
}

/// Whether a balancer uses the plugin.
fn names(config: &config::Balancer, plugin: usize) -> bool {
    let chooses =
        matches!(config.method, Method::Plugin { plugin: chooser, .. } if chooser == plugin);
    let source = config.sticky.as_ref().map(|sticky| &sticky.source);
    let reads = matches!(source, Some(SessionSource::Plugin(reader)) if *reader == plugin);
    chooses || reads || config.health_plugin == Some(plugin)
}
