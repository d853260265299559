//! `[manager]`.

use ipnet::IpNet;
use toml::de::DeValue;

use super::heartbeat::network;
use super::name;
use super::table::Table;
use super::value::{Parsed, text, text_as};
use super::{Admin, Manager};

pub(super) const KEYS: &[&str] = &["path", "hosts", "require"];

/// The example that mistakes show.
const REQUIRE: &str = "[\"local\", \"10.0.0.0/8\", \"token\"]";

/// Who may use the manager.
enum Rule {
    /// Clients on this machine.
    Local,
    /// Clients of this network.
    Network(IpNet),
    /// Clients that send the admin token.
    Token,
}

/// Reads `[manager]` out of the file, which has this `[admin]`.
pub(super) fn read_manager(file: &Table<'_>, admin: Option<&Admin>) -> Option<Manager> {
    let table = file.table("manager", KEYS)?;
    let path = table.read("path", text_as(mount));
    let hosts = table.list("hosts", "[\"lb.example.com\"]", text_as(name::host));
    let rules = table.list("require", REQUIRE, rule);
    table.read("require", not_empty);
    let requires_token = rules.iter().any(|rule| matches!(rule, Rule::Token));
    if requires_token && admin.is_none_or(|admin| admin.token.is_none()) {
        let remedy = "needs an admin token: write [admin] with its token-file, too";
        table.refuse_dangling("require", remedy);
    }
    let is_local = |rule: &Rule| matches!(rule, Rule::Local);
    let local = rules.is_empty() || rules.iter().any(is_local);
    let networks = rules.into_iter().filter_map(|rule| match rule {
        Rule::Network(network) => Some(network),
        Rule::Local | Rule::Token => None,
    });
    Some(Manager {
        path: path.unwrap_or_else(|| "/balancer-manager".to_owned()),
        hosts,
        local,
        networks: networks.collect(),
        requires_token,
    })
}

fn not_empty(list: &DeValue<'_>) -> Parsed<()> {
    match list.as_array() {
        Some(rules) if rules.is_empty() => Err(format!(
            "must not be empty: write who may use the manager, such as {REQUIRE}"
        )),
        _ => Ok(()),
    }
}

/// A path that is not the root: there have to be others.
fn mount(text: &str) -> Parsed<String> {
    match name::path(text)? {
        path if path == "/" => Err("must have a segment, such as \"/balancer-manager\"".to_owned()),
        path => Ok(path),
    }
}

fn rule(value: &DeValue<'_>) -> Parsed<Rule> {
    match text(value)? {
        "token" => Ok(Rule::Token),
        "local" => Ok(Rule::Local),
        other => {
            let network = network(other);
            let form =
                "must be \"local\", \"token\", or an IP network or address, such as \"10.0.0.0/8\"";
            network.map(Rule::Network).map_err(|_| form.to_owned())
        }
    }
}
