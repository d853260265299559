//! The specs of a balancer's policies, and how policies are built from them. A policy whose spec has not changed is kept, with
//! its state.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::Result;
use equipoise_balancer::{
    HealthEvaluator, PluginHealthPolicy, PluginVersion, Role, SelectorWithFallback,
};
use equipoise_bybusyness::ByBusyness;
use equipoise_byrequests::ByRequests;
use equipoise_bytraffic::ByTraffic;
use equipoise_heartbeat::Heartbeat;
use equipoise_sdk::health::HealthPolicy as _;
use equipoise_sdk::{
    Candidates, Env, MemberConfig, PolicyConfig, Request, Selector, SessionReader,
};
use equipoise_session::Session;

use super::aside::OnRefusal;
use equipoise_config::{
    self as config, BuiltinMethod, Config, Instances, Method, Outlier, SessionSource, Sticky,
};
use equipoise_text::bounded;
use equipoise_tls::FileContents;

/// Makes specs of a configuration and the versions of its plugins that serve.
#[derive(Clone, Copy)]
pub(super) struct PolicyFactory<'pending> {
    pub(super) config: &'pending Config,
    pub(super) versions: &'pending [Option<Arc<dyn PluginVersion>>],
    /// The contents of the files for TLS.
    pub(super) contents: &'pending FileContents,
    pub(super) on_refusal: OnRefusal<'pending>,
}

/// The specs of a balancer's policies.
#[derive(Clone, PartialEq)]
pub(super) struct PolicySpecs {
    pub(super) methods: MethodSpec,
    pub(super) session: Option<SessionSpec>,
    pub(super) health: HealthSpec,
}

/// The spec of the balancing method.
#[derive(Clone, PartialEq)]
pub(super) struct MethodSpec {
    /// The method, or the plugin's fallback.
    builtin: BuiltinMethod,
    plugin: Option<PluginSpec>,
}

/// The spec of the session reader.
#[derive(Clone, PartialEq)]
pub(super) enum SessionSpec {
    /// The built-in reader, with the routes of the members.
    Names(Sticky, BTreeSet<String>),
    Plugin(PluginSpec),
}

/// The spec of the health evaluator.
#[derive(Clone, PartialEq)]
pub(super) struct HealthSpec {
    /// The configuration of the built-in rule: of the members, their checks alone.
    rule: PolicyConfig,
    plugin: Option<PluginSpec>,
}

/// A plugin in a role.
#[derive(Clone)]
pub(super) struct PluginSpec {
    name: String,
    /// `None` while it is not loaded.
    version: Option<Arc<dyn PluginVersion>>,
    setup: Arc<PolicyConfig>,
    /// The number of instances.
    instances: usize,
    /// Why it is set aside; none where it is not.
    aside: Option<Arc<str>>,
}

impl PartialEq for PluginSpec {
    /// A version that is loaded again is another one. Whether it is set aside does not matter.
    fn eq(&self, other: &Self) -> bool {
        let address =
            |plugin_spec: &Self| Some(Arc::as_ptr(plugin_spec.version.as_ref()?).cast::<()>());
        address(self) == address(other)
            && self.setup == other.setup
            && self.instances == other.instances
    }
}

impl PluginSpec {
    /// Whether this is the same plugin, in any version: it may restore that one's state.
    fn is_same_plugin(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| self.name == other.name)
    }

    /// Builds a policy of the plugin in this role, the successor of `before`. `None` where it is not called: it is not loaded,
    /// out of service, or set aside, which it may be from now on.
    ///
    /// # Errors
    /// Why it cannot be used for that.
    fn build<T>(
        &mut self,
        role: Role,
        before: Option<&Self>,
        on_refusal: OnRefusal<'_>,
        build: impl FnOnce(&Arc<dyn PluginVersion>, &Self) -> Result<T>,
    ) -> Result<Option<T>> {
        let aside = before.filter(|it| self.is_same_plugin(Some(it)) && it.aside.is_some());
        let Some(version) = &self.version else {
            return Ok(None);
        };
        if let Some(same) = aside.filter(|it| self == *it) {
            self.aside.clone_from(&same.aside);
            return Ok(None);
        }
        let made = match version.is_quarantined() {
            // It is not called any more.
            true => version.check_role(role).map(|()| None),
            false => build(version, self).map(Some),
        };
        made.or_else(|error| {
            if !on_refusal.sets_aside(&self.name, aside.is_some()) {
                return Err(error);
            }
            self.aside = Some(bounded::error(&error).into());
            Ok(None)
        })
    }
}

