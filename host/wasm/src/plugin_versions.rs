//! The versions of a plugin: the current one, and previous ones for a rollback.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow};

use super::compiler::Cancel;
use super::engine::{Code, Sandbox};
use super::stats::WINDOW;
use super::version::{Version, short_hash};
use equipoise_config::Plugin;
use equipoise_file_watch::{Content, read};
use equipoise_text::bounded;

/// Maximum size of a component, in bytes.
pub const MAX_COMPONENT: u64 = 64 * 1024 * 1024;

/// Previous versions that are kept.
const MAX_PREVIOUS: usize = 3;

/// Events of a plugin that are kept.
const MAX_EVENTS: usize = 32;

/// Called when a version is put out of service.
pub type OnQuarantine = Arc<dyn Fn() + Send + Sync>;

/// A version with the content of the file that it is made of.
#[derive(Clone)]
pub struct Loaded {
    /// Compiled and checked.
    pub version: Arc<Version>,
    /// Of its file.
    pub content: Arc<Content>,
}

/// The versions of one plugin.
#[derive(Clone)]
pub struct PluginVersions {
    /// Its settings.
    pub plugin: Arc<Plugin>,
    /// The version that serves, or was put out of service last.
    current: Option<Loaded>,
    /// Versions that served before and were not put out of service, the newest last.
    previous: VecDeque<Loaded>,
    /// Whether it was reported that the current version is out of service.
    reported: bool,
    /// Its events.
    pub events: Arc<EventLog>,
}

/// Events of a plugin, for operators.
#[derive(Debug, Default)]
pub struct EventLog(Mutex<EventLogState>);

/// The contents of an [`EventLog`].
#[derive(Debug, Clone, Default)]
pub struct EventLogState {
    /// The last events, the newest last.
    pub events: VecDeque<Event>,
    /// The last content of the file that was refused, unless another one was taken since: when, and why.
    pub refused: Option<(SystemTime, String)>,
    /// The versions that can be put back, the last one last.
    pub previous: Vec<String>,
    /// The version that is being compiled.
    pub compiling: Option<String>,
}

/// An event of a plugin.
#[derive(Debug, Clone)]
pub struct Event {
    /// The version it is about.
    pub version: String,
    /// When.
    pub at: SystemTime,
    /// What, in a sentence.
    pub what: String,
}

impl EventLog {
    /// A copy of its contents.
    pub fn state(&self) -> EventLogState {
        self.lock().clone()
    }

    /// Adds an event of a version.
    pub fn note(&self, version: String, what: &str) {
        let what = bounded::message(what).into_owned();
        let mut state = self.lock();
        if state.events.len() == MAX_EVENTS {
            state.events.pop_front();
        }
        state.events.push_back(Event {
            version,
            at: SystemTime::now(),
            what,
        });
    }

    fn lock(&self) -> MutexGuard<'_, EventLogState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PluginVersions {
    /// A plugin without a loaded version.
    pub fn new(plugin: &Plugin) -> Self {
        Self {
            plugin: Arc::new(plugin.clone()),
            current: None,
            previous: VecDeque::new(),
            reported: false,
            events: Arc::default(),
        }
    }

    /// The same plugin with a new configuration: versions are kept unless they would be loaded differently.
    pub fn reconfigured(&self, plugin: &Plugin) -> Self {
        let mut versions = self.clone();
        if !loads_alike(&self.plugin, plugin) {
            versions.current = None;
            versions.previous.clear();
            versions.reported = false;
        }
        versions.plugin = Arc::new(plugin.clone());
        versions
    }

    /// The version that serves, or was taken out of service last.
    pub fn version(&self) -> Option<&Arc<Version>> {
        self.current.as_ref().map(|current| &current.version)
    }

    /// Makes a version of a file's content and its compiled code.
    ///
    /// # Errors
    /// Why it is no plugin. A component that makes the program panic is refused, too.
    pub fn load(
        &self,
        sandbox: &Arc<Sandbox>,
        content: &Arc<Content>,
        code: &Code,
        on_quarantine: &OnQuarantine,
    ) -> Result<Loaded> {
        let plugin = &self.plugin;
        let load = || Version::load(sandbox, plugin, content, code, on_quarantine);
        let loaded = panic::catch_unwind(AssertUnwindSafe(load));
        let mut version =
            loaded.unwrap_or_else(|_| Err(anyhow!("the program panicked over it")))?;
        if let Some(before) = self.version() {
            version.stats.join(&before.stats);
        }
        Ok(Loaded {
            version: Arc::new(version),
            content: content.clone(),
        })
    }

    /// As [`load`](Self::load), with what is in the plugin's file now, which is compiled first where it has to be. Waits for
    /// that; no callback runs when the version is put out of service.
    ///
    /// # Errors
    /// Why the file cannot be read, or is no plugin.
    pub fn load_file(&self, sandbox: &Arc<Sandbox>) -> Result<Loaded> {
        let content = read(&self.plugin.file, MAX_COMPONENT).context("it cannot be read")?;
        let code = sandbox.compile(&content, &Cancel::default())?;
        let on_quarantine: OnQuarantine = Arc::new(|| {});
        self.load(sandbox, &Arc::new(content), &code, &on_quarantine)
    }

