//! Static settings: those that a running program cannot change.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use equipoise_config::{AccessLog, AdminAddress, Compiler, Config};

/// The settings that take effect when the program starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StaticSettings {
    workers: NonZeroUsize,
    access_log: Option<AccessLog>,
    /// Where the admin listener is.
    admin: Option<AdminAddress>,
    /// Where heartbeats come to.
    heartbeat: Option<SocketAddr>,
    /// How plugins are compiled.
    compiler: Compiler,
}

impl StaticSettings {
    pub(super) fn of(config: &Config) -> Self {
        let heartbeat = config.heartbeat.as_ref();
        Self {
            workers: config.workers,
            access_log: config.access_log.clone(),
            admin: config.admin.as_ref().map(|admin| admin.address.clone()),
            heartbeat: heartbeat.and_then(|heartbeat| heartbeat.listen),
            compiler: config.compiler.clone(),
        }
    }

    /// Says what of this a start of the program would change, where `before` did not say the same.
    pub(super) fn warn_of_changes(&self, before: &Self) {
        for (what, is_new) in [
            ("workers", self.workers != before.workers),
            ("access-log", self.access_log != before.access_log),
            ("the address of admin", self.admin != before.admin),
            ("listen of heartbeat", self.heartbeat != before.heartbeat),
            ("compiler", self.compiler != before.compiler),
        ] {
            if is_new {
                tracing::warn!("{what} changes when the program is started again");
            }
        }
    }
}

/// Leaves in a configuration what is fixed as it is in the one in force.
pub(super) fn keep(config: &mut Config, in_force: &Config) {
    let (wanted, static_settings) = (StaticSettings::of(config), StaticSettings::of(in_force));
    config.workers = in_force.workers;
    config.access_log.clone_from(&in_force.access_log);
    config.compiler.clone_from(&in_force.compiler);
    if wanted.admin != static_settings.admin {
        config.admin.clone_from(&in_force.admin);
    }
    if wanted.heartbeat != static_settings.heartbeat {
        config.heartbeat.clone_from(&in_force.heartbeat);
    }
}
