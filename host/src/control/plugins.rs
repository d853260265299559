//! Plugins: loading, replacing and rolling back versions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::command::Refusal;
use super::controller::{Controller, WatchedFile};
use super::loaded_config::{cannot_serve, sandbox};
use super::parked::{NotApplied, Task};
use super::replace::{log_replaced, replace};
use equipoise_balancer::PluginVersion;
use equipoise_config::Plugin;
use equipoise_file_watch::{self as file_watch, Content, Hash};
use equipoise_proxy::snapshot::{Inputs, OnRefusal, Snapshot, Versions};
use equipoise_text::bounded;
use equipoise_wasm::{self as wasm, Compilation, Compilations, Loaded, PluginVersions};

/// How often a start that waits for plugins looks whether it is to go on.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

/// The shelves that a configuration would have, and what would be put on them.
pub(super) type Plan = Vec<(PluginVersions, Option<Loaded>)>;

/// Why there is no version of a content.
enum LoadFailure {
    Refused(anyhow::Error),
    /// It is being compiled: by its hash.
    Compiling(Hash),
}

impl From<anyhow::Error> for LoadFailure {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(error)
    }
}

impl Controller {
    /// Loads the plugins, or has them compiled, and begins to watch files.
    pub(super) fn load_plugins(&mut self) -> Result<()> {
        let snapshot = self.current.load();
        self.shelves = snapshot
            .config
            .plugins
            .iter()
            .map(PluginVersions::new)
            .collect();
        self.watch_files();
        for place in 0..self.shelves.len() {
            self.compilations()?;
            let file = self.watched(place);
            match file_watch::read(&self.shelves[place].plugin.file, wasm::MAX_COMPONENT) {
                Ok(content) => {
                    self.watcher.mark_known(&file, content.hash);
                    self.load_content(place, Arc::new(content));
                }
                Err(error) => {
                    self.watcher.mark_reported(&file, &error);
                    self.shelves[place].note_unreadable(&error);
                }
            }
        }
        Ok(())
    }

