//! A cluster: a balancer with its members' endpoints, and how it takes over the state of its predecessor.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use equipoise_balancer::{
    Balancer, Counters, HealthEvaluator, Member, MemberSettings, SelectorWithFallback,
};
use equipoise_sdk::{MemberConfig, SessionReader};

use super::aside::{Aside, OnRefusal};
use super::policies::{PolicyFactory, PolicySpecs};
use crate::observe::metrics::BalancerMetrics;
use crate::observe::{HealthHistory, Loads, OutcomeQueue};
use crate::retry_budget::RetryBudget;
use crate::upstream::Endpoint;
use equipoise_config::{self as config, Trust};
use equipoise_tls::{Connector, FileContents};

/// A balancer with its members' endpoints.
pub struct Cluster {
    /// Chooses members.
    pub balancer: Balancer,
    /// Its settings.
    pub config: Arc<config::Balancer>,
    /// The endpoint of each member, in configuration order, as [`Balancer::members`].
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Evaluates the members' health, on a thread of its own.
    pub health_evaluator: Arc<Mutex<HealthEvaluator>>,
    /// The outcomes of requests for the health evaluator; none where it does not use them.
    pub outcomes: Option<Arc<OutcomeQueue>>,
    /// The history of the members' health.
    pub health_history: Arc<HealthHistory>,
    /// Its metrics.
    pub metrics: Arc<BalancerMetrics>,
    /// Limits its retries.
    pub retry_budget: Arc<RetryBudget>,
    /// The members' `lbstatus`.
    pub loads: Arc<Loads>,
    specs: PolicySpecs,
    /// The id of the next new member; ids are never reused.
    next_id: u32,
}

/// A cluster that can be activated.
pub(super) enum PendingCluster {
    /// Nothing has changed.
    Same(Arc<Cluster>),
    Changed(Box<Changed>),
}

/// A cluster that has changed, or is new.
pub(super) struct Changed {
    config: config::Balancer,
    members: Vec<MemberKey>,
    /// The TLS of each member.
    connectors: Vec<Option<Connector>>,
    next_id: u32,
    specs: PolicySpecs,
    policies: PendingPolicies,
    health_evaluator: Arc<Mutex<HealthEvaluator>>,
}

/// The policies of a pending cluster.
enum PendingPolicies {
    /// Of a new balancer.
    First {
        methods: Vec<SelectorWithFallback>,
        session: Option<Box<dyn SessionReader>>,
    },
    /// Of a balancer that existed before; `None` keeps a policy as it is.
    After {
        before: Arc<Cluster>,
        methods: Option<Vec<SelectorWithFallback>>,
        session: Option<Option<Box<dyn SessionReader>>>,
    },
}

/// A member's identity: an existing member, or a new one.
struct MemberKey {
    id: u32,
    /// Its position among the members before.
    previous: Option<usize>,
}

impl Cluster {
    /// The balancer's name.
    pub fn name(&self) -> &str {
        &self.config.settings.name
    }

    /// The members as plugins see them.
    #[cfg(test)]
    pub(super) fn peers(&self) -> &[MemberConfig] {
        &self.specs.health.rule().members
    }

    /// The plugins that are set aside for this balancer.
    pub fn aside(&self) -> impl Iterator<Item = Aside<'_>> {
        let aside = self.specs.aside();
        aside.map(|(plugin, reason)| Aside {
            balancer: self.name(),
            plugin,
            reason,
        })
    }

    /// The member with this id, and its position.
    pub fn member(&self, id: u32) -> Option<(usize, &Arc<Member>)> {
        let position = self.balancer.position(id)?;
        Some((position, self.balancer.members().get(position)?))
    }
}

