//! The controller: the state of the control thread, and each change that it makes.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::Receiver;
use std::time::SystemTime;

use equipoise_balancer::Status;
use serde_json::Value;

use super::command::{Command, PendingCommand, Refusal};
use super::loaded_config::{log_dropped, unfit};
use super::named_files::NamedFiles;
use super::parked::{NotApplied, ParkedTasks, Task};
use super::plugins::versions;
use super::replace::log_replaced;
use super::startup::persist;
use super::static_settings::{self, StaticSettings};
use super::terms::{LeftOut, Terms};
use super::{ControlStatus, Refused, aside, lock};
use crate::apache::{self, Apache};
use equipoise_config::Config;
use equipoise_config::Source;
use equipoise_config::source::{Changes, Edit, Settings};
use equipoise_file_watch::{self as file_watch, Change, Content, Hash, Unreadable, Watcher};
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::downstream::Listeners;
use equipoise_proxy::snapshot::{self, Inputs, OnRefusal, Snapshot};
use equipoise_text::bounded;
use equipoise_tls::FileContents;
use equipoise_wasm::{self as wasm, Compilations, OnQuarantine, PluginVersions};

/// A file that is watched, in one of its roles.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum WatchedFile {
    /// The configuration file.
    Config,
    /// A file or folder that Apache's configuration is made of.
    Apache(PathBuf),
    /// That of the plugin of this name.
    Plugin(String),
    /// One for TLS, or for the body of a response.
    Named(PathBuf),
}

/// The state of the control thread.
pub(super) struct Controller {
    pub(super) current: CurrentSnapshot,
    /// Whether there is a configuration file to watch.
    pub(super) is_file: bool,
    /// What the configuration is imported from, if it is Apache's.
    pub(super) apache: Option<Apache>,
    /// The static settings of the configuration file.
    pub(super) wanted: StaticSettings,
    pub(super) watcher: Watcher<WatchedFile>,
    pub(super) waiting: Receiver<PendingCommand>,
    pub(super) status: Arc<ControlStatus>,
    /// None until there are plugins.
    pub(super) compilations: Option<Compilations>,
    /// What waits for them.
    pub(super) parked: ParkedTasks,
    /// In the order of the configuration.
    pub(super) shelves: Vec<PluginVersions>,
    pub(super) named_files: NamedFiles,
    pub(super) on_quarantine: OnQuarantine,
    /// Where clients connect to; none until they may.
    pub(super) listeners: Option<Listeners>,
    pub(super) is_over: Arc<AtomicBool>,
}

impl Controller {
    /// Runs the thread.
    pub(super) fn run(mut self) {
        self.catch_panic(Self::initialize);
        while !self.is_over.load(Relaxed) {
            match self.watcher.wait() {
                Some(change) => self.catch_panic(|it| it.on_file_change(change)),
                None => {
                    self.catch_panic(Self::rollback_quarantined);
                    self.catch_panic(Self::resume_parked);
                    while let Ok(pending) = self.waiting.try_recv() {
                        self.catch_panic(|it| it.execute(pending));
                    }
                }
            }
        }
    }

    /// Runs one step. If that panics, control goes on with the configuration in use.
    fn catch_panic(&mut self, step: impl FnOnce(&mut Self)) {
        if panic::catch_unwind(AssertUnwindSafe(|| step(self))).is_err() {
            tracing::error!("a change panicked; the configuration in use stays in use");
        }
    }

    /// Runs the parked tasks whose components are compiled by now.
    pub(super) fn resume_parked(&mut self) {
        let Some(compilations) = &mut self.compilations else {
            return;
        };
        compilations.note_ended();
        let due = self.parked.take_due(|hash| compilations.is_under_way(hash));
        for task in due {
            match task {
                Task::Command(pending) => self.execute(pending),
                Task::File => self.on_config_change(None),
                Task::StateFile(file) => self.apply_state_file(&file),
                Task::Plugin(plugin, content) => {
                    let mut shelves = self.shelves.iter();
                    let is_it = |shelf: &PluginVersions| {
                        shelf.plugin.name == plugin.name && shelf.plugin.file == plugin.file
                    };
                    if let Some(place) = shelves.position(is_it) {
                        self.load_content(place, content);
                    }
                }
            }
        }
        self.cancel_unneeded();
    }

