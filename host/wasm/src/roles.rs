//! A version in its roles: how policies are made of it.

use std::any::Any;
use std::sync::Arc;

use anyhow::{Result, ensure};
use equipoise_balancer::{FaultKind, PluginHealthPolicy, PluginVersion, Role};
use equipoise_sdk::{PolicyConfig, Selector, SessionReader};

use super::fault::take_fault;
use super::policy::{PluginSelector, PluginSession, SeatedJudge};
use super::rehearsal::rehearse;
use super::seat::Seat;
use super::version::Version;

impl PluginVersion for Version {
    fn check_role(&self, role: Role) -> Result<()> {
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

    fn selector(
        self: Arc<Self>,
        setup: &Arc<PolicyConfig>,
        number: usize,
    ) -> Result<Box<dyn Selector>> {
        let seat = self.seat(Role::Selector, setup, number)?;
        Ok(Box::new(PluginSelector(seat)))
    }

    fn session(
        self: Arc<Self>,
        setup: &Arc<PolicyConfig>,
        instances: usize,
    ) -> Result<Box<dyn SessionReader>> {
        let seats = (0..instances).map(|number| self.seat(Role::Session, setup, number));
        Ok(Box::new(PluginSession::new(seats.collect::<Result<_>>()?)))
    }

    fn judge(self: Arc<Self>, setup: &Arc<PolicyConfig>) -> Result<Box<dyn PluginHealthPolicy>> {
        Ok(Box::new(SeatedJudge(self.seat(Role::Health, setup, 0)?)))
    }

    fn is_quarantined(&self) -> bool {
        self.record.is_quarantined()
    }

    fn take_fault(&self) -> Option<FaultKind> {
        take_fault()
    }
}

impl Version {
    /// The version of a plugin that is a component; none of one that another runtime loaded.
    pub fn of(version: &dyn PluginVersion) -> Option<&Self> {
        let version: &dyn Any = version;
        version.downcast_ref()
    }

    fn seat(
        self: &Arc<Self>,
        role: Role,
        setup: &Arc<PolicyConfig>,
        number: usize,
    ) -> Result<Seat> {
        rehearse(self, role, setup)?;
        Seat::new(self, role, setup, self.budgets.of(role, number))
    }
}