impl PendingCluster {
    /// The successor of `before` under this configuration.
    ///
    /// # Errors
    /// Why a plugin cannot serve it, or the TLS of a member is invalid.
    pub(super) fn new(
        config: &config::Balancer,
        factory: &PolicyFactory<'_>,
        before: Option<&Arc<Cluster>>,
    ) -> Result<Self> {
        let (members, next_id) = assign_keys(config, before);
        let peers: Vec<_> = members.iter().zip(&config.members).map(peer).collect();
        let mut specs = factory.specs(config, &peers);
        let connectors = connectors(config, &members, factory.contents, before)?;
        if let Some(before) = before
            && *before.config == *config
            && before.specs == specs
            && before.endpoints.iter().map(|it| &it.tls).eq(&connectors)
        {
            return Ok(Self::Same(before.clone()));
        }
        let known = before.map(|before| &before.specs);
        let health = known.map(|known| &known.health);
        let health_evaluator = match before.filter(|_| health == Some(&specs.health)) {
            Some(before) => {
                specs.health.clone_from(&before.specs.health);
                before.health_evaluator.clone()
            }
            None => {
                let made = specs.health.build(health, factory.on_refusal)?;
                Arc::new(Mutex::new(made))
            }
        };
        Ok(Self::Changed(Box::new(Changed {
            policies: PendingPolicies::new(&mut specs, before, factory.on_refusal)?,
            config: config.clone(),
            members,
            connectors,
            next_id,
            specs,
            health_evaluator,
        })))
    }

    /// Makes it the cluster in use, from `now` on.
    pub(super) fn activate(self, now: Duration) -> Arc<Cluster> {
        match self {
            Self::Same(cluster) => cluster,
            Self::Changed(changed) => {
                let before = changed.policies.before().cloned();
                let cluster = changed.activate(now);
                if let Some(before) = before {
                    cluster.clear_stale_health(&before, now);
                }
                Arc::new(cluster)
            }
        }
    }
}

impl PendingPolicies {
    /// Builds the policies of these specs, but for those whose specs have not changed.
    fn new(
        specs: &mut PolicySpecs,
        before: Option<&Arc<Cluster>>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<Self> {
        let Some(before) = before else {
            return Ok(Self::First {
                methods: specs.methods.build(None, on_refusal)?,
                session: specs.build_session(None, on_refusal)?,
            });
        };
        let known = &before.specs;
        let methods = match known.methods == specs.methods {
            true => {
                specs.methods.clone_from(&known.methods);
                None
            }
            false => Some(specs.methods.build(Some(&known.methods), on_refusal)?),
        };
        let session = match known.session == specs.session {
            true => {
                specs.session.clone_from(&known.session);
                None
            }
            false => Some(specs.build_session(known.session.as_ref(), on_refusal)?),
        };
        Ok(Self::After {
            before: before.clone(),
            methods,
            session,
        })
    }

    fn before(&self) -> Option<&Arc<Cluster>> {
        match self {
            Self::First { .. } => None,
            Self::After { before, .. } => Some(before),
        }
    }
}

impl Changed {
    fn activate(self, now: Duration) -> Cluster {
        let before = self.policies.before();
        let metrics = before.map_or_else(Arc::default, |before| before.metrics.clone());
        let loads = before.map_or_else(Arc::default, |before| before.loads.clone());
        let retry_budget = before.map_or_else(Arc::default, |before| before.retry_budget.clone());
        let (endpoints, members) = (self.endpoints(), self.members(now));
        let settings = self.config.settings.clone();
        let cares = self.config.outlier.is_some() || self.config.health_plugin.is_some();
        self.inherit_health();
        let (balancer, exchanges, health_history) = match self.policies {
            PendingPolicies::First { methods, session } => {
                let health_history = Arc::new(HealthHistory::new(&settings.name));
                let balancer = Balancer::new(settings, members, session, methods);
                (
                    balancer.with_observer(health_history.clone()),
                    None,
                    health_history,
                )
            }
            PendingPolicies::After {
                before,
                methods,
                session,
            } => {
                before.health_history.retain(&members);
                let mut balancer = before.balancer.with_members(settings, members, now);
                if let Some(session) = session {
                    let specs = self
                        .specs
                        .session
                        .as_ref()
                        .zip(before.specs.session.as_ref());
                    let inherits = specs.is_some_and(|(now, before)| now.can_inherit(before));
                    balancer = balancer.with_session(session, inherits);
                }
                if let Some(methods) = methods {
                    let inherits = self.specs.methods.can_inherit(&before.specs.methods);
                    balancer = balancer.with_selectors(methods, inherits);
                }
                (
                    balancer,
                    before.outcomes.clone(),
                    before.health_history.clone(),
                )
            }
        };
        Cluster {
            balancer,
            config: Arc::new(self.config),
            endpoints,
            health_evaluator: self.health_evaluator,
            outcomes: cares.then(|| exchanges.unwrap_or_default()),
            health_history,
            metrics,
            retry_budget,
            loads,
            specs: self.specs,
            next_id: self.next_id,
        }
    }