impl PolicySpecs {
    /// The plugins that are set aside, and why.
    pub(super) fn aside(&self) -> impl Iterator<Item = (&str, &str)> {
        let session = match &self.session {
            Some(SessionSpec::Plugin(plugin_spec)) => Some(plugin_spec),
            Some(SessionSpec::Names(..)) | None => None,
        };
        let plugin_specs = [&self.methods.plugin, &self.health.plugin].map(Option::as_ref);
        let plugin_specs = plugin_specs.into_iter().chain([session]).flatten();
        plugin_specs
            .filter_map(|plugin_spec| Some((&*plugin_spec.name, &**plugin_spec.aside.as_ref()?)))
    }

    /// Builds the session reader, if there is one.
    ///
    /// # Errors
    /// Why the plugin cannot be used for that.
    pub(super) fn build_session(
        &mut self,
        before: Option<&SessionSpec>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<Option<Box<dyn SessionReader>>> {
        let session = self.session.as_mut();
        let session = session.map(|session| session.build(before, on_refusal));
        session.transpose().map(Option::flatten)
    }
}

impl PolicyFactory<'_> {
    /// The specs of the policies of a balancer with these members.
    pub(super) fn specs(
        self,
        balancer: &config::Balancer,
        members: &[MemberConfig],
    ) -> PolicySpecs {
        let plugin_spec = |plugin| self.plugin_spec(plugin, members);
        let (builtin, plugin) = match balancer.method {
            Method::Builtin(builtin) => (builtin, None),
            Method::Plugin { plugin, fallback } => (fallback, Some(plugin_spec(plugin))),
        };
        let routes = || members.iter().filter_map(|it| it.route.clone()).collect();
        let session = balancer.sticky.as_ref().map(|sticky| match sticky.source {
            SessionSource::Names { .. } => SessionSpec::Names(sticky.clone(), routes()),
            SessionSource::Plugin(plugin) => SessionSpec::Plugin(plugin_spec(plugin)),
        });
        let outlier = balancer.outlier.as_ref();
        PolicySpecs {
            methods: MethodSpec { builtin, plugin },
            session,
            health: HealthSpec {
                rule: PolicyConfig {
                    settings: outlier.map(Outlier::settings).unwrap_or_default(),
                    members: members.iter().map(checks_of).collect(),
                },
                plugin: balancer.health_plugin.map(plugin_spec),
            },
        }
    }

    fn plugin_spec(self, plugin: usize, members: &[MemberConfig]) -> PluginSpec {
        let config = &self.config.plugins[plugin];
        PluginSpec {
            name: config.name.clone(),
            version: self.versions[plugin].clone(),
            setup: Arc::new(PolicyConfig {
                settings: config.settings.clone(),
                members: members.to_vec(),
            }),
            instances: match config.instances {
                Instances::PerBalancer => 1,
                Instances::PerWorker => self.config.workers.get(),
            },
            aside: None,
        }
    }
}

