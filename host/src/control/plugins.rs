//! What control does about plugins: loads them, exchanges them, and puts versions of before back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow};

use super::command::Refusal;
use super::hands::{Hands, WatchedFile};
use super::parked::{Halt, Task};
use super::replace::{replace, tell_replaced};
use super::setting::{cannot_serve, sandbox};
use equipoise_balancer::PluginVersion;
use equipoise_config::Plugin;
use equipoise_file_watch::{self as file_watch, Content, Hash};
use equipoise_proxy::snapshot::{Inputs, OnRefusal, Snapshot, Versions};
use equipoise_text::bounded;
use equipoise_wasm::{self as wasm, Compilation, Compilations, Loaded, PluginVersions};

/// How often a start that waits for plugins looks whether it is to go on.
const GLANCE: Duration = Duration::from_millis(50);

/// The shelves that a configuration would have, and what would be put on them.
pub(super) type Plan = Vec<(PluginVersions, Option<Loaded>)>;

/// Why there is no version of a content.
enum Unloaded {
    Refused(anyhow::Error),
    /// It is being compiled: by its hash.
    Compiling(Hash),
}

impl From<anyhow::Error> for Unloaded {
    fn from(error: anyhow::Error) -> Self {
        Self::Refused(error)
    }
}

impl Hands {
    /// Loads the plugins, or has them compiled, and begins to watch files.
    pub(super) fn begin(&mut self) -> Result<()> {
        let snapshot = self.current.load();
        self.shelves = snapshot
            .config
            .plugins
            .iter()
            .map(PluginVersions::new)
            .collect();
        self.follow();
        for place in 0..self.shelves.len() {
            self.compilations()?;
            let file = self.watched(place);
            match file_watch::read(&self.shelves[place].plugin.file, wasm::MAX_COMPONENT) {
                Ok(content) => {
                    self.watcher.mark_known(&file, content.hash);
                    self.take_content(place, Arc::new(content));
                }
                Err(error) => {
                    self.watcher.mark_reported(&file, &error);
                    self.shelves[place].note_unreadable(&error);
                }
            }
        }
        Ok(())
    }