    /// A new health evaluator takes over the state of the one before, as far as it can.
    fn inherit_health(&self) {
        let Some(before) = self.policies.before() else {
            return;
        };
        let (now, known) = (&self.specs.health, &before.specs.health);
        if Arc::ptr_eq(&self.health_evaluator, &before.health_evaluator)
            || !now.can_inherit_rule(known)
        {
            return;
        }
        let health_evaluator = self.health_evaluator.lock();
        let mut health_evaluator = health_evaluator.unwrap_or_else(PoisonError::into_inner);
        let before = before.health_evaluator.lock();
        let mut before = before.unwrap_or_else(PoisonError::into_inner);
        health_evaluator.inherit(&mut before, now.rule(), now.can_inherit_plugin(known));
    }

    /// The members' endpoints.
    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        let members = self.members.iter().zip(&self.config.members);
        let members = members.zip(&self.connectors);
        let endpoint = |((key, config), tls): ((_, &config::Member), &Option<_>)| {
            let before = self.endpoint_before(key);
            warn_insecure(config, before.map(|before| &before.config));
            match before {
                Some(before) if before.config == *config && before.tls == *tls => before.clone(),
                before => Arc::new(Endpoint::new(
                    config,
                    tls.clone(),
                    before.map(|before| &**before),
                )),
            }
        };
        members.map(endpoint).collect()
    }

    /// The members, with their counters.
    fn members(&self, now: Duration) -> Vec<Member> {
        let members = self.members.iter().zip(&self.config.members);
        let member = |(key, config): (&MemberKey, &config::Member)| {
            let before = self.member_before(key);
            let kept = before.zip(self.endpoint_before(key));
            Member {
                id: key.id,
                settings: MemberSettings {
                    drain_until: drain_until(config, kept.map(|(it, at)| (&**it, &at.config)), now),
                    passes: config.check.as_ref().map_or(1, |check| check.passes),
                    ..config.settings.clone()
                },
                counters: before.map_or_else(Arc::<Counters>::default, |it| it.counters.clone()),
            }
        };
        members.map(member).collect()
    }

    fn member_before(&self, key: &MemberKey) -> Option<&Arc<Member>> {
        let before = self.policies.before()?;
        before.balancer.members().get(key.previous?)
    }

    fn endpoint_before(&self, key: &MemberKey) -> Option<&Arc<Endpoint>> {
        self.policies.before()?.endpoints.get(key.previous?)
    }
}

impl Cluster {
    /// Clears health verdicts whose source is no longer configured: checks or passive checks that have ended, or other rules.
    fn clear_stale_health(&self, before: &Self, now: Duration) {
        let is_other_rule = !self.specs.health.can_inherit_rule(&before.specs.health);
        for (member, endpoint) in self.balancer.members().iter().zip(&self.endpoints) {
            let is_unjudged = endpoint.config.check.is_none() && self.outcomes.is_none();
            if member.counters.is_unhealthy() && (is_other_rule || is_unjudged) {
                let health_evaluator = self.health_evaluator.lock();
                health_evaluator
                    .unwrap_or_else(PoisonError::into_inner)
                    .clear(member.id);
                let reason = "its health configuration has changed";
                self.balancer.set_health(member.id, true, reason, now);
            }
        }
    }
}

