//! The versions that serve: what a snapshot knows of plugins.

use std::sync::Arc;

use anyhow::Result;
use equipoise_balancer::PluginJudge;
use equipoise_sdk::{Selector, SessionReader, Setup};

use super::policy::{PluginSelector, PluginSession, SeatedJudge};
use super::rehearsal::rehearse;
use super::seat::Seat;
use super::version::{Role, Version};

/// Whether a plugin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PluginState {
    /// No version of it could be loaded yet.
    Unloaded,
    /// It does.
    Serving,
    /// Its version is out of service for its faults.
    Quarantined,
}

/// For each plugin of the configuration, in its order, the version that serves; `None` where there is none.
#[derive(Clone)]
pub(crate) struct Plugins(Vec<Option<Arc<Version>>>);

impl Plugins {
    /// So many plugins of which none is loaded.
    pub(crate) fn unloaded(count: usize) -> Self {
        Self(vec![None; count])
    }

    /// The same plugins with another version of one of them.
    #[must_use]
    pub(crate) fn with(&self, plugin: usize, version: Arc<Version>) -> Self {
        let mut plugins = self.clone();
        plugins.0[plugin] = Some(version);
        plugins
    }

    /// The version of a plugin that serves.
    pub(crate) fn version(&self, plugin: usize) -> Option<&Arc<Version>> {
        self.0[plugin].as_ref()
    }

    /// Whether a plugin serves.
    pub(crate) fn state(&self, plugin: usize) -> PluginState {
        match self.version(plugin) {
            None => PluginState::Unloaded,
            Some(version) if version.record.is_quarantined() => PluginState::Quarantined,
            Some(_) => PluginState::Serving,
        }
    }

    /// Whether there is a version of every one.
    pub(crate) fn are_loaded(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    /// A plugin as a load balancing method; `None` while it is not loaded.
    ///
    /// # Errors
    /// Why the version is not fit for that.
    pub(crate) fn selector(
        &self,
        plugin: usize,
        setup: &Arc<Setup>,
    ) -> Result<Option<Box<dyn Selector>>> {
        self.seat(plugin, Role::Selector, setup)
            .map(|seat| seat.map(|seat| Box::new(PluginSelector(seat)) as Box<_>))
    }

    /// A plugin as a reader of sessions, of which so many can be read at once; `None` while it is not loaded.
    ///
    /// # Errors
    /// Why the version is not fit for that.
    pub(crate) fn session(
        &self,
        plugin: usize,
        setup: &Arc<Setup>,
        instances: usize,
    ) -> Result<Option<Box<dyn SessionReader>>> {
        let seats = (0..instances).map(|_| self.seat(plugin, Role::Session, setup));
        let seats: Option<Vec<_>> = seats.collect::<Result<_>>()?;
        Ok(seats.map(|seats| Box::new(PluginSession::new(seats)) as Box<_>))
    }

    /// A plugin as a judge of members; `None` while it is not loaded.
    ///
    /// # Errors
    /// Why the version is not fit for that.
    pub(crate) fn judge(
        &self,
        plugin: usize,
        setup: &Arc<Setup>,
    ) -> Result<Option<Box<dyn PluginJudge>>> {
        self.seat(plugin, Role::Health, setup)
            .map(|seat| seat.map(|seat| Box::new(SeatedJudge(seat)) as Box<_>))
    }

    fn seat(&self, plugin: usize, role: Role, setup: &Arc<Setup>) -> Result<Option<Seat>> {
        let Some(version) = &self.0[plugin] else {
            return Ok(None);
        };
        rehearse(version, role, setup)?;
        Seat::new(version, role, setup).map(Some)
    }
}