    /// Parks a task until components are compiled.
    pub(super) fn park(&mut self, task: Task, needs: Vec<Hash>) {
        self.parked.park(task, needs);
        self.cancel_unneeded();
    }

    /// Cancels the compilations that no task waits for.
    pub(super) fn cancel_unneeded(&mut self) {
        if let Some(compilations) = &mut self.compilations {
            compilations.retain(|hash| self.parked.need(hash));
        }
    }

    /// A file has new content, or none.
    fn on_file_change(&mut self, Change { key, content }: Change<WatchedFile>) {
        match &key {
            WatchedFile::Config => {
                if content.is_err() {
                    // Whatever it has when it is back is read, even if that is what it had.
                    self.watcher.forget(&key);
                }
                self.on_config_change(Some(content));
            }
            WatchedFile::Apache(_) => self.on_apache_change(),
            WatchedFile::Named(path) => {
                if !self.named_files.is_taken(path, &content) {
                    self.reload_named();
                }
            }
            WatchedFile::Plugin(name) => {
                let mut shelves = self.shelves.iter();
                let Some(place) = shelves.position(|shelf| shelf.plugin.name == *name) else {
                    return;
                };
                match content {
                    Ok(content) => self.load_content(place, Arc::new(content)),
                    Err(error) => self.shelves[place].note_unreadable(&error),
                }
            }
        }
    }

    /// The configuration file has this content, or what it has now.
    fn on_config_change(&mut self, content: Option<Result<Content, Unreadable>>) {
        let outcome = match content {
            Some(content) => self.reload_with(self.text_of(content)),
            None => self.reload(),
        };
        // What else comes of it has been logged.
        if let Err(NotApplied::Compiling(needs)) = outcome {
            self.park(Task::File, needs);
        }
    }

    /// A file of Apache's configuration has changed: what comes of them all may be another text.
    fn on_apache_change(&mut self) {
        let Some(apache) = &mut self.apache else {
            return;
        };
        let import = apache.import();
        let is_same = import.toml.as_deref() == Some(self.current.load().source.file());
        self.watch_files();
        if is_same && lock(&self.status.refused).is_none() {
            tracing::debug!("Apache's configuration has changed, and what comes of it has not");
            return;
        }
        apache::tell(&import.report);
        let text = apache::text(import).map_err(|error| Refusal::Unfit(format!("{error:#}")));
        if let Err(NotApplied::Compiling(needs)) = self.reload_with(text) {
            self.park(Task::File, needs);
        }
    }

    /// Executes a command, now or when plugins are compiled for it, and replies.
    fn execute(&mut self, pending: PendingCommand) {
        match self.attempt(&pending) {
            Ok(left_out) => {
                let told = pending.command.to_string();
                if !told.is_empty() {
                    let but = match left_out.len() {
                        0 => String::new(),
                        count => format!(", but for {count} that cannot be had"),
                    };
                    tracing::info!("{told}{but}: by the operator at {}", pending.by);
                }
                (pending.reply)(Ok(left_out));
            }
            Err(NotApplied::Refused(refusal)) => (pending.reply)(Err(refusal)),
            Err(NotApplied::Compiling(needs)) => self.park(Task::Command(pending), needs),
        }
    }

