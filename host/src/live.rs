//! The snapshot in force, and how it is exchanged while requests are served.

use std::ops::Deref;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use arc_swap::{ArcSwap, Cache};
use rustix::process::setpriority_process;

use crate::config::{Config, Plugin};
use crate::snapshot::Snapshot;
use crate::wasm::{Keeper, Sandbox, Version, Waker};

/// How far the thread that compiles plugins stands back behind those that serve; 19 is last.
const NICENESS: i32 = 10;

/// The snapshot in force. Clones are of the same.
#[derive(Clone)]
pub(crate) struct Live {
    snapshot: Arc<ArcSwap<Snapshot>>,
    /// Who exchanges it, one at a time.
    turn: Arc<Mutex<()>>,
}

impl Live {
    /// Puts a configuration in force. Its plugins are loaded when this returns, and from then on when their files change,
    /// for as long as the attendant lives.
    ///
    /// # Errors
    /// The plugins' sandbox or the thread that attends to it cannot be started.
    pub(crate) fn start(config: &Config) -> Result<(Self, Option<Attendant>)> {
        let live = Self {
            snapshot: Arc::new(ArcSwap::from_pointee(Snapshot::new(config))),
            turn: Arc::default(),
        };
        let attendant = match config.plugins.is_empty() {
            true => None,
            false => Some(Attendant::start(config, live.clone())?),
        };
        Ok((live, attendant))
    }

    /// A view for one thread.
    pub(crate) fn view(&self) -> View {
        View {
            pinned: Rc::new(Pinned(self.snapshot.load_full())),
            cache: Cache::new(self.snapshot.clone()),
        }
    }

    /// Puts into force what is made of the snapshot in force. Others who want to do so wait meanwhile.
    ///
    /// # Errors
    /// Those of `change`: all is as before then.
    pub(crate) fn update<E>(
        &self,
        change: impl FnOnce(&Snapshot) -> Result<Snapshot, E>,
    ) -> Result<(), E> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&self.snapshot.load())?;
        self.snapshot.store(Arc::new(changed));
        Ok(())
    }
}

/// Looks whether the plugins of a configuration could serve where it names them.
///
/// # Errors
/// Every plugin that could not, with the reason, one a line.
pub(crate) fn check_plugins(config: &Config) -> Result<()> {
    if config.plugins.is_empty() {
        return Ok(());
    }
    let sandbox = Sandbox::new()?;
    let snapshot = Snapshot::new(config);
    let check = |(number, plugin): (usize, &Plugin)| {
        let version = Version::of_file(&sandbox, &Arc::new(plugin.clone()))?;
        snapshot.with_plugin(number, Arc::new(version))
    };
    let plugins = config.plugins.iter().enumerate();
    let mistakes: Vec<String> = plugins
        .filter_map(|(number, plugin)| {
            let error = check((number, plugin)).err()?;
            let (name, file) = (&plugin.name, plugin.file.display());
            Some(format!("plugin.{name}: {file} cannot serve: {error:#}"))
        })
        .collect();
    ensure!(mistakes.is_empty(), mistakes.join("\n"));
    Ok(())
}

/// One thread's view of the snapshot in force: costs a load from memory while that stays the same.
pub(crate) struct View {
    cache: Cache<Arc<ArcSwap<Snapshot>>, Arc<Snapshot>>,
    /// The same again, to be cloned without touching what threads share.
    pinned: Rc<Pinned>,
}

/// A snapshot that somebody keeps.
pub(crate) struct Pinned(Arc<Snapshot>);

impl Deref for Pinned {
    type Target = Snapshot;

    fn deref(&self) -> &Snapshot {
        &self.0
    }
}

impl View {
    /// The snapshot in force, for a request to keep to its end.
    pub(crate) fn pin(&mut self) -> Rc<Pinned> {
        let latest = self.cache.load();
        if !Arc::ptr_eq(latest, &self.pinned.0) {
            self.pinned = Rc::new(Pinned(latest.clone()));
        }
        self.pinned.clone()
    }
}

/// The thread that keeps plugins up to date. Dropped, it ends when it is done with what it is at.
pub(crate) struct Attendant {
    waker: Waker,
    is_over: Arc<AtomicBool>,
}

impl Attendant {
    fn start(config: &Config, live: Live) -> Result<Self> {
        let mut keeper = Keeper::start(&config.plugins, move |plugin, version| {
            live.update(|snapshot| snapshot.with_plugin(plugin, version.clone()))
        })?;
        let waker = keeper.waker();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = is_over.clone();
        let attend = move || {
            // On Linux the priority is the thread's. Without it plugins are compiled all the same.
            let _ = setpriority_process(None, NICENESS);
            while !ends.load(Relaxed) {
                keeper.attend();
            }
        };
        thread::Builder::new()
            .name("plugins".to_owned())
            .spawn(attend)
            .context("starting the thread that keeps plugins up to date")?;
        Ok(Self { waker, is_over })
    }
}

impl Drop for Attendant {
    /// Waits for nothing: compiling a large component takes long, and the program is to end in time.
    fn drop(&mut self) {
        self.is_over.store(true, Relaxed);
        self.waker.wake();
    }
}
