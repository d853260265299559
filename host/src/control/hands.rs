//! The work of the thread: what it has in hand, and each thing it does.

use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, Result, anyhow};
use equipoise_balancer::Status;
use serde_json::Value;

use super::changes::{Changes, Edit, Settings};
use super::command::{Command, Order, Refusal};
use super::fixed::{self, Fixed};
use super::parked::{Halt, ParkedTasks, Task};
use super::replace::{Replaced, replace};
use super::setting::{cannot_serve, note_lost, sandbox, unfit};
use super::source::Source;
use super::startup::persist;
use super::terms::{LeftOut, Terms};
use super::tls_files::TlsFiles;
use super::{Refused, Standing, aside, lock};
use crate::bounded;
use crate::config::{Config, Plugin};
use crate::live::Live;
use crate::server::Listeners;
use crate::snapshot::{OnRefusal, Snapshot, Versions};
use crate::tls::{self, Contents};
use crate::wasm::{self, Compilation, Compilations, Loaded, OnQuarantine, Shelf};
use crate::watcher::{self, Change, Content, Hash, Unreadable, Watcher};

/// How often a start that waits for plugins looks whether it is to go on.
const GLANCE: Duration = Duration::from_millis(50);

/// What the thread has in hand.
pub(super) struct Hands {
    pub(super) live: Live,
    /// Whether there is a configuration file to watch: it is the first that is watched, plugins' follow, then those for TLS.
    pub(super) is_file: bool,
    /// What the configuration file says of what cannot change.
    pub(super) wanted: Fixed,
    pub(super) watcher: Watcher,
    pub(super) waiting: Receiver<Order>,
    pub(super) standing: Arc<Standing>,
    /// None until there are plugins.
    pub(super) compilations: Option<Compilations>,
    /// What waits for them.
    pub(super) parked: ParkedTasks,
    /// In the order of the configuration.
    pub(super) shelves: Vec<Shelf>,
    pub(super) tls: TlsFiles,
    pub(super) on_quarantine: OnQuarantine,
    /// Where clients connect to; none until they may.
    pub(super) listeners: Option<Listeners>,
    pub(super) is_over: Arc<AtomicBool>,
}

/// The shelves that a configuration would have, and what would be put on them.
type Plan = Vec<(Shelf, Option<Loaded>)>;

