//! Balancers and members as operators see them.
//!
//! Names are Apache's where its balancer-manager has the column. Times are seconds since 1970 with milliseconds behind the
//! point.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use equipoise_balancer::Member;
use serde::Serialize;

use equipoise_config as config;
use equipoise_config::source::Settings;
use equipoise_config::{CheckKind, CheckMethod, Method, Route, SessionSource};
use equipoise_dns::Addresses;
use equipoise_proxy::observe::{Check, MemberHistory};
use equipoise_proxy::snapshot::{Cluster, Snapshot};
use equipoise_proxy::upstream::Endpoint;

/// All balancers.
#[derive(Debug, Serialize)]
pub(super) struct Balancers<'snapshot> {
    balancers: Vec<BalancerView<'snapshot>>,
}

/// A balancer.
#[derive(Debug, Serialize)]
pub(super) struct BalancerView<'snapshot> {
    name: &'snapshot str,
    /// The built-in method that decides, or that stands behind the plugin.
    lbmethod: &'static str,
    /// The plugin that chooses.
    #[serde(skip_serializing_if = "Option::is_none")]
    plugin: Option<&'snapshot str>,
    /// What finds sessions: `COOKIE|parameter`.
    #[serde(skip_serializing_if = "Option::is_none")]
    stickysession: Option<String>,
    /// The plugin that finds them.
    #[serde(skip_serializing_if = "Option::is_none")]
    session_plugin: Option<&'snapshot str>,
    /// The plugin that judges members.
    #[serde(skip_serializing_if = "Option::is_none")]
    health_plugin: Option<&'snapshot str>,
    /// The plugins of it that are set aside; the fallback decides in their place.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    set_aside: Vec<AsideView<'snapshot>>,
    nofailover: bool,
    maxattempts: usize,
    timeout: String,
    /// Whether so few members are healthy that health is ignored (panic mode).
    panics: bool,
    /// The routes that lead here.
    routes: Vec<String>,
    /// The keys that are written, without members.
    settings: Settings,
    members: Vec<MemberView<'snapshot>>,
}

/// A plugin that is set aside for a balancer.
#[derive(Debug, Serialize)]
struct AsideView<'snapshot> {
    plugin: &'snapshot str,
    /// What it refused, and why.
    reason: &'snapshot str,
}

/// A member.
#[derive(Debug, Serialize)]
pub(super) struct MemberView<'snapshot> {
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
    /// What its name stands for; none where it is given by an address or a socket file.
    #[serde(skip_serializing_if = "Option::is_none")]
    addresses: Option<AddressesView>,
    /// How it is checked.
    #[serde(skip_serializing_if = "Option::is_none")]
    check: Option<CheckSettings>,
    /// The last checks, the newest last.
    checks: Vec<CheckView>,
    elected: u64,
    busy: u32,
    /// Where the member stood in the method's schedule within the last second or so: Apache's "Load"; none where the method has
    /// not told yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    load: Option<i64>,
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
    /// The keys that are written.
    settings: Settings,
}

/// The last change of a member's state.
#[derive(Debug, Serialize)]
struct Changed {
    at: f64,
    cause: String,
}

