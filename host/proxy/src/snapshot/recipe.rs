//! What the policies of a balancer are made of. Policies whose recipe stays the same are kept, with all they remember.

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
use equipoise_tls::Contents;

/// Where recipes come from: a configuration and the versions of its plugins that serve.
#[derive(Clone, Copy)]
pub(super) struct Kitchen<'draft> {
    pub(super) config: &'draft Config,
    pub(super) versions: &'draft [Option<Arc<dyn PluginVersion>>],
    /// Of the files for TLS.
    pub(super) contents: &'draft Contents,
    pub(super) on_refusal: OnRefusal<'draft>,
}

/// How the policies of a balancer are made.
#[derive(Clone, PartialEq)]
pub(super) struct Recipes {
    pub(super) methods: MethodRecipe,
    pub(super) session: Option<SessionRecipe>,
    pub(super) judge: JudgeRecipe,
}

/// How the method is made.
#[derive(Clone, PartialEq)]
pub(super) struct MethodRecipe {
    /// What chooses, or stands behind the plugin.
    builtin: BuiltinMethod,
    plugin: Option<Guest>,
}

/// How the reader of sessions is made.
#[derive(Clone, PartialEq)]
pub(super) enum SessionRecipe {
    /// By the built-in reader, which knows the routes of the members.
    Names(Sticky, BTreeSet<String>),
    Plugin(Guest),
}

/// How the judge is made.
#[derive(Clone, PartialEq)]
pub(super) struct JudgeRecipe {
    /// What the built-in rule is told.
    rule: PolicyConfig,
    plugin: Option<Guest>,
}

/// A plugin in a role.
#[derive(Clone)]
pub(super) struct Guest {
    name: String,
    /// `None` while it is not loaded.
    version: Option<Arc<dyn PluginVersion>>,
    setup: Arc<PolicyConfig>,
    /// How many of it.
    instances: usize,
    /// Why it is set aside, where it is.
    aside: Option<Arc<str>>,
}

impl PartialEq for Guest {
    /// A version that is loaded again is another one. One that is set aside is still the same.
    fn eq(&self, other: &Self) -> bool {
        let address = |guest: &Self| Some(Arc::as_ptr(guest.version.as_ref()?).cast::<()>());
        address(self) == address(other)
            && self.setup == other.setup
            && self.instances == other.instances
    }
}

impl Guest {
    /// Whether this is the same plugin, in whatever version: it knows what to make of what that remembers.
    fn is(&self, other: Option<&Self>) -> bool {
        other.is_some_and(|other| self.name == other.name)
    }