impl MethodSpec {
    /// Builds the selectors: one, or one for each worker.
    ///
    /// # Errors
    /// Why the plugin cannot be used for that.
    pub(super) fn build(
        &mut self,
        before: Option<&Self>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<Vec<SelectorWithFallback>> {
        let Some(plugin_spec) = &mut self.plugin else {
            return Ok(vec![SelectorWithFallback {
                selector: builtin(self.builtin),
                fallback: Box::<ByRequests>::default(),
                renewal: None,
            }]);
        };
        let before = before.and_then(|before| before.plugin.as_ref());
        let selectors = plugin_spec.build(
            Role::Selector,
            before,
            on_refusal,
            |version, plugin_spec| {
                let numbers = 0..plugin_spec.instances;
                let selectors =
                    numbers.map(|number| version.clone().selector(&plugin_spec.setup, number));
                selectors.collect::<Result<Vec<_>>>()
            },
        )?;
        let with_fallback = |selector, renewal| SelectorWithFallback {
            selector,
            fallback: builtin(self.builtin),
            renewal,
        };
        Ok(match selectors {
            Some(selectors) => {
                let selectors = selectors.into_iter();
                let selectors = selectors.map(|it| with_fallback(it.selector, Some(it.renewal)));
                selectors.collect()
            }
            None => {
                let no_selector = |_| with_fallback(Box::new(NoSelector), None);
                (0..plugin_spec.instances).map(no_selector).collect()
            }
        })
    }

    /// Whether a method of this spec can take over the state of one of `before`.
    pub(super) fn can_inherit(&self, before: &Self) -> bool {
        match &self.plugin {
            Some(plugin_spec) => plugin_spec.is_same_plugin(before.plugin.as_ref()),
            None => before.plugin.is_none() && self.builtin == before.builtin,
        }
    }
}

impl SessionSpec {
    /// Builds the session reader.
    ///
    /// # Errors
    /// Why the plugin cannot be used for that.
    fn build(
        &mut self,
        before: Option<&Self>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<Option<Box<dyn SessionReader>>> {
        let before = match before {
            Some(Self::Plugin(before)) => Some(before),
            Some(Self::Names(..)) | None => None,
        };
        match self {
            Self::Names(sticky, routes) => Ok(session_reader(sticky, routes)),
            Self::Plugin(plugin_spec) => {
                plugin_spec.build(Role::Session, before, on_refusal, |version, plugin_spec| {
                    version
                        .clone()
                        .session(&plugin_spec.setup, plugin_spec.instances)
                })
            }
        }
    }

    /// Whether a reader of this spec can take over the state of one of `before`.
    pub(super) fn can_inherit(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Plugin(plugin_spec), Self::Plugin(before)) => {
                plugin_spec.is_same_plugin(Some(before))
            }
            _ => false,
        }
    }
}

impl HealthSpec {
    /// Builds the health evaluator: of the plugin, if there is one, with the built-in rule as its fallback.
    ///
    /// # Errors
    /// Why the plugin cannot be used for that.
    pub(super) fn build(
        &mut self,
        before: Option<&Self>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<HealthEvaluator> {
        let mut rule = equipoise_health::Health::default();
        if let Err(error) = rule.configure(&self.rule) {
            // The configuration is checked against the same ranges.
            tracing::error!(%error, "the built-in health rule refuses its settings");
        }
        let before = before.and_then(|before| before.plugin.as_ref());
        let plugin = self.plugin.as_mut().map(|plugin_spec| {
            plugin_spec.build(Role::Health, before, on_refusal, |version, plugin_spec| {
                version.clone().health_policy(&plugin_spec.setup)
            })
        });
        let plugin: Option<Box<dyn PluginHealthPolicy>> = plugin.transpose()?.flatten();
        let ids = self.rule.members.iter().map(|peer| peer.id);
        Ok(HealthEvaluator::new(ids, Box::new(rule), plugin))
    }

    /// The configuration of the built-in rule.
    pub(super) fn rule(&self) -> &PolicyConfig {
        &self.rule
    }

    /// Whether the rule of this spec can take over the state of the one of `before`.
    pub(super) fn can_inherit_rule(&self, before: &Self) -> bool {
        self.rule.settings == before.rule.settings
    }

    /// The same of the plugin.
    pub(super) fn can_inherit_plugin(&self, before: &Self) -> bool {
        let plugin_spec = self.plugin.as_ref();
        plugin_spec.is_some_and(|plugin_spec| plugin_spec.is_same_plugin(before.plugin.as_ref()))
    }
}

/// A member as the built-in rule is configured with it, so that other changes of it leave the rule as it is.
fn checks_of(member: &MemberConfig) -> MemberConfig {
    MemberConfig {
        id: member.id,
        passes: member.passes,
        fails: member.fails,
        ..MemberConfig::default()
    }
}

fn builtin(method: BuiltinMethod) -> Box<dyn Selector> {
    match method {
        BuiltinMethod::Byrequests => Box::<ByRequests>::default(),
        BuiltinMethod::Bytraffic => Box::<ByTraffic>::default(),
        BuiltinMethod::Bybusyness => Box::<ByBusyness>::default(),
        BuiltinMethod::Heartbeat => Box::<Heartbeat>::default(),
    }
}

/// The selector of a plugin that is not loaded: selects nothing, so that the fallback decides.
struct NoSelector;

impl Selector for NoSelector {
    fn select(
        &mut self,
        _request: &dyn Request,
        _candidates: &dyn Candidates,
        _host: &dyn Env,
    ) -> Option<usize> {
        None
    }
}

/// The built-in session reader, where the configuration names a cookie or parameter.
fn session_reader(sticky: &Sticky, routes: &BTreeSet<String>) -> Option<Box<dyn SessionReader>> {
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
        routes: routes.clone(),
    }))
}
