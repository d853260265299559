//! What runs, as numbers for Prometheus: `/metrics`, in the OpenMetrics text format.
//!
//! Everything is read when it is asked for, so it costs nothing while nobody asks. Labels are names out of the configuration,
//! so there are as many series as the operator has written members.

use std::fmt::{self, Write as _};

use equipoise_balancer::Member;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabelValue, LabelValueEncoder, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::answer;
use super::balancers::{STATES, state};
use crate::health::Tally;
use crate::live::Live;
use crate::snapshot::{Cluster, Snapshot};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All metrics, to be asked again and again.
pub(super) struct Metrics(Registry);

impl Metrics {
    /// Of what is in force.
    pub(super) fn new(live: Live) -> Self {
        let mut registry = Registry::with_prefix("equipoise");
        registry.register_collector(Box::new(InForce(live)));
        Self(registry)
    }

    /// The answer to `GET /metrics`.
    pub(super) fn answer(&self) -> Response<String> {
        let mut body = String::new();
        if let Err(error) = text::encode(&mut body, &self.0) {
            return answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"));
        }
        let mut response = Response::new(body);
        let kind = HeaderValue::from_static(OPEN_METRICS);
        response.headers_mut().insert(CONTENT_TYPE, kind);
        response
    }
}

/// The snapshot in force, whichever that is.
struct InForce(Live);

impl fmt::Debug for InForce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InForce")
    }
}

/// A number of a member.
type OfMember<N> = fn(&Cluster, &Member) -> N;

/// Counters of members: name, help, and where the number comes from.
const COUNTERS: [(&str, &str, OfMember<u64>); 5] = [
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
];

/// Gauges of members.
const GAUGES: [(&str, &str, OfMember<f64>); 4] = [
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
];

impl Collector for InForce {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let snapshot = self.0.view().pin();
        for (name, help, number) in COUNTERS {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for_members(&snapshot, |cluster, member| {
                let number = number(cluster, member);
                let labels = labels(cluster, member);
                metric
                    .encode_family(&labels)?
                    .encode_counter::<NoLabelSet, _, u64>(&number, None)
            })?;
        }
        for (name, help, number) in GAUGES {
            let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for_members(&snapshot, |cluster, member| {
                let number = number(cluster, member);
                metric
                    .encode_family(&labels(cluster, member))?
                    .encode_gauge(&number)
            })?;
        }
        encode_states(&mut encoder, &snapshot)?;
        encode_panic(&mut encoder, &snapshot)
    }
}

/// 1 for the state each member is in, 0 for the others.
fn encode_states(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "1 for the state that the member is in";
    let mut metric = encoder.encode_descriptor("member_state", help, None, MetricType::Gauge)?;
    for_members(snapshot, |cluster, member| {
        let [balancer, url] = labels(cluster, member);
        let current = state(member);
        STATES.iter().try_for_each(|&state| {
            let number = i64::from(state == current);
            metric
                .encode_family(&[balancer, url, ("state", Name(state))])?
                .encode_gauge(&number)
        })
    })
}

fn encode_panic(encoder: &mut DescriptorEncoder<'_>, snapshot: &Snapshot) -> fmt::Result {
    let help = "1 if so few members are healthy that the balancer takes no notice of who is";
    let mut metric: MetricEncoder<'_> =
        encoder.encode_descriptor("balancer_panics", help, None, MetricType::Gauge)?;
    snapshot.clusters.iter().try_for_each(|cluster| {
        let number = i64::from(cluster.balancer.panics());
        let labels = [("balancer", Name(&cluster.balancer.settings().name))];
        metric.encode_family(&labels)?.encode_gauge(&number)
    })
}

/// Does something for every member of every balancer.
fn for_members(
    snapshot: &Snapshot,
    mut with: impl FnMut(&Cluster, &Member) -> fmt::Result,
) -> fmt::Result {
    snapshot.clusters.iter().try_for_each(|cluster| {
        let mut members = cluster.balancer.members().iter();
        members.try_for_each(|member| with(cluster, member))
    })
}

fn labels<'snapshot>(
    cluster: &'snapshot Cluster,
    member: &'snapshot Member,
) -> [(&'static str, Name<'snapshot>); 2] {
    let balancer = Name(&cluster.balancer.settings().name);
    [
        ("balancer", balancer),
        ("member", Name(&member.settings.name)),
    ]
}

/// A name as a label's value, which the crate writes as it is.
#[derive(Debug, Clone, Copy)]
struct Name<'snapshot>(&'snapshot str);

impl EncodeLabelValue for Name<'_> {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '\\' => encoder.write_str("\\\\"),
            '"' => encoder.write_str("\\\""),
            '\n' => encoder.write_str("\\n"),
            character => encoder.write_char(character),
        })
    }
}

fn tally(cluster: &Cluster, member: &Member) -> Tally {
    let chapter = cluster.chronicle.chapter(member.id);
    chapter.map_or_else(Tally::default, |chapter| chapter.tally)
}
