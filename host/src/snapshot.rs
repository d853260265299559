//! What a request needs of the configuration, taken once and kept to its end.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use equipoise_balancer::{Balancer, Judgement, Member, MemberSettings, Methods, PluginJudge};
use equipoise_bybusyness::ByBusyness;
use equipoise_byrequests::ByRequests;
use equipoise_bytraffic::ByTraffic;
use equipoise_heartbeat::Heartbeat;
use equipoise_sdk::health::Judge as _;
use equipoise_sdk::{Candidates, Host, Peer, Request, Selector, SessionReader, Setup};
use equipoise_session::Session;
use http::HeaderValue;

use crate::config::{
    self, Builtin, Config, Instances, Limits, Method, Outlier, Plugin, SessionSource, Sticky,
};
use crate::explain::Explain;
use crate::health::{Chronicle, Exchanges};
use crate::meters::{BalancerMeters, MemberMeters, Meters, RouteMeters};
use crate::traces::Traces;
use crate::upstream::Slots;
use crate::wasm::{PluginState, Plugins, Version};

/// The configuration in force, ready to serve: shared by all workers and never changed, but exchanged as a whole.
pub(crate) struct Snapshot {
    pub(crate) limits: Limits,
    pub(crate) routes: Vec<config::Route>,
    /// What is counted of each of `routes`.
    pub(crate) route_meters: Arc<[Arc<RouteMeters>]>,
    pub(crate) meters: Arc<Meters>,
    pub(crate) clusters: Vec<Arc<Cluster>>,
    /// The last decisions; none where they are not kept.
    pub(crate) explain: Option<Arc<Explain>>,
    /// How requests are traced; none where they are not.
    pub(crate) traces: Option<Arc<Traces>>,
    plugins: Plugins,
    /// What the configuration says of each of `plugins`.
    plugin_configs: Arc<[Plugin]>,
    workers: NonZeroUsize,
    /// Where the time that balancing goes by begins.
    started: Instant,
}

/// A balancer with all that is needed to reach its members.
pub(crate) struct Cluster {
    pub(crate) balancer: Balancer,
    pub(crate) config: Arc<config::Balancer>,
    /// How to reach each member; a member's id is its place here.
    pub(crate) upstreams: Arc<[Upstream]>,
    /// Who says which members are healthy; asked by the health thread.
    pub(crate) judgement: Arc<Mutex<Judgement>>,
    /// Where requests that end are noted for the judge; none where it does not care.
    pub(crate) exchanges: Option<Arc<Exchanges>>,
    /// What happened to the members' health.
    pub(crate) chronicle: Arc<Chronicle>,
    pub(crate) meters: Arc<BalancerMeters>,
}

/// How to reach a member.
pub(crate) struct Upstream {
    pub(crate) config: config::Member,
    /// What goes into `Host`.
    pub(crate) host: HeaderValue,
    pub(crate) slots: Slots,
    pub(crate) meters: Arc<MemberMeters>,
}

impl Snapshot {
    /// Builds everything a configuration asks for, with all counters at zero and no plugin loaded.
    pub(crate) fn new(config: &Config) -> Self {
        let clusters = config.balancers.iter();
        Self {
            limits: config.limits.clone(),
            routes: config.routes.clone(),
            route_meters: config.routes.iter().map(|_| Arc::default()).collect(),
            meters: Arc::new(Meters::new(config.workers.get())),
            clusters: clusters.map(Cluster::new).map(Arc::new).collect(),
            explain: Explain::new(&config.explain).map(Arc::new),
            traces: config.traces.as_ref().map(Traces::new).map(Arc::new),
            plugins: Plugins::unloaded(config.plugins.len()),
            plugin_configs: config.plugins.clone().into(),
            workers: config.workers,
            started: Instant::now(),
        }
    }

