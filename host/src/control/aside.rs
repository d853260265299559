//! Plugins that are set aside: those that refuse a change which an operator wants all the same.
//!
//! A plugin is set aside for one balancer, whose fallback then decides. It is asked again when there is another version of it,
//! or when what it is told of that balancer changes: its settings, and the members. If it takes that, it serves again; if it
//! refuses a change by the API again, it stays aside; a version or a configuration file that it refuses is refused, as ever.

use anyhow::Error;

use super::command::Refusal;
use super::controller::Controller;
use super::loaded_config::Unfit;
use equipoise_proxy::snapshot::{Aside, OnRefusal, PendingSnapshot, Snapshot};
use equipoise_text::bounded;

impl Controller {
    /// A draft is in force from now on.
    pub(super) fn activate(&self, draft: PendingSnapshot) {
        let before = self.current.load();
        self.current.replace(draft.activate());
        self.log_set_aside(&before, &self.current.load());
    }

    /// Tells which plugins were set aside, and which serve again.
    fn log_set_aside(&self, before: &Snapshot, now: &Snapshot) {
        let (before, now): (Vec<_>, Vec<_>) = (before.aside().collect(), now.aside().collect());
        for aside in now.iter().filter(|it| !is_among(it, &before)) {
            let Aside {
                balancer,
                plugin,
                reason,
            } = aside;
            tracing::warn!(
                "plugin {plugin} is set aside for balancer {balancer}: {reason}; the fallback decides until the plugin's file changes, or what it is told of the balancer, and it takes that"
            );
            self.record_set_aside(
                plugin,
                &format!("set aside for balancer {balancer}: {reason}"),
            );
        }
        for Aside {
            balancer, plugin, ..
        } in before.iter().filter(|it| !is_among(it, &now))
        {
            let what = format!("no longer set aside for balancer {balancer}");
            tracing::info!("plugin {plugin} is {what}");
            self.record_set_aside(plugin, &what);
        }
    }

    fn record_set_aside(&self, plugin: &str, what: &str) {
        let mut shelves = self.shelves.iter();
        let Some(shelf) = shelves.find(|shelf| shelf.plugin.name == plugin) else {
            return;
        };
        let version = shelf.version().map(|version| version.short_hash());
        shelf.events.note(version.unwrap_or_default(), what);
    }
}

fn is_among(aside: &Aside<'_>, others: &[Aside<'_>]) -> bool {
    let is_same = |it: &Aside<'_>| (it.balancer, it.plugin) == (aside.balancer, aside.plugin);
    others.iter().any(is_same)
}

/// Why a draft was refused: by which plugins, if it was by any, and how to go on where an operator may.
pub(super) fn refusal(error: &Error, unfit: Vec<Unfit>, on_refusal: OnRefusal<'_>) -> Refusal {
    let line = |Unfit { plugin, words }: Unfit| match on_refusal {
        OnRefusal::Refuse => words,
        OnRefusal::SetAside(_) => format!(
            "{words}; to change this all the same, add `set-aside={plugin}` to the query: the fallback then decides"
        ),
    };
    let lines: Vec<_> = unfit.into_iter().map(line).collect();
    match lines.is_empty() {
        true => Refusal::Unfit(bounded::error(error)),
        false => Refusal::Unfit(lines.join("\n")),
    }
}

/// Fails where a plugin is to be set aside that there is not.
///
/// # Errors
/// It has the name of none.
pub(super) fn check_names(names: &[String], before: &Snapshot) -> Result<(), Refusal> {
    let plugins = &before.config.plugins;
    let is_known = |name: &&String| plugins.iter().any(|plugin| plugin.name == **name);
    let unknown = names.iter().find(|name| !is_known(name));
    match unknown {
        Some(name) => Err(Refusal::Unfit(format!(
            "set-aside: there is no plugin {name}: GET /api/v1/plugins lists them"
        ))),
        None => Ok(()),
    }
}