    /// Waits until every plugin is compiled or refused, and says which ones are not after `compile_timeout`. Ends with an error of
    /// `check_cancelled`, which is asked meanwhile.
    pub(super) fn await_compiled(
        &mut self,
        compile_timeout: Duration,
        check_cancelled: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        while let Some(compilations) = &mut self.compilations
            && !self.parked.is_empty()
        {
            let left = compile_timeout.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let plugins = self.parked.plugins().join(", ");
                tracing::info!(
                    "the start does not wait until plugins are compiled ({plugins}): their fallbacks serve until then"
                );
                break;
            }
            compilations.wait(left.min(POLL_INTERVAL));
            self.resume_parked();
            check_cancelled()?;
        }
        Ok(())
    }

    /// What a list of plugins would have: what is loaded goes on serving, the rest is loaded.
    pub(super) fn plan(&mut self, plugins: &[Plugin]) -> Result<Plan, NotApplied> {
        let mut plan = Plan::new();
        let (mut mistakes, mut needs) = (Vec::new(), Vec::new());
        for plugin in plugins {
            let mut known = self.shelves.iter();
            let known = known.find(|shelf| shelf.plugin.name == plugin.name);
            let shelf =
                known.map_or_else(|| PluginVersions::new(plugin), |it| it.reconfigured(plugin));
            let was_missing = known
                .is_some_and(|known| known.plugin.file == plugin.file && known.version().is_none());
            if shelf.version().is_some() {
                plan.push((shelf, None));
                continue;
            }
            match self.load_file(&shelf) {
                Ok(loaded) => plan.push((shelf, Some(loaded))),
                // It could not serve before, either.
                Err(_) if was_missing => plan.push((shelf, None)),
                Err(LoadFailure::Compiling(hash)) => needs.push(hash),
                Err(LoadFailure::Refused(error)) => mistakes.push(cannot_serve(plugin, &error)),
            }
        }
        if !mistakes.is_empty() {
            return Err(Refusal::Unfit(bounded::list(&mistakes, "\n")).into());
        }
        match needs.is_empty() {
            true => Ok(plan),
            false => Err(NotApplied::Compiling(needs)),
        }
    }

    /// Makes a version of what is in a plugin's file now.
    fn load_file(&mut self, shelf: &PluginVersions) -> Result<Loaded, LoadFailure> {
        let content = file_watch::read(&shelf.plugin.file, wasm::MAX_COMPONENT);
        let content = content.context("it cannot be read")?;
        self.load(shelf, &Arc::new(content))
    }

    /// Makes a version of a content of a plugin's file, if that is compiled.
    fn load(
        &mut self,
        shelf: &PluginVersions,
        content: &Arc<Content>,
    ) -> Result<Loaded, LoadFailure> {
        let on_quarantine = self.on_quarantine.clone();
        let compilations = self.compilations()?;
        match compilations.code(content) {
            Compilation::Done(code) => {
                Ok(shelf.load(compilations.sandbox(), content, &code, &on_quarantine)?)
            }
            Compilation::Failed(error) => Err(LoadFailure::Refused(anyhow!("{error:#}"))),
            Compilation::UnderWay => Err(LoadFailure::Compiling(content.hash)),
        }
    }

    /// Fills the shelves as planned, and watches the files that belong to them.
    pub(super) fn set_plugins(&mut self, plan: Plan) {
        let (shelves, loaded): (Vec<_>, Vec<_>) = plan.into_iter().unzip();
        self.shelves = shelves;
        self.watch_files();
        for (place, loaded) in loaded.into_iter().enumerate() {
            if let Some(loaded) = loaded {
                self.commit(place, loaded, "loaded");
            }
        }
    }

    /// What the file of a plugin is watched as.
    fn watched(&self, place: usize) -> WatchedFile {
        WatchedFile::Plugin(self.shelves[place].plugin.name.clone())
    }

    /// A version serves from now on.
    fn commit(&mut self, place: usize, loaded: Loaded, how: &str) {
        let file = self.watched(place);
        self.parked.drop_plugin(&self.shelves[place].plugin.name);
        self.watcher.mark_known(&file, loaded.content.hash);
        self.shelves[place].activate(loaded, how);
    }

    /// A plugin's file has this content: makes it the version that serves, now or when it is compiled, or says why not.
    pub(super) fn load_content(&mut self, place: usize, content: Arc<Content>) {
        let shelf = self.shelves[place].clone();
        // What waits for an older content waits in vain.
        self.parked.drop_plugin(&shelf.plugin.name);
        let installed = self.load(&shelf, &content).and_then(|loaded| {
            self.activate_version(place, &loaded)?;
            Ok(loaded)
        });
        match installed {
            Ok(loaded) => self.commit(place, loaded, "loaded"),
            Err(LoadFailure::Compiling(hash)) => {
                shelf.note_compiling(&content);
                self.park(Task::Plugin(shelf.plugin, content), vec![hash]);
            }
            Err(LoadFailure::Refused(error)) => shelf.refuse(&content, &error),
        }
        self.cancel_unneeded();
    }

    /// Has a version of a plugin serve the balancers that name it.
    fn activate_version(&self, place: usize, loaded: &Loaded) -> Result<()> {
        let before = self.current.load();
        let draft = before.prepare(with(&before, place, loaded), OnRefusal::Refuse)?;
        self.activate(draft);
        Ok(())
    }

    /// Versions may be out of service: puts those before them back, where there are any.
    pub(super) fn rollback_quarantined(&mut self) {
        for place in 0..self.shelves.len() {
            let Some((out, previous)) = self.shelves[place].take_quarantined() else {
                continue;
            };
            let Some(loaded) = previous else {
                tracing::error!("{out}; the fallback serves until the file changes");
                continue;
            };
            let version = loaded.version.short_hash();
            match self.activate_version(place, &loaded) {
                Ok(()) => {
                    tracing::error!("{out}; version {version} serves again");
                    self.shelves[place].activate(loaded, "put back");
                }
                Err(error) => tracing::error!(
                    "{out}; version {version} cannot be put back: {error:#}; the fallback serves until the file changes"
                ),
            }
        }
    }

    pub(super) fn upload(
        &mut self,
        plugin: &str,
        content: &Arc<Content>,
    ) -> Result<(), NotApplied> {
        let place = self.shelf(plugin)?;
        let shelf = self.shelves[place].clone();
        let loaded = self.load(&shelf, content).map_err(|error| match error {
            LoadFailure::Compiling(hash) => NotApplied::Compiling(vec![hash]),
            LoadFailure::Refused(error) => Refusal::Unfit(bounded::error(&error)).into(),
        })?;
        Ok(self.write_and_activate(place, loaded, "uploaded")?)
    }

    pub(super) fn roll_back(&mut self, plugin: &str, version: Option<&str>) -> Result<(), Refusal> {
        let place = self.shelf(plugin)?;
        let loaded = self.shelves[place].previous(version).ok_or_else(|| {
            Refusal::Unknown(match version {
                Some(version) => format!("no version {version} of plugin {plugin} is kept"),
                None => format!("no version of plugin {plugin} served before"),
            })
        })?;
        self.write_and_activate(place, loaded, "rolled back")
    }

    /// Has a version serve, and puts its content into the plugin's file: both, or nothing.
    fn write_and_activate(
        &mut self,
        place: usize,
        loaded: Loaded,
        how: &str,
    ) -> Result<(), Refusal> {
        let before = self.current.load();
        let draft = before.prepare(with(&before, place, &loaded), OnRefusal::Refuse);
        let draft = draft.map_err(|error| Refusal::Unfit(bounded::error(&error)))?;
        let file = &self.shelves[place].plugin.file;
        let replaced = replace(file, &loaded.content.bytes).map_err(|error| {
            let file = file.display();
            Refusal::Failed(format!(
                "{file} cannot be written: {error}; nothing has changed"
            ))
        })?;
        log_replaced(file, &replaced);
        self.activate(draft);
        self.commit(place, loaded, how);
        Ok(())
    }

    fn shelf(&self, plugin: &str) -> Result<usize, Refusal> {
        let mut shelves = self.shelves.iter();
        let place = shelves.position(|shelf| shelf.plugin.name == plugin);
        place.ok_or_else(|| Refusal::Unknown(format!("there is no plugin {plugin}")))
    }

    fn compilations(&mut self) -> Result<&mut Compilations> {
        match &mut self.compilations {
            Some(compilations) => Ok(compilations),
            none => {
                let sandbox = sandbox(&self.current.load().config.compiler)?;
                let waker = self.watcher.waker();
                let on_end = Arc::new(move || waker.wake());
                Ok(none.insert(Compilations::new(sandbox, on_end)))
            }
        }
    }
}

/// What the snapshot in force was made of, but for this version of a plugin.
fn with(before: &Snapshot, place: usize, loaded: &Loaded) -> Inputs {
    let mut inputs = before.inputs();
    inputs.versions[place] = Some(loaded.version.clone());
    inputs
}

/// The versions that would serve by a plan.
pub(super) fn versions(plan: &Plan) -> Versions {
    let versions = plan.iter().map(|(shelf, loaded)| {
        let loaded = loaded.as_ref().map(|loaded| &loaded.version);
        let version = loaded.or_else(|| shelf.version())?;
        Some(version.clone() as Arc<dyn PluginVersion>)
    });
    versions.collect()
}
