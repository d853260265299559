//! A balancer with all that is needed to reach its members, and how it succeeds the one before.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use equipoise_balancer::{
    Balancer, Counters, HealthEvaluator, Member, MemberSettings, SelectorWithFallback,
};
use equipoise_sdk::{MemberConfig, SessionReader};

use super::aside::{Aside, OnRefusal};
use super::recipe::{Kitchen, Recipes};
use crate::forward::RetryBudget;
use crate::observe::meters::BalancerMeters;
use crate::observe::{Chronicle, Exchanges, Loads};
use crate::upstream::Upstream;
use equipoise_config::{self as config, Trust};
use equipoise_tls::{Connector, Contents};

/// A balancer with all that is needed to reach its members.
pub struct Cluster {
    /// Who decides.
    pub balancer: Balancer,
    /// Its settings.
    pub config: Arc<config::Balancer>,
    /// How to reach each member, in configuration order, as [`Balancer::members`].
    pub upstreams: Vec<Arc<Upstream>>,
    /// Who says which members are healthy; asked by a thread of its own.
    pub judgement: Arc<Mutex<HealthEvaluator>>,
    /// Where requests that end are noted for the judge; none where it does not care.
    pub exchanges: Option<Arc<Exchanges>>,
    /// What happened to the members' health.
    pub chronicle: Arc<Chronicle>,
    /// What is counted of it.
    pub meters: Arc<BalancerMeters>,
    /// The retries that it may make.
    pub retry_budget: Arc<RetryBudget>,
    /// Where the members stand in the method's schedule.
    pub loads: Arc<Loads>,
    recipes: Recipes,
    /// The id of the next member that is new; ids are never given to another.
    next_id: u32,
}

/// A cluster that could be in force.
pub(super) enum ClusterDraft {
    /// Everything is as before.
    Same(Arc<Cluster>),
    Changed(Box<Changed>),
}

/// What is made anew.
pub(super) struct Changed {
    config: config::Balancer,
    members: Vec<Identity>,
    /// How each member is spoken to by TLS.
    connectors: Vec<Option<Connector>>,
    next_id: u32,
    recipes: Recipes,
    policies: Policies,
    judgement: Arc<Mutex<HealthEvaluator>>,
}

/// The policies of a draft.
enum Policies {
    /// Of a balancer that was not there before.
    First {
        methods: Vec<SelectorWithFallback>,
        session: Option<Box<dyn SessionReader>>,
    },
    /// Of one that was; `None` stands for what it had.
    After {
        before: Arc<Cluster>,
        methods: Option<Vec<SelectorWithFallback>>,
        session: Option<Option<Box<dyn SessionReader>>>,
    },
}

/// Who a member is: one that is there already, or a new one.
struct Identity {
    id: u32,
    /// Its place among the members before.
    place: Option<usize>,
}

impl Cluster {
    /// The balancer's name.
    pub fn name(&self) -> &str {
        &self.config.settings.name
    }

    /// The members as plugins are told of them.
    #[cfg(test)]
    pub(super) fn peers(&self) -> &[MemberConfig] {
        self.recipes.judge.members()
    }

    /// The plugins that are set aside for this balancer.
    pub fn aside(&self) -> impl Iterator<Item = Aside<'_>> {
        let aside = self.recipes.aside();
        aside.map(|(plugin, reason)| Aside {
            balancer: self.name(),
            plugin,
            reason,
        })
    }

    /// The member with this id, and its place.
    pub fn member(&self, id: u32) -> Option<(usize, &Arc<Member>)> {
        let place = self.balancer.position(id)?;
        Some((place, self.balancer.members().get(place)?))
    }
}

impl ClusterDraft {
    /// The balancer as this configuration has it, where it was `before` until now.
    ///
    /// # Errors
    /// Why a plugin cannot serve it, or a member not be reached by TLS.
    pub(super) fn new(
        config: &config::Balancer,
        kitchen: &Kitchen<'_>,
        before: Option<&Arc<Cluster>>,
    ) -> Result<Self> {
        let (members, next_id) = identify(config, before);
        let peers: Vec<_> = members.iter().zip(&config.members).map(peer).collect();
        let mut recipes = kitchen.recipes(config, &peers);
        let connectors = connectors(config, &members, kitchen.contents, before)?;
        if let Some(before) = before
            && *before.config == *config
            && before.recipes == recipes
            && before.upstreams.iter().map(|it| &it.tls).eq(&connectors)
        {
            return Ok(Self::Same(before.clone()));
        }
        let known = before.map(|before| &before.recipes);
        let judge = known.map(|known| &known.judge);
        let judgement = match before.filter(|_| judge == Some(&recipes.judge)) {
            Some(before) => {
                recipes.judge.clone_from(&before.recipes.judge);
                before.judgement.clone()
            }
            None => {
                let made = recipes.judge.make(judge, kitchen.on_refusal)?;
                Arc::new(Mutex::new(made))
            }
        };
        Ok(Self::Changed(Box::new(Changed {
            policies: Policies::new(&mut recipes, before, kitchen.on_refusal)?,
            config: config.clone(),
            members,
            connectors,
            next_id,
            recipes,
            judgement,
        })))
    }