impl Hands {
    /// Loads the plugins, or has them compiled, and begins to watch files.
    pub(super) fn begin(&mut self) -> Result<()> {
        let snapshot = self.live.load();
        self.shelves = snapshot.config.plugins.iter().map(Shelf::new).collect();
        self.follow();
        let first = usize::from(self.is_file);
        for place in 0..self.shelves.len() {
            self.compilations()?;
            let file = &self.shelves[place].plugin.file;
            match watcher::read(file, wasm::LARGEST) {
                Ok(content) => {
                    self.watcher.note_known(first + place, content.hash);
                    self.take_content(place, Arc::new(content));
                }
                Err(error) => {
                    self.watcher.note_said(first + place, &error);
                    self.shelves[place].miss(&error);
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

    /// The life of the thread.
    pub(super) fn work(mut self) {
        self.guarded(Self::start_up);
        while !self.is_over.load(Relaxed) {
            match self.watcher.wait() {
                Some(change) => self.guarded(|it| it.see(change)),
                None => {
                    self.guarded(Self::relieve);
                    self.guarded(Self::resume);
                    while let Ok(order) = self.waiting.try_recv() {
                        self.guarded(|it| it.carry_out(order));
                    }
                }
            }
        }
    }

    /// Does one thing. If that panics, control goes on: what was in force stays so.
    fn guarded(&mut self, step: impl FnOnce(&mut Self)) {
        if panic::catch_unwind(AssertUnwindSafe(|| step(self))).is_err() {
            tracing::error!("a change panicked; what was in force stays in force");
        }
    }

    /// Does again what waited for components that are compiled by now.
    fn resume(&mut self) {
        let Some(compilations) = &mut self.compilations else {
            return;
        };
        compilations.note_ended();
        let due = self.parked.take_due(|hash| compilations.is_under_way(hash));
        for task in due {
            match task {
                Task::Order(order) => self.carry_out(order),
                Task::File => self.see_file(None),
                Task::State(file) => self.catch_up(&file),
                Task::Plugin(plugin, content) => {
                    let mut shelves = self.shelves.iter();
                    let is_it = |shelf: &Shelf| {
                        shelf.plugin.name == plugin.name && shelf.plugin.file == plugin.file
                    };
                    if let Some(place) = shelves.position(is_it) {
                        self.take_content(place, content);
                    }
                }
            }
        }
        self.forget_unwanted();
    }

    /// Has a task wait for components.
    pub(super) fn park(&mut self, task: Task, needs: Vec<Hash>) {
        self.parked.park(task, needs);
        self.forget_unwanted();
    }

    /// Ends the compilations that nothing waits for.
    fn forget_unwanted(&mut self) {
        if let Some(compilations) = &mut self.compilations {
            compilations.retain(|hash| self.parked.need(hash));
        }
    }

    /// A file has new content, or none.
    fn see(&mut self, change: Change) {
        let first = usize::from(self.is_file);
        match change.file.checked_sub(first) {
            None => {
                if change.content.is_err() {
                    // Whatever it has when it is back is read, even if that is what it had.
                    self.watcher.forget(change.file);
                }
                self.see_file(Some(change.content));
            }
            Some(place) if place >= self.shelves.len() => {
                let place = place - self.shelves.len();
                if !self.tls.is_taken(place, &change.content) {
                    self.renew_tls();
                }
            }
            Some(place) => match change.content {
                Ok(content) => self.take_content(place, Arc::new(content)),
                Err(error) => self.shelves[place].miss(&error),
            },
        }
    }

    /// The configuration file has this content, or what it has now.
    fn see_file(&mut self, content: Option<Result<Content, Unreadable>>) {
        let outcome = match content {
            Some(content) => self.reload_with(content),
            None => self.reload(),
        };
        // What else comes of it has been logged.
        if let Err(Halt::Compiling(needs)) = outcome {
            self.park(Task::File, needs);
        }
    }

    /// Does what is asked for, now or when plugins are compiled for it, and answers.
    fn carry_out(&mut self, order: Order) {
        match self.attempt(&order) {
            Ok(left_out) => {
                let told = order.command.to_string();
                if !told.is_empty() {
                    let but = match left_out.len() {
                        0 => String::new(),
                        count => format!(", but for {count} that cannot be had"),
                    };
                    tracing::info!("{told}{but}: by the operator at {}", order.by);
                }
                (order.reply)(Ok(left_out));
            }
            Err(Halt::Refused(refusal)) => (order.reply)(Err(refusal)),
            Err(Halt::Compiling(needs)) => self.park(Task::Order(order), needs),
        }
    }

    fn attempt(&mut self, order: &Order) -> Result<Vec<LeftOut>, Halt> {
        let Order { command, terms, .. } = order;
        if !matches!(command, Command::Reload) {
            lock(&self.standing.state).check_successor()?;
        }
        if command.is_kept() {
            self.own_state().map_err(Refusal::with_nothing_changed)?;
        }
        let before = self.live.load();
        aside::check_names(&terms.set_aside, &before)?;
        if let Some((resource, tag)) = &terms.expected
            && resource.tag(&before).is_some_and(|now| now != *tag)
        {
            return Err(Refusal::Stale.into());
        }
        match command {
            Command::AddBalancer { name, settings } => {
                return self.add_balancer(name, settings.clone(), terms);
            }
            Command::AddMembers { balancer, members } => {
                return self.add_members(balancer, members.clone(), terms);
            }
            Command::Reload => self.reload()?,
            Command::Edit(edit) => self.edit_all(vec![edit.clone()], terms)?,
            Command::TakeBack(key) => self.take_back(key.as_deref(), terms)?,
            Command::Upload { plugin, content } => self.upload(plugin, content)?,
            Command::RollBack { plugin, version } => self.roll_back(plugin, version.as_deref())?,
        }
        Ok(Vec::new())
    }

    /// Reads the configuration file again.
    fn reload(&mut self) -> Result<(), Halt> {
        if !self.is_file {
            let reason = "the configuration comes from no file";
            return Err(Refusal::Conflict(reason.to_owned()).into());
        }
        let path = self.live.load().source.path.clone();
        let content = watcher::read(&path, wasm::LARGEST);
        if let Ok(content) = &content {
            self.watcher.note_known(0, content.hash);
        }
        self.reload_with(content)
    }

    /// The configuration file has this content: puts it into force, or says why not.
    fn reload_with(&mut self, content: Result<Content, Unreadable>) -> Result<(), Halt> {
        let outcome = self.take_file(content);
        let mut refused = lock(&self.standing.refused);
        match outcome {
            Err(Halt::Compiling(needs)) => {
                tracing::info!("the configuration is read again when its plugins are compiled");
                Err(Halt::Compiling(needs))
            }
            Ok(()) => {
                *refused = None;
                self.live.load().meters.reloads.note_applied();
                tracing::info!("the configuration is read again and in force");
                Ok(())
            }
            Err(Halt::Refused(refusal)) => {
                for line in refusal.to_string().lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the configuration before stays in force");
                self.live.load().meters.reloads.note_refused();
                let reason = Arc::new(refusal);
                *refused = Some(Refused {
                    at: SystemTime::now(),
                    reason: reason.clone(),
                });
                Err(Refusal::Refused(reason).into())
            }
        }
    }

    fn take_file(&mut self, content: Result<Content, Unreadable>) -> Result<(), Halt> {
        let before = self.live.load();
        let path = &before.source.path;
        let content = content.map_err(|error| {
            Refusal::Unfit(format!("{}: cannot be read: {error}", path.display()))
        })?;
        let text = Config::text_of(content.bytes, path).map_err(Refusal::Mistaken)?;
        let (source, config, lost) = Source::new(path, &text, &before.source.changes)?;
        self.put(source, config, OnRefusal::Refuse)?;
        note_lost(&lost);
        Ok(())
    }

    /// Changes the configuration.
    pub(super) fn edit_all(&mut self, mut edits: Vec<Edit>, terms: &Terms) -> Result<(), Halt> {
        let before = self.live.load();
        for edit in &mut edits {
            if let Edit::Member {
                balancer,
                url,
                patch,
            } = edit
            {
                settle_status(&before, balancer, url, patch)?;
            }
        }
        self.change(&before.source.changes_with_all(edits), terms)
    }

    fn take_back(&mut self, key: Option<&str>, terms: &Terms) -> Result<(), Halt> {
        let before = self.live.load();
        let changes = match key {
            None => Changes::default(),
            Some(key) => {
                let changes = before.source.changes_without(key);
                changes.ok_or_else(|| Refusal::Unknown(format!("{key} is not changed")))?
            }
        };
        self.change(&changes, terms)
    }

    /// Puts the file's text with other changes into force, and keeps them.
    fn change(&mut self, changes: &Changes, terms: &Terms) -> Result<(), Halt> {
        let before = self.live.load();
        let (path, file) = (&before.source.path, before.source.file());
        let (source, config, _) = Source::new(path, file, changes)?;
        self.put(source, config, OnRefusal::SetAside(&terms.set_aside))
    }

    /// Puts a configuration into force: all of it, or nothing. What plugins refuse is refused, unless they are set aside.
    pub(super) fn put(
        &mut self,
        source: Source,
        mut config: Config,
        on_refusal: OnRefusal<'_>,
    ) -> Result<(), Halt> {
        let before = self.live.load();
        let wanted = Fixed::of(&config);
        fixed::keep(&mut config, &before.config);
        let plan = self.plan(&config.plugins)?;
        let versions = versions(&plan);
        let contents = Contents::read(tls::files(&config));
        let unusable = tls::unusable(&config, &contents, Some(&before.config));
        if !unusable.is_empty() {
            return Err(Refusal::Unfit(bounded::list(&unusable, "\n")).into());
        }
        let (source, config) = (Arc::new(source), Arc::new(config));
        let draft = before.draft_unless_refused(
            config.clone(),
            source.clone(),
            versions.clone(),
            on_refusal,
        );
        let draft = draft.map_err(|error| {
            let unfit = unfit(&before, &config, &source, &versions, on_refusal);
            aside::refusal(&error, unfit, on_refusal)
        })?;
        let listeners = self.listeners.as_ref();
        let prepared = listeners.map(|listeners| listeners.prepare(&config.listeners));
        let prepared = prepared.transpose();
        let prepared = prepared.map_err(|error| Refusal::Failed(format!("{error:#}")))?;
        let is_kept = source.changes == before.source.changes
            && (source.changes.is_empty() || persist(&config) == persist(&before.config));
        if let Some(persist) = persist(&config)
            && !is_kept
        {
            match lock(&self.standing.state).write(persist, &source.changes) {
                Ok(replaced) => tell_replaced(persist, &replaced),
                // What the configuration file says is not up to the other program.
                Err(Refusal::Conflict(reason)) if matches!(on_refusal, OnRefusal::Refuse) => {
                    tracing::warn!("{reason}");
                }
                Err(refusal) => return Err(refusal.with_nothing_changed().into()),
            }
        }
        self.come_into_force(draft);
        if let (Some(listeners), Some(prepared)) = (&self.listeners, prepared) {
            listeners.apply(prepared, config.limits.connections);
        }
        self.tls.add(&contents);
        self.fill(plan);
        wanted.tell(&self.wanted);
        self.wanted = wanted;
        Ok(())
    }

    /// What a list of plugins would have: what is loaded goes on serving, the rest is loaded.
    fn plan(&mut self, plugins: &[Plugin]) -> Result<Plan, Halt> {
        let mut plan = Plan::new();
        let (mut mistakes, mut needs) = (Vec::new(), Vec::new());
        for plugin in plugins {
            let mut known = self.shelves.iter();
            let known = known.find(|shelf| shelf.plugin.name == plugin.name);
            let shelf = known.map_or_else(|| Shelf::new(plugin), |it| it.reconfigured(plugin));
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
    fn load_file(&mut self, shelf: &Shelf) -> Result<Loaded, Unloaded> {
        let content = watcher::read(&shelf.plugin.file, wasm::LARGEST);
        let content = content.context("it cannot be read")?;
        self.load(shelf, &Arc::new(content))
    }

    /// Makes a version of a content of a plugin's file, if that is compiled.
    fn load(&mut self, shelf: &Shelf, content: &Arc<Content>) -> Result<Loaded, Unloaded> {
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
    fn fill(&mut self, plan: Plan) {
        let (shelves, loaded): (Vec<_>, Vec<_>) = plan.into_iter().unzip();
        self.shelves = shelves;
        self.follow();
        for (place, loaded) in loaded.into_iter().enumerate() {
            if let Some(loaded) = loaded {
                self.shelve(place, loaded, "loaded");
            }
        }
    }

    /// A version serves from now on.
    fn shelve(&mut self, place: usize, loaded: Loaded, how: &str) {
        let file = usize::from(self.is_file) + place;
        self.parked.drop_plugin(&self.shelves[place].plugin.name);
        self.watcher.note_known(file, loaded.content.hash);
        self.shelves[place].succeed(loaded, how);
    }

    /// Watches the configuration file, those of the plugins and those for TLS.
    fn follow(&mut self) {
        let snapshot = self.live.load();
        let file = self.is_file.then(|| {
            let known = watcher::hash(snapshot.source.file().as_bytes());
            (snapshot.source.path.clone(), Some(known))
        });
        let plugins = self
            .shelves
            .iter()
            .map(|shelf| (shelf.plugin.file.clone(), None));
        let files = file.into_iter().chain(plugins);
        let tls = self.tls.watched(&snapshot.config);
        let files: Vec<(PathBuf, Option<Hash>)> = files.chain(tls).collect();
        self.watcher.follow(files);
        let books = self.shelves.iter();
        *lock(&self.standing.books) = books
            .map(|shelf| (shelf.plugin.name.clone(), shelf.book.clone()))
            .collect();
    }

    /// Files for TLS have changed: puts what they have now into force. Where they are of no use, what served before goes on.
    fn renew_tls(&mut self) {
        let before = self.live.load();
        let config = &before.config;
        let is_whole = self.tls.take_again(config);
        let (source, versions) = (before.source.clone(), before.versions.clone());
        match before.draft(config.clone(), source, versions) {
            Ok(draft) => self.come_into_force(draft),
            Err(error) => tracing::error!("{error:#}; what served before goes on"),
        }
        if let Some(listeners) = &self.listeners {
            match listeners.prepare(&config.listeners) {
                Ok(prepared) => listeners.apply(prepared, config.limits.connections),
                Err(error) => tracing::error!("{error:#}; what served before goes on"),
            }
        }
        if is_whole {
            tracing::info!("the files for TLS are read again and in force");
        }
    }

    /// A plugin's file has this content: makes it the version that serves, now or when it is compiled, or says why not.
    fn take_content(&mut self, place: usize, content: Arc<Content>) {
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
        let before = self.live.load();
        let mut versions = before.versions.clone();
        versions[place] = Some(loaded.version.clone());
        let draft = before.draft(before.config.clone(), before.source.clone(), versions)?;
        self.come_into_force(draft);
        Ok(())
    }

    /// Versions may be out of service: puts those before them back, where there are any.
    fn relieve(&mut self) {
        for place in 0..self.shelves.len() {
            let Some((out, previous)) = self.shelves[place].relieve() else {
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
                    self.shelves[place].succeed(loaded, "put back");
                }
                Err(error) => tracing::error!(
                    "{out}; version {version} cannot be put back: {error:#}; the fallback serves until the file changes"
                ),
            }
        }
    }

    fn upload(&mut self, plugin: &str, content: &Arc<Content>) -> Result<(), Halt> {
        let place = self.shelf(plugin)?;
        let shelf = self.shelves[place].clone();
        let loaded = self.load(&shelf, content).map_err(|error| match error {
            Unloaded::Compiling(hash) => Halt::Compiling(vec![hash]),
            Unloaded::Refused(error) => Refusal::Unfit(bounded::error(&error)).into(),
        })?;
        Ok(self.put_in_file(place, loaded, "uploaded")?)
    }

    fn roll_back(&mut self, plugin: &str, version: Option<&str>) -> Result<(), Refusal> {
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
        let before = self.live.load();
        let mut versions = before.versions.clone();
        versions[place] = Some(loaded.version.clone());
        let draft = before.draft(before.config.clone(), before.source.clone(), versions);
        let draft = draft.map_err(|error| Refusal::Unfit(bounded::error(&error)))?;
        let file = &self.shelves[place].plugin.file;
        let replaced = replace(file, &loaded.content.bytes).map_err(|error| {
            let file = file.display();
            Refusal::Failed(format!(
                "{file} cannot be written: {error}; nothing has changed"
            ))
        })?;
        tell_replaced(file, &replaced);
        self.come_into_force(draft);
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
                let sandbox = sandbox(&self.live.load().config.compiler)?;
                let waker = self.watcher.waker();
                let on_end = Arc::new(move || waker.wake());
                Ok(none.insert(Compilations::new(sandbox, on_end)))
            }
        }
    }
}

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

/// Tells what is not as it should be of a file that was replaced.
fn tell_replaced(file: &Path, replaced: &Replaced) {
    let file = file.display();
    for lost in &replaced.lost {
        tracing::warn!("{file} was replaced, but does not keep {lost}");
    }
    if let Some(error) = &replaced.unsure {
        tracing::error!(
            "{file} was replaced, but may be as it was before after a power failure: {error}"
        );
    }
}

/// Works out a status that is written as a change of the one before: `+N` drains, and leaves other flags as they are.
fn settle_status(
    before: &Snapshot,
    balancer: &str,
    url: &str,
    patch: &mut Settings,
) -> Result<(), Refusal> {
    let Some(Value::String(text)) = patch.get_mut("status") else {
        return Ok(());
    };
    let cluster = before.cluster(balancer).map(|(_, cluster)| cluster);
    let member = cluster.and_then(|cluster| {
        let mut members = cluster.balancer.members().iter();
        members.find(|member| member.settings.name == url)
    });
    let status = match (&**text, member) {
        // As a status is shown that has no flags.
        ("" | "-", _) | (_, None) => Ok(Status::default()),
        (text, Some(member)) => member.settings.status.changed(text),
    };
    let status = status.map_err(|error| Refusal::Unfit(format!("status: {error}")))?;
    *text = match status == Status::default() {
        true => String::new(),
        false => status.to_string(),
    };
    Ok(())
}

fn versions(plan: &Plan) -> Versions {
    let versions = plan.iter().map(|(shelf, loaded)| {
        let loaded = loaded.as_ref().map(|loaded| &loaded.version);
        loaded.or_else(|| shelf.version()).cloned()
    });
    versions.collect()
}
