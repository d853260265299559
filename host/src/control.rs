//! Control: the one thread that changes what is in force.
//!
//! It watches the configuration file and the plugins' files, and is told by signals and operators. Whatever happens, it makes
//! the snapshot that would follow, and exchanges it only when everything in it could be had: one change after the other, so
//! that nobody has to think of two at once. What is in force is the file's text with what operators changed laid over it
//! ([`source`]); both are read by the same rules, and refused with the same words.

mod changes;
mod command;
mod overlay;
mod persistence;
mod resource;
mod source;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow};
use equipoise_balancer::Status;
use serde_json::Value;
use tokio::sync::oneshot;

use crate::config::{Config, Mistakes, Plugin};
use crate::live::Live;
use crate::server::Listeners;
use crate::snapshot::{Snapshot, Versions};
use crate::wasm::{self, Book, Loaded, OnQuarantine, Sandbox, Shelf};
use crate::watcher::{Change, Content, Hash, Unreadable, Waker, Watcher};
use changes::Changes;
use command::Order;
use source::Unusable;

pub(crate) use changes::{Edit, Settings};
pub(crate) use command::{Command, Refusal};
pub(crate) use resource::Resource;
pub(crate) use source::{Difference, Source};

/// How many commands may wait.
const MOST_WAITING: usize = 16;

/// A configuration and where it comes from.
#[derive(Debug, Clone)]
pub struct Setting {
    pub(crate) config: Arc<Config>,
    pub(crate) source: Arc<Source>,
    /// Whether `source` is a file that is watched.
    is_file: bool,
}

/// Control before it has its thread.
pub(crate) struct Preparation {
    handle: Handle,
    hands: Hands,
}

/// The thread. Dropped, it ends when it is done with what it is at; nobody waits for it.
pub(crate) struct Control {
    handle: Handle,
    is_over: Arc<AtomicBool>,
}

/// How others speak with control. A clone speaks with the same.
#[derive(Clone)]
pub(crate) struct Handle {
    orders: SyncSender<Order>,
    waker: Waker,
    standing: Arc<Standing>,
}

/// What control knows that is no part of the snapshot.
#[derive(Default)]
struct Standing {
    /// The last version of the file that was refused, unless another one was taken since.
    refused: Mutex<Option<Refused>>,
    /// By the plugins' names.
    books: Mutex<BTreeMap<String, Arc<Book>>>,
}

/// A version of the configuration file that was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) at: SystemTime,
    pub(crate) reason: Arc<Refusal>,
}

impl Setting {
    /// What a configuration file says, with the run-time changes that it keeps.
    ///
    /// # Errors
    /// Every mistake in the file.
    pub fn read(path: &Path) -> Result<Self, Mistakes> {
        let text = Config::read_text(path)?;
        let mut setting = Self::parse(&text, path)?;
        setting.is_file = true;
        let Some(persist) = setting.persist() else {
            return Ok(setting);
        };
        let changes = persistence::read(&persist);
        match Source::new(path, &text, &changes) {
            Ok((source, config, lost)) => {
                note_lost(&lost);
                setting.config = Arc::new(config);
                setting.source = Arc::new(source);
            }
            Err(unusable) => {
                let aside = persistence::set_aside(&persist);
                let aside = aside.map(|aside| aside.display().to_string());
                tracing::warn!(
                    "persist: the changes in {} do not fit {} any more: {unusable}; they were set aside as {}",
                    persist.display(),
                    path.display(),
                    aside.unwrap_or_else(|error| format!("nothing ({error})"))
                );
            }
        }
        Ok(setting)
    }

    /// What a text says that is in no file: mistakes name `path`.
    ///
    /// # Errors
    /// Every mistake in it.
    pub fn parse(text: &str, path: &Path) -> Result<Self, Mistakes> {
        match Source::new(path, text, &Changes::default()) {
            Ok((source, config, _)) => Ok(Self {
                config: Arc::new(config),
                source: Arc::new(source),
                is_file: false,
            }),
            Err(Unusable::File(mistakes) | Unusable::Changed(mistakes)) => Err(mistakes),
            Err(Unusable::Unchangeable(_)) => unreachable!("there are no changes"),
        }
    }

    /// The configuration.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The same with what cannot be written in a file.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(Arc::make_mut(&mut self.config));
        self
    }

    fn persist(&self) -> Option<PathBuf> {
        self.config.admin.as_ref()?.persist.clone()
    }
}

