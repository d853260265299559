//! The roles of a version: makes policies of it.

use std::any::Any;
use std::sync::Arc;

use anyhow::{Result, ensure};
use equipoise_balancer::{FaultKind, PluginHealthPolicy, PluginVersion, RenewableSelector, Role};
use equipoise_sdk::{PolicyConfig, SessionReader};

use super::fault::take_fault;
use super::instance_slot::InstanceSlot;
use super::policy::{PluginHealth, PluginSelector, PluginSession};
use super::smoke_test::smoke_test;
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
        config: &Arc<PolicyConfig>,
        number: usize,
    ) -> Result<RenewableSelector> {
        let mut slot = self.slot(Role::Selector, config, number)?;
        Ok(RenewableSelector {
            renewal: slot.renewed_by_caller(),
            selector: Box::new(PluginSelector(slot)),
        })
    }

    fn session(
        self: Arc<Self>,
        config: &Arc<PolicyConfig>,
        instances: usize,
    ) -> Result<Box<dyn SessionReader>> {
        let slots = (0..instances).map(|number| self.slot(Role::Session, config, number));
        Ok(Box::new(PluginSession::new(slots.collect::<Result<_>>()?)))
    }

    fn health_policy(
        self: Arc<Self>,
        config: &Arc<PolicyConfig>,
    ) -> Result<Box<dyn PluginHealthPolicy>> {
        Ok(Box::new(PluginHealth(self.slot(
            Role::Health,
            config,
            0,
        )?)))
    }

    fn is_quarantined(&self) -> bool {
        self.stats.is_quarantined()
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

    fn slot(
        self: &Arc<Self>,
        role: Role,
        config: &Arc<PolicyConfig>,
        number: usize,
    ) -> Result<InstanceSlot> {
        smoke_test(self, role, config)?;
        InstanceSlot::new(self, role, config, self.budgets.of(role, number))
    }
}
