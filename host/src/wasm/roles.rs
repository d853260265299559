//! A version in its roles: how policies are made of it.

use std::sync::Arc;

use anyhow::{Result, ensure};
use equipoise_balancer::PluginJudge;
use equipoise_sdk::{Selector, SessionReader, Setup};

use super::policy::{PluginSelector, PluginSession, SeatedJudge};
use super::rehearsal::rehearse;
use super::seat::Seat;
use super::version::{Role, Version};

impl Version {
    /// The plugin as a load balancing method: the instance of this number, 0 where workers share one.
    ///
    /// # Errors
    /// Why the version is not fit for that.
    pub(crate) fn selector(
        self: &Arc<Self>,
        setup: &Arc<Setup>,
        number: usize,
    ) -> Result<Box<dyn Selector>> {
        let seat = self.seat(Role::Selector, setup, number)?;
        Ok(Box::new(PluginSelector(seat)))
    }

    /// The plugin as a reader of sessions, of which so many can be read at once.
    ///
    /// # Errors
    /// Why the version is not fit for that.
    pub(crate) fn session(
        self: &Arc<Self>,
        setup: &Arc<Setup>,
        instances: usize,
    ) -> Result<Box<dyn SessionReader>> {
        let seats = (0..instances).map(|number| self.seat(Role::Session, setup, number));
        Ok(Box::new(PluginSession::new(seats.collect::<Result<_>>()?)))
    }

    /// The plugin as a judge of members.
    ///
    /// # Errors
    /// Why the version is not fit for that.
    pub(crate) fn judge(self: &Arc<Self>, setup: &Arc<Setup>) -> Result<Box<dyn PluginJudge>> {
        Ok(Box::new(SeatedJudge(self.seat(Role::Health, setup, 0)?)))
    }

    /// Whether it has the export that a role needs.
    ///
    /// # Errors
    /// It has not; says which it has.
    pub(crate) fn check_role(&self, role: Role) -> Result<()> {
        let roles = self.roles();
        ensure!(
            roles.contains(&role),
            "it has no export `equipoise:balancer/{}@0.1.0`; it is fit to be: {}",
            role.name(),
            roles
                .iter()
                .map(|role| role.name())
                .collect::<Vec<_>>()
                .join(", ")
        );
        Ok(())
    }

    fn seat(self: &Arc<Self>, role: Role, setup: &Arc<Setup>, number: usize) -> Result<Seat> {
        rehearse(self, role, setup)?;
        Seat::new(self, role, setup, self.budgets.of(role, number))
    }
}
