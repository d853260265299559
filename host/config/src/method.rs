//! `lbmethod`: the word for a built-in method, or a plugin with a built-in method behind it.

use toml::de::DeValue;

use super::plugin::read_plugin_name;
use super::table::Table;
use super::value::{Parsed, choice};
use super::{BuiltinMethod, Method, Plugin};

/// The keys of the table that names a plugin.
pub(super) const KEYS: &[&str] = &["plugin", "fallback"];

const BUILTINS: &[(&str, BuiltinMethod)] = &[
    ("byrequests", BuiltinMethod::Byrequests),
    ("bytraffic", BuiltinMethod::Bytraffic),
    ("bybusyness", BuiltinMethod::Bybusyness),
    ("heartbeat", BuiltinMethod::Heartbeat),
];

/// Reads `lbmethod`; `None` where it is missing or wrong.
pub(super) fn read_method(balancer: &Table<'_>, plugins: &[Plugin]) -> Option<Method> {
    if !balancer.has_table("lbmethod") {
        let builtin = balancer.read("lbmethod", |value| builtin(value, plugins));
        return builtin.map(Method::Builtin);
    }
    let table = balancer.table("lbmethod", KEYS)?;
    let fallback = table.read("fallback", choice(BUILTINS));
    Some(Method::Plugin {
        plugin: read_plugin_name(&table, plugins)?,
        fallback: fallback.unwrap_or(BuiltinMethod::Byrequests),
    })
}

/// The name of a built-in method. For the name of a plugin, or no name at all, the error says how plugins are named.
fn builtin(value: &DeValue<'_>, plugins: &[Plugin]) -> Parsed<BuiltinMethod> {
    choice(BUILTINS)(value).map_err(|remedy| match value.as_str() {
        Some(name) if plugins.iter().any(|plugin| plugin.name == name) => {
            format!("is no built-in method but a plugin: write {{ plugin = {name:?} }}")
        }
        Some(_) => remedy,
        None => format!("{remedy}, or a plugin such as {{ plugin = \"canary\" }}"),
    })
}