    /// Waits until every plugin is compiled or refused, and says which ones are not after `patience`. Ends with an error of
    /// `go_on`, which is asked meanwhile.
    pub(super) fn await_compiled(
        &mut self,
        patience: Duration,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<()> {
        let begun = Instant::now();
        while let Some(compilations) = &mut self.compilations
            && !self.parked.is_empty()
        {
            let left = patience.saturating_sub(begun.elapsed());
            if left.is_zero() {
                let plugins = self.parked.plugins().join(", ");
                tracing::info!(
                    "the start does not wait until plugins are compiled ({plugins}): their fallbacks serve until then"
                );
                break;
            }
            compilations.wait(left.min(GLANCE));
            self.resume();
            go_on()?;
        }
        Ok(())
    }

    /// What a list of plugins would have: what is loaded goes on serving, the rest is loaded.
    pub(super) fn plan(&mut self, plugins: &[Plugin]) -> Result<Plan, Halt> {
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
                Err(Unloaded::Compiling(hash)) => needs.push(hash),
                Err(Unloaded::Refused(error)) => mistakes.push(cannot_serve(plugin, &error)),
            }
        }
        if !mistakes.is_empty() {
            return Err(Refusal::Unfit(bounded::list(&mistakes, "\n")).into());
        }
        match needs.is_empty() {
            true => Ok(plan),
            false => Err(Halt::Compiling(needs)),
        }
    }

    /// Makes a version of what is in a plugin's file now.
    fn load_file(&mut self, shelf: &PluginVersions) -> Result<Loaded, Unloaded> {
        let content = file_watch::read(&shelf.plugin.file, wasm::MAX_COMPONENT);
        let content = content.context("it cannot be read")?;
        self.load(shelf, &Arc::new(content))
    }

    /// Makes a version of a content of a plugin's file, if that is compiled.
    fn load(&mut self, shelf: &PluginVersions, content: &Arc<Content>) -> Result<Loaded, Unloaded> {
        let on_quarantine = self.on_quarantine.clone();
        let compilations = self.compilations()?;
        match compilations.code(content) {
            Compilation::Done(code) => {
                Ok(shelf.load(compilations.sandbox(), content, &code, &on_quarantine)?)
            }
            Compilation::Failed(error) => Err(Unloaded::Refused(anyhow!("{error:#}"))),
            Compilation::UnderWay => Err(Unloaded::Compiling(content.hash)),
        }
    }

    /// Fills the shelves as planned, and watches the files that belong to them.
    pub(super) fn fill(&mut self, plan: Plan) {
        let (shelves, loaded): (Vec<_>, Vec<_>) = plan.into_iter().unzip();
        self.shelves = shelves;
        self.follow();
        for (place, loaded) in loaded.into_iter().enumerate() {
            if let Some(loaded) = loaded {
                self.shelve(place, loaded, "loaded");
            }
        }
    }

    /// What the file of a plugin is watched as.
    fn watched(&self, place: usize) -> WatchedFile {
        WatchedFile::Plugin(self.shelves[place].plugin.name.clone())
    }

    /// A version serves from now on.
    fn shelve(&mut self, place: usize, loaded: Loaded, how: &str) {
        let file = self.watched(place);
        self.parked.drop_plugin(&self.shelves[place].plugin.name);
        self.watcher.mark_known(&file, loaded.content.hash);
        self.shelves[place].activate(loaded, how);
    }

    /// A plugin's file has this content: makes it the version that serves, now or when it is compiled, or says why not.
    pub(super) fn take_content(&mut self, place: usize, content: Arc<Content>) {
        let shelf = self.shelves[place].clone();
        // What waits for an older content waits in vain.
        self.parked.drop_plugin(&shelf.plugin.name);
        let installed = self.load(&shelf, &content).and_then(|loaded| {
            self.install(place, &loaded)?;
            Ok(loaded)
        });
        match installed {
            Ok(loaded) => self.shelve(place, loaded, "loaded"),
            Err(Unloaded::Compiling(hash)) => {
                shelf.note_compiling(&content);
                self.park(Task::Plugin(shelf.plugin, content), vec![hash]);
            }
            Err(Unloaded::Refused(error)) => shelf.refuse(&content, &error),
        }
        self.forget_unwanted();
    }

    /// Has a version of a plugin serve the balancers that name it.
    fn install(&self, place: usize, loaded: &Loaded) -> Result<()> {
        let before = self.current.load();
        let draft = before.prepare(with(&before, place, loaded), OnRefusal::Refuse)?;
        self.activate(draft);
        Ok(())
    }

    /// Versions may be out of service: puts those before them back, where there are any.
    pub(super) fn relieve(&mut self) {
        for place in 0..self.shelves.len() {
            let Some((out, previous)) = self.shelves[place].take_quarantined() else {
                continue;
            };
            let Some(loaded) = previous else {
                tracing::error!("{out}; the fallback serves until the file changes");
                continue;
            };
            let version = loaded.version.short_hash();
            match self.install(place, &loaded) {
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

    pub(super) fn upload(&mut self, plugin: &str, content: &Arc<Content>) -> Result<(), Halt> {
        let place = self.shelf(plugin)?;
        let shelf = self.shelves[place].clone();
        let loaded = self.load(&shelf, content).map_err(|error| match error {
            Unloaded::Compiling(hash) => Halt::Compiling(vec![hash]),
            Unloaded::Refused(error) => Refusal::Unfit(bounded::error(&error)).into(),
        })?;
        Ok(self.put_in_file(place, loaded, "uploaded")?)
    }

    pub(super) fn roll_back(&mut self, plugin: &str, version: Option<&str>) -> Result<(), Refusal> {
        let place = self.shelf(plugin)?;
        let loaded = self.shelves[place].previous(version).ok_or_else(|| {
            Refusal::Unknown(match version {
                Some(version) => format!("no version {version} of plugin {plugin} is kept"),
                None => format!("no version of plugin {plugin} served before"),
            })
        })?;
        self.put_in_file(place, loaded, "rolled back")
    }

    /// Has a version serve, and puts its content into the plugin's file: both, or nothing.
    fn put_in_file(&mut self, place: usize, loaded: Loaded, how: &str) -> Result<(), Refusal> {
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
        tell_replaced(file, &replaced);
        self.activate(draft);
        self.shelve(place, loaded, how);
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
