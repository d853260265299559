//! Keeps the plugins that serve what their files say: loads them at the start and when they change, and takes them out of
//! service when they make too many mistakes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};

use super::engine::Sandbox;
use super::record::WINDOW;
use super::version::Version;
use super::watcher::{Change, Content, Waker, Watcher, read};
use crate::config::Plugin;

/// The largest component that is loaded, in bytes.
pub(crate) const LARGEST: u64 = 64 * 1024 * 1024;

/// Puts a version of the plugin with this number into service, or says why it cannot serve.
pub(crate) trait Install: FnMut(usize, &Arc<Version>) -> Result<()> {}

impl<F: FnMut(usize, &Arc<Version>) -> Result<()>> Install for F {}

/// The plugins of a configuration and their files.
pub(crate) struct Keeper<I> {
    sandbox: Arc<Sandbox>,
    shelves: Vec<Shelf>,
    watcher: Watcher,
    on_quarantine: Arc<dyn Fn() + Send + Sync>,
    install: I,
}

/// What is known of one plugin.
struct Shelf {
    plugin: Arc<Plugin>,
    /// What serves, or was taken out of service last.
    current: Option<Arc<Version>>,
    /// What served before and made no mistakes.
    previous: Option<Arc<Version>>,
    /// Whether it was said that the current version is out of service.
    told: bool,
}

impl<I: Install> Keeper<I> {
    /// Loads every plugin and begins to watch its file. What cannot be loaded is said in the log, and its balancers are
    /// served by their fallbacks until the file is put right.
    ///
    /// # Errors
    /// The sandbox cannot be started.
    pub(crate) fn start(plugins: &[Plugin], install: I) -> Result<Self> {
        let sandbox = Sandbox::new()?;
        let shelves: Vec<_> = plugins.iter().map(Shelf::new).collect();
        let contents: Vec<_> = shelves
            .iter()
            .map(|shelf| read(&shelf.plugin.file, LARGEST))
            .collect();
        let files = shelves.iter().zip(&contents).map(|(shelf, content)| {
            let known = content.as_ref().ok().map(|content| content.hash);
            (shelf.plugin.file.clone(), known)
        });
        let files: Vec<(PathBuf, _)> = files.collect();
        let mut watcher = Watcher::new(files, LARGEST);
        for (file, content) in contents.iter().enumerate() {
            if let Err(reason) = content {
                watcher.note_said(file, reason);
            }
        }
        let waker = watcher.waker();
        let mut keeper = Self {
            sandbox,
            shelves,
            watcher,
            on_quarantine: Arc::new(move || waker.wake()),
            install,
        };
        for (file, content) in contents.into_iter().enumerate() {
            keeper.apply(Change { file, content });
        }
        Ok(keeper)
    }

    /// What makes [`attend`](Self::attend) return.
    pub(crate) fn waker(&self) -> Waker {
        self.watcher.waker()
    }

    /// Waits for what happens next to a plugin, and acts on it.
    pub(crate) fn attend(&mut self) {
        match self.watcher.wait() {
            Some(change) => self.apply(change),
            None => self.relieve(),
        }
    }

    /// A file has new content, or none.
    fn apply(&mut self, change: Change) {
        let shelf = &self.shelves[change.file];
        let name = shelf.plugin.name.clone();
        let serving = shelf.serving();
        match change.content {
            Ok(content) => {
                let version = short(&content);
                if let Err(error) = self.load(change.file, &content) {
                    tracing::error!(
                        "plugin {name}: version {version} is refused: {error:#}; {serving}"
                    );
                }
            }
            Err(error) => {
                let file = shelf.plugin.file.display();
                tracing::error!("plugin {name}: {file} cannot be read: {error}; {serving}");
            }
        }
    }