    /// The same with another version of one plugin, which takes over what the one before remembers.
    ///
    /// # Errors
    /// A balancer that names the plugin cannot work with this version: which, and why.
    pub(crate) fn with_plugin(&self, plugin: usize, version: Arc<Version>) -> Result<Self> {
        let plugins = self.plugins.with(plugin, version);
        let renew = |cluster: &Arc<Cluster>| {
            if !names(&cluster.config, plugin) {
                return Ok(cluster.clone());
            }
            let policies = Policies {
                plugins: &plugins,
                configs: &self.plugin_configs,
                workers: self.workers,
            };
            let name = &cluster.config.settings.name;
            let renewed = cluster.renewed(&policies);
            renewed
                .map(Arc::new)
                .with_context(|| format!("balancer {name} cannot use it"))
        };
        Ok(Self {
            limits: self.limits.clone(),
            routes: self.routes.clone(),
            clusters: self.clusters.iter().map(renew).collect::<Result<_>>()?,
            explain: self.explain.clone(),
            traces: self.traces.clone(),
            route_meters: self.route_meters.clone(),
            meters: self.meters.clone(),
            plugin_configs: self.plugin_configs.clone(),
            plugins,
            ..*self
        })
    }

    /// The same with other settings of one member, by the balancer's place and the member's id. `None` where there is none.
    pub(crate) fn with_member(
        &self,
        balancer: usize,
        member: u32,
        settings: MemberSettings,
    ) -> Option<Self> {
        let mut clusters = self.clusters.clone();
        let cluster = clusters.get_mut(balancer)?;
        let changed = cluster.balancer.with_member(member, settings, self.now())?;
        *cluster = Arc::new(cluster.with_balancer(changed));
        Some(Self {
            limits: self.limits.clone(),
            routes: self.routes.clone(),
            clusters,
            explain: self.explain.clone(),
            traces: self.traces.clone(),
            route_meters: self.route_meters.clone(),
            meters: self.meters.clone(),
            plugin_configs: self.plugin_configs.clone(),
            plugins: self.plugins.clone(),
            ..*self
        })
    }

    /// The time that balancing goes by.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// What a plugin is called.
    pub(crate) fn plugin_name(&self, plugin: usize) -> &str {
        &self.plugin_configs[plugin].name
    }

    /// The plugins that are loaded, by name, in the order of the configuration.
    pub(crate) fn loaded_plugins(&self) -> impl Iterator<Item = (&str, &Version)> {
        let plugins = self.plugin_configs.iter().enumerate();
        plugins.filter_map(|(number, plugin)| {
            let version = self.plugins.version(number)?;
            Some((plugin.name.as_str(), &**version))
        })
    }

    /// Whether a plugin serves.
    pub(crate) fn plugin_state(&self, plugin: usize) -> PluginState {
        self.plugins.state(plugin)
    }

    /// Whether every plugin is loaded.
    pub(crate) fn is_ready(&self) -> bool {
        self.plugins.are_loaded()
    }

    /// When that time began.
    pub(crate) fn started(&self) -> Instant {
        self.started
    }
}

impl Cluster {
    fn new(config: &config::Balancer) -> Self {
        let members = (0..)
            .zip(&config.members)
            .map(|(id, member)| Member {
                id,
                settings: MemberSettings {
                    // The balancer's time begins now.
                    drain_until: member.drain_timeout,
                    passes: member.check.as_ref().map_or(1, |check| check.passes),
                    ..member.settings.clone()
                },
                counters: Arc::default(),
            })
            .collect();
        let (session, method) = (config.sticky.as_ref(), config.method);
        let methods = match method {
            Method::Builtin(method) => Methods {
                selector: builtin(method),
                fallback: Box::<ByRequests>::default(),
            },
            Method::Plugin { fallback, .. } => undecided(fallback),
        };
        let session = session.and_then(session_reader);
        let chronicle = Arc::new(Chronicle::new(&config.settings.name));
        let balancer = Balancer::new(config.settings.clone(), members, session, [methods]);
        let meters = Arc::<BalancerMeters>::default();
        let upstreams = config.members.iter();
        let cares = config.outlier.is_some() || config.judge.is_some();
        Self {
            balancer: balancer.observed_by(chronicle.clone()),
            config: Arc::new(config.clone()),
            upstreams: upstreams
                .map(|member| Upstream::new(member, &meters))
                .collect(),
            judgement: Arc::new(Mutex::new(judgement(config, None))),
            exchanges: cares.then(Arc::default),
            chronicle,
            meters,
        }
    }

