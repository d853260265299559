//! Metrics of plugins that are loaded.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::family::{Family, Label, Name};
use equipoise_balancer::FaultKind;
use equipoise_proxy::snapshot::Snapshot;
use equipoise_wasm::{Stats, Version};

/// A number of a plugin.
type OfPlugin = fn(&Stats) -> u64;

/// Counters of plugins: name, help, and where the number comes from.
const COUNTERS: [(&str, &str, OfPlugin); 4] = [
    (
        "plugin_calls",
        "Calls of the plugin, faults included",
        Stats::calls,
    ),
    (
        "plugin_declined",
        "Calls that left the decision to the fallback",
        Stats::declined,
    ),
    (
        "plugin_over_budget",
        "Calls that were not made, since the plugin was over its cpu-budget",
        Stats::over_budget,
    ),
    (
        "plugin_swaps",
        "How often another version was put into service",
        Stats::swaps,
    ),
];

/// Writes all of them.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    for (name, help, number) in COUNTERS {
        let mut family = Family::counter(encoder, name, help)?;
        for (plugin, version) in loaded(snapshot) {
            family.count(&[label(plugin)], number(&version.stats))?;
        }
    }
    let help = "Time that calls of the plugin took, as charged to its cpu-budget";
    let mut family = Family::counter(encoder, "plugin_cpu_seconds", help)?;
    for (plugin, version) in loaded(snapshot) {
        family.count(&[label(plugin)], version.stats.seconds())?;
    }
    let help = "Mistakes of the plugin, by kind";
    let mut family = Family::counter(encoder, "plugin_faults", help)?;
    for (plugin, version) in loaded(snapshot) {
        for kind in FaultKind::ALL {
            let labels = [label(plugin), ("kind", Name(kind.name()))];
            family.count(&labels, version.stats.faults(kind))?;
        }
    }
    let help = "1 if a version of the plugin serves";
    let mut family = Family::gauge(encoder, "plugin_serving", help)?;
    for (plugin, version) in loaded(snapshot) {
        let serves = u8::from(!version.stats.is_quarantined());
        family.measure(&[label(plugin)], serves.into())?;
    }
    let help = "Balancers that the plugin is set aside for, since it refused a change";
    let mut family = Family::gauge(encoder, "plugin_set_aside", help)?;
    for (plugin, _) in loaded(snapshot) {
        let aside = snapshot.aside().filter(|aside| aside.plugin == plugin);
        family.measure(&[label(plugin)], aside.count() as f64)?;
    }
    let help = "Time that calls of the plugin take; of one call in 16";
    let mut family = Family::histogram(encoder, "plugin_call_seconds", help)?;
    for (plugin, version) in loaded(snapshot) {
        family.distribute(&[label(plugin)], version.stats.durations())?;
    }
    Ok(())
}

/// The plugins that are loaded, by name.
fn loaded(snapshot: &Snapshot) -> impl Iterator<Item = (&str, &Version)> {
    let plugins = snapshot.loaded_plugins();
    plugins.filter_map(|(plugin, version)| Some((plugin, Version::of(version)?)))
}

fn label(plugin: &str) -> Label<'_> {
    ("plugin", Name(plugin))
}
