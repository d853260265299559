//! Metrics of members.

use std::fmt;

use equipoise_balancer::Member;
use prometheus_client::encoding::DescriptorEncoder;

use super::super::balancers::{STATES, state};
use super::family::{Family, Label, Name};
use equipoise_dns::Addresses;
use equipoise_proxy::observe::CheckCounts;
use equipoise_proxy::snapshot::{Cluster, Snapshot};
use equipoise_proxy::upstream::Endpoint;

/// A member, with all that counts for it.
#[derive(Clone, Copy)]
struct MemberData<'snapshot> {
    cluster: &'snapshot Cluster,
    member: &'snapshot Member,
    endpoint: &'snapshot Endpoint,
}

/// A number of a member.
type OfMember<N> = fn(MemberData<'_>) -> N;

/// Counters of members: name, help, and where the number comes from.
const COUNTERS: [(&str, &str, OfMember<u64>); 7] = [
    ("member_requests", "Requests given to the member", |it| {
        it.member.counters.elected()
    }),
    ("member_sent_bytes", "Bytes sent to the member", |it| {
        it.member.counters.transferred()
    }),
    (
        "member_received_bytes",
        "Bytes read from the member",
        |it| it.member.counters.read(),
    ),
    (
        "member_checks_passed",
        "Checks that the member passed",
        |it| it.counts().passed,
    ),
    (
        "member_checks_failed",
        "Checks that the member failed",
        |it| it.counts().failed,
    ),
    (
        "member_connections_opened",
        "Connections to the member that were opened",
        |it| it.endpoint.metrics.opened.get(),
    ),
    (
        "member_connections_reused",
        "Requests that found an idle connection to the member",
        |it| it.endpoint.metrics.reused.get(),
    ),
];

/// Gauges of members.
const GAUGES: [(&str, &str, OfMember<f64>); 5] = [
    (
        "member_in_flight",
        "Requests in flight at the member",
        |it| it.member.counters.busy().into(),
    ),
    (
        "member_usable",
        "1 if the member may take requests: enabled, not in error, not left out for being unhealthy",
        |it| u8::from(it.member.is_usable()).into(),
    ),
    (
        "member_latency_seconds",
        "Time until the member's answers begin, a moving mean; 0 before the first",
        |it| f64::from(it.member.counters.latency_us()) / 1e6,
    ),
    (
        "member_consecutive_failures",
        "Requests in a row that brought no answer",
        |it| it.member.counters.consecutive_failures().into(),
    ),
    (
        "member_connections_idle",
        "Connections to the member that wait for a request",
        |it| it.endpoint.metrics.idle.get() as f64,
    ),
];

/// Writes all of them.
pub(super) fn write(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    for (name, help, number) in COUNTERS {
        let mut family = Family::counter(encoder, name, help)?;
        for_members(snapshot, |it| family.count(&it.labels(), number(it)))?;
    }
    for (name, help, number) in GAUGES {
        let mut family = Family::gauge(encoder, name, help)?;
        for_members(snapshot, |it| family.measure(&it.labels(), number(it)))?;
    }
    write_states(encoder, snapshot)?;
    write_errors(encoder, snapshot)?;
    write_addresses(encoder, snapshot)?;
    let help = "Time from the decision to the head of the member's answer";
    let mut family = Family::histogram(encoder, "member_response_seconds", help)?;
    for_members(snapshot, |it| {
        let responses = &it.endpoint.metrics.responses;
        family.distribute(&it.labels(), responses)
    })
}

/// 1 for the state each member is in, 0 for the others.
fn write_states(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "1 for the state that the member is in";
    let mut family = Family::gauge(encoder, "member_state", help)?;
    for_members(snapshot, |it| {
        let [balancer, url] = it.labels();
        let current = state(it.member);
        STATES.iter().try_for_each(|&state| {
            let number = u8::from(state == current);
            family.measure(&[balancer, url, ("state", Name(state))], number.into())
        })
    })
}

fn write_errors(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "Requests that brought no response, or a status of 500 or above";
    let mut family = Family::counter(encoder, "member_errors", help)?;
    for_members(snapshot, |it| {
        let [balancer, url] = it.labels();
        let mut kinds = it.endpoint.metrics.errors_by_kind();
        kinds.try_for_each(|(kind, count)| {
            family.count(&[balancer, url, ("kind", Name(kind))], count)
        })
    })
}

/// What is known of members' names.
fn write_addresses(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "Addresses that the member's name stands for";
    let mut family = Family::gauge(encoder, "member_addresses", help)?;
    for_names(snapshot, |it, addresses| {
        let known = addresses.summary().addresses.len();
        family.measure(&it.labels(), known as f64)
    })?;
    let help = "Time since the last good answer about the member's name";
    let mut family = Family::gauge(encoder, "member_addresses_age_seconds", help)?;
    for_names(snapshot, |it, addresses| {
        let age = addresses.age();
        age.map_or(Ok(()), |age| {
            family.measure(&it.labels(), age.as_secs_f64())
        })
    })?;
    let help = "How often the member's name was asked for, by what became of it";
    let mut family = Family::counter(encoder, "member_resolutions", help)?;
    for_names(snapshot, |it, addresses| {
        let [balancer, url] = it.labels();
        let results = [
            ("resolved", &addresses.resolved),
            ("failed", &addresses.failed),
        ];
        results.into_iter().try_for_each(|(result, count)| {
            family.count(&[balancer, url, ("result", Name(result))], count.get())
        })
    })
}

/// Does something for every member whose URL has a name.
fn for_names<'snapshot>(
    snapshot: &'snapshot Snapshot,
    mut with: impl FnMut(MemberData<'snapshot>, &'snapshot Addresses) -> fmt::Result,
) -> fmt::Result {
    for_members(snapshot, |it| match &it.endpoint.addresses {
        Some(addresses) => with(it, addresses),
        None => Ok(()),
    })
}

/// Does something for every member of every balancer.
fn for_members<'snapshot>(
    snapshot: &'snapshot Snapshot,
    mut with: impl FnMut(MemberData<'snapshot>) -> fmt::Result,
) -> fmt::Result {
    snapshot.clusters.iter().try_for_each(|cluster| {
        let members = cluster.balancer.members().iter();
        let mut members = members.zip(&cluster.endpoints);
        members.try_for_each(|(member, endpoint)| {
            with(MemberData {
                cluster,
                member,
                endpoint,
            })
        })
    })
}

impl<'snapshot> MemberData<'snapshot> {
    fn labels(self) -> [Label<'snapshot>; 2] {
        let balancer = Name(&self.cluster.balancer.settings().name);
        [
            ("balancer", balancer),
            ("member", Name(&self.member.settings.name)),
        ]
    }

    fn counts(self) -> CheckCounts {
        let history = self.cluster.health_history.member(self.member.id);
        history.map_or_else(CheckCounts::default, |history| history.counts)
    }
}
