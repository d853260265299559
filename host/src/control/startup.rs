//! Start of control: acquires the state file, applies its changes, and removes leftovers.
//!
//! This program has read the state file when it started. Another one may have changed it since: the one that it takes over from,
//! which has let go of it just now, or one that had it until then.

use std::path::{Path, PathBuf};

use super::command::Refusal;
use super::controller::Controller;
use super::parked::{NotApplied, Task};
use super::{lock, persistence, replace};
use equipoise_config::Config;
use equipoise_config::Source;

/// Where run-time changes are kept, as a configuration says.
pub(super) fn persist(config: &Config) -> Option<&PathBuf> {
    config.admin.as_ref()?.persist.as_ref()
}

impl Controller {
    /// Does all of it. What cannot be done is in the log.
    pub(super) fn initialize(&mut self) {
        for shelf in &self.shelves {
            replace::sweep(&shelf.plugin.file);
        }
        if let Err(refusal) = self.acquire_state_file() {
            tracing::warn!("{refusal}");
        }
    }

    /// Acquires the state file, if there is one, and applies the changes in it, of whichever process they are.
    ///
    /// # Errors
    /// It is another program's, or cannot be locked.
    pub(super) fn acquire_state_file(&mut self) -> Result<(), Refusal> {
        let config = self.current.load().config.clone();
        let Some(file) = persist(&config) else {
            return Ok(());
        };
        let is_new = lock(&self.status.state).acquire(file)?;
        if is_new {
            replace::sweep(file);
            self.apply_state_file(file);
        }
        Ok(())
    }

    /// Puts into force what a state file has in it now; sets it aside where it is of no use.
    pub(super) fn apply_state_file(&mut self, file: &Path) {
        let before = self.current.load();
        let changes = match persistence::read(file) {
            Ok(changes) => changes,
            Err(persistence::ReadError::Unreadable(_)) => return,
            Err(persistence::ReadError::Invalid(reason)) => return set_aside(file, &reason),
        };
        if changes == before.source.changes {
            return;
        }
        let source = Source::new(&before.source.path, before.source.file(), &changes);
        let outcome = match source {
            // The rest is about what the configuration file has no longer, which was said.
            Ok((source, ..)) if source.changes == before.source.changes => return,
            Ok((source, config, _)) => self.apply(source, config, Default::default()),
            Err(unusable) => return set_aside(file, &unusable.to_string()),
        };
        match outcome {
            Ok(()) => tracing::info!(
                "persist: {} was changed meanwhile: that is in force",
                file.display()
            ),
            Err(NotApplied::Compiling(needs)) => self.park(Task::StateFile(file.to_owned()), needs),
            Err(NotApplied::Refused(refusal)) => {
                tracing::error!("persist: {}: {refusal}", file.display());
            }
        }
    }
}

fn set_aside(file: &Path, reason: &str) {
    let shown = file.display();
    match persistence::set_aside(file) {
        Ok(aside) => {
            tracing::warn!(
                "persist: {shown} is of no use: {reason}; it was set aside as {}",
                aside.display()
            );
        }
        Err(error) => {
            tracing::warn!(
                "persist: {shown} is of no use: {reason}; it could not be set aside: {error}"
            );
        }
    }
}