impl Preparation {
    /// Loads the plugins of the snapshot in force. What cannot be loaded is said in the log, and its balancers are served by
    /// their fallbacks until the file is put right.
    ///
    /// # Errors
    /// The plugins' sandbox cannot be started.
    pub(crate) fn new(setting: &Setting, live: Live) -> Result<Self> {
        let (orders, waiting) = sync_channel(MOST_WAITING);
        let watcher = Watcher::new(None, wasm::LARGEST);
        let waker = watcher.waker();
        let handle = Handle {
            orders,
            waker: waker.clone(),
            standing: Arc::default(),
        };
        let mut hands = Hands {
            live,
            is_file: setting.is_file,
            watcher,
            waiting,
            standing: handle.standing.clone(),
            sandbox: None,
            shelves: Vec::new(),
            on_quarantine: Arc::new(move || waker.wake()),
            listeners: None,
            is_over: Arc::default(),
        };
        hands.begin()?;
        Ok(Self { handle, hands })
    }

    /// How others will speak with control.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Starts the thread, which has these listeners follow the configuration.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(self, listeners: Listeners) -> Result<Control> {
        let Self { handle, mut hands } = self;
        hands.listeners = Some(listeners);
        let is_over = hands.is_over.clone();
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || hands.work())
            .context("starting the thread that changes what is in force")?;
        Ok(Control { handle, is_over })
    }
}

impl Control {
    /// How others speak with it.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }
}

impl Drop for Control {
    /// Waits for nothing: compiling a large component takes long, and the program is to end in time.
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        self.handle.waker.wake();
    }
}

impl Handle {
    /// Has a command carried out, if what it is about is still as `expected`. What it changes is in force when this is done.
    ///
    /// # Errors
    /// Why it was not carried out: nothing has changed then.
    pub(crate) async fn order(
        &self,
        by: &str,
        command: Command,
        expected: Option<(Resource, String)>,
    ) -> Result<(), Refusal> {
        let (reply, outcome) = oneshot::channel();
        self.send(Order {
            command,
            by: by.to_owned(),
            expected,
            reply,
        })?;
        outcome.await.unwrap_or(Err(Refusal::Busy))
    }

    /// Has the configuration file read again, and waits until that is done; what comes of it is in the log. Not for threads
    /// that serve.
    pub(crate) fn reload(&self) {
        let (reply, outcome) = oneshot::channel();
        let sent = self.send(Order {
            command: Command::Reload,
            by: String::new(),
            expected: None,
            reply,
        });
        match sent {
            // What comes of it has been logged.
            Ok(()) => drop(outcome.blocking_recv()),
            Err(refusal) => tracing::error!("the configuration is not read again: {refusal}"),
        }
    }

    /// The last version of the configuration file that was refused, unless another one was taken since.
    pub(crate) fn refused(&self) -> Option<Refused> {
        lock(&self.standing.refused).clone()
    }

    /// What happened to a plugin.
    pub(crate) fn book(&self, plugin: &str) -> Option<Arc<Book>> {
        lock(&self.standing.books).get(plugin).cloned()
    }

    fn send(&self, order: Order) -> Result<(), Refusal> {
        self.orders.try_send(order).map_err(|_| Refusal::Busy)?;
        self.waker.wake();
        Ok(())
    }
}

/// What the thread has in hand.
struct Hands {
    live: Live,
    /// Whether there is a configuration file to watch: it is the first that is watched, plugins' follow.
    is_file: bool,
    watcher: Watcher,
    waiting: Receiver<Order>,
    standing: Arc<Standing>,
    /// None until there are plugins.
    sandbox: Option<Arc<Sandbox>>,
    /// In the order of the configuration.
    shelves: Vec<Shelf>,
    on_quarantine: OnQuarantine,
    /// Where clients connect to; none until they may.
    listeners: Option<Listeners>,
    is_over: Arc<AtomicBool>,
}

/// The shelves that a configuration would have, and what would be put on them.
type Plan = Vec<(Shelf, Option<Loaded>)>;

impl Hands {
    /// Loads the plugins and begins to watch files.
    fn begin(&mut self) -> Result<()> {
        let snapshot = self.live.load();
        self.shelves = snapshot.config.plugins.iter().map(Shelf::new).collect();
        self.follow();
        let first = usize::from(self.is_file);
        for place in 0..self.shelves.len() {
            let sandbox = self.sandbox()?;
            let file = &self.shelves[place].plugin.file;
            match crate::watcher::read(file, wasm::LARGEST) {
                Ok(content) => {
                    self.watcher.note_known(first + place, content.hash);
                    self.take_content(place, &sandbox, content);
                }
                Err(error) => {
                    self.watcher.note_said(first + place, &error);
                    self.shelves[place].miss(&error);
                }
            }
        }
        Ok(())
    }

