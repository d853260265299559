//! Active checks: the `hc…` keys of members, of balancers as defaults for their members, and of `[hctemplate.NAME]`.
//!
//! What a member's own table says wins over the template it names; then comes what its balancer says, and last the template
//! that the balancer names.

use std::time::Duration;

use super::reference::read_reference;
use super::table::Table;
use super::url::{MemberUrl, Scheme};
use super::{Check, CheckKind, Expect, GrpcCheck, HttpCheck};

mod expect;
mod ineffective_keys;
mod method;
mod value;

#[cfg(test)]
pub(super) use expect::KEYS as EXPECT_KEYS;

use expect::read_expect;
use ineffective_keys::{check_balancer, check_member, check_template};
use method::{HcMethod, way};

/// The keys of `[hctemplate.NAME]`.
pub(super) const KEYS: [&str; 12] = [
    "hcmethod",
    "hcuri",
    "hcinterval",
    "hctimeout",
    "hcfails",
    "hcpasses",
    "hcport",
    "hchost",
    "hcheaders",
    "hcexpect",
    "hcreport",
    "hcservice",
];

/// Keys of a table of its own, with `hctemplate` and the keys of checks behind them: `ALL` is so many more.
pub(super) const fn with_checks<const ALL: usize>(own: &[&'static str]) -> [&'static str; ALL] {
    let mut all = ["hctemplate"; ALL];
    let mut next = 0;
    while next < own.len() {
        all[next] = own[next];
        next += 1;
    }
    next = 0;
    while next < KEYS.len() {
        all[own.len() + 1 + next] = KEYS[next];
        next += 1;
    }
    all
}

/// How many keys [`with_checks`] adds.
pub(super) const ADDED: usize = KEYS.len() + 1;

/// `[hctemplate.NAME]`.
pub(super) struct Template<'d> {
    name: &'d str,
    partial: PartialCheck,
}

/// The keys of checks that a table has; `None` where one is missing or invalid.
#[derive(Debug, Clone, Default)]
pub(super) struct PartialCheck {
    way: Option<HcMethod>,
    uri: Option<String>,
    interval: Option<Duration>,
    timeout: Option<Duration>,
    fails: Option<u32>,
    passes: Option<u32>,
    port: Option<u16>,
    host: Option<String>,
    headers: Option<Vec<(String, String)>>,
    expect: Option<Expect>,
    report: Option<Vec<String>>,
    service: Option<String>,
}

/// Reads every `[hctemplate.NAME]` out of the file.
pub(super) fn read_templates<'d>(file: &Table<'d>) -> Vec<Template<'d>> {
    let tables = file.named_tables("hctemplate", &KEYS, "probe");
    let read = |(name, table): (&'d str, Table<'d>)| {
        let partial = PartialCheck::read(&table);
        check_template(&table, &partial);
        Template { name, partial }
    };
    tables.into_iter().map(read).collect()
}

