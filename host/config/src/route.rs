//! `[[route]]`.

pub(super) mod action;
mod body;
pub(super) mod error_page;
pub(super) mod headers;
mod host;
mod pattern;
mod template;

use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use toml::de::DeValue;

use super::heartbeat::{network, networks, not_empty};
use super::name;
use super::table::Table;
use super::value::{Parsed, boolean, choice, positive_duration, size, text, text_as};
use super::{Balancer, Forwarding, Listener, Route, Via, listener};
use action::read_action;
pub use action::{Action, Redirect, Respond};
pub use body::{Body, BodyFile, Content};
use error_page::read_error_pages;
pub use error_page::{ErrorPage, ErrorPages};
pub use headers::HeaderRules;
use headers::{Way, read_rules};
pub use host::HostPattern;
use host::host_pattern;
use pattern::read_pattern;
pub use pattern::{PathPattern, PathRegex};
pub use template::{Piece, Template, Variable};

pub(super) const KEYS: &[&str] = &[
    "path",
    "match",
    "host",
    "listener",
    "exclude",
    "require",
    "balancer",
    "redirect",
    "respond",
    "member-path",
    "preserve-host",
    "x-forwarded",
    "forwarded",
    "via",
    "request-headers",
    "response-headers",
    "error-pages",
    "replace-member-errors",
    "rewrite-location",
    "cookie-domain",
    "cookie-path",
    "options-asterisk",
    "timeout",
    "max-body",
];

/// The keys of the table that says whose fields are trusted.
pub(super) const TRUST_KEYS: &[&str] = &["trust"];

const FORWARDING: &[(&str, Forwarding)] = &[
    ("append", Forwarding::Append),
    ("replace", Forwarding::Replace),
    ("off", Forwarding::Off),
];

const VIA: &[(&str, Via)] = &[("off", Via::Off), ("on", Via::On), ("block", Via::Block)];

/// Reads every `[[route]]` out of the file at `path`, which has these listeners and balancers.
pub(super) fn read_routes(
    file: &Table<'_>,
    listeners: &[Listener],
    balancers: &[Balancer],
    path: &Path,
) -> Vec<Route> {
    let example = "path = \"/\" and balancer = \"…\"";
    let tables = file.required_tables("route", KEYS, example);
    let read = |table| read_route(table, listeners, balancers, path);
    tables.iter().filter_map(read).collect()
}

fn read_route(
    table: &Table<'_>,
    listeners: &[Listener],
    balancers: &[Balancer],
    file: &Path,
) -> Option<Route> {
    let pattern = read_pattern(table);
    let path = match table.has("match") {
        // Whatever it matches is below the root.
        true => Some("/".to_owned()),
        false => table.require(
            "path",
            "write a path's beginning, such as path = \"/\", or match = \"…\" with a regular expression",
            text_as(name::path),
        ),
    };
    let groups = pattern.as_ref().map(|it| it.regex.groups());
    let action = read_action(table, balancers, groups, file);
    let asks_member = table.has("balancer");
    let member_path = match table.has("match") {
        true => None,
        false => table.read("member-path", text_as(name::path)),
    };
    let member_path = member_path.or_else(|| path.clone());
    let x_forwarded = read_forwarding(table, "x-forwarded");
    let forwarded = read_forwarding(table, "forwarded");
    Some(Route {
        hosts: table.one_or_more("host", HOSTS, host_pattern),
        listeners: read_listeners(table, listeners),
        exclude: read_exclude(table, path.as_deref()),
        require: read_require(table),
        preserve_host: table.read("preserve-host", boolean).unwrap_or(false),
        x_forwarded: x_forwarded.unwrap_or(Forwarding::Append),
        forwarded: forwarded.unwrap_or(Forwarding::Off),
        via: table.read("via", choice(VIA)).unwrap_or(Via::Off),
        rewrite_location: table.read("rewrite-location", boolean).unwrap_or(true),
        cookie_domain: table.pairs("cookie-domain", DOMAINS, name::domain),
        cookie_path: table.pairs("cookie-path", PATHS, name::path),
        request_headers: read_rules(table, "request-headers", Way::Request, true),
        response_headers: read_rules(table, "response-headers", Way::Response, asks_member),
        options_asterisk: read_options_asterisk(table, path.as_deref()),
        timeout: table.read("timeout", positive_duration),
        max_body: table.read("max-body", size(0..=LARGEST_BODY)),
        error_pages: read_error_pages(table, file),
        replace_member_errors: table
            .read("replace-member-errors", boolean)
            .unwrap_or(false),
        action: action?,
        member_path: member_path.unwrap_or_default(),
        pattern,
        path: path?,
    })
}

const HOSTS: &str = "[\"shop.example.com\", \"*.shop.example.com\"]";
const LISTENERS: &str = "[\"0.0.0.0:443\"]";
const DOMAINS: &str = "{ \"backend.internal\" = \"www.example.com\" }";
const PATHS: &str = "{ \"/app\" = \"/shop\" }";

/// The largest `max-body`, in bytes.
const LARGEST_BODY: usize = 1 << 40;

/// The networks that clients have to be in.
fn read_require(table: &Table<'_>) -> Vec<IpNet> {
    let not_empty = not_empty(", or be left out for all clients");
    let network = |text: &str| match text {
        "local" => {
            Err("must name networks: write \"127.0.0.0/8\" and \"::1\" for this machine".to_owned())
        }
        text => network(text),
    };
    match table.has("require") && table.read("require", not_empty).is_some() {
        true => table.list("require", "[\"10.0.0.0/8\"]", text_as(network)),
        false => Vec::new(),
    }
}

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

fn forwarding_word(value: &DeValue<'_>) -> Parsed<Forwarding> {
    let or_trust = |remedy| format!("{remedy}, or a table such as {{ trust = [\"10.0.0.0/8\"] }}");
    choice(FORWARDING)(value).map_err(or_trust)
}

/// `OPTIONS *` has no path, so only a route for all paths can take it.
fn read_options_asterisk(table: &Table<'_>, path: Option<&str>) -> bool {
    let is_on = table.read("options-asterisk", boolean).unwrap_or(false);
    if is_on && (table.has("match") || path.is_some_and(|path| path != "/")) {
        let remedy = "does nothing here: `OPTIONS *` is about the server as a whole, so only a route with path = \"/\" can take it";
        table.refuse("options-asterisk", remedy);
    }
    is_on
}

/// The addresses of listeners, of those that there are.
fn read_listeners(table: &Table<'_>, listeners: &[Listener]) -> Vec<SocketAddr> {
    let addresses: Vec<_> = listeners.iter().map(|it| it.address).collect();
    let known = |text: &str| {
        let address = listener::address(text)?;
        match addresses.contains(&address) {
            true => Ok(address),
            false => {
                let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
                let addresses = addresses.join(", ");
                Err(format!(
                    "is the address of no [[listen]]; there are {addresses}"
                ))
            }
        }
    };
    table.one_or_more("listener", LISTENERS, known)
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
