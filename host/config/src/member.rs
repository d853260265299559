//! `[[balancer.NAME.member]]`.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use equipoise_balancer::{MemberSettings, Status};
use equipoise_http::ajp::{DEFAULT_PACKET, MAX_PACKET, MAX_SECRET};
use toml::de::DeValue;

use super::check::{self, PartialCheck, Template, read_checks};
use super::name;
use super::table::{Table, TextBounds};
use super::tls::read_client_tls;
use super::upgrade::read_upgrade;
use super::url::{MemberUrl, Scheme, member_url};
use super::value::{
    DAY, Parsed, boolean, choice, duration, duration_within, integer, integer_in,
    positive_duration, size, text, text_as,
};
use super::{ClientTls, Member, Protocol, ProxyVersion, Token};

/// The keys besides those of checks.
pub(super) const OWN_KEYS: &[&str] = &[
    "url",
    "loadfactor",
    "lbset",
    "route",
    "redirect",
    "status",
    "retry",
    "timeout",
    "connectiontimeout",
    "acquire",
    "max",
    "ttl",
    "ping",
    "disablereuse",
    "keepalive",
    "slow-start",
    "drain-timeout",
    "metadata",
    "tls",
    "upgrade",
    "tunnel-timeout",
    "proxy-protocol",
    "secret",
    "ajp-packet-size",
];

const KEYS: [&str; OWN_KEYS.len() + check::ADDED] = check::with_checks(OWN_KEYS);

/// The most requests in flight that `max` may allow.
const MAX_IN_FLIGHT: usize = 1_000_000;

const PROXY_VERSIONS: &[(&str, ProxyVersion)] =
    &[("v1", ProxyVersion::V1), ("v2", ProxyVersion::V2)];

/// Keys about addresses and ports, which a socket file has not.
const TCP_KEYS: [&str; 2] = ["hcport", "keepalive"];

/// Keys about what AJP has not: its connections never become something else, and begin with a packet.
const NOT_OF_AJP: [&str; 3] = ["upgrade", "tunnel-timeout", "proxy-protocol"];

/// Keys about AJP alone.
const AJP_KEYS: [&str; 2] = ["secret", "ajp-packet-size"];

const METADATA: TextBounds = TextBounds {
    entries: 32,
    value: 1024,
};

/// Reads every `[[balancer.NAME.member]]` of a balancer out of the file at `path`, to whose folder their files are relative.
pub(super) fn read_members(
    balancer: &Table<'_>,
    templates: &[Template<'_>],
    path: &Path,
) -> Vec<Member> {
    let tables = balancer.required_tables("member", &KEYS, "url = \"http://…\"");
    let checks = read_checks(balancer, &tables, templates);
    let slow_start = balancer.read("slow-start", duration(Duration::ZERO));
    let mut members = Vec::new();
    for (table, checks) in tables.iter().zip(checks) {
        let Some(mut member) = read_member(table, checks, path) else {
            continue;
        };
        if !table.has("slow-start") {
            member.settings.slow_start = slow_start.unwrap_or_default();
        }
        members.push((table, member));
    }
    check_duplicates(&members);
    check_routes(balancer, &tables);
    members.into_iter().map(|(_, member)| member).collect()
}

/// The address of a member and its protocol: what identifies it across reloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MemberLocation<'member> {
    protocol: Protocol,
    is_tls: bool,
    socket: Option<&'member Path>,
    host: &'member str,
    port: u16,
    path: &'member str,
}

impl Member {
    /// Whether a connection may serve more than one request.
    pub fn is_reusable(&self) -> bool {
        !self.disable_reuse && self.proxy_header.is_none()
    }

    /// What identifies it across reloads.
    pub fn location(&self) -> MemberLocation<'_> {
        MemberLocation {
            protocol: self.protocol,
            is_tls: self.is_tls(),
            socket: self.socket.as_deref(),
            host: &self.host,
            port: self.port,
            path: &self.path,
        }
    }

    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }
}

