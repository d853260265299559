//! `[[route]]`.

use toml::de::DeValue;

use super::heartbeat::{networks, not_empty};
use super::name;
use super::reference::read_reference;
use super::table::Table;
use super::value::{Reading, choice, switch, text, text_as};
use super::{Balancer, Forwarding, HostPattern, Route, Via};

pub(super) const KEYS: &[&str] = &[
    "path",
    "host",
    "exclude",
    "balancer",
    "member-path",
    "preserve-host",
    "x-forwarded",
    "forwarded",
    "via",
    "rewrite-location",
    "cookie-domain",
    "cookie-path",
    "options-asterisk",
];

/// The keys of the table that says whose fields are trusted.
pub(super) const TRUST_KEYS: &[&str] = &["trust"];

const FORWARDING: &[(&str, Forwarding)] = &[
    ("append", Forwarding::Append),
    ("replace", Forwarding::Replace),
    ("off", Forwarding::Off),
];

const VIA: &[(&str, Via)] = &[("off", Via::Off), ("on", Via::On), ("block", Via::Block)];

/// Reads every `[[route]]` out of the file.
pub(super) fn read_routes(file: &Table<'_>, balancers: &[Balancer]) -> Vec<Route> {
    let example = "path = \"/\" and balancer = \"…\"";
    let tables = file.some_tables("route", KEYS, example);
    let read = |table| read_route(table, balancers);
    tables.iter().filter_map(read).collect()
}

fn read_route(table: &Table<'_>, balancers: &[Balancer]) -> Option<Route> {
    let path = table.require(
        "path",
        "write a path's beginning, such as path = \"/\"",
        text_as(name::path),
    );
    let balancer = read_balancer(table, balancers);
    let member_path = table
        .read("member-path", text_as(name::path))
        .or_else(|| path.clone());
    let x_forwarded = read_forwarding(table, "x-forwarded");
    let forwarded = read_forwarding(table, "forwarded");
    let route = Route {
        host: table
            .read("host", text_as(host_pattern))
            .unwrap_or(HostPattern::Any),
        exclude: read_exclude(table, path.as_deref()),
        preserve_host: table.read("preserve-host", switch).unwrap_or(false),
        x_forwarded: x_forwarded.unwrap_or(Forwarding::Append),
        forwarded: forwarded.unwrap_or(Forwarding::Off),
        via: table.read("via", choice(VIA)).unwrap_or(Via::Off),
        rewrite_location: table.read("rewrite-location", switch).unwrap_or(true),
        cookie_domain: table.pairs("cookie-domain", DOMAINS, name::domain),
        cookie_path: table.pairs("cookie-path", PATHS, name::path),
        options_asterisk: read_options_asterisk(table, path.as_deref()),
        balancer: balancer.unwrap_or_default(),
        member_path: member_path.unwrap_or_default(),
        path: path?,
    };
    balancer.is_some().then_some(route)
}

const DOMAINS: &str = "{ \"backend.internal\" = \"www.example.com\" }";
const PATHS: &str = "{ \"/app\" = \"/shop\" }";

/// One of the words, or a table with the networks that are trusted.
fn read_forwarding(route: &Table<'_>, key: &str) -> Option<Forwarding> {
    if !route.has_table(key) {
        return route.read(key, forwarding_word);
    }
    let table = route.table(key, TRUST_KEYS)?;
    let why = "write whose fields are trusted, such as trust = [\"10.0.0.0/8\"]";
    table.require("trust", why, not_empty(""))?;
    Some(Forwarding::Trust(networks(&table, "trust")))
}

fn forwarding_word(value: &DeValue<'_>) -> Reading<Forwarding> {
    let or_trust = |remedy| format!("{remedy}, or a table such as {{ trust = [\"10.0.0.0/8\"] }}");
    choice(FORWARDING)(value).map_err(or_trust)
}

/// `OPTIONS *` has no path, so only a route for all paths can take it.
fn read_options_asterisk(table: &Table<'_>, path: Option<&str>) -> bool {
    let is_on = table.read("options-asterisk", switch).unwrap_or(false);
    if is_on && path.is_some_and(|path| path != "/") {
        let remedy = "does nothing here: `OPTIONS *` asks about a server as a whole, so only a route with path = \"/\" can take it";
        table.refuse("options-asterisk", remedy);
    }
    is_on
}

/// The index of the balancer that the route names.
fn read_balancer(table: &Table<'_>, balancers: &[Balancer]) -> Option<usize> {
    let why = "write which balancer takes the requests, such as balancer = \"mycluster\"";
    let names = balancers.iter().map(|balancer| &*balancer.settings.name);
    read_reference(table, "balancer", why, names)
}

fn read_exclude(table: &Table<'_>, path: Option<&str>) -> Vec<String> {
    table.list("exclude", "[\"/static\"]", |value| {
        let excluded = name::path(text(value)?)?;
        match path {
            Some(path) if excluded == path => {
                Err("would leave nothing of the route: must be a path below its own".to_owned())
            }
            Some(path) if !name::is_within(&excluded, path) => {
                Err(format!("must lie below the route's path, {path}"))
            }
            _ => Ok(excluded),
        }
    })
}

/// `shop.example.com` or `*.example.com`.
fn host_pattern(text: &str) -> Reading<HostPattern> {
    if text == "*" {
        return Err("leave it out for every host".to_owned());
    }
    let (below, host) = match text.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    if host.contains('*') {
        return Err(
            "may have a star only as its first label, such as \"*.example.com\"".to_owned(),
        );
    }
    if !host.starts_with('[') && host.contains(':') || host.contains("]:") {
        return Err("must be a host without a port: the route holds for every listener".to_owned());
    }
    let host = name::host(host)?;
    let host = host.strip_suffix('.').unwrap_or(&host);
    Ok(if below {
        HostPattern::Below(format!(".{host}"))
    } else {
        HostPattern::Exact(host.to_owned())
    })
}