    /// A version of this beginning of a hash that can be put back: the last one where none is given.
    pub fn previous(&self, hash: Option<&str>) -> Option<Loaded> {
        let mut newest_first = self.previous.iter().rev();
        let found = newest_first.find(|loaded| {
            hash.is_none_or(|hash| {
                !hash.is_empty() && loaded.version.short_hash().starts_with(hash)
            })
        });
        found.cloned()
    }

    /// Makes a version the current one. The one before is kept for a rollback, unless it is out of service.
    pub fn activate(&mut self, loaded: Loaded, how: &str) {
        let (name, version) = (&self.plugin.name, loaded.version.clone());
        version.stats.note_installed();
        let hash = version.short_hash();
        let roles: Vec<_> = version.roles().iter().map(|role| role.name()).collect();
        tracing::info!(
            "plugin {name}: version {hash} serves ({})",
            roles.join(", ")
        );
        self.previous
            .retain(|kept| !Arc::ptr_eq(&kept.version, &version));
        let before = self.current.replace(loaded);
        if let Some(before) = before.filter(|before| !before.version.stats.is_quarantined()) {
            self.previous.push_back(before);
        }
        if self.previous.len() > MAX_PREVIOUS {
            self.previous.pop_front();
        }
        self.reported = false;
        self.events.note(hash, how);
        let mut state = self.events.lock();
        (state.refused, state.compiling) = (None, None);
        state.previous = self.hashes();
    }

    /// Logs that a content of the file has to be compiled before it can serve, and which version serves.
    pub fn note_compiling(&self, content: &Content) {
        let (name, version) = (&self.plugin.name, short_hash(&content.hash));
        let serving = self.serving();
        tracing::debug!("plugin {name}: version {version} is being compiled; {serving}");
        self.events.lock().compiling = Some(version);
    }

    /// Logs that a content of the file is refused, and which version serves.
    pub fn refuse(&self, content: &Content, error: &anyhow::Error) {
        let (name, version) = (&self.plugin.name, short_hash(&content.hash));
        let (serving, reason) = (self.serving(), bounded::error(error));
        tracing::error!("plugin {name}: version {version} is refused: {reason}; {serving}");
        self.note_refused(version, &reason);
    }

    /// Logs that the file cannot be read, and which version serves.
    pub fn note_unreadable(&self, error: &impl std::fmt::Display) {
        let (name, file) = (&self.plugin.name, self.plugin.file.display());
        let serving = self.serving();
        tracing::error!("plugin {name}: {file} cannot be read: {error}; {serving}");
        self.note_refused(String::new(), &format!("it cannot be read: {error}"));
    }

    fn note_refused(&self, version: String, reason: &str) {
        let reason = bounded::message(reason);
        self.events.note(version, &format!("refused: {reason}"));
        let mut state = self.events.lock();
        state.refused = Some((SystemTime::now(), reason.into_owned()));
        state.compiling = None;
    }

    /// If the current version is out of service and that was not reported yet: returns the report, and removes and returns the
    /// previous version to roll back to.
    pub fn take_quarantined(&mut self) -> Option<(String, Option<Loaded>)> {
        let current = self.current.as_ref()?;
        if self.reported || !current.version.stats.is_quarantined() {
            return None;
        }
        self.reported = true;
        let (name, faults) = (&self.plugin.name, self.plugin.max_faults);
        let (version, counted) = (
            current.version.short_hash(),
            current.version.stats.summary(),
        );
        tracing::info!("plugin {name}: version {version} in all: {counted}");
        let seconds = WINDOW.as_secs();
        let out = format!(
            "plugin {name}: version {version} is out of service after {faults} faults within {seconds} s"
        );
        self.events.note(version, "out of service");
        let previous = self.previous.pop_back();
        self.events.lock().previous = self.hashes();
        Some((out, previous))
    }

    /// Which version serves, for log lines.
    fn serving(&self) -> String {
        match self.version() {
            Some(version) if !version.stats.is_quarantined() => {
                format!("version {} serves on", version.short_hash())
            }
            _ => "the fallback serves".to_owned(),
        }
    }

    fn hashes(&self) -> Vec<String> {
        let previous = self.previous.iter();
        previous.map(|loaded| loaded.version.short_hash()).collect()
    }
}

/// Whether the two load the same version of the same file: only settings differ.
fn loads_alike(one: &Plugin, other: &Plugin) -> bool {
    let bounds = |plugin: &Plugin| {
        let Plugin {
            memory,
            deadline,
            cpu_budget,
            max_faults,
            ..
        } = *plugin;
        (memory, deadline, cpu_budget, max_faults)
    };
    one.file == other.file && bounds(one) == bounds(other) && one.hide_headers == other.hide_headers
}