/// Reads the keys of checks of a balancer and its members; returns those of each member.
pub(super) fn read_checks(
    balancer: &Table<'_>,
    members: &[Table<'_>],
    templates: &[Template<'_>],
) -> Vec<PartialCheck> {
    let defaults = PartialCheck::read_with_template(balancer, templates);
    let read = |member: &Table<'_>| {
        let partial = PartialCheck::read_with_template(member, templates).or(&defaults);
        check_member(member, &partial);
        partial
    };
    let members: Vec<_> = members.iter().map(read).collect();
    check_balancer(balancer, &defaults, &members);
    members
}

impl PartialCheck {
    fn read(table: &Table<'_>) -> Self {
        let named = |key, read: &dyn Fn() -> Vec<String>| table.has(key).then(read);
        Self {
            way: way(table),
            uri: table.read("hcuri", value::uri),
            interval: table.read("hcinterval", value::interval),
            timeout: table.read("hctimeout", super::value::positive_duration),
            fails: table.read("hcfails", super::value::integer_in(1..=100)),
            passes: table.read("hcpasses", super::value::integer_in(1..=100)),
            port: table.read("hcport", super::value::integer_in(1..=u16::MAX)),
            host: table.read("hchost", value::host),
            headers: value::read_headers(table),
            expect: read_expect(table),
            report: named("hcreport", &|| value::read_report(table)),
            service: table.read("hcservice", value::service),
        }
    }

    /// The keys of a table, and of the template that it names.
    fn read_with_template(table: &Table<'_>, templates: &[Template<'_>]) -> Self {
        let partial = Self::read(table);
        if !table.has("hctemplate") {
            return partial;
        }
        let names = templates.iter().map(|template| template.name);
        match read_reference(table, "hctemplate", "", names) {
            Some(template) => partial.or(&templates[template].partial),
            None => Self {
                way: partial.way.or(Some(HcMethod::Unknown)),
                ..partial
            },
        }
    }

    /// These keys, with those of `other` where one is missing.
    fn or(self, other: &Self) -> Self {
        Self {
            way: self.way.or(other.way),
            uri: self.uri.or_else(|| other.uri.clone()),
            interval: self.interval.or(other.interval),
            timeout: self.timeout.or(other.timeout),
            fails: self.fails.or(other.fails),
            passes: self.passes.or(other.passes),
            port: self.port.or(other.port),
            host: self.host.or_else(|| other.host.clone()),
            headers: self.headers.or_else(|| other.headers.clone()),
            expect: self.expect.or_else(|| other.expect.clone()),
            report: self.report.or_else(|| other.report.clone()),
            service: self.service.or_else(|| other.service.clone()),
        }
    }

    /// The checks of the member at `url`; `None` where it has none.
    pub(super) fn check(self, url: &MemberUrl) -> Option<Check> {
        let interval = self.interval.unwrap_or(Duration::from_secs(30));
        // No longer than the interval, so that a member that says nothing is found as soon as one that refuses.
        let timeout = Duration::from_secs(5).min(interval);
        Some(Check {
            interval,
            timeout: self.timeout.unwrap_or(timeout),
            fails: self.fails.unwrap_or(1),
            passes: self.passes.unwrap_or(1),
            port: self.port,
            kind: self.kind(url)?,
        })
    }

    fn kind(self, url: &MemberUrl) -> Option<CheckKind> {
        let (method, version) = match self.way? {
            HcMethod::Off | HcMethod::Unknown => return None,
            HcMethod::Tcp => return Some(CheckKind::Tcp),
            HcMethod::Grpc => return Some(CheckKind::Grpc(self.call(url))),
            HcMethod::Cping => return Some(CheckKind::Cping),
            HcMethod::Http(method, version) => (method, version),
        };
        Some(CheckKind::Http(HttpCheck {
            method,
            version,
            target: value::target(method, &url.path, self.uri.as_deref()),
            host: self.host.unwrap_or_else(|| url.authority.to_string()),
            headers: self.headers.unwrap_or_default(),
            expect: self.expect.unwrap_or_default(),
            report: self.report.unwrap_or_default(),
        }))
    }

    fn call(self, url: &MemberUrl) -> GrpcCheck {
        GrpcCheck {
            service: self.service.unwrap_or_default(),
            host: self.host.unwrap_or_else(|| url.authority.to_string()),
            headers: self.headers.unwrap_or_default(),
        }
    }

    /// Refuses the URL of a member that this check cannot reach.
    pub(super) fn check_url(&self, table: &Table<'_>, url: &MemberUrl) {
        let speaks_http2 = matches!(url.scheme, Scheme::H2 | Scheme::H2c | Scheme::Https);
        if self.way == Some(HcMethod::Grpc) && !speaks_http2 {
            let remedy = "speaks HTTP/1.1, but hcmethod = \"GRPC\" needs HTTP/2: write it with h2, h2c or https";
            table.refuse("url", remedy);
        }
        let is_ajp = url.scheme == Scheme::Ajp;
        match self.way {
            Some(HcMethod::Cping) if !is_ajp => {
                let remedy = "speaks no AJP, but hcmethod = \"CPING\" needs it: write it with ajp";
                table.refuse("url", remedy);
            }
            Some(HcMethod::Http(..)) if is_ajp => {
                let remedy = "speaks AJP, but this hcmethod needs HTTP: use \"CPING\" or \"TCP\"";
                table.refuse("url", remedy);
            }
            _ => {}
        }
    }
}