    fn attempt(&mut self, pending: &PendingCommand) -> Result<Vec<LeftOut>, NotApplied> {
        let PendingCommand { command, terms, .. } = pending;
        if !matches!(command, Command::Reload) {
            lock(&self.status.state).check_superseded()?;
        }
        if command.is_kept() {
            self.acquire_state_file()
                .map_err(Refusal::with_nothing_changed)?;
        }
        let before = self.current.load();
        aside::check_names(&terms.set_aside, &before)?;
        if let Some((resource, etag)) = &terms.expected
            && resource.etag(&before).is_some_and(|now| now != *etag)
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
            Command::Revert(key) => self.revert(key.as_deref(), terms)?,
            Command::Upload { plugin, content } => self.upload(plugin, content)?,
            Command::RollBack { plugin, version } => self.roll_back(plugin, version.as_deref())?,
        }
        Ok(Vec::new())
    }

    /// Reads the configuration file again.
    fn reload(&mut self) -> Result<(), NotApplied> {
        if !self.is_file {
            let reason = "the configuration comes from no file";
            return Err(Refusal::Conflict(reason.to_owned()).into());
        }
        if let Some(apache) = &mut self.apache {
            let import = apache.import();
            apache::tell(&import.report);
            self.watch_files();
            let text = apache::text(import).map_err(|error| Refusal::Unfit(format!("{error:#}")));
            return self.reload_with(text);
        }
        let path = self.current.load().source.path.clone();
        let content = file_watch::read(&path, wasm::MAX_COMPONENT);
        if let Ok(content) = &content {
            self.watcher.mark_known(&WatchedFile::Config, content.hash);
        }
        self.reload_with(self.text_of(content))
    }

    /// The configuration file has this text: puts it into force, or says why not.
    fn reload_with(&mut self, text: Result<String, Refusal>) -> Result<(), NotApplied> {
        let outcome = self.take_file(text);
        let mut refused = lock(&self.status.refused);
        match outcome {
            Err(NotApplied::Compiling(needs)) => {
                tracing::info!("the configuration is read again when its plugins are compiled");
                Err(NotApplied::Compiling(needs))
            }
            Ok(()) => {
                *refused = None;
                self.current.load().metrics.reloads.record_applied();
                tracing::info!("the configuration is read again and in force");
                Ok(())
            }
            Err(NotApplied::Refused(refusal)) => {
                for line in refusal.to_string().lines() {
                    tracing::error!("{line}");
                }
                tracing::error!("the configuration before stays in force");
                self.current.load().metrics.reloads.record_refused();
                let reason = Arc::new(refusal);
                *refused = Some(Refused {
                    at: SystemTime::now(),
                    reason: reason.clone(),
                });
                Err(Refusal::Refused(reason).into())
            }
        }
    }

    /// The text of the configuration file, of its content.
    fn text_of(&self, content: Result<Content, Unreadable>) -> Result<String, Refusal> {
        let path = &self.current.load().source.path;
        let content = content.map_err(|error| {
            Refusal::Unfit(format!("{}: cannot be read: {error}", path.display()))
        })?;
        Config::text_of(content.bytes, path).map_err(Refusal::Mistaken)
    }

    fn take_file(&mut self, text: Result<String, Refusal>) -> Result<(), NotApplied> {
        let before = self.current.load();
        let path = &before.source.path;
        let (source, config, lost) = Source::new(path, &text?, &before.source.changes)?;
        self.apply(source, config, OnRefusal::Refuse)?;
        log_dropped(&lost);
        Ok(())
    }

    /// Changes the configuration.
    pub(super) fn edit_all(
        &mut self,
        mut edits: Vec<Edit>,
        terms: &Terms,
    ) -> Result<(), NotApplied> {
        let before = self.current.load();
        for edit in &mut edits {
            if let Edit::Member {
                balancer,
                url,
                patch,
            } = edit
            {
                resolve_status(&before, balancer, url, patch)?;
            }
        }
        self.change(&before.source.changes_with_all(edits), terms)
    }

    fn revert(&mut self, key: Option<&str>, terms: &Terms) -> Result<(), NotApplied> {
        let before = self.current.load();
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
    fn change(&mut self, changes: &Changes, terms: &Terms) -> Result<(), NotApplied> {
        let before = self.current.load();
        let (source, config, _) = before.source.with(changes)?;
        self.apply(source, config, OnRefusal::SetAside(&terms.set_aside))
    }

    /// Puts a configuration into force: all of it, or nothing. What plugins refuse is refused, unless they are set aside.
    pub(super) fn apply(
        &mut self,
        source: Source,
        mut config: Config,
        on_refusal: OnRefusal<'_>,
    ) -> Result<(), NotApplied> {
        let before = self.current.load();
        let wanted = StaticSettings::of(&config);
        static_settings::keep(&mut config, &before.config);
        let plan = self.plan(&config.plugins)?;
        let versions = versions(&plan);
        let contents = Arc::new(FileContents::read(snapshot::files(&config)));
        let unusable = snapshot::unusable(&config, &contents, Some(&before.config));
        if !unusable.is_empty() {
            return Err(Refusal::Unfit(bounded::list(&unusable, "\n")).into());
        }
        let (source, config) = (Arc::new(source), Arc::new(config));
        let inputs = Inputs {
            config: config.clone(),
            source: source.clone(),
            versions,
            contents: contents.clone(),
        };
        let draft = before.prepare(inputs.clone(), on_refusal);
        let draft = draft.map_err(|error| {
            let unfit = unfit(&before, &inputs, on_refusal);
            aside::refusal(&error, unfit, on_refusal)
        })?;
        let listeners = self.listeners.as_ref();
        let prepared = listeners.map(|listeners| listeners.prepare(&config.listeners, &contents));
        let prepared = prepared.transpose();
        let prepared = prepared.map_err(|error| Refusal::Failed(format!("{error:#}")))?;
        let is_kept = source.changes == before.source.changes
            && (source.changes.is_empty() || persist(&config) == persist(&before.config));
        if let Some(persist) = persist(&config)
            && !is_kept
        {
            match lock(&self.status.state).write(persist, &source.changes) {
                Ok(replaced) => log_replaced(persist, &replaced),
                // What the configuration file says is not up to the other program.
                Err(Refusal::Conflict(reason)) if matches!(on_refusal, OnRefusal::Refuse) => {
                    tracing::warn!("{reason}");
                }
                Err(refusal) => return Err(refusal.with_nothing_changed().into()),
            }
        }
        self.activate(draft);
        if let (Some(listeners), Some(prepared)) = (&self.listeners, prepared) {
            listeners.apply(prepared, config.limits.connections);
        }
        self.named_files.add(&contents);
        self.set_plugins(plan);
        wanted.warn_of_changes(&self.wanted);
        self.wanted = wanted;
        Ok(())
    }

    /// Watches the configuration file, those of the plugins and all others that it names.
    pub(super) fn watch_files(&mut self) {
        let snapshot = self.current.load();
        let is_ours = self.is_file && self.apache.is_none();
        let file = is_ours.then(|| {
            (
                WatchedFile::Config,
                snapshot.source.path.clone(),
                Some(snapshot.source.file_hash()),
            )
        });
        let plugins = self.shelves.iter().map(|shelf| {
            let file = WatchedFile::Plugin(shelf.plugin.name.clone());
            (file, shelf.plugin.file.clone(), None)
        });
        let tls = self.named_files.watched(&snapshot.config);
        let tls = tls.map(|(path, known)| (WatchedFile::Named(path.clone()), path, known));
        let apache = self.apache.as_ref();
        let imported = apache.into_iter().flat_map(Apache::files);
        let imported =
            imported.map(|(path, known)| (WatchedFile::Apache(path.clone()), path, known));
        self.watcher
            .follow(file.into_iter().chain(plugins).chain(tls).chain(imported));
        let folders = apache.into_iter().flat_map(Apache::folders);
        let folders = folders.map(|(path, known)| (WatchedFile::Apache(path.clone()), path, known));
        self.watcher.follow_folders(folders);
        let books = self.shelves.iter();
        *lock(&self.status.books) = books
            .map(|shelf| (shelf.plugin.name.clone(), shelf.events.clone()))
            .collect();
    }

    /// Files for TLS or for bodies have changed: puts what they have now into force. Where they are of no use, what served before goes on.
    fn reload_named(&mut self) {
        let before = self.current.load();
        let config = &before.config;
        let (contents, is_whole) = self.named_files.take_again(config);
        let inputs = Inputs {
            contents: contents.clone(),
            ..before.inputs()
        };
        match before.prepare(inputs, OnRefusal::Refuse) {
            Ok(draft) => self.activate(draft),
            Err(error) => tracing::error!("{error:#}; what served before goes on"),
        }
        if let Some(listeners) = &self.listeners {
            match listeners.prepare(&config.listeners, &contents) {
                Ok(prepared) => listeners.apply(prepared, config.limits.connections),
                Err(error) => tracing::error!("{error:#}; what served before goes on"),
            }
        }
        if is_whole {
            tracing::info!("the named files are read again and in force");
        }
    }
}

/// Works out a status that is written as a change of the one before: `+N` drains, and leaves other flags as they are.
fn resolve_status(
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