    /// The cluster, from `now` on.
    pub(super) fn come_into_force(self, now: Duration) -> Arc<Cluster> {
        match self {
            Self::Same(cluster) => cluster,
            Self::Changed(changed) => {
                let before = changed.policies.before().cloned();
                let cluster = changed.come_into_force(now);
                if let Some(before) = before {
                    cluster.clear_stale_health(&before, now);
                }
                Arc::new(cluster)
            }
        }
    }
}

impl Policies {
    /// Those of a balancer with these recipes, of which those that are as before are made of nothing.
    fn new(
        recipes: &mut Recipes,
        before: Option<&Arc<Cluster>>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<Self> {
        let Some(before) = before else {
            return Ok(Self::First {
                methods: recipes.methods.make(None, on_refusal)?,
                session: recipes.make_session(None, on_refusal)?,
            });
        };
        let known = &before.recipes;
        let methods = match known.methods == recipes.methods {
            true => {
                recipes.methods.clone_from(&known.methods);
                None
            }
            false => Some(recipes.methods.make(Some(&known.methods), on_refusal)?),
        };
        let session = match known.session == recipes.session {
            true => {
                recipes.session.clone_from(&known.session);
                None
            }
            false => Some(recipes.make_session(known.session.as_ref(), on_refusal)?),
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
    fn come_into_force(self, now: Duration) -> Cluster {
        let before = self.policies.before();
        let meters = before.map_or_else(Arc::default, |before| before.meters.clone());
        let loads = before.map_or_else(Arc::default, |before| before.loads.clone());
        let retry_budget = before.map_or_else(Arc::default, |before| before.retry_budget.clone());
        let (upstreams, members) = (self.upstreams(), self.members(now));
        let settings = self.config.settings.clone();
        let cares = self.config.outlier.is_some() || self.config.health_plugin.is_some();
        self.inherit_judgement();
        let (balancer, exchanges, chronicle) = match self.policies {
            Policies::First { methods, session } => {
                let chronicle = Arc::new(Chronicle::new(&settings.name));
                let balancer = Balancer::new(settings, members, session, methods);
                (balancer.with_observer(chronicle.clone()), None, chronicle)
            }
            Policies::After {
                before,
                methods,
                session,
            } => {
                before.chronicle.retain(&members);
                let mut balancer = before.balancer.with_members(settings, members, now);
                if let Some(session) = session {
                    let recipes = self
                        .recipes
                        .session
                        .as_ref()
                        .zip(before.recipes.session.as_ref());
                    let goes_on = recipes.is_some_and(|(now, before)| now.goes_on_from(before));
                    balancer = balancer.with_session(session, goes_on);
                }
                if let Some(methods) = methods {
                    let goes_on = self.recipes.methods.goes_on_from(&before.recipes.methods);
                    balancer = balancer.with_selectors(methods, goes_on);
                }
                (balancer, before.exchanges.clone(), before.chronicle.clone())
            }
        };
        Cluster {
            balancer,
            config: Arc::new(self.config),
            upstreams,
            judgement: self.judgement,
            exchanges: cares.then(|| exchanges.unwrap_or_default()),
            chronicle,
            meters,
            retry_budget,
            loads,
            recipes: self.recipes,
            next_id: self.next_id,
        }
    }

    /// A judgement that is made anew goes on where the one before is, as far as that is of use.
    fn inherit_judgement(&self) {
        let Some(before) = self.policies.before() else {
            return;
        };
        let (now, known) = (&self.recipes.judge, &before.recipes.judge);
        if Arc::ptr_eq(&self.judgement, &before.judgement) || !now.rule_goes_on_from(known) {
            return;
        }
        let judgement = self.judgement.lock();
        let mut judgement = judgement.unwrap_or_else(PoisonError::into_inner);
        let before = before.judgement.lock();
        let mut before = before.unwrap_or_else(PoisonError::into_inner);
        judgement.inherit(&mut before, now.plugin_goes_on_from(known));
    }

    /// How to reach the members.
    fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let members = self.members.iter().zip(&self.config.members);
        let members = members.zip(&self.connectors);
        let upstream = |((identity, config), tls): ((_, &config::Member), &Option<_>)| {
            let before = self.upstream_before(identity);
            warn_of_anybody(config, before.map(|before| &before.config));
            match before {
                Some(before) if before.config == *config && before.tls == *tls => before.clone(),
                before => Arc::new(Upstream::new(
                    config,
                    tls.clone(),
                    before.map(|before| &**before),
                )),
            }
        };
        members.map(upstream).collect()
    }

    /// The members with what they count.
    fn members(&self, now: Duration) -> Vec<Member> {
        let members = self.members.iter().zip(&self.config.members);
        let member = |(identity, config): (&Identity, &config::Member)| {
            let before = self.member_before(identity);
            let kept = before.zip(self.upstream_before(identity));
            Member {
                id: identity.id,
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

    fn member_before(&self, identity: &Identity) -> Option<&Arc<Member>> {
        let before = self.policies.before()?;
        before.balancer.members().get(identity.place?)
    }

    fn upstream_before(&self, identity: &Identity) -> Option<&Arc<Upstream>> {
        self.policies.before()?.upstreams.get(identity.place?)
    }
}

impl Cluster {
    /// Lets go of what was said of members by somebody who will say no more: their checks are no longer made, or requests no
    /// longer judged, or by other rules.
    fn clear_stale_health(&self, before: &Self, now: Duration) {
        let is_other_rule = !self.recipes.judge.rule_goes_on_from(&before.recipes.judge);
        for (member, upstream) in self.balancer.members().iter().zip(&self.upstreams) {
            let is_unjudged = upstream.config.check.is_none() && self.exchanges.is_none();
            if member.counters.is_unhealthy() && (is_other_rule || is_unjudged) {
                let judgement = self.judgement.lock();
                judgement
                    .unwrap_or_else(PoisonError::into_inner)
                    .clear(member.id);
                let reason = "how it is judged has been configured anew";
                self.balancer.set_health(member.id, true, reason, now);
            }
        }
    }
}

/// Who the members of a configuration are, and the next id.
fn identify(config: &config::Balancer, before: Option<&Arc<Cluster>>) -> (Vec<Identity>, u32) {
    let mut next_id = before.map_or(0, |before| before.next_id);
    let mut known = HashMap::new();
    if let Some(before) = before {
        let members = before.balancer.members().iter().zip(&before.upstreams);
        for (place, (member, upstream)) in members.enumerate() {
            let (id, place) = (member.id, Some(place));
            known.insert(upstream.config.location(), Identity { id, place });
        }
    }
    let mut members = Vec::with_capacity(config.members.len());
    for member in &config.members {
        let identity = known.remove(&member.location());
        members.push(identity.unwrap_or_else(|| {
            let id = next_id;
            next_id = next_id.saturating_add(1);
            Identity { id, place: None }
        }));
    }
    (members, next_id)
}

/// How the members are spoken to by TLS. Those whose files are of no use now, but were, are spoken to as before: files change one
/// after the other.
fn connectors(
    config: &config::Balancer,
    members: &[Identity],
    contents: &Contents,
    before: Option<&Arc<Cluster>>,
) -> Result<Vec<Option<Connector>>> {
    let connector = |(identity, member): (&Identity, &config::Member)| {
        let before = before.zip(identity.place);
        let before = before.and_then(|(before, place)| before.upstreams.get(place));
        let known = before.and_then(|before| before.tls.as_ref());
        let goes_on = before.is_some_and(|before| before.config.tls == member.tls);
        match Connector::new(member, contents, known) {
            Err(_) if goes_on && known.is_some() => Ok(known.cloned()),
            made => made.with_context(|| format!("TLS of {}", member.settings.name)),
        }
    };
    let members = members.iter().zip(&config.members);
    members.map(connector).collect()
}

/// Warns of a member that anybody may pose as, unless it was so before.
fn warn_of_anybody(member: &config::Member, before: Option<&config::Member>) {
    let is_anybody = |member: &config::Member| {
        let tls = member.tls.as_ref();
        tls.is_some_and(|tls| tls.trust == Trust::Insecure)
    };
    if is_anybody(member) && !before.is_some_and(is_anybody) {
        let url = &member.settings.name;
        tracing::warn!(
            "member {url}: anybody may pose as it, since its tls has verify = false: name its `ca`, or `pin` its certificate"
        );
    }
}

/// Until when a member keeps its sessions while it drains: from the moment on that it was told to.
fn drain_until(
    config: &config::Member,
    before: Option<(&Member, &config::Member)>,
    now: Duration,
) -> Option<Duration> {
    let timeout = config.drain_timeout?;
    let is_draining = config.settings.status.draining;
    let goes_on = before.filter(|(member, before)| {
        is_draining && member.settings.status.draining && before.drain_timeout == Some(timeout)
    });
    match goes_on {
        Some((member, _)) => member.settings.drain_until,
        None => Some(now.saturating_add(timeout)),
    }
}

/// A member as plugins are told of it.
fn peer((identity, member): (&Identity, &config::Member)) -> MemberConfig {
    let (settings, check) = (&member.settings, member.check.as_ref());
    MemberConfig {
        id: identity.id,
        url: settings.name.clone(),
        weight: settings.lbfactor,
        lbset: settings.lbset.into(),
        route: settings.route.clone(),
        passes: check.map_or(1, |check| check.passes),
        fails: check.map_or(1, |check| check.fails),
        metadata: member.metadata.clone(),
    }
}