/// What a member's name stands for.
#[derive(Debug, Serialize)]
struct AddressesView {
    /// Those that it is connected to.
    known: Vec<SocketAddr>,
    /// When the last good answer came; none before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<f64>,
    /// Why there was none since.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

/// How a member is checked, in Apache's words.
#[derive(Debug, Serialize)]
struct CheckSettings {
    hcmethod: &'static str,
    hcinterval: String,
    hctimeout: String,
    hcpasses: u32,
    hcfails: u32,
    /// The target of the request; none for a connection alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    hcuri: Option<String>,
    /// The service of gRPC that is asked for; none where it is another kind of check.
    #[serde(skip_serializing_if = "Option::is_none")]
    hcservice: Option<String>,
}

/// A check of a member.
#[derive(Debug, Serialize)]
struct CheckView {
    at: f64,
    passed: bool,
    detail: String,
}

impl<'snapshot> Balancers<'snapshot> {
    pub(super) fn of(snapshot: &'snapshot Snapshot) -> Self {
        let clusters = snapshot.clusters.iter().enumerate();
        Self {
            balancers: clusters
                .map(|(place, cluster)| BalancerView::of(snapshot, place, cluster))
                .collect(),
        }
    }
}

impl<'snapshot> BalancerView<'snapshot> {
    /// The balancer at this place of the configuration.
    pub(super) fn of(
        snapshot: &'snapshot Snapshot,
        place: usize,
        cluster: &'snapshot Cluster,
    ) -> Self {
        let (balancer, config) = (&cluster.balancer, &*cluster.config);
        let plugin = |plugin: usize| &*snapshot.config.plugins[plugin].name;
        let (method, chooser) = match config.method {
            Method::Builtin(method) => (method, None),
            Method::Plugin {
                plugin: chooser,
                fallback,
            } => (fallback, Some(plugin(chooser))),
        };
        let source = config.sticky.as_ref().map(|sticky| &sticky.source);
        let routes = snapshot.config.routes.iter();
        let members = balancer
            .members()
            .iter()
            .zip(&cluster.endpoints)
            .enumerate();
        Self {
            name: cluster.name(),
            lbmethod: method.word(),
            plugin: chooser,
            stickysession: source.and_then(names),
            session_plugin: source.and_then(|source| match source {
                SessionSource::Plugin(reader) => Some(plugin(*reader)),
                SessionSource::Names { .. } => None,
            }),
            health_plugin: config.health_plugin.map(plugin),
            set_aside: cluster
                .aside()
                .map(|aside| AsideView {
                    plugin: aside.plugin,
                    reason: aside.reason,
                })
                .collect(),
            nofailover: balancer.settings().nofailover,
            maxattempts: config.max_attempts,
            timeout: words(config.timeout),
            panics: balancer.in_panic_mode(),
            routes: routes
                .filter(|it| it.balancer() == Some(place))
                .map(Route::label)
                .collect(),
            settings: snapshot.source.balancer(cluster.name()),
            members: members
                .map(|(place, (member, endpoint))| {
                    MemberView::of(snapshot, cluster, place, member, endpoint)
                })
                .collect(),
        }
    }
}

impl<'snapshot> MemberView<'snapshot> {
    /// The member at this place of the balancer.
    pub(super) fn of(
        snapshot: &Snapshot,
        cluster: &Cluster,
        place: usize,
        member: &'snapshot Member,
        endpoint: &Endpoint,
    ) -> Self {
        let (settings, counters) = (&member.settings, &member.counters);
        let history = cluster.health_history.member(member.id);
        let (changed, checks) = history.map_or_else(Default::default, told);
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
            addresses: endpoint.addresses.as_deref().map(addresses),
            check: endpoint.config.check.as_ref().map(check),
            checks,
            elected: counters.elected(),
            busy: counters.busy(),
            load: cluster.loads.of(member.id),
            to: counters.transferred(),
            from: counters.read(),
            latency_us: counters.latency_us(),
            consecutive_failures: counters.consecutive_failures(),
            errors: endpoint.metrics.errors(),
            retries: counters.retries(),
            settings: snapshot.source.member(cluster.name(), place),
        }
    }
}

/// What is known of a member's health.
fn told(history: MemberHistory) -> (Option<Changed>, Vec<CheckView>) {
    let changed = history.change.map(|(at, cause)| Changed {
        at: seconds(at),
        cause,
    });
    let check = |check: Check| CheckView {
        at: seconds(check.at),
        passed: check.passed,
        detail: check.detail,
    };
    (changed, history.checks.into_iter().map(check).collect())
}

fn addresses(addresses: &Addresses) -> AddressesView {
    let summary = addresses.summary();
    AddressesView {
        known: summary.addresses,
        at: summary.at.map(seconds),
        trouble: summary.error,
    }
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

fn names(source: &SessionSource) -> Option<String> {
    match source {
        SessionSource::Names {
            cookie, parameter, ..
        } if cookie == parameter => Some(cookie.clone()),
        SessionSource::Names {
            cookie, parameter, ..
        } => Some(format!("{cookie}|{parameter}")),
        SessionSource::Plugin(_) => None,
    }
}

fn check(check: &config::Check) -> CheckSettings {
    let (hcmethod, hcuri) = match &check.kind {
        CheckKind::Tcp => ("TCP", None),
        CheckKind::Http(http) => {
            let method = match (http.method, http.version == http::Version::HTTP_11) {
                (CheckMethod::Options, false) => "OPTIONS",
                (CheckMethod::Options, true) => "OPTIONS11",
                (CheckMethod::Head, false) => "HEAD",
                (CheckMethod::Head, true) => "HEAD11",
                (CheckMethod::Get, false) => "GET",
                (CheckMethod::Get, true) => "GET11",
            };
            (method, Some(http.target.clone()))
        }
        CheckKind::Grpc(_) => ("GRPC", None),
        CheckKind::Cping => ("CPING", None),
    };
    let hcservice = match &check.kind {
        CheckKind::Grpc(grpc) => Some(grpc.service.clone()),
        _ => None,
    };
    CheckSettings {
        hcmethod,
        hcinterval: words(check.interval),
        hctimeout: words(check.timeout),
        hcpasses: check.passes,
        hcfails: check.fails,
        hcuri,
        hcservice,
    }
}

/// A duration as configurations have it: `1500ms`, `60s`.
fn words(duration: Duration) -> String {
    match duration.subsec_millis() {
        0 => format!("{}s", duration.as_secs()),
        _ => format!("{}ms", duration.as_millis()),
    }
}

/// Seconds since 1970, to the millisecond.
pub(super) fn seconds(time: SystemTime) -> f64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    since.as_millis() as f64 / 1000.0
}