    /// Makes the content of a file the version that serves.
    fn load(&mut self, plugin: usize, content: &Content) -> Result<()> {
        let shelf = &mut self.shelves[plugin];
        let (sandbox, install) = (&self.sandbox, &mut self.install);
        let version = unless_it_panics(|| {
            let mut version = Version::load(sandbox, &shelf.plugin, content, &self.on_quarantine)?;
            if let Some(before) = &shelf.current {
                version.record.join(&before.record);
            }
            let version = Arc::new(version);
            install(plugin, &version)?;
            Ok(version)
        })?;
        shelf.succeed(version);
        Ok(())
    }

    /// Versions may be out of service: puts those before them back, where there are any.
    fn relieve(&mut self) {
        for (plugin, shelf) in self.shelves.iter_mut().enumerate() {
            let Some(failed) = shelf.to_relieve() else {
                continue;
            };
            shelf.told = true;
            let (name, faults) = (&shelf.plugin.name, shelf.plugin.max_faults);
            let (version, counted) = (failed.short_hash(), failed.record.summary());
            tracing::info!("plugin {name}: version {version} in all: {counted}");
            let seconds = WINDOW.as_secs();
            let out = format!(
                "plugin {name}: version {version} is out of service after {faults} faults within {seconds} s"
            );
            let restored = shelf.previous.take().map(|version| {
                (self.install)(plugin, &version)
                    .with_context(|| format!("version {} cannot be put back", version.short_hash()))
                    .map(|()| version)
            });
            match restored {
                Some(Ok(version)) => {
                    tracing::error!("{out}; version {} serves again", version.short_hash());
                    version.record.note_installed();
                    shelf.current = Some(version);
                    shelf.told = false;
                }
                Some(Err(error)) => {
                    tracing::error!("{out}; {error:#}; the fallback serves until the file changes");
                }
                None => tracing::error!("{out}; the fallback serves until the file changes"),
            }
        }
    }
}

impl Shelf {
    fn new(plugin: &Plugin) -> Self {
        Self {
            plugin: Arc::new(plugin.clone()),
            current: None,
            previous: None,
            told: false,
        }
    }

    /// A new version serves. The one before is kept in case the new one fails, unless it failed itself.
    fn succeed(&mut self, version: Arc<Version>) {
        let (name, hash) = (&self.plugin.name, version.short_hash());
        let roles: Vec<_> = version.roles().iter().map(|role| role.name()).collect();
        tracing::info!(
            "plugin {name}: version {hash} serves ({})",
            roles.join(", ")
        );
        version.record.note_installed();
        let before = self.current.replace(version);
        if let Some(before) = before.filter(|before| !before.record.is_quarantined()) {
            self.previous = Some(before);
        }
        self.told = false;
    }

    /// The current version, if it is out of service and nobody was told.
    fn to_relieve(&self) -> Option<Arc<Version>> {
        let current = self.current.as_ref()?;
        (current.record.is_quarantined() && !self.told).then(|| current.clone())
    }

    /// Who serves, in words.
    fn serving(&self) -> String {
        match &self.current {
            Some(version) if !version.record.is_quarantined() => {
                format!("version {} serves on", version.short_hash())
            }
            _ => "the fallback serves".to_owned(),
        }
    }
}

/// Nobody knows what a file may do to a compiler. If that panics, the file is refused, and the next one gets its chance:
/// what is left half done belongs to the version that was to be, and goes with it.
fn unless_it_panics<R>(load: impl FnOnce() -> Result<R>) -> Result<R> {
    catch_unwind(AssertUnwindSafe(load))
        .unwrap_or_else(|_| Err(anyhow!("the compiler of plugins panicked over it")))
}

fn short(content: &Content) -> String {
    super::version::short_hash(&content.hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panic_while_loading_is_a_refusal() {
        let refused = unless_it_panics(|| -> Result<()> { panic!("on purpose") });
        assert!(refused.unwrap_err().to_string().contains("panicked"));
        assert_eq!(unless_it_panics(|| Ok(1)).unwrap(), 1);
    }
}
