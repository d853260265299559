//! One version of a plugin: the content of its file, compiled and checked.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, anyhow, bail, ensure};
use wasmtime::Engine;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre};

use super::budget::{Budget, Budgets};
use super::clock::Nanos;
use super::engine::{Code, Sandbox};
use super::fault::{Fault, describe, note_fault};
use super::host_state::HostState;
use super::plugin_log::PluginLogger;
use super::since_v0_1_0::exports::equipoise::balancer as exports;
use super::stats::Stats;
use equipoise_balancer::{FaultKind, Role};
use equipoise_config::Plugin;
use equipoise_file_watch::{Content, Hash};
use equipoise_text::bounded;
use equipoise_text::sanitize;

/// The package of the contract.
const PACKAGE: &str = "equipoise:balancer/";

/// Characters shown of the name of an import or export.
const MAX_NAME: usize = 100;

/// The versions of it that are supported: 0.1 with any patch number.
const SUPPORTED: &str = "0.1";

/// Indices of a component's exports.
#[derive(Clone)]
pub(super) struct Exports {
    pub(super) selector: Option<exports::selector::GuestIndices>,
    pub(super) prefetch: Option<exports::prefetch::GuestIndices>,
    pub(super) schedule: Option<exports::schedule::GuestIndices>,
    pub(super) session: Option<exports::session::GuestIndices>,
    pub(super) session_cookie: Option<exports::session_cookie::GuestIndices>,
    pub(super) health: Option<exports::health::GuestIndices>,
    pub(super) state: Option<exports::state::GuestIndices>,
}

/// A version of a plugin. Shared by its instances; gone with the last request that uses one.
pub struct Version {
    pub(super) sandbox: Arc<Sandbox>,
    /// Its settings.
    pub plugin: Arc<Plugin>,
    /// Of the file's content.
    pub hash: Hash,
    /// Rate-limited log of its faults, apart from its own lines.
    pub(super) fault_log: PluginLogger,
    pub(super) logger: Arc<PluginLogger>,
    /// Bytes of the file.
    pub size: usize,
    pub(super) pre: InstancePre<HostState>,
    pub(super) exports: Exports,
    /// Counts of its calls and faults.
    pub stats: Stats,
    pub(super) budgets: Budgets,
    /// Called when the version is put out of service.
    on_quarantine: Arc<dyn Fn() + Send + Sync>,
}