    /// The same but for what the core knows.
    fn with_balancer(&self, balancer: Balancer) -> Self {
        Self {
            balancer,
            config: self.config.clone(),
            upstreams: self.upstreams.clone(),
            judgement: self.judgement.clone(),
            exchanges: self.exchanges.clone(),
            chronicle: self.chronicle.clone(),
            meters: self.meters.clone(),
        }
    }

    /// The same members with policies made anew.
    fn renewed(&self, policies: &Policies<'_>) -> Result<Self> {
        let session = policies.session(&self.config)?;
        let methods = policies.methods(&self.config)?;
        let mut judgement = judgement(&self.config, policies.judge(&self.config)?);
        let before = self.judgement.lock();
        judgement.take_over(&mut before.unwrap_or_else(PoisonError::into_inner));
        Ok(Self {
            balancer: self.balancer.renewed(session, methods),
            config: self.config.clone(),
            upstreams: self.upstreams.clone(),
            judgement: Arc::new(Mutex::new(judgement)),
            exchanges: self.exchanges.clone(),
            chronicle: self.chronicle.clone(),
            meters: self.meters.clone(),
        })
    }
}

/// Whether a balancer uses the plugin.
fn names(config: &config::Balancer, plugin: usize) -> bool {
    let chooses =
        matches!(config.method, Method::Plugin { plugin: chooser, .. } if chooser == plugin);
    let source = config.sticky.as_ref().map(|sticky| &sticky.source);
    let reads = matches!(source, Some(SessionSource::Plugin(reader)) if *reader == plugin);
    chooses || reads || config.judge == Some(plugin)
}

/// What policies are made of.
struct Policies<'snapshot> {
    plugins: &'snapshot Plugins,
    configs: &'snapshot [Plugin],
    workers: NonZeroUsize,
}

impl Policies<'_> {
    /// How a balancer chooses: once, or once for each worker.
    fn methods(&self, config: &config::Balancer) -> Result<Vec<Methods>> {
        let (plugin, fallback) = match config.method {
            Method::Plugin { plugin, fallback } => (plugin, fallback),
            Method::Builtin(method) => {
                return Ok(vec![Methods {
                    selector: builtin(method),
                    fallback: Box::<ByRequests>::default(),
                }]);
            }
        };
        let setup = self.setup(plugin, config);
        let method = |_| {
            Ok(match self.plugins.selector(plugin, &setup)? {
                Some(selector) => Methods {
                    selector,
                    fallback: builtin(fallback),
                },
                None => undecided(fallback),
            })
        };
        (0..self.instances(plugin)).map(method).collect()
    }

    /// How a balancer reads sessions.
    fn session(&self, config: &config::Balancer) -> Result<Option<Box<dyn SessionReader>>> {
        let Some(sticky) = &config.sticky else {
            return Ok(None);
        };
        match sticky.source {
            SessionSource::Names { .. } => Ok(session_reader(sticky)),
            SessionSource::Plugin(plugin) => {
                let setup = self.setup(plugin, config);
                self.plugins.session(plugin, &setup, self.instances(plugin))
            }
        }
    }

    /// The plugin that judges a balancer's members, if there is one.
    fn judge(&self, config: &config::Balancer) -> Result<Option<Box<dyn PluginJudge>>> {
        let Some(plugin) = config.judge else {
            return Ok(None);
        };
        self.plugins.judge(plugin, &self.setup(plugin, config))
    }

    fn instances(&self, plugin: usize) -> usize {
        match self.configs[plugin].instances {
            Instances::PerBalancer => 1,
            Instances::PerWorker => self.workers.get(),
        }
    }

    /// What a plugin is told in this balancer.
    fn setup(&self, plugin: usize, config: &config::Balancer) -> Arc<Setup> {
        Arc::new(Setup {
            settings: self.configs[plugin].settings.clone(),
            members: peers(config),
        })
    }
}

