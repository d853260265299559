//! The versions of a plugin that are at hand: the one that serves, and those that could be put back.

use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use anyhow::{Context as _, Result, anyhow};

use super::compiler::Cancel;
use super::engine::{Code, Sandbox};
use super::record::WINDOW;
use super::version::{Version, short_hash};
use equipoise_config::Plugin;
use equipoise_file_watch::{Content, read};
use equipoise_text::bounded;

/// The largest component that is loaded, in bytes.
pub const LARGEST: u64 = 64 * 1024 * 1024;

/// How many versions that served before are kept.
const KEPT: usize = 3;

/// How many events of a plugin are remembered.
const EVENTS: usize = 32;

/// Called when a version has made too many mistakes.
pub type OnQuarantine = Arc<dyn Fn() + Send + Sync>;

/// A version with the content of the file that it is made of.
#[derive(Clone)]
pub struct Loaded {
    /// Compiled and checked.
    pub version: Arc<Version>,
    /// Of its file.
    pub content: Arc<Content>,
}

/// What is known of one plugin.
#[derive(Clone)]
pub struct Shelf {
    /// Its settings.
    pub plugin: Arc<Plugin>,
    /// What serves, or was taken out of service last.
    current: Option<Loaded>,
    /// What served before and made no mistakes, the last one last.
    previous: VecDeque<Loaded>,
    /// Whether it was said that the current version is out of service.
    told: bool,
    /// What happened to it.
    pub book: Arc<Book>,
}

/// What happened to a plugin, for people to read.
#[derive(Debug, Default)]
pub struct Book(Mutex<Pages>);

/// The pages of a [`Book`].
#[derive(Debug, Clone, Default)]
pub struct Pages {
    /// The last events, the newest last.
    pub events: VecDeque<Event>,
    /// The last content of the file that was refused, unless another one was taken since: when, and why.
    pub refused: Option<(SystemTime, String)>,
    /// The versions that can be put back, the last one last.
    pub previous: Vec<String>,
    /// The version that is being compiled.
    pub compiling: Option<String>,
}

/// Something that happened to a plugin.
#[derive(Debug, Clone)]
pub struct Event {
    /// The version it is about.
    pub version: String,
    /// When.
    pub at: SystemTime,
    /// What, in a sentence.
    pub what: String,
}

impl Book {
    /// What is in it now.
    pub fn pages(&self) -> Pages {
        self.lock().clone()
    }

    /// Something happened to a version.
    pub fn note(&self, version: String, what: &str) {
        let what = bounded::message(what).into_owned();
        let mut pages = self.lock();
        if pages.events.len() == EVENTS {
            pages.events.pop_front();
        }
        pages.events.push_back(Event {
            version,
            at: SystemTime::now(),
            what,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Pages> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    /// The shelf of a plugin of which nothing is loaded.
    pub fn new(plugin: &Plugin) -> Self {
        Self {
            plugin: Arc::new(plugin.clone()),
            current: None,
            previous: VecDeque::new(),
            told: false,
            book: Arc::default(),
        }
    }

    /// The shelf of a plugin that is configured in another way: what is on it goes on, as far as it is as before.
    pub fn reconfigured(&self, plugin: &Plugin) -> Self {
        let mut shelf = self.clone();
        if !is_made_alike(&self.plugin, plugin) {
            shelf.current = None;
            shelf.previous.clear();
            shelf.told = false;
        }
        shelf.plugin = Arc::new(plugin.clone());
        shelf
    }

    /// The version that serves, or was taken out of service last.
    pub fn version(&self) -> Option<&Arc<Version>> {
        self.current.as_ref().map(|current| &current.version)
    }

    /// Makes a version of a file's content and what that was compiled to.
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
            version.record.join(&before.record);
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
        let content = read(&self.plugin.file, LARGEST).context("it cannot be read")?;
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

    /// A version serves from now on. The one before is kept in case the new one fails, unless it failed itself.
    pub fn succeed(&mut self, loaded: Loaded, how: &str) {
        let (name, version) = (&self.plugin.name, loaded.version.clone());
        version.record.note_installed();
        let hash = version.short_hash();
        let roles: Vec<_> = version.roles().iter().map(|role| role.name()).collect();
        tracing::info!(
            "plugin {name}: version {hash} serves ({})",
            roles.join(", ")
        );
        self.previous
            .retain(|kept| !Arc::ptr_eq(&kept.version, &version));
        let before = self.current.replace(loaded);
        if let Some(before) = before.filter(|before| !before.version.record.is_quarantined()) {
            self.previous.push_back(before);
        }
        if self.previous.len() > KEPT {
            self.previous.pop_front();
        }
        self.told = false;
        self.book.note(hash, how);
        let mut pages = self.book.lock();
        (pages.refused, pages.compiling) = (None, None);
        pages.previous = self.hashes();
    }

    /// A content of the file has to be compiled before it can serve: says so, and who serves.
    pub fn note_compiling(&self, content: &Content) {
        let (name, version) = (&self.plugin.name, short_hash(&content.hash));
        let serving = self.serving();
        tracing::debug!("plugin {name}: version {version} is being compiled; {serving}");
        self.book.lock().compiling = Some(version);
    }

    /// A content of the file is refused: says so, and who serves.
    pub fn refuse(&self, content: &Content, error: &anyhow::Error) {
        let (name, version) = (&self.plugin.name, short_hash(&content.hash));
        let (serving, reason) = (self.serving(), bounded::error(error));
        tracing::error!("plugin {name}: version {version} is refused: {reason}; {serving}");
        self.note_refused(version, &reason);
    }

    /// The file cannot be read: says so, and who serves.
    pub fn miss(&self, error: &impl std::fmt::Display) {
        let (name, file) = (&self.plugin.name, self.plugin.file.display());
        let serving = self.serving();
        tracing::error!("plugin {name}: {file} cannot be read: {error}; {serving}");
        self.note_refused(String::new(), &format!("it cannot be read: {error}"));
    }

    fn note_refused(&self, version: String, reason: &str) {
        let reason = bounded::message(reason);
        self.book.note(version, &format!("refused: {reason}"));
        let mut pages = self.book.lock();
        pages.refused = Some((SystemTime::now(), reason.into_owned()));
        pages.compiling = None;
    }

    /// Whether the current version is out of service and nobody was told: then says so, and answers the words and what could
    /// be put in its place. What that is is not on the shelf any more.
    pub fn relieve(&mut self) -> Option<(String, Option<Loaded>)> {
        let current = self.current.as_ref()?;
        if self.told || !current.version.record.is_quarantined() {
            return None;
        }
        self.told = true;
        let (name, faults) = (&self.plugin.name, self.plugin.max_faults);
        let (version, counted) = (
            current.version.short_hash(),
            current.version.record.summary(),
        );
        tracing::info!("plugin {name}: version {version} in all: {counted}");
        let seconds = WINDOW.as_secs();
        let out = format!(
            "plugin {name}: version {version} is out of service after {faults} faults within {seconds} s"
        );
        self.book.note(version, "out of service");
        let previous = self.previous.pop_back();
        self.book.lock().previous = self.hashes();
        Some((out, previous))
    }

    /// Who serves, in words.
    fn serving(&self) -> String {
        match self.version() {
            Some(version) if !version.record.is_quarantined() => {
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

/// Whether versions of the one are such as the other would be made: their settings alone may differ.
fn is_made_alike(one: &Plugin, other: &Plugin) -> bool {
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
