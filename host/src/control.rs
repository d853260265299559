//! Control: the one thread that changes what is in force.
//!
//! It watches the configuration file, the plugins' files and those for TLS, and is told by signals and operators. Whatever happens, it makes
//! the snapshot that would follow, and exchanges it only when everything in it could be had: one change after the other, so
//! that nobody has to think of two at once. What is in force is the file's text with what operators changed laid over it
//! (`source`); both are read by the same rules, and refused with the same words.

mod aside;
mod command;
mod fixed;
mod hands;
mod members;
mod parked;
mod persistence;
mod plugins;
mod replace;
mod resource;
mod setting;
mod startup;
mod state;
mod terms;
mod tls_files;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use tokio::sync::oneshot;

use command::Order;
use equipoise_file_watch::{Waker, Watcher};
use equipoise_proxy::current::CurrentSnapshot;
use equipoise_proxy::downstream::{Listeners, Liveness};
use equipoise_wasm::{self as wasm, EventLog};
use hands::Hands;
use parked::ParkedTasks;
use state::State;

pub(crate) use command::{Command, Refusal};
pub(crate) use members::NewMember;
pub(crate) use resource::Resource;
pub use setting::Setting;
pub(crate) use setting::check_files;
pub(crate) use terms::{LeftOut, Terms};
pub(crate) use tls_files::TlsFiles;

/// The stack of the thread, in bytes: that of a program's first thread, which reads the first configuration.
const STACK: usize = 8 * 1024 * 1024;

/// How many commands may wait.
const MOST_WAITING: usize = 16;

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
    books: Mutex<BTreeMap<String, Arc<EventLog>>>,
    /// Whether this program may write the state file. Locked while it does.
    state: Mutex<State>,
}

/// A version of the configuration file that was refused.
#[derive(Debug, Clone)]
pub(crate) struct Refused {
    pub(crate) at: SystemTime,
    pub(crate) reason: Arc<Refusal>,
}

impl Preparation {
    /// Loads the plugins of the snapshot in force, which was made of these files for TLS. Those that have to be compiled are
    /// waited for up to `patience`, as long as `go_on` has no error; their balancers are served by their fallbacks until they
    /// are there. What cannot be loaded is said in the log, and its balancers are served by their fallbacks until the file is
    /// put right.
    ///
    /// # Errors
    /// The plugins' sandbox cannot be started, or that of `go_on`.
    pub(crate) fn new(
        setting: &Setting,
        current: CurrentSnapshot,
        tls: TlsFiles,
        patience: Duration,
        go_on: &mut dyn FnMut() -> Result<()>,
    ) -> Result<Self> {
        let (orders, waiting) = sync_channel(MOST_WAITING);
        let watcher = Watcher::new(None, wasm::MAX_COMPONENT);
        let waker = watcher.waker();
        let handle = Handle {
            orders,
            waker: waker.clone(),
            standing: Arc::default(),
        };
        let mut hands = Hands {
            current,
            is_file: setting.is_file,
            apache: setting.apache.clone(),
            wanted: setting.wanted.clone(),
            watcher,
            waiting,
            standing: handle.standing.clone(),
            compilations: None,
            parked: ParkedTasks::default(),
            shelves: Vec::new(),
            tls,
            on_quarantine: Arc::new(move || waker.wake()),
            listeners: None,
            is_over: Arc::default(),
        };
        hands.begin()?;
        hands.await_compiled(patience, go_on)?;
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
    pub(crate) fn start(self, listeners: Listeners, liveness: &Liveness) -> Result<Control> {
        let Self { handle, mut hands } = self;
        hands.listeners = Some(listeners);
        let is_over = hands.is_over.clone();
        let guard = liveness.guard("control");
        thread::Builder::new()
            .name("control".to_owned())
            .stack_size(STACK)
            .spawn(move || {
                let _guard = guard;
                hands.work();
            })
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
    /// Has a command carried out under these terms. What it changes is in force when this is done; answers what was left out,
    /// where the terms allow that.
    ///
    /// # Errors
    /// Why it was not carried out: nothing has changed then.
    pub(crate) async fn order(
        &self,
        by: &str,
        command: Command,
        terms: Terms,
    ) -> Result<Vec<LeftOut>, Refusal> {
        let (reply, outcome) = oneshot::channel();
        self.send(Order {
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
        self.send(Order {
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

    /// Another program is about to take over, and writes the state file from now on: this one does not, and carries out no more
    /// of what operators ask for.
    pub(crate) fn hand_over(&self) {
        lock(&self.standing.state).hand_over();
    }

    /// The other program does not take over after all.
    pub(crate) fn take_back(&self) {
        lock(&self.standing.state).take_back();
    }

    /// The last version of the configuration file that was refused, unless another one was taken since.
    pub(crate) fn refused(&self) -> Option<Refused> {
        lock(&self.standing.refused).clone()
    }

    /// What happened to a plugin.
    pub(crate) fn book(&self, plugin: &str) -> Option<Arc<EventLog>> {
        lock(&self.standing.books).get(plugin).cloned()
    }

    fn send(&self, order: Order) {
        match self.orders.try_send(order) {
            Ok(()) => self.waker.wake(),
            Err(TrySendError::Full(order) | TrySendError::Disconnected(order)) => {
                (order.reply)(Err(Refusal::Busy));
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
