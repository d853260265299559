//! Which of Apache's modules are there, as `<IfModule>` asks.

use std::collections::HashSet;

/// Modules whose work is done here: they are there for a file that loads none, such as a part of a whole.
const OURS: &[&str] = &[
    "access_compat",
    "alias",
    "authz_core",
    "authz_host",
    "headers",
    "heartmonitor",
    "http2",
    "lbmethod_bybusyness",
    "lbmethod_byrequests",
    "lbmethod_bytraffic",
    "lbmethod_heartbeat",
    "log_config",
    "macro",
    "proxy",
    "proxy_ajp",
    "proxy_balancer",
    "proxy_hcheck",
    "proxy_http",
    "proxy_http2",
    "proxy_wstunnel",
    "remoteip",
    "reqtimeout",
    "rewrite",
    "setenvif",
    "slotmem_shm",
    "socache_shmcb",
    "ssl",
    "watchdog",
];

/// Modules that are a part of Apache as Debian and others build it.
const BUILT_IN: &[&str] = &[
    "core",
    "http",
    "log_config",
    "logio",
    "mpm_event",
    "mpm_worker",
    "so",
    "unixd",
    "version",
    "watchdog",
];

/// The modules that were loaded so far.
#[derive(Debug, Default)]
pub(crate) struct Modules {
    /// None until there was a `LoadModule`.
    loaded: Option<HashSet<String>>,
}

impl Modules {
    /// `LoadModule NAME_module FILE`.
    pub(crate) fn load(&mut self, identifier: &str) {
        let loaded = self.loaded.get_or_insert_default();
        loaded.insert(stem(identifier));
    }

    /// Whether a module is there, by its identifier (`ssl_module`) or its file (`mod_ssl.c`). As long as none was loaded, ours
    /// are; then those alone that were.
    pub(crate) fn has(&self, name: &str) -> bool {
        let name = stem(name);
        let is_loaded = match &self.loaded {
            Some(loaded) => loaded.contains(&name),
            None => is_ours(&name),
        };
        is_loaded || BUILT_IN.contains(&&*name)
    }
}

/// Whether the module of this name does what is done here.
pub(crate) fn is_ours(name: &str) -> bool {
    OURS.contains(&&*stem(name))
}

/// `ssl` of `ssl_module`, `mod_ssl.c` and `http_ssl.c`.
fn stem(name: &str) -> String {
    let name = name.to_ascii_lowercase();
    let name = name.strip_suffix(".c").unwrap_or(&name);
    let name = name.strip_suffix("_module").unwrap_or(name);
    let name = name.strip_prefix("mod_").unwrap_or(name);
    name.strip_prefix("http_").unwrap_or(name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ours_are_there_until_a_module_is_loaded() {
        let mut modules = Modules::default();
        assert!(modules.has("mod_ssl.c") && modules.has("ssl_module") && modules.has("core.c"));
        assert!(!modules.has("mod_php.c") && !modules.has("mod_gnutls.c"));
        modules.load("proxy_module");
        assert!(modules.has("mod_proxy.c") && modules.has("mod_version.c"));
        assert!(!modules.has("mod_ssl.c"));
    }
}
