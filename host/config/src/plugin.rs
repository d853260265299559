//! `[plugin.NAME]`, and the places that name one.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::name;
use super::reference::read_reference;
use super::table::{Table, TextBounds};
use super::value::{
    Parsed, boolean, choice, duration_within, integer_in, percent_within, size, text_as,
};
use super::{Instances, Plugin};

pub(super) const KEYS: &[&str] = &[
    "file",
    "settings",
    "memory",
    "memory-unlimited",
    "deadline",
    "cpu-budget",
    "max-faults",
    "instances",
    "hide-headers",
];

const INSTANCES: &[(&str, Instances)] = &[
    ("per-balancer", Instances::PerBalancer),
    ("per-worker", Instances::PerWorker),
];

const SETTINGS: TextBounds = TextBounds {
    entries: 64,
    value: 4096,
};

/// Header fields that plugins do not see unless the operator says so: what is in them lets others act as the client.
const DEFAULT_HIDDEN: [&str; 2] = ["authorization", "proxy-authorization"];

/// The most names in `hide-headers`.
const MAX_HIDDEN: usize = 64;

/// What `memory` may be, in bytes.
const MEMORY: RangeInclusive<usize> = 1 << 20..=Plugin::MAX_MEMORY;

/// What it may be with `memory-unlimited`.
const UNLIMITED_MEMORY: RangeInclusive<usize> = 1 << 20..=1 << 30;

/// What `deadline` may be.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(1);

impl Plugin {
    /// A plugin of this name and file with every default.
    pub fn new(name: impl Into<String>, file: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            file: file.into(),
            settings: BTreeMap::new(),
            memory: 16 << 20,
            deadline: Duration::from_millis(5),
            cpu_budget: 10,
            max_faults: 5,
            instances: Instances::default(),
            hide_headers: DEFAULT_HIDDEN.map(str::to_owned).to_vec(),
        }
    }

    /// The most bytes that `memory` may be without `memory-unlimited`. A bulk operation on more takes longer than most
    /// deadlines.
    pub const MAX_MEMORY: usize = 256 << 20;

    /// Whether the header field of this name, in whatever case, is hidden from the plugin.
    pub fn hides(&self, header: &str) -> bool {
        let mut hidden = self.hide_headers.iter();
        hidden.any(|name| name.eq_ignore_ascii_case(header))
    }

    /// `memory` as it is written in a configuration file with `memory-unlimited`, such as `16MiB`.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse_memory(text: &str) -> Result<usize, String> {
        size(UNLIMITED_MEMORY)(&DeValue::String(text.into()))
    }

    /// `deadline` as it is written in a configuration file, such as `5ms`.
    ///
    /// # Errors
    /// What would be right.
    pub fn parse_deadline(text: &str) -> Result<Duration, String> {
        duration_within(DEADLINE, "ms")(&DeValue::String(text.into()))
    }
}

/// Reads every `[plugin.NAME]` out of the file at `path`, to whose folder components are relative.
pub(super) fn read_plugins(file: &Table<'_>, path: &Path) -> Vec<Plugin> {
    let tables = file.named_tables("plugin", KEYS, "canary");
    let read = |(name, table): &(&str, Table<'_>)| read_plugin(name, table, path);
    tables.iter().map(read).collect()
}

fn read_plugin(name: &str, table: &Table<'_>, path: &Path) -> Plugin {
    let why = "write which component it is, such as file = \"plugins/canary.wasm\"";
    let file = table.require("file", why, text_as(|file| component(file, path)));
    let is_unlimited = table.read("memory-unlimited", boolean).unwrap_or(false);
    let memory = table.read("memory", memory(is_unlimited));
    let deadline = table.read("deadline", duration_within(DEADLINE, "ms"));
    let cpu_budget = table.read("cpu-budget", percent_within(1..=100));
    let max_faults = table.read("max-faults", integer_in(1..=1000));
    let instances = table.read("instances", choice(INSTANCES));
    // The place of a plugin is what balancers know it by: one whose file is wrong keeps it.
    let default = Plugin::new(name, file.unwrap_or_default());
    Plugin {
        settings: table.texts("settings", "{ header = \"x-user\" }", &SETTINGS),
        memory: memory.unwrap_or(default.memory),
        deadline: deadline.unwrap_or(default.deadline),
        cpu_budget: cpu_budget.unwrap_or(default.cpu_budget),
        max_faults: max_faults.unwrap_or(default.max_faults),
        instances: instances.unwrap_or(default.instances),
        hide_headers: read_hide_headers(table).unwrap_or(default.hide_headers),
        ..default
    }
}

/// Reads `memory`, beside a `memory-unlimited`.
fn memory(is_unlimited: bool) -> impl Fn(&DeValue<'_>) -> Parsed<usize> {
    move |value| match is_unlimited {
        true => size(UNLIMITED_MEMORY)(value),
        false => size(MEMORY)(value).map_err(|remedy| match size(UNLIMITED_MEMORY)(value) {
            Ok(_) => format!("{remedy}, or up to 1GiB with memory-unlimited = true"),
            Err(_) => remedy,
        }),
    }
}

/// Reads `hide-headers`; `None` where it is missing.
fn read_hide_headers(table: &Table<'_>) -> Option<Vec<String>> {
    const KEY: &str = "hide-headers";
    if !table.has(KEY) {
        return None;
    }
    let names = table.list(KEY, "[\"authorization\"]", text_as(name::field));
    if names.len() > MAX_HIDDEN {
        let count = names.len();
        table.refuse(
            KEY,
            format!("must have at most {MAX_HIDDEN} names, not {count}"),
        );
    }
    Some(names)
}

fn component(file: &str, path: &Path) -> Parsed<PathBuf> {
    name::file(path, file, "\"plugins/canary.wasm\"")
}

/// The index of the plugin that the required key `plugin` of a table such as `{ plugin = "canary" }` names.
pub(super) fn read_plugin_name(table: &Table<'_>, plugins: &[Plugin]) -> Option<usize> {
    let why = "write the name of one, such as plugin = \"canary\"";
    let names = plugins.iter().map(|plugin| &*plugin.name);
    read_reference(table, "plugin", why, names)
}