/// Refuses two members with the same location.
fn check_duplicates(members: &[(&Table<'_>, Member)]) {
    let mut names = HashMap::new();
    for (table, member) in members {
        let name = &member.settings.name;
        let first = names.entry(member.location()).or_insert(name);
        if !std::ptr::eq(*first, name) {
            table.refuse("url", format!("is already a member: {first}"));
        }
    }
}

/// Refuses redirects that could never be followed, and members that a sticky cookie cannot name.
fn check_routes(balancer: &Table<'_>, tables: &[Table<'_>]) {
    let routes = tables.iter().filter_map(|table| table.written("route"));
    let routes: Vec<_> = routes.collect();
    let known: HashSet<_> = routes.iter().copied().collect();
    for table in tables {
        let redirect = table.written("redirect");
        if redirect.is_some_and(|redirect| !known.contains(redirect)) {
            let routes = routes.join(", ");
            let remedy = format!("must be the route of a member of this balancer: {routes}");
            table.refuse_dangling("redirect", remedy);
        }
        if balancer.has("sticky-cookie") && !table.has("route") {
            let why = "the balancer's sticky-cookie names members by it: write route = \"…\"";
            table.missing("route", why);
        }
    }
}

fn read_member(table: &Table<'_>, checks: PartialCheck, path: &Path) -> Option<Member> {
    let why = "write where the member is, such as url = \"http://127.0.0.1:9001\"";
    let written = table.require("url", why, |value| {
        let text = text(value)?;
        Ok((text.to_owned(), member_url(text, path)?))
    });
    let timeout = table
        .read("timeout", positive_duration)
        .unwrap_or(Duration::from_secs(60));
    let connection_timeout = table.read("connectiontimeout", positive_duration);
    let default_connection_timeout = timeout.min(Duration::from_secs(1));
    let acquire = table.read(
        "acquire",
        duration_within(Duration::from_millis(1)..=DAY, "ms"),
    );
    let settings = read_settings(table);
    let ttl = table.read("ttl", positive_duration);
    let ping = table.read("ping", positive_duration);
    let max = table.read("max", integer_in(1..=MAX_IN_FLIGHT));
    let disable_reuse = table.read("disablereuse", boolean);
    let keepalive = table.read("keepalive", boolean);
    let drain_timeout = table.read("drain-timeout", duration(Duration::ZERO));
    let metadata = table.texts("metadata", "{ zone = \"a\" }", &METADATA);
    let upgrade = read_upgrade(table);
    let tunnel_timeout = table.read("tunnel-timeout", positive_duration);
    let proxy_header = table.read("proxy-protocol", choice(PROXY_VERSIONS));
    let secret = table.read("secret", text_as(secret));
    let ajp_packet_size = table.read("ajp-packet-size", size(DEFAULT_PACKET..=MAX_PACKET));
    let tls = read_tls(table, written.as_ref().map(|(_, url)| url.scheme), path);
    let (name, url) = written?;
    check_socket(table, &url);
    check_ajp(table, &url);
    checks.check_url(table, &url);
    let address = url.address();
    let check = checks.check(&url);
    let MemberUrl {
        scheme,
        authority,
        host,
        port,
        path,
        socket,
    } = url;
    Some(Member {
        settings: MemberSettings {
            name,
            address,
            ..settings
        },
        metadata,
        authority,
        host,
        port,
        path,
        timeout,
        connection_timeout: connection_timeout.unwrap_or(default_connection_timeout),
        acquire: acquire.unwrap_or(Duration::from_secs(10)),
        max: max.and_then(NonZeroUsize::new),
        ttl: ttl.unwrap_or(Duration::from_secs(4)),
        drain_timeout,
        ping,
        disable_reuse: disable_reuse.unwrap_or(false),
        keepalive: keepalive.unwrap_or(false),
        protocol: scheme.protocol(),
        secret,
        ajp_packet_size: ajp_packet_size.unwrap_or(DEFAULT_PACKET),
        tls,
        socket,
        upgrade: upgrade.unwrap_or_else(|| scheme.upgrade()),
        tunnel_timeout: tunnel_timeout.unwrap_or(Duration::from_secs(3600)),
        proxy_header,
        check,
    })
}

/// TLS of the member, where its scheme says so.
fn read_tls(table: &Table<'_>, scheme: Option<Scheme>, path: &Path) -> Option<ClientTls> {
    let tls = read_client_tls(table, path);
    let is_tls = scheme?.is_tls();
    if !is_tls && table.has("tls") {
        let remedy =
            "does nothing with this url: write it with https, h2 or wss, or leave this out";
        table.refuse("tls", remedy);
    }
    // Where it is wrong, that was reported; with it missing, the member would be another one.
    is_tls.then(|| tls.unwrap_or_default())
}

/// Refuses what does nothing for a member at a socket file.
fn check_socket(table: &Table<'_>, url: &MemberUrl) {
    let useless = TCP_KEYS.into_iter().filter(|key| table.has(key));
    for key in useless.filter(|_| url.socket.is_some()) {
        table.refuse(
            key,
            "does nothing for a member at a socket file: leave it out",
        );
    }
}

/// Refuses what does nothing by AJP, or by anything else.
fn check_ajp(table: &Table<'_>, url: &MemberUrl) {
    let (useless, remedy) = match url.scheme {
        Scheme::Ajp => (&NOT_OF_AJP[..], "does nothing with AJP: leave it out"),
        _ => (
            &AJP_KEYS[..],
            "does nothing with this url: write it with ajp, or leave this out",
        ),
    };
    for key in useless.iter().filter(|key| table.has(key)) {
        table.refuse(key, remedy);
    }
}

/// A secret of AJP; what is written is not shown.
fn secret(text: &str) -> Parsed<Token> {
    let is_plain = !text.chars().any(char::is_control);
    match text.len() {
        1..=MAX_SECRET if is_plain => Ok(Token(text.to_owned())),
        _ => Err(format!(
            "must be a text of 1 to {MAX_SECRET} bytes without control characters"
        )),
    }
}

/// What the balancing rules need, but for the name and the address.
fn read_settings(table: &Table<'_>) -> MemberSettings {
    let default = MemberSettings::named("");
    let lbfactor = table.read("loadfactor", loadfactor);
    let lbset = table.read("lbset", integer_in(0..=99));
    let status = table.read("status", text_as(status));
    let retry = table.read("retry", duration(Duration::ZERO));
    let slow_start = table.read("slow-start", duration(Duration::ZERO));
    MemberSettings {
        lbfactor: lbfactor.unwrap_or(default.lbfactor),
        lbset: lbset.unwrap_or(default.lbset),
        route: table.read("route", text_as(name::route)),
        redirect: table.read("redirect", text_as(name::route)),
        status: status.unwrap_or_default(),
        retry: retry.unwrap_or(default.retry),
        slow_start: slow_start.unwrap_or(default.slow_start),
        ..default
    }
}

/// A weight from 1 to 100, in hundredths.
fn loadfactor(value: &DeValue<'_>) -> Parsed<u32> {
    let number = match value {
        DeValue::Integer(_) => integer(value).map(|number| number as f64),
        DeValue::Float(number) => number.as_str().parse().ok(),
        _ => None,
    };
    let weight = number.filter(|number| (1.0..=100.0).contains(number));
    weight
        .map(|weight| (weight * 100.0).round() as u32)
        .ok_or_else(|| "must be a number from 1 to 100, such as 2 or 1.5".to_owned())
}

fn status(text: &str) -> Parsed<Status> {
    let status = text.parse::<Status>();
    status.map_err(|error| format!("{error}, such as \"+H\""))
}
