//! Metrics of balancers.

use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::family::{Family, Label, Name};
use equipoise_proxy::observe::metrics::BalancerMetrics;
use equipoise_proxy::snapshot::{Cluster, Snapshot};

/// Numbers of a balancer, each for a word.
type ByWord = fn(&BalancerMetrics) -> Vec<(&'static str, u64)>;

/// Counters with a label besides the balancer: name, help, label, and where the numbers come from.
const COUNTERS: [(&str, &str, &str, ByWord); 3] = [
    (
        "decisions",
        "Decisions, by who made them",
        "policy",
        |metrics| metrics.decisions().collect(),
    ),
    (
        "session_requests",
        "Decisions for requests with a session, by whether the session stayed at its member",
        "outcome",
        |metrics| metrics.sessions().collect(),
    ),
    (
        "retries",
        "Tries after the first, by why the one before was not enough",
        "reason",
        |metrics| metrics.retries().collect(),
    ),
];

/// Writes all of them.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "1 if so few members are healthy that the balancer takes no notice of who is";
    let mut family = Family::gauge(encoder, "balancer_panics", help)?;
    for cluster in &snapshot.clusters {
        let panics = u8::from(cluster.balancer.in_panic_mode());
        family.measure(&[label(cluster)], panics.into())?;
    }
    for (name, help, word, numbers) in COUNTERS {
        let mut family = Family::counter(encoder, name, help)?;
        for cluster in &snapshot.clusters {
            for (value, number) in numbers(&cluster.metrics) {
                family.count(&[label(cluster), (word, Name(value))], number)?;
            }
        }
    }
    let help = "Retries that the retry budget did not allow";
    let mut family = Family::counter(encoder, "retries_denied", help)?;
    for cluster in &snapshot.clusters {
        family.count(&[label(cluster)], cluster.retry_budget.denied.get())?;
    }
    let help = "Time from a request's head to the end of its answer";
    let mut family = Family::histogram(encoder, "request_duration_seconds", help)?;
    for cluster in &snapshot.clusters {
        family.distribute(&[label(cluster)], &cluster.metrics.durations)?;
    }
    Ok(())
}

fn label(cluster: &Cluster) -> Label<'_> {
    ("balancer", Name(&cluster.balancer.settings().name))
}
