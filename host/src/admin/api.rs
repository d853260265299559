//! What runs, as JSON: `/api/v1/balancers`.
//!
//! Names are Apache's where its balancer-manager has the column. Times are seconds since 1970 with milliseconds behind the
//! point.

use std::time::{SystemTime, UNIX_EPOCH};

use equipoise_balancer::Member;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use super::text;
use crate::config::{Builtin, Method};
use crate::health::{Chapter, Check};
use crate::snapshot::{Cluster, Snapshot};

/// All balancers.
#[derive(Debug, Serialize)]
struct Balancers<'snapshot> {
    balancers: Vec<BalancerView<'snapshot>>,
}

/// A balancer.
#[derive(Debug, Serialize)]
struct BalancerView<'snapshot> {
    name: &'snapshot str,
    /// The built-in method that decides, or that stands behind the plugin.
    lbmethod: &'static str,
    /// The plugin that chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<&'snapshot str>,
    /// Whether so few members are healthy that nobody heeds it.
    panics: bool,
    members: Vec<MemberView<'snapshot>>,
}

/// A member.
#[derive(Debug, Serialize)]
struct MemberView<'snapshot> {
    id: u32,
    url: &'snapshot str,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'snapshot str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redirect: Option<&'snapshot str>,
    loadfactor: f64,
    lbset: u8,
    /// The operator's flags, as `status` in the configuration; `-` for none.
    status: String,
    /// `ok`, `draining`, `unhealthy`, `error`, `disabled` or `stopped`.
    state: &'static str,
    /// When the state last changed, and why; none before the first change.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<Changed>,
    /// The last checks, the newest last.
    checks: Vec<CheckView>,
    elected: u64,
    busy: u32,
    /// Where the member stands in the method's schedule: Apache's "Load".
    load: i64,
    /// Bytes sent to the member.
    to: u64,
    /// Bytes read from the member.
    from: u64,
    /// Microseconds from the decision to the head of the answer: a moving mean; 0 before the first.
    latency_us: u32,
    consecutive_failures: u32,
    /// Requests that brought no answer, or a status of 500 or above.
    errors: u64,
    retries: u32,
}

/// The last change of a member's state.
#[derive(Debug, Serialize)]
struct Changed {
    at: f64,
    cause: String,
}

/// A check of a member.
#[derive(Debug, Serialize)]
struct CheckView {
    at: f64,
    passed: bool,
    detail: String,
}

/// The answer to `GET /api/v1/balancers`.
pub(super) fn balancers(snapshot: &Snapshot) -> Response<String> {
    let clusters = snapshot.clusters.iter();
    let view = Balancers {
        balancers: clusters
            .map(|cluster| BalancerView::of(cluster, snapshot))
            .collect(),
    };
    json(&view)
}

/// A member, as it stands in the answer above.
pub(super) fn member(cluster: &Cluster, member: &Member) -> Response<String> {
    json(&MemberView::of(cluster, member))
}

pub(super) fn json(view: &impl Serialize) -> Response<String> {
    match serde_json::to_string(view) {
        Ok(json) => {
            let mut response = Response::new(json);
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            response
        }
        // It has no map with keys other than text, which is all that can go wrong.
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
    }
}

impl<'snapshot> BalancerView<'snapshot> {
    fn of(cluster: &'snapshot Cluster, snapshot: &'snapshot Snapshot) -> Self {
        let balancer = &cluster.balancer;
        let (method, plugin) = match cluster.config.method {
            Method::Builtin(method) => (method, None),
            Method::Plugin { plugin, fallback } => (fallback, Some(snapshot.plugin_name(plugin))),
        };
        let members = balancer.members().iter();
        Self {
            name: &balancer.settings().name,
            lbmethod: word(method),
            plugin,
            panics: balancer.panics(),
            members: members
                .map(|member| MemberView::of(cluster, member))
                .collect(),
        }
    }
}

impl<'snapshot> MemberView<'snapshot> {
    fn of(cluster: &Cluster, member: &'snapshot Member) -> Self {
        let (settings, counters) = (&member.settings, &member.counters);
        let chapter = cluster.chronicle.chapter(member.id);
        let (changed, checks) = chapter.map_or_else(Default::default, told);
        Self {
            id: member.id,
            url: &settings.name,
            route: settings.route.as_deref(),
            redirect: settings.redirect.as_deref(),
            loadfactor: f64::from(settings.lbfactor) / 100.0,
            lbset: settings.lbset,
            status: settings.status.to_string(),
            state: state(member),
            changed,
            checks,
            elected: counters.elected(),
            busy: counters.busy(),
            load: cluster.balancer.load(member.id),
            to: counters.transferred(),
            from: counters.read(),
            latency_us: counters.latency_us(),
            consecutive_failures: counters.consecutive_failures(),
            errors: cluster.upstreams[member.id as usize].meters.errors(),
            retries: counters.retries(),
        }
    }
}

/// What is known of a member's health.
fn told(chapter: Chapter) -> (Option<Changed>, Vec<CheckView>) {
    let changed = chapter.change.map(|(at, cause)| Changed {
        at: seconds(at),
        cause,
    });
    let check = |check: Check| CheckView {
        at: seconds(check.at),
        passed: check.passed,
        detail: check.detail,
    };
    (changed, chapter.checks.into_iter().map(check).collect())
}

/// The words for the states.
pub(super) const STATES: [&str; 6] = [
    "ok",
    "draining",
    "unhealthy",
    "error",
    "disabled",
    "stopped",
];

/// The word for what keeps a member from being chosen, the strongest first.
pub(super) fn state(member: &Member) -> &'static str {
    let status = member.settings.status;
    if status.stopped {
        "stopped"
    } else if status.disabled {
        "disabled"
    } else if member.counters.in_error() {
        "error"
    } else if member.counters.is_unhealthy() {
        "unhealthy"
    } else if status.draining {
        "draining"
    } else {
        "ok"
    }
}

fn word(method: Builtin) -> &'static str {
    match method {
        Builtin::Byrequests => "byrequests",
        Builtin::Bytraffic => "bytraffic",
        Builtin::Bybusyness => "bybusyness",
        Builtin::Heartbeat => "heartbeat",
    }
}

/// Seconds since 1970, to the millisecond.
fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as f64 / 1000.0
}
