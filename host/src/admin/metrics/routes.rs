//! Metrics of routes.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::encoding::DescriptorEncoder;

use super::family::{Family, Name};
use equipoise_proxy::snapshot::Snapshot;

/// Writes all of them.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "Requests, by route and class of the answer's status";
    let mut family = Family::counter(encoder, "requests", help)?;
    for ((route, balancer, class), number) in by_label(snapshot) {
        let labels = [
            ("route", Name(&route)),
            ("balancer", Name(balancer)),
            ("class", Name(class)),
        ];
        family.count(&labels, number)?;
    }
    let help = "Requests that no route takes, by class of the answer's status";
    let mut family = Family::counter(encoder, "unrouted_requests", help)?;
    for (class, number) in snapshot.metrics.unrouted.classes() {
        family.count(&[("class", Name(class))], number)?;
    }
    let help = "Requests for the manager at listeners for clients, by class of the answer's status";
    let mut family = Family::counter(encoder, "manager_requests", help)?;
    for (class, number) in snapshot.metrics.manager.classes() {
        family.count(&[("class", Name(class))], number)?;
    }
    Ok(())
}

/// The numbers by route, balancer and class. Routes that are called alike, which differ in what they exclude, are one.
fn by_label(snapshot: &Snapshot) -> BTreeMap<(String, &str, &'static str), u64> {
    let mut numbers = BTreeMap::new();
    for (route, metrics) in snapshot.config.routes.iter().zip(&*snapshot.route_metrics) {
        // A route without a balancer has none to be told.
        let balancer = route.balancer();
        let balancer = balancer.map_or("", |it| snapshot.clusters[it].name());
        for (class, number) in metrics.classes() {
            let key = (route.label(), balancer, class);
            *numbers.entry(key).or_default() += number;
        }
    }
    numbers
}
