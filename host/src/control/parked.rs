//! What waits for plugins to be compiled, while control goes on.
//!
//! Compiling takes seconds, and is done elsewhere ([`Compilations`](equipoise_wasm::Compilations)). What needs code that is not
//! there yet changes nothing; it is parked, and done again from its beginning when the code is there. So it meets the
//! configuration that is in force by then, and is refused where it does not fit that any more.

use std::path::PathBuf;
use std::sync::Arc;

use super::command::{PendingCommand, Refusal};
use equipoise_config::Plugin;
use equipoise_config::source::SourceError;
use equipoise_file_watch::{Content, Hash};

/// How many commands may wait for plugins.
const MAX_COMMANDS: usize = 16;

/// How often a command may find that a plugin's file has changed since it was compiled.
const MAX_TRIES: u8 = 3;

/// Why something is not done: it is refused, or plugins have to be compiled first.
pub(super) enum NotApplied {
    Refused(Refusal),
    /// The hashes of the components.
    Compiling(Vec<Hash>),
}

impl From<Refusal> for NotApplied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<SourceError> for NotApplied {
    fn from(error: SourceError) -> Self {
        Self::Refused(error.into())
    }
}

/// Something to do again.
pub(super) enum Task {
    /// What an operator or a signal asks for.
    Command(PendingCommand),
    /// The configuration file has changed.
    File,
    /// The state file, which is this, has changed.
    StateFile(PathBuf),
    /// The file of a plugin has this content.
    Plugin(Arc<Plugin>, Arc<Content>),
}

/// Something that waits.
struct Parked {
    task: Task,
    /// The components that have to be compiled.
    needs: Vec<Hash>,
}

/// All that waits, in the order in which it came.
#[derive(Default)]
pub(super) struct ParkedTasks(Vec<Parked>);

impl ParkedTasks {
    /// Has a task wait for components. One that another of the same kind supersedes waits no longer.
    pub(super) fn park(&mut self, task: Task, needs: Vec<Hash>) {
        let task = match task {
            Task::Command(pending) => match self.admit(pending) {
                Some(pending) => Task::Command(pending),
                None => return,
            },
            Task::File => {
                self.0.retain(|it| !matches!(it.task, Task::File));
                Task::File
            }
            Task::StateFile(file) => {
                self.0.retain(|it| !matches!(it.task, Task::StateFile(_)));
                Task::StateFile(file)
            }
            Task::Plugin(plugin, content) => {
                self.drop_plugin(&plugin.name);
                Task::Plugin(plugin, content)
            }
        };
        self.0.push(Parked { task, needs });
    }

    /// Takes out what waits for none of those that are under way.
    pub(super) fn take_due(&mut self, is_under_way: impl Fn(&Hash) -> bool) -> Vec<Task> {
        let all = std::mem::take(&mut self.0);
        let (waiting, due): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|parked| parked.needs.iter().any(&is_under_way));
        self.0 = waiting;
        due.into_iter().map(|parked| parked.task).collect()
    }

    /// Whether anything waits for a component.
    pub(super) fn need(&self, hash: &Hash) -> bool {
        self.0.iter().any(|parked| parked.needs.contains(hash))
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The plugins whose content waits.
    pub(super) fn plugins(&self) -> Vec<&str> {
        let names = self.0.iter().filter_map(|parked| match &parked.task {
            Task::Plugin(plugin, _) => Some(&*plugin.name),
            Task::Command(_) | Task::File | Task::StateFile(_) => None,
        });
        names.collect()
    }

    /// Forgets content of a plugin that waits.
    pub(super) fn drop_plugin(&mut self, name: &str) {
        self.0
            .retain(|it| !matches!(&it.task, Task::Plugin(plugin, _) if plugin.name == name));
    }

    /// Answers orders that have waited too often or are too many.
    fn admit(&self, mut pending: PendingCommand) -> Option<PendingCommand> {
        let commands = self.0.iter();
        let waiting = commands.filter(|it| matches!(it.task, Task::Command(_)));
        pending.tries += 1;
        let refusal = if pending.tries > MAX_TRIES {
            let reason = "a plugin's file changed each time it was compiled: try again";
            Refusal::Conflict(reason.to_owned())
        } else if waiting.count() >= MAX_COMMANDS {
            Refusal::Busy
        } else {
            return Some(pending);
        };
        (pending.reply)(Err(refusal));
        None
    }
}