    /// The life of the thread.
    fn work(mut self) {
        while !self.is_over.load(Relaxed) {
            match self.watcher.wait() {
                Some(change) => self.see(change),
                None => {
                    self.relieve();
                    while let Ok(order) = self.waiting.try_recv() {
                        let told = order.command.to_string();
                        let outcome = self.carry_out(order.command, order.expected);
                        if outcome.is_ok() && !told.is_empty() {
                            tracing::info!("{told}: by the operator at {}", order.by);
                        }
                        // Whoever asked may have gone.
                        let _ = order.reply.send(outcome);
                    }
                }
            }
        }
    }

    /// A file has new content, or none.
    fn see(&mut self, change: Change) {
        let first = usize::from(self.is_file);
        match change.file.checked_sub(first) {
            None => {
                let _ = self.reload_with(change.content);
            }
            Some(place) => match change.content {
                Ok(content) => match self.sandbox() {
                    Ok(sandbox) => self.take_content(place, &sandbox, content),
                    Err(error) => self.shelves[place].refuse(&content, &error),
                },
                Err(error) => self.shelves[place].miss(&error),
            },
        }
    }

    fn carry_out(
        &mut self,
        command: Command,
        expected: Option<(Resource, String)>,
    ) -> Result<(), Refusal> {
        if let Some((resource, tag)) = expected
            && resource
                .tag(&self.live.load())
                .is_some_and(|now| now != tag)
        {
            return Err(Refusal::Stale);
        }
        match command {
            Command::Reload => self.reload(),
            Command::Edit(edit) => self.edit(edit),
            Command::TakeBack(key) => self.take_back(key.as_deref()),
            Command::Upload { plugin, bytes } => self.upload(&plugin, bytes),
            Command::RollBack { plugin, version } => self.roll_back(&plugin, version.as_deref()),
        }
    }

    /// Reads the configuration file again.
    fn reload(&mut self) -> Result<(), Refusal> {
        if !self.is_file {
            let reason = "the configuration comes from no file";
            return Err(Refusal::Conflict(reason.to_owned()));
        }
        let path = self.live.load().source.path.clone();
        let content = crate::watcher::read(&path, wasm::LARGEST);
        if let Ok(content) = &content {
            self.watcher.note_known(0, content.hash);
        }
        self.reload_with(content)
    }

    /// The configuration file has this content: puts it into force, or says why not.
    fn reload_with(&mut self, content: Result<Content, Unreadable>) -> Result<(), Refusal> {
        let outcome = self.take_file(content);
        let mut refused = lock(&self.standing.refused);
        match outcome {
            Ok(()) => {
                *refused = None;
                self.live.load().meters.reloads.note_applied();
                tracing::info!("the configuration is read again and in force");
                Ok(())
            }
            Err(refusal) => {
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
                Err(Refusal::Refused(reason))
            }
        }
    }

    fn take_file(&mut self, content: Result<Content, Unreadable>) -> Result<(), Refusal> {
        let before = self.live.load();
        let path = &before.source.path;
        let content = content.map_err(|error| {
            Refusal::Unfit(format!("{}: cannot be read: {error}", path.display()))
        })?;
        let text = Config::text_of(content.bytes, path).map_err(Refusal::Mistaken)?;
        let (source, config, lost) = Source::new(path, &text, &before.source.changes)?;
        note_lost(&lost);
        self.put(source, config)
    }

    /// Changes the configuration.
    fn edit(&mut self, mut edit: Edit) -> Result<(), Refusal> {
        let before = self.live.load();
        if let Edit::Member {
            balancer,
            url,
            patch,
        } = &mut edit
        {
            settle_status(&before, balancer, url, patch)?;
        }
        self.change(&before.source.changes.with(edit))
    }

    fn take_back(&mut self, key: Option<&str>) -> Result<(), Refusal> {
        let before = self.live.load();
        let changes = match key {
            None => Changes::default(),
            Some(key) => {
                let changes = before.source.changes_without(key);
                changes.ok_or_else(|| Refusal::Unknown(format!("{key} is not changed")))?
            }
        };
        self.change(&changes)
    }