/// Who judges a balancer's members: the plugin, if there is one, with the built-in rule beside it.
fn judgement(config: &config::Balancer, plugin: Option<Box<dyn PluginJudge>>) -> Judgement {
    let mut rule = equipoise_health::Health::default();
    let outlier = config.outlier.as_ref();
    let setup = Setup {
        settings: outlier.map(Outlier::settings).unwrap_or_default(),
        members: peers(config),
    };
    if let Err(error) = rule.configure(&setup) {
        // The configuration is checked against the same ranges.
        tracing::error!(%error, "the built-in judge refuses its settings");
    }
    let ids = setup.members.iter().map(|peer| peer.id);
    Judgement::new(ids, Box::new(rule), plugin)
}

/// A balancer's members as plugins are told of them.
fn peers(config: &config::Balancer) -> Vec<Peer> {
    (0..).zip(&config.members).map(peer).collect()
}

/// A member as plugins are told of it.
fn peer((id, member): (u32, &config::Member)) -> Peer {
    let (settings, check) = (&member.settings, member.check.as_ref());
    Peer {
        id,
        url: settings.name.clone(),
        weight: settings.lbfactor,
        set: settings.lbset.into(),
        route: settings.route.clone(),
        passes: check.map_or(1, |check| check.passes),
        fails: check.map_or(1, |check| check.fails),
        metadata: member.metadata.clone(),
    }
}

impl Upstream {
    fn new(config: &config::Member, balancer: &Arc<BalancerMeters>) -> Self {
        // A URI's authority has no byte that a header value may not have.
        let host = HeaderValue::from_str(config.authority.as_str())
            .unwrap_or(HeaderValue::from_static(""));
        Self {
            config: config.clone(),
            host,
            slots: Slots::new(config),
            meters: Arc::new(MemberMeters::new(balancer.clone())),
        }
    }
}

fn builtin(method: Builtin) -> Box<dyn Selector> {
    match method {
        Builtin::Byrequests => Box::<ByRequests>::default(),
        Builtin::Bytraffic => Box::<ByTraffic>::default(),
        Builtin::Bybusyness => Box::<ByBusyness>::default(),
        Builtin::Heartbeat => Box::<Heartbeat>::default(),
    }
}

/// What stands in for a plugin that is not loaded: the fallback decides everything.
fn undecided(fallback: Builtin) -> Methods {
    struct Undecided;

    impl Selector for Undecided {
        fn select(
            &mut self,
            _request: &dyn Request,
            _candidates: &dyn Candidates,
            _host: &dyn Host,
        ) -> Option<usize> {
            None
        }
    }

    Methods {
        selector: Box::new(Undecided),
        fallback: builtin(fallback),
    }
}

/// The built-in reader of sessions, where the configuration names what to look for.
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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn plugins_are_told_how_many_checks_count() {
        let text = "listen = [{ address = \"127.0.0.1:0\" }]\nroute = [{ path = \"/\", balancer = \"b\" }]
            [balancer.b]\nmember = [
            { url = \"http://a\", hcmethod = \"TCP\", hcpasses = 2, hcfails = 3 }, { url = \"http://b\" }]";
        let config = Config::parse(text, Path::new("test.toml")).unwrap();
        let peers: Vec<_> = (0..).zip(&config.balancers[0].members).map(peer).collect();
        let counts = peers.iter().map(|peer| (peer.passes, peer.fails));
        assert_eq!(counts.collect::<Vec<_>>(), [(2, 3), (1, 1)]);
    }
}
