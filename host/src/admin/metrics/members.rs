//! Metrics of members.

use std::fmt;

use equipoise_balancer::Member;
use prometheus_client::encoding::DescriptorEncoder;

use super::super::balancers::{STATES, state};
use super::family::{Family, Label, Name};
use crate::health::Tally;
use crate::meters::MemberMeters;
use crate::snapshot::{Cluster, Snapshot};

/// A number of a member.
type OfMember<N> = fn(&Cluster, &Member) -> N;

/// Counters of members: name, help, and where the number comes from.
const COUNTERS: [(&str, &str, OfMember<u64>); 7] = [
    (
        "member_requests",
        "Requests given to the member",
        |_, member| member.counters.elected(),
    ),
    (
        "member_sent_bytes",
        "Bytes sent to the member",
        |_, member| member.counters.transferred(),
    ),
    (
        "member_received_bytes",
        "Bytes read from the member",
        |_, member| member.counters.read(),
    ),
    (
        "member_checks_passed",
        "Checks that the member passed",
        |cluster, member| tally(cluster, member).passed,
    ),
    (
        "member_checks_failed",
        "Checks that the member failed",
        |cluster, member| tally(cluster, member).failed,
    ),
    (
        "member_connections_opened",
        "Connections to the member that were opened",
        |cluster, member| meters(cluster, member).opened.get(),
    ),
    (
        "member_connections_reused",
        "Requests that found an idle connection to the member",
        |cluster, member| meters(cluster, member).reused.get(),
    ),
];

/// Gauges of members.
const GAUGES: [(&str, &str, OfMember<f64>); 5] = [
    (
        "member_in_flight",
        "Requests in flight at the member",
        |_, member| member.counters.busy().into(),
    ),
    (
        "member_usable",
        "1 if the member may take requests: enabled, not in error, not left out for being unhealthy",
        |_, member| u8::from(member.is_usable()).into(),
    ),
    (
        "member_latency_seconds",
        "Time until the member's answers begin, a moving mean; 0 before the first",
        |_, member| f64::from(member.counters.latency_us()) / 1e6,
    ),
    (
        "member_consecutive_failures",
        "Requests in a row that brought no answer",
        |_, member| member.counters.consecutive_failures().into(),
    ),
    (
        "member_connections_idle",
        "Connections to the member that wait for a request",
        |cluster, member| meters(cluster, member).idle.get() as f64,
    ),
];

/// Writes all of them.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    for (name, help, number) in COUNTERS {
        let mut family = Family::counter(encoder, name, help)?;
        for_members(snapshot, |cluster, member| {
            family.count(&labels(cluster, member), number(cluster, member))
        })?;
    }
    for (name, help, number) in GAUGES {
        let mut family = Family::gauge(encoder, name, help)?;
        for_members(snapshot, |cluster, member| {
            family.measure(&labels(cluster, member), number(cluster, member))
        })?;
    }
    write_states(encoder, snapshot)?;
    write_errors(encoder, snapshot)?;
    let help = "Time from the decision to the head of the member's answer";
    let mut family = Family::histogram(encoder, "member_response_seconds", help)?;
    for_members(snapshot, |cluster, member| {
        let responses = &meters(cluster, member).responses;
        family.distribute(&labels(cluster, member), responses)
    })
}

/// 1 for the state each member is in, 0 for the others.
fn write_states(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "1 for the state that the member is in";
    let mut family = Family::gauge(encoder, "member_state", help)?;
    for_members(snapshot, |cluster, member| {
        let [balancer, url] = labels(cluster, member);
        let current = state(member);
        STATES.iter().try_for_each(|&state| {
            let number = u8::from(state == current);
            family.measure(&[balancer, url, ("state", Name(state))], number.into())
        })
    })
}

fn write_errors(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "Requests that brought no answer, or a status of 500 or above";
    let mut family = Family::counter(encoder, "member_errors", help)?;
    for_members(snapshot, |cluster, member| {
        let [balancer, url] = labels(cluster, member);
        let mut kinds = meters(cluster, member).errors_by_kind();
        kinds.try_for_each(|(kind, count)| {
            family.count(&[balancer, url, ("kind", Name(kind))], count)
        })
    })
}

/// Does something for every member of every balancer.
fn for_members<'snapshot>(
    snapshot: &'snapshot Snapshot,
    mut with: impl FnMut(&'snapshot Cluster, &'snapshot Member) -> fmt::Result,
) -> fmt::Result {
    snapshot.clusters.iter().try_for_each(|cluster| {
        let mut members = cluster.balancer.members().iter();
        members.try_for_each(|member| with(cluster, member))
    })
}

fn labels<'snapshot>(
    cluster: &'snapshot Cluster,
    member: &'snapshot Member,
) -> [Label<'snapshot>; 2] {
    let balancer = Name(&cluster.balancer.settings().name);
    [
        ("balancer", balancer),
        ("member", Name(&member.settings.name)),
    ]
}

fn meters<'snapshot>(cluster: &'snapshot Cluster, member: &Member) -> &'snapshot MemberMeters {
    &cluster.upstreams[member.id as usize].meters
}

fn tally(cluster: &Cluster, member: &Member) -> Tally {
    let chapter = cluster.chronicle.chapter(member.id);
    chapter.map_or_else(Tally::default, |chapter| chapter.tally)
}
