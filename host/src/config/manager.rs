//! `[manager]`.

use ipnet::IpNet;
use toml::de::DeValue;

use super::heartbeat::network;
use super::name;
use super::table::Table;
use super::value::{Reading, text, text_as};
use super::{Admin, Manager};

pub(super) const KEYS: &[&str] = &["path", "hosts", "require"];

/// The example that mistakes show.
const REQUIRE: &str = "[\"local\", \"10.0.0.0/8\", \"token\"]";

/// Who may use the manager.
enum Rule {
    /// Those of these networks.
    Networks(Vec<IpNet>),
    /// Those who know the admin token.
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
        let remedy = "names a token that nobody has: write [admin] with its token-file, too";
        table.refuse_dangling("require", remedy);
    }
    let networks = rules.into_iter().filter_map(|rule| match rule {
        Rule::Networks(networks) => Some(networks),
        Rule::Token => None,
    });
    let mut networks: Vec<_> = networks.flatten().collect();
    if networks.is_empty() && !requires_token {
        networks = local();
    }
    Some(Manager {
        path: path.unwrap_or_else(|| "/balancer-manager".to_owned()),
        hosts,
        networks,
        requires_token,
    })
}

fn not_empty(list: &DeValue<'_>) -> Reading<()> {
    match list.as_array() {
        Some(rules) if rules.is_empty() => Err(format!("must say who may, such as {REQUIRE}")),
        _ => Ok(()),
    }
}

/// A path that is not the root: there have to be others.
fn mount(text: &str) -> Reading<String> {
    match name::path(text)? {
        path if path == "/" => Err("must have a segment, such as \"/balancer-manager\"".to_owned()),
        path => Ok(path),
    }
}

fn rule(value: &DeValue<'_>) -> Reading<Rule> {
    match text(value)? {
        "token" => Ok(Rule::Token),
        "local" => Ok(Rule::Networks(local())),
        other => {
            let network = network(other);
            let form =
                "must be \"local\", \"token\", or an IP network or address, such as \"10.0.0.0/8\"";
            network
                .map(|network| Rule::Networks(vec![network]))
                .map_err(|_| form.to_owned())
        }
    }
}

/// This machine.
fn local() -> Vec<IpNet> {
    ["127.0.0.0/8", "::1/128"]
        .iter()
        .filter_map(|network| network.parse().ok())
        .collect()
}