impl Version {
    /// Checks what the content of a plugin's file was compiled to. No code of the plugin runs yet.
    ///
    /// # Errors
    /// Why it is no plugin, in words that its author can act on.
    pub fn load(
        sandbox: &Arc<Sandbox>,
        plugin: &Arc<Plugin>,
        content: &Content,
        Code(component): &Code,
        on_quarantine: &Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Self> {
        check_imports(component, sandbox.engine())?;
        let pre = sandbox.link(component).map_err(|error| {
            anyhow!(
                "its imports are not as wit/v0.1 has them: {}",
                describe(&error)
            )
        })?;
        let exports = find_exports(component, sandbox.engine(), &pre)?;
        Ok(Self {
            sandbox: sandbox.clone(),
            plugin: plugin.clone(),
            hash: content.hash,
            size: content.bytes.len(),
            fault_log: PluginLogger::new(&plugin.name),
            logger: Arc::new(PluginLogger::new(&plugin.name)),
            pre,
            exports,
            stats: Stats::new(plugin.max_faults),
            budgets: Budgets::new(plugin),
            on_quarantine: on_quarantine.clone(),
        })
    }

    /// The roles it can take.
    pub fn roles(&self) -> Vec<Role> {
        let has = |role: &Role| match role {
            Role::Selector => self.exports.selector.is_some(),
            Role::Session => self.exports.session.is_some(),
            Role::Health => self.exports.health.is_some(),
        };
        Role::ALL.into_iter().filter(has).collect()
    }

    /// The interfaces it imports, in its own order.
    pub fn imports(&self) -> Vec<String> {
        let component = self.pre.component().component_type();
        let imports = component.imports(self.sandbox.engine());
        imports.map(|(name, _)| name.to_owned()).collect()
    }

    /// The first 12 hexadecimal digits of its hash: its name in the log.
    pub fn short_hash(&self) -> String {
        short_hash(&self.hash)
    }

    /// Counts a call that was denied since its budget is overdrawn, and a fault if that lasts too long.
    pub(super) fn note_over_budget(&self, role: Role, budget: &Budget, now: Nanos) {
        note_fault(FaultKind::OverBudget);
        self.stats.count_over_budget();
        let second = budget.deny(now);
        if second.is_some_and(|second| self.stats.is_first_over_budget(second)) {
            let share = self.plugin.cpu_budget;
            let detail = format!("took more than {share} % of a processor for most of a second");
            self.note_fault(role, &Fault::new(FaultKind::OverBudget, detail));
        }
    }

    /// Counts and logs a fault; puts the version out of service when there are too many.
    pub(super) fn note_fault(&self, role: Role, fault: &Fault) {
        note_fault(fault.kind);
        let quarantined = self.stats.count_fault(fault.kind, Instant::now());
        let (version, role) = (self.short_hash(), role.name());
        let line = format!("version {version}: fault as {role}: {fault}; the fallback decides");
        self.fault_log.log(equipoise_sdk::LogLevel::Warn, &line);
        if quarantined {
            (self.on_quarantine)();
        }
    }
}

/// The first 12 hexadecimal digits of a hash.
pub(super) fn short_hash(hash: &Hash) -> String {
    hash[..6].iter().fold(String::new(), |mut digits, byte| {
        let _ = write!(digits, "{byte:02x}");
        digits
    })
}

/// Refuses what a plugin may not import, by name.
fn check_imports(component: &Component, engine: &Engine) -> Result<()> {
    for (name, _) in component.component_type().imports(engine) {
        if let Some(interface) = name.strip_prefix(PACKAGE) {
            check_version(interface, "imports")?;
        } else if !GRANTED.iter().any(|granted| name.starts_with(granted)) {
            let name = sanitize::text(name, MAX_NAME);
            bail!(
                "it imports `{name}`, which plugins are not granted: they may use wit/v0.1 and, of WASI, {}",
                GRANTED.join(", ").replace('/', "")
            );
        }
    }
    Ok(())
}

/// The packages of WASI 0.2 that plugins get, without anything in them that reaches outside.
const GRANTED: [&str; 5] = [
    "wasi:cli/",
    "wasi:clocks/",
    "wasi:filesystem/",
    "wasi:io/",
    "wasi:random/",
];

fn check_version(interface: &str, verb: &str) -> Result<()> {
    let version = interface
        .split_once('@')
        .map_or("none", |(_, version)| version);
    let understood = version.strip_prefix(SUPPORTED);
    let interface = sanitize::text(interface, MAX_NAME);
    ensure!(
        understood.is_some_and(|patch| patch.starts_with('.')),
        "it {verb} `{PACKAGE}{interface}`; this program supports version {SUPPORTED}"
    );
    Ok(())
}

/// Finds the exported interfaces of the contract.
fn find_exports(
    component: &Component,
    engine: &Engine,
    pre: &InstancePre<HostState>,
) -> Result<Exports> {
    let kind = component.component_type();
    let mut names = Vec::new();
    for (name, item) in kind.exports(engine) {
        if let (Some(interface), ComponentItem::ComponentInstance(_)) =
            (name.strip_prefix(PACKAGE), &item.ty)
        {
            check_version(interface, "exports")?;
        }
        names.push(name);
    }
    let has = |interface: &str| {
        let prefix = format!("{PACKAGE}{interface}@");
        names.iter().any(|name| name.starts_with(&prefix))
    };
    /// The indices of an interface that is exported.
    macro_rules! indices {
        ($module:ident, $interface:literal) => {
            has($interface)
                .then(|| exports::$module::GuestIndices::new(pre))
                .transpose()
                .map_err(|error| {
                    anyhow!(
                        "its {} is not as wit/v0.1 has it: {}",
                        $interface,
                        describe(&error)
                    )
                })?
        };
    }
    let found = Exports {
        selector: indices!(selector, "selector"),
        prefetch: indices!(prefetch, "prefetch"),
        schedule: indices!(schedule, "schedule"),
        session: indices!(session, "session"),
        session_cookie: indices!(session_cookie, "session-cookie"),
        health: indices!(health, "health"),
        state: indices!(state, "state"),
    };
    if found.selector.is_none() && found.session.is_none() && found.health.is_none() {
        let list = match names.is_empty() {
            true => "nothing".to_owned(),
            false => {
                let names = names.iter().map(|name| sanitize::text(name, MAX_NAME));
                bounded::list(names.map(|name| format!("`{name}`")), ", ")
            }
        };
        bail!("it exports {list}, but none of selector, session and health of {PACKAGE}…@0.1.0");
    }
    Ok(found)
}