    /// Puts the file's text with other changes into force, and keeps them.
    fn change(&mut self, changes: &Changes) -> Result<(), Refusal> {
        let before = self.live.load();
        let (path, file) = (&before.source.path, before.source.file());
        let (source, config, _) = Source::new(path, file, changes)?;
        self.put(source, config)
    }

    /// Puts a configuration into force: all of it, or nothing.
    fn put(&mut self, source: Source, mut config: Config) -> Result<(), Refusal> {
        let before = self.live.load();
        keep_unchangeable(&mut config, &before.config);
        let plan = self.plan(&config.plugins)?;
        let versions = versions(&plan);
        let (source, config) = (Arc::new(source), Arc::new(config));
        let draft = before.draft(config.clone(), source.clone(), versions);
        let draft = draft.map_err(|error| Refusal::Unfit(format!("{error:#}")))?;
        let listeners = self.listeners.as_ref();
        let prepared = listeners.map(|listeners| listeners.prepare(&config.listeners));
        let prepared = prepared.transpose();
        let prepared = prepared.map_err(|error| Refusal::Failed(format!("{error:#}")))?;
        let persist = config.admin.as_ref().and_then(|it| it.persist.as_ref());
        if let Some(persist) = persist
            && source.changes != before.source.changes
        {
            persistence::write(persist, &source.changes).map_err(|error| {
                Refusal::Failed(format!("persist: {error:#}; nothing has changed"))
            })?;
        }
        self.live.put(draft.come_into_force());
        if let (Some(listeners), Some(prepared)) = (&self.listeners, prepared) {
            listeners.apply(prepared, config.limits.connections);
        }
        self.fill(plan);
        Ok(())
    }

