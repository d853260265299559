//! `[balancer.NAME]`.

use std::path::Path;
use std::time::Duration;

use equipoise_balancer::BalancerSettings;
use toml::de::DeValue;

use super::check;
use super::member::read_members;
use super::method::read_method;
use super::outlier::read_outlier;
use super::plugin::read_plugin_name;
use super::sticky::{read_sticky, read_sticky_cookie};
use super::table::Table;
use super::value::integer_in;
use super::value::{
    Parsed, boolean, duration, integer, or_off, percent, positive_duration, size, text,
};
use super::{Balancer, BuiltinMethod, Member, Method, Plugin, RetryOn};

/// The keys besides those of checks.
pub(super) const OWN_KEYS: &[&str] = &[
    "lbmethod",
    "stickysession",
    "stickysessionsep",
    "scolonpathdelim",
    "sticky-cookie",
    "nofailover",
    "maxattempts",
    "timeout",
    "failonstatus",
    "failontimeout",
    "forcerecovery",
    "retry-on",
    "request-timeout",
    "retry-budget",
    "replay-buffer",
    "panic-threshold",
    "slow-start",
    "outlier",
    "health",
    "member",
];

const KEYS: [&str; OWN_KEYS.len() + check::ADDED] = check::with_checks(OWN_KEYS);

/// The keys of the table that names a health plugin.
pub(super) const HEALTH_KEYS: &[&str] = &["plugin"];

/// `retry-budget` where none is written, in percent.
const DEFAULT_RETRY_BUDGET: u8 = 20;

/// Reads every `[balancer.NAME]` out of the file at `path`, to whose folder members' files are relative.
pub(super) fn read_balancers(file: &Table<'_>, plugins: &[Plugin], path: &Path) -> Vec<Balancer> {
    let templates = check::read_templates(file);
    let tables = file.named_tables("balancer", &KEYS, "mycluster");
    let read = |(name, table): &(&str, Table<'_>)| {
        let members = read_members(table, &templates, path);
        read_balancer(name, table, plugins, members)
    };
    tables.iter().map(read).collect()
}

fn read_balancer(
    name: &str,
    table: &Table<'_>,
    plugins: &[Plugin],
    members: Vec<Member>,
) -> Balancer {
    let sticky_cookie = read_sticky_cookie(table);
    let sticky = read_sticky(table, sticky_cookie.as_ref(), plugins);
    let method = read_method(table, plugins);
    let others = members.len().saturating_sub(1);
    let max_attempts = table.read("maxattempts", integer_in(0..=99));
    let timeout = table.read("timeout", duration(Duration::ZERO));
    let request_timeout = table.read("request-timeout", or_off(positive_duration));
    let retry_budget = table.read("retry-budget", or_off(percent));
    let replay_buffer = table.read("replay-buffer", size(0..=16 * 1024 * 1024));
    Balancer {
        settings: read_settings(name, table),
        method: method.unwrap_or(Method::Builtin(BuiltinMethod::Byrequests)),
        sticky,
        sticky_cookie,
        max_attempts: max_attempts.unwrap_or(others),
        timeout: timeout.unwrap_or(Duration::ZERO),
        retry_on: read_retry_on(table),
        request_timeout: request_timeout.flatten(),
        retry_budget: retry_budget.unwrap_or(Some(DEFAULT_RETRY_BUDGET)),
        replay_buffer: replay_buffer.unwrap_or(64 * 1024),
        outlier: read_outlier(table),
        health_plugin: read_health_plugin(table, plugins),
        members,
    }
}

fn read_settings(name: &str, table: &Table<'_>) -> BalancerSettings {
    BalancerSettings {
        name: name.to_owned(),
        nofailover: table.read("nofailover", boolean).unwrap_or(false),
        forcerecovery: table.read("forcerecovery", boolean).unwrap_or(true),
        failonstatus: read_failonstatus(table),
        failontimeout: table.read("failontimeout", boolean).unwrap_or(false),
        panic_threshold: table.read("panic-threshold", percent).unwrap_or(10),
    }
}

/// `health = { plugin = "NAME" }`: the plugin's index.
fn read_health_plugin(table: &Table<'_>, plugins: &[Plugin]) -> Option<usize> {
    let health = table.table("health", HEALTH_KEYS)?;
    read_plugin_name(&health, plugins)
}

/// A list of numbers, or Apache's text of numbers between commas.
fn read_failonstatus(table: &Table<'_>) -> Vec<u16> {
    let as_text = table.read("failonstatus", |value| match value {
        DeValue::String(text) => text
            .split(',')
            .map(failing_status)
            .collect::<Parsed<_>>()
            .map(Some),
        _ => Ok(None),
    });
    match as_text {
        Some(None) => table.list("failonstatus", "[500, 503]", |value| {
            let number = integer(value).map(|number| number.to_string());
            failing_status(number.as_deref().or(value.as_str()).unwrap_or_default())
        }),
        statuses => statuses.flatten().unwrap_or_default(),
    }
}

fn failing_status(text: &str) -> Parsed<u16> {
    let status = text.trim().parse().ok();
    status
        .filter(|status| (100..=599).contains(status))
        .ok_or_else(|| "must be response statuses from 100 to 599, such as [500, 503]".to_owned())
}

/// One thing to retry on.
enum Reason {
    Status(u16),
    Timeout,
}

fn read_retry_on(table: &Table<'_>) -> RetryOn {
    let mut retry_on = RetryOn::default();
    for reason in table.list("retry-on", "[\"502\", \"timeout\"]", reason) {
        match reason {
            Reason::Timeout => retry_on.timeout = true,
            Reason::Status(status) if retry_on.statuses.contains(&status) => {}
            Reason::Status(status) => retry_on.statuses.push(status),
        }
    }
    retry_on
}

fn reason(value: &DeValue<'_>) -> Parsed<Reason> {
    if text(value) == Ok("timeout") {
        return Ok(Reason::Timeout);
    }
    let status = match value {
        DeValue::String(text) => text.parse().ok(),
        _ => integer(value),
    };
    status
        .and_then(|status| u16::try_from(status).ok())
        .filter(|status| (400..=599).contains(status))
        .map(Reason::Status)
        .ok_or_else(|| "must be a status from \"400\" to \"599\" or \"timeout\"".to_owned())
}