    /// Makes something of the plugin in this role, where it was `before` until now. `None` where it is not asked: it is not
    /// loaded, out of service, or set aside, which it may be from now on.
    ///
    /// # Errors
    /// Why it is not fit for that.
    fn make<T>(
        &mut self,
        role: Role,
        before: Option<&Self>,
        on_refusal: OnRefusal<'_>,
        make: impl FnOnce(&Arc<dyn PluginVersion>, &Self) -> Result<T>,
    ) -> Result<Option<T>> {
        let aside = before.filter(|it| self.is(Some(it)) && it.aside.is_some());
        let Some(version) = &self.version else {
            return Ok(None);
        };
        if let Some(same) = aside.filter(|it| self == *it) {
            self.aside.clone_from(&same.aside);
            return Ok(None);
        }
        let made = match version.is_quarantined() {
            // It answers nothing any more, whatever it is told.
            true => version.check_role(role).map(|()| None),
            false => make(version, self).map(Some),
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

impl Recipes {
    /// The plugins that are set aside, and why.
    pub(super) fn aside(&self) -> impl Iterator<Item = (&str, &str)> {
        let session = match &self.session {
            Some(SessionRecipe::Plugin(guest)) => Some(guest),
            Some(SessionRecipe::Names(..)) | None => None,
        };
        let guests = [&self.methods.plugin, &self.judge.plugin].map(Option::as_ref);
        let guests = guests.into_iter().chain([session]).flatten();
        guests.filter_map(|guest| Some((&*guest.name, &**guest.aside.as_ref()?)))
    }

    /// How the balancer reads sessions, if it does.
    ///
    /// # Errors
    /// Why the plugin is not fit for that.
    pub(super) fn make_session(
        &mut self,
        before: Option<&SessionRecipe>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<Option<Box<dyn SessionReader>>> {
        let session = self.session.as_mut();
        let session = session.map(|session| session.make(before, on_refusal));
        session.transpose().map(Option::flatten)
    }
}

impl Kitchen<'_> {
    /// How the policies of a balancer with these members are made.
    pub(super) fn recipes(self, balancer: &config::Balancer, members: &[MemberConfig]) -> Recipes {
        let guest = |plugin| self.guest(plugin, members);
        let (builtin, plugin) = match balancer.method {
            Method::Builtin(builtin) => (builtin, None),
            Method::Plugin { plugin, fallback } => (fallback, Some(guest(plugin))),
        };
        let routes = || members.iter().filter_map(|it| it.route.clone()).collect();
        let session = balancer.sticky.as_ref().map(|sticky| match sticky.source {
            SessionSource::Names { .. } => SessionRecipe::Names(sticky.clone(), routes()),
            SessionSource::Plugin(plugin) => SessionRecipe::Plugin(guest(plugin)),
        });
        let outlier = balancer.outlier.as_ref();
        Recipes {
            methods: MethodRecipe { builtin, plugin },
            session,
            judge: JudgeRecipe {
                rule: PolicyConfig {
                    settings: outlier.map(Outlier::settings).unwrap_or_default(),
                    members: members.to_vec(),
                },
                plugin: balancer.health_plugin.map(guest),
            },
        }
    }

    fn guest(self, plugin: usize, members: &[MemberConfig]) -> Guest {
        let config = &self.config.plugins[plugin];
        Guest {
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

impl MethodRecipe {
    /// How the balancer chooses: once, or once for each worker.
    ///
    /// # Errors
    /// Why the plugin is not fit for that.
    pub(super) fn make(
        &mut self,
        before: Option<&Self>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<Vec<SelectorWithFallback>> {
        let Some(guest) = &mut self.plugin else {
            return Ok(vec![SelectorWithFallback {
                selector: builtin(self.builtin),
                fallback: Box::<ByRequests>::default(),
            }]);
        };
        let before = before.and_then(|before| before.plugin.as_ref());
        let selectors = guest.make(Role::Selector, before, on_refusal, |version, guest| {
            let numbers = 0..guest.instances;
            let selectors = numbers.map(|number| version.clone().selector(&guest.setup, number));
            selectors.collect::<Result<Vec<_>>>()
        })?;
        let undecided = |_| -> Box<dyn Selector> { Box::new(Undecided) };
        let selectors = selectors.unwrap_or_else(|| (0..guest.instances).map(undecided).collect());
        let methods = selectors.into_iter().map(|selector| SelectorWithFallback {
            selector,
            fallback: builtin(self.builtin),
        });
        Ok(methods.collect())
    }

    /// Whether what the method remembers is of use to one that is made by this recipe.
    pub(super) fn goes_on_from(&self, before: &Self) -> bool {
        match &self.plugin {
            Some(guest) => guest.is(before.plugin.as_ref()),
            None => before.plugin.is_none() && self.builtin == before.builtin,
        }
    }
}

impl SessionRecipe {
    /// How the balancer reads sessions.
    ///
    /// # Errors
    /// Why the plugin is not fit for that.
    fn make(
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
            Self::Plugin(guest) => {
                guest.make(Role::Session, before, on_refusal, |version, guest| {
                    version.clone().session(&guest.setup, guest.instances)
                })
            }
        }
    }

    /// Whether what the reader remembers is of use to one that is made by this recipe.
    pub(super) fn goes_on_from(&self, before: &Self) -> bool {
        match (self, before) {
            (Self::Plugin(guest), Self::Plugin(before)) => guest.is(Some(before)),
            _ => false,
        }
    }
}

impl JudgeRecipe {
    /// Who judges the balancer's members: the plugin, if there is one, with the built-in rule beside it.
    ///
    /// # Errors
    /// Why the plugin is not fit for that.
    pub(super) fn make(
        &mut self,
        before: Option<&Self>,
        on_refusal: OnRefusal<'_>,
    ) -> Result<HealthEvaluator> {
        let mut rule = equipoise_health::Health::default();
        if let Err(error) = rule.configure(&self.rule) {
            // The configuration is checked against the same ranges.
            tracing::error!(%error, "the built-in judge refuses its settings");
        }
        let before = before.and_then(|before| before.plugin.as_ref());
        let plugin = self.plugin.as_mut().map(|guest| {
            guest.make(Role::Health, before, on_refusal, |version, guest| {
                version.clone().judge(&guest.setup)
            })
        });
        let plugin: Option<Box<dyn PluginHealthPolicy>> = plugin.transpose()?.flatten();
        let ids = self.rule.members.iter().map(|peer| peer.id);
        Ok(HealthEvaluator::new(ids, Box::new(rule), plugin))
    }

    /// Whom it judges.
    #[cfg(test)]
    pub(super) fn members(&self) -> &[MemberConfig] {
        &self.rule.members
    }

    /// Whether what the rule remembers is of use to one that is made by this recipe.
    pub(super) fn rule_goes_on_from(&self, before: &Self) -> bool {
        self.rule.settings == before.rule.settings
    }

    /// The same of the plugin.
    pub(super) fn plugin_goes_on_from(&self, before: &Self) -> bool {
        let guest = self.plugin.as_ref();
        guest.is_some_and(|guest| guest.is(before.plugin.as_ref()))
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

/// What stands in for a plugin that is not loaded: the fallback decides everything.
struct Undecided;

impl Selector for Undecided {
    fn select(
        &mut self,
        _request: &dyn Request,
        _candidates: &dyn Candidates,
        _host: &dyn Env,
    ) -> Option<usize> {
        None
    }
}

/// The built-in reader of sessions, where the configuration names what to look for.
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