    /// What a list of plugins would have: what is loaded goes on serving, the rest is loaded.
    fn plan(&mut self, plugins: &[Plugin]) -> Result<Plan, Refusal> {
        let mut plan = Plan::new();
        let mut mistakes = Vec::new();
        for plugin in plugins {
            let mut known = self.shelves.iter();
            let known = known.find(|shelf| shelf.plugin.name == plugin.name);
            let shelf = known.map_or_else(|| Shelf::new(plugin), |it| it.reconfigured(plugin));
            let was_there = known.is_some_and(|known| known.plugin.file == plugin.file);
            if shelf.version().is_some() {
                plan.push((shelf, None));
                continue;
            }
            let sandbox = self
                .sandbox()
                .map_err(|error| Refusal::Failed(format!("{error:#}")))?;
            match shelf.load_file(&sandbox, &self.on_quarantine) {
                Ok(loaded) => plan.push((shelf, Some(loaded))),
                // It could not serve before, either.
                Err(_) if was_there => plan.push((shelf, None)),
                Err(error) => {
                    let (name, file) = (&plugin.name, plugin.file.display());
                    mistakes.push(format!("plugin.{name}: {file} cannot serve: {error:#}"));
                }
            }
        }
        match mistakes.is_empty() {
            true => Ok(plan),
            false => Err(Refusal::Unfit(mistakes.join("\n"))),
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
        self.watcher.note_known(file, loaded.content.hash);
        self.shelves[place].succeed(loaded, how);
    }

    /// Watches the configuration file and those of the plugins.
    fn follow(&mut self) {
        let snapshot = self.live.load();
        let file = self.is_file.then(|| {
            let known = crate::watcher::hash(snapshot.source.file().as_bytes());
            (snapshot.source.path.clone(), Some(known))
        });
        let plugins = self
            .shelves
            .iter()
            .map(|shelf| (shelf.plugin.file.clone(), None));
        let files: Vec<(PathBuf, Option<Hash>)> = file.into_iter().chain(plugins).collect();
        self.watcher.follow(files);
        let books = self.shelves.iter();
        *lock(&self.standing.books) = books
            .map(|shelf| (shelf.plugin.name.clone(), shelf.book.clone()))
            .collect();
    }

    /// A plugin's file has this content: makes it the version that serves, or says why not.
    fn take_content(&mut self, place: usize, sandbox: &Arc<Sandbox>, content: Content) {
        let content = Arc::new(content);
        let shelf = &self.shelves[place];
        let loaded = shelf.load(sandbox, &content, &self.on_quarantine);
        let installed = loaded.and_then(|loaded| {
            self.install(place, &loaded)?;
            Ok(loaded)
        });
        match installed {
            Ok(loaded) => self.shelve(place, loaded, "loaded"),
            Err(error) => self.shelves[place].refuse(&content, &error),
        }
    }

    /// Has a version of a plugin serve the balancers that name it.
    fn install(&self, place: usize, loaded: &Loaded) -> Result<()> {
        let before = self.live.load();
        let mut versions = before.versions.clone();
        versions[place] = Some(loaded.version.clone());
        let draft = before.draft(before.config.clone(), before.source.clone(), versions)?;
        self.live.put(draft.come_into_force());
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

    fn upload(&mut self, plugin: &str, bytes: Vec<u8>) -> Result<(), Refusal> {
        let place = self.shelf(plugin)?;
        let content = Arc::new(Content::of(bytes));
        let sandbox = self
            .sandbox()
            .map_err(|error| Refusal::Failed(format!("{error:#}")))?;
        let shelf = &self.shelves[place];
        let loaded = shelf.load(&sandbox, &content, &self.on_quarantine);
        let loaded = loaded.map_err(|error| Refusal::Unfit(format!("{error:#}")))?;
        self.put_in_file(place, loaded, "uploaded")
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
        let draft = draft.map_err(|error| Refusal::Unfit(format!("{error:#}")))?;
        let file = &self.shelves[place].plugin.file;
        persistence::replace(file, &loaded.content.bytes).map_err(|error| {
            let file = file.display();
            Refusal::Failed(format!(
                "{file} cannot be written: {error}; nothing has changed"
            ))
        })?;
        self.live.put(draft.come_into_force());
        self.shelve(place, loaded, how);
        Ok(())
    }

    fn shelf(&self, plugin: &str) -> Result<usize, Refusal> {
        let mut shelves = self.shelves.iter();
        let place = shelves.position(|shelf| shelf.plugin.name == plugin);
        place.ok_or_else(|| Refusal::Unknown(format!("there is no plugin {plugin}")))
    }

    fn sandbox(&mut self) -> Result<Arc<Sandbox>> {
        match &self.sandbox {
            Some(sandbox) => Ok(sandbox.clone()),
            None => Ok(self.sandbox.insert(Sandbox::new()?).clone()),
        }
    }
}

/// Looks whether the plugins of a configuration could serve where it names them.
///
/// # Errors
/// Every plugin that could not, with the reason, one a line.
pub(crate) fn check_plugins(setting: &Setting) -> Result<()> {
    let config = &setting.config;
    if config.plugins.is_empty() {
        return Ok(());
    }
    let sandbox = Sandbox::new()?;
    let snapshot = Snapshot::new(config.clone(), setting.source.clone())?;
    let nobody: OnQuarantine = Arc::new(|| {});
    let check = |(place, plugin): (usize, &Plugin)| {
        let loaded = Shelf::new(plugin).load_file(&sandbox, &nobody)?;
        let mut versions: Versions = vec![None; config.plugins.len()];
        versions[place] = Some(loaded.version);
        snapshot.draft(config.clone(), setting.source.clone(), versions)
    };
    let plugins = config.plugins.iter().enumerate();
    let mistakes: Vec<String> = plugins
        .filter_map(|(place, plugin)| {
            let error = check((place, plugin)).err()?;
            let (name, file) = (&plugin.name, plugin.file.display());
            Some(format!("plugin.{name}: {file} cannot serve: {error:#}"))
        })
        .collect();
    match mistakes.is_empty() {
        true => Ok(()),
        false => Err(anyhow!(mistakes.join("\n"))),
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

/// What can be changed only when the program starts stays as it is.
fn keep_unchangeable(config: &mut Config, before: &Config) {
    if config.workers != before.workers {
        tracing::warn!("workers changes when the program is started again");
        config.workers = before.workers;
    }
    if config.access_log != before.access_log {
        tracing::warn!("access-log changes when the program is started again");
        config.access_log.clone_from(&before.access_log);
    }
    let address = |config: &Config| config.admin.as_ref().map(|admin| admin.address.clone());
    if address(config) != address(before) {
        tracing::warn!("the address of admin changes when the program is started again");
        config.admin.clone_from(&before.admin);
    }
    let listen = |config: &Config| config.heartbeat.as_ref().and_then(|it| it.listen);
    if listen(config) != listen(before) {
        tracing::warn!("listen of heartbeat changes when the program is started again");
        config.heartbeat.clone_from(&before.heartbeat);
    }
}

fn note_lost(lost: &[String]) {
    for what in lost {
        tracing::warn!(
            "what was changed of {what} is dropped: the configuration file has it no longer"
        );
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
