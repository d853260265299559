//! Control: the one thread that changes the configuration in use.
//!
//! It watches the configuration file, the plugins' files and those for TLS and for bodies, and is told by signals and operators. Whatever happens, it makes
//! the snapshot that would follow, and exchanges it only when everything in it could be had: one change after the other, so
//! that no two are under way at once. What is in force is the file's text with what operators changed laid over it
//! (`source`); both are read by the same rules, and refused with the same words.

mod aside;
mod command;
mod controller;
mod loaded_config;
mod members;
mod named_files;
mod parked;
mod persistence;
mod plugins;
mod replace;
mod resource;
mod startup;
mod state_file;
mod static_settings;
mod terms;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

use command::PendingCommand;
use controller::Controller;
use equipoise_file_watch::{Waker, Watcher};
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::downstream::{Listeners, Liveness};
use equipoise_wasm::{self as wasm, EventLog};
use parked::ParkedTasks;
use state_file::StateFile;

pub(crate) use command::{Command, Refusal};
pub use loaded_config::LoadedConfig;
pub(crate) use loaded_config::check_files;
pub(crate) use members::NewMember;
pub(crate) use named_files::NamedFiles;
pub(crate) use resource::Resource;
pub(crate) use terms::{LeftOut, Terms};

/// The stack of the thread, in bytes: that of a program's first thread, which reads the first configuration.
const STACK: usize = 8 * 1024 * 1024;

/// The most commands that may wait.
const MAX_WAITING: usize = 16;

/// Control before its thread is started.
pub(crate) struct ControllerBuilder {
    handle: Handle,
    controller: Controller,
}

/// The thread. Dropped, it ends after the change that is under way; the drop does not wait.
pub(crate) struct Control {
    handle: Handle,
    is_over: Arc<AtomicBool>,
}

/// Sends commands to control. Clones share it.
#[derive(Clone)]
pub(crate) struct Handle {
    commands: SyncSender<PendingCommand>,
    waker: Waker,
    status: Arc<ControlStatus>,
}

/// The state of control that is no part of the snapshot.
#[derive(Default)]
struct ControlStatus {
    /// The last version of the file that was refused, unless another one was taken since.
    refused: Mutex<Option<Refused>>,
    /// By the plugins' names.
    books: Mutex<BTreeMap<String, Arc<EventLog>>>,
    /// Whether this program may write the state file. Locked while it does.
    state: Mutex<StateFile>,
}

/// A version of the configuration file that was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) at: SystemTime,
    pub(crate) reason: Arc<Refusal>,
}

impl ControllerBuilder {
    /// Loads the plugins of the snapshot in force, which was made of these named files. Those that have to be compiled are
    /// waited for up to `compile_timeout`, as long as `check_cancelled` has no error; their balancers are served by their fallbacks until they
    /// are there. What cannot be loaded is said in the log, and its balancers are served by their fallbacks until the file is
    /// put right.
    ///
    /// # Errors
    /// The plugins' sandbox cannot be started, or that of `check_cancelled`.
    pub(crate) fn new(
        loaded_config: &LoadedConfig,
        current: CurrentSnapshot,
        named_files: NamedFiles,
        compile_timeout: Duration,
        check_cancelled: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let (commands, waiting) = sync_channel(MAX_WAITING);
        let watcher = Watcher::new(None, wasm::MAX_COMPONENT);
        let waker = watcher.waker();
        let handle = Handle {
            commands,
            waker: waker.clone(),
            status: Arc::default(),
        };
        let mut controller = Controller {
            current,
            is_file: loaded_config.is_file,
            apache: loaded_config.apache.clone(),
            wanted: loaded_config.wanted.clone(),
            watcher,
            waiting,
            status: handle.status.clone(),
            compilations: None,
            parked: ParkedTasks::default(),
            shelves: Vec::new(),
            named_files,
            on_quarantine: Arc::new(move || waker.wake()),
            listeners: None,
            is_over: Arc::default(),
        };
        controller.load_plugins()?;
        controller.await_compiled(compile_timeout, check_cancelled)?;
        Ok(Self { handle, controller })
    }

    /// The handle of control.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Starts the thread, which has these listeners follow the configuration.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn start(self, listeners: Listeners, liveness: &Liveness) -> Result<Control> {
        let Self {
            handle,
            mut controller,
        } = self;
        controller.listeners = Some(listeners);
        let is_over = controller.is_over.clone();
        let guard = liveness.guard("control");
        thread::Builder::new()
            .name("control".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let _guard = guard;
                controller.run();
            })
            .context("starting the control thread")?;
        Ok(Control { handle, is_over })
    }
}

impl Control {
    /// The handle of control.
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
    /// Executes a command under these terms. What it changes is in force when this is done; returns what was left out,
    /// where the terms allow that.
    ///
    /// # Errors
    /// Why it was not executed: nothing has changed then.
    pub(crate) async fn execute(
        &self,
        by: &str,
        command: Command,
        terms: Terms,
    ) -> Result<Vec<LeftOut>, Refusal> {
        let (reply, outcome) = oneshot::channel();
        self.send(PendingCommand {
            command,
            by: by.to_owned(),
            terms,
            tries: 0,
            reply: Box::new(|outcome| {
                // The operator may have gone.
                let _ = reply.send(outcome);
            }),
        });
        outcome.await.unwrap_or(Err(Refusal::Busy))
    }

    /// Has the configuration file read again; what comes of it is in the log. Does not wait: `done` is called when it is over,
    /// from any thread.
    pub(crate) fn reload(&self, done: impl FnOnce() + Send + 'static) {
        self.send(PendingCommand {
            command: Command::Reload,
            by: String::new(),
            terms: Terms::default(),
            tries: 0,
            reply: Box::new(|outcome| {
                // What else comes of it has been logged.
                if let Err(refusal @ (Refusal::Busy | Refusal::Conflict(_))) = outcome {
                    tracing::error!("the configuration is not read again: {refusal}");
                }
                done();
            }),
        });
    }

    /// A new process is about to take over, and writes the state file from now on: this one does not, and refuses commands of
    /// operators.
    pub(crate) fn hand_over(&self) {
        lock(&self.status.state).hand_over();
    }

    /// The new process does not take over after all.
    pub(crate) fn cancel_hand_over(&self) {
        lock(&self.status.state).cancel_hand_over();
    }

    /// The last version of the configuration file that was refused, unless another one was taken since.
    pub(crate) fn refused(&self) -> Option<Refused> {
        lock(&self.status.refused).clone()
    }

    /// The events of a plugin.
    pub(crate) fn book(&self, plugin: &str) -> Option<Arc<EventLog>> {
        lock(&self.status.books).get(plugin).cloned()
    }

    fn send(&self, pending: PendingCommand) {
        match self.commands.try_send(pending) {
            Ok(()) => self.waker.wake(),
            Err(TrySendError::Full(pending) | TrySendError::Disconnected(pending)) => {
                (pending.reply)(Err(Refusal::Busy));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
