//! What of a configuration cannot change while the program runs.

use std::net::SocketAddr;
use std::num::NonZeroUsize;

use equipoise_config::{AccessLog, AdminAddress, Compiler, Config};

/// What a configuration says of what is fixed when the program starts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fixed {
    workers: NonZeroUsize,
    access_log: Option<AccessLog>,
    /// Where the admin listener is.
    admin: Option<AdminAddress>,
    /// Where heartbeats come to.
    heartbeat: Option<SocketAddr>,
    /// How plugins are compiled.
    compiler: Compiler,
}

impl Fixed {
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
    pub(super) fn tell(&self, before: &Self) {
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
    let (wanted, fixed) = (Fixed::of(config), Fixed::of(in_force));
    config.workers = in_force.workers;
    config.access_log.clone_from(&in_force.access_log);
    config.compiler.clone_from(&in_force.compiler);
    if wanted.admin != fixed.admin {
        config.admin.clone_from(&in_force.admin);
    }
    if wanted.heartbeat != fixed.heartbeat {
        config.heartbeat.clone_from(&in_force.heartbeat);
    }
}