/// The identities of a configuration's members, and the next id.
fn assign_keys(config: &config::Balancer, before: Option<&Arc<Cluster>>) -> (Vec<MemberKey>, u32) {
    let mut next_id = before.map_or(0, |before| before.next_id);
    let mut known = HashMap::new();
    if let Some(before) = before {
        let members = before.balancer.members().iter().zip(&before.endpoints);
        for (position, (member, endpoint)) in members.enumerate() {
            let (id, previous) = (member.id, Some(position));
            known.insert(endpoint.config.location(), MemberKey { id, previous });
        }
    }
    let mut members = Vec::with_capacity(config.members.len());
    for member in &config.members {
        let key = known.remove(&member.location());
        members.push(key.unwrap_or_else(|| {
            let id = next_id;
            next_id = next_id.saturating_add(1);
            MemberKey { id, previous: None }
        }));
    }
    (members, next_id)
}

/// The members' TLS. A member whose files are invalid now, but were valid, keeps its TLS: files change one after the other.
fn connectors(
    config: &config::Balancer,
    members: &[MemberKey],
    contents: &FileContents,
    before: Option<&Arc<Cluster>>,
) -> Result<Vec<Option<Connector>>> {
    let connector = |(key, member): (&MemberKey, &config::Member)| {
        let before = before.zip(key.previous);
        let before = before.and_then(|(before, position)| before.endpoints.get(position));
        let known = before.and_then(|before| before.tls.as_ref());
        let inherits = before.is_some_and(|before| before.config.tls == member.tls);
        match Connector::new(member, contents, known) {
            Err(_) if inherits && known.is_some() => Ok(known.cloned()),
            made => made.with_context(|| format!("TLS of {}", member.settings.name)),
        }
    };
    let members = members.iter().zip(&config.members);
    members.map(connector).collect()
}

/// Warns of a member whose certificate is not verified, unless it was so before.
fn warn_insecure(member: &config::Member, before: Option<&config::Member>) {
    let is_insecure = |member: &config::Member| {
        let tls = member.tls.as_ref();
        tls.is_some_and(|tls| tls.trust == Trust::Insecure)
    };
    if is_insecure(member) && !before.is_some_and(is_insecure) {
        let url = &member.settings.name;
        tracing::warn!(
            "member {url}: its TLS certificate is not verified (verify = false): name its `ca`, or `pin` its certificate"
        );
    }
}

/// When a draining member loses its sessions: `drain-timeout` after the drain began.
fn drain_until(
    config: &config::Member,
    before: Option<(&Member, &config::Member)>,
    now: Duration,
) -> Option<Duration> {
    let timeout = config.drain_timeout?;
    let is_draining = config.settings.status.draining;
    let inherits = before.filter(|(member, before)| {
        is_draining && member.settings.status.draining && before.drain_timeout == Some(timeout)
    });
    match inherits {
        Some((member, _)) => member.settings.drain_until,
        None => Some(now.saturating_add(timeout)),
    }
}

/// A member as plugins see it.
fn peer((key, member): (&MemberKey, &config::Member)) -> MemberConfig {
    let (settings, check) = (&member.settings, member.check.as_ref());
    MemberConfig {
        id: key.id,
        url: settings.name.clone(),
        weight: settings.lbfactor,
        lbset: settings.lbset.into(),
        route: settings.route.clone(),
        passes: check.map_or(1, |check| check.passes),
        fails: check.map_or(1, |check| check.fails),
        metadata: member.metadata.clone(),
    }
}
