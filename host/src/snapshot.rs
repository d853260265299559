//! What a request needs of the configuration, taken once and kept to its end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use equipoise_balancer::{Balancer, Member, Methods};
use equipoise_bybusyness::ByBusyness;
use equipoise_byrequests::ByRequests;
use equipoise_bytraffic::ByTraffic;
use equipoise_heartbeat::Heartbeat;
use equipoise_sdk::{Selector, SessionReader};
use equipoise_session::Session;
use http::HeaderValue;

use crate::config::{self, Builtin, Config, Limits, Method, SessionSource, Sticky};
use crate::upstream::Slots;

/// The configuration in force, ready to serve: shared by all workers and never changed.
pub(crate) struct Snapshot {
    pub(crate) limits: Limits,
    pub(crate) routes: Vec<config::Route>,
    pub(crate) clusters: Vec<Cluster>,
    /// Where the time that balancing goes by begins.
    started: Instant,
}

/// A balancer with all that is needed to reach its members.
pub(crate) struct Cluster {
    pub(crate) balancer: Balancer,
    pub(crate) config: config::Balancer,
    /// How to reach each member; a member's id is its place here.
    pub(crate) upstreams: Vec<Upstream>,
}

/// How to reach a member.
pub(crate) struct Upstream {
    pub(crate) config: config::Member,
    /// What goes into `Host`.
    pub(crate) host: HeaderValue,
    pub(crate) slots: Slots,
}

impl Snapshot {
    /// Builds everything a configuration asks for, with all counters at zero.
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            limits: config.limits.clone(),
            routes: config.routes.clone(),
            clusters: config.balancers.iter().map(Cluster::new).collect(),
            started: Instant::now(),
        }
    }

    /// The time that balancing goes by.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Cluster {
    fn new(config: &config::Balancer) -> Self {
        let members = (0..)
            .zip(&config.members)
            .map(|(id, member)| Member {
                id,
                settings: member.settings.clone(),
                counters: Arc::default(),
            })
            .collect();
        let methods = Methods {
            selector: selector(config.method),
            fallback: Box::<ByRequests>::default(),
            session: config.sticky.as_ref().and_then(session_reader),
        };
        Self {
            balancer: Balancer::new(config.settings.clone(), members, [methods]),
            config: config.clone(),
            upstreams: config.members.iter().map(Upstream::new).collect(),
        }
    }
}

impl Upstream {
    fn new(config: &config::Member) -> Self {
        // A URI's authority has no byte that a header value may not have.
        let host = HeaderValue::from_str(config.authority.as_str())
            .unwrap_or(HeaderValue::from_static(""));
        Self {
            config: config.clone(),
            host,
            slots: Slots::new(config),
        }
    }
}

/// A plugin is served by its fallback.
fn selector(method: Method) -> Box<dyn Selector> {
    let (Method::Builtin(method)
    | Method::Plugin {
        fallback: method, ..
    }) = method;
    match method {
        Builtin::Byrequests => Box::<ByRequests>::default(),
        Builtin::Bytraffic => Box::<ByTraffic>::default(),
        Builtin::Bybusyness => Box::<ByBusyness>::default(),
        Builtin::Heartbeat => Box::<Heartbeat>::default(),
    }
}

/// A plugin reads no session.
fn session_reader(sticky: &Sticky) -> Option<Box<dyn SessionReader>> {
    let SessionSource::Names {
        cookie,
        parameter,
        semicolon_ends,
    } = &sticky.source
    else {
        return None;
    };
    Some(Box::new(Session {
        cookie: cookie.clone(),
        parameter: parameter.clone(),
        separator: sticky.separator,
        semicolon_ends: *semicolon_ends,
    }))
}
