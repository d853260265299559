//! All of a configuration, from directives to tables.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::directive::Directive;
use super::draft;
use super::entry::{Action, Entries, Entry, Matcher};
use super::extras;
use super::files::Files;
use super::health::Checks;
use super::listen::{self, Listener};
use super::manager;
use super::member::{self, Surroundings};
use super::pool::Pool;
use super::report::{Fate, Report};
use super::route::{self, Common};
use super::server::Server;
use super::tls::{self, MemberTls};
use super::units;
use super::writer::{Table, key_of, quoted};

/// What is known while tables are made.
pub(crate) struct Site<'s, 'd> {
    /// The main server first.
    servers: &'s [Server<'d>],
    pool: Pool<'d>,
    root: &'s Path,
    files: &'s dyn Files,
    report: &'s mut Report,
}

/// Listeners where the same servers are for the same kind of clients.
struct Group<'d> {
    listeners: Vec<Listener<'d>>,
    claims: Vec<Claim>,
    is_tls: bool,
    /// What each claim's server does.
    entries: Vec<Vec<Entry<'d>>>,
}

/// A server, and the hosts that it is for; empty: all.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Claim {
    server: usize,
    hosts: Vec<String>,
}

/// The servers of a configuration, the main one first.
pub(crate) fn servers<'d>(directives: &'d [Directive], report: &mut Report) -> Vec<Server<'d>> {
    let mut servers = vec![Server::read(None, directives, report)];
    for directive in directives {
        if directive.key == "<virtualhost" {
            let host = Server::read(Some(directive), &directive.children, report);
            servers.push(host);
        }
    }
    servers
}

/// The tables of our file; none where nothing is listened on.
pub(crate) fn tables<'d>(
    servers: &[Server<'d>],
    root: &Path,
    files: &dyn Files,
    given: &[SocketAddr],
    any: IpAddr,
    report: &mut Report,
) -> Vec<Table> {
    let Some((main, hosts)) = servers.split_first() else {
        return Vec::new();
    };
    let listeners = listen::listeners(main, hosts, given, any, report);
    let mut site = Site {
        servers,
        pool: Pool::of(servers),
        root,
        files,
        report,
    };
    if listeners.is_empty() {
        let text = "there is no Listen: say where clients connect to with --listen ADDRESS:PORT";
        site.report.tell_all(Fate::Refused, None, text);
        return Vec::new();
    }
    let groups = site.groups(listeners);
    let mut tables = extras::tables(servers, site.root, site.report);
    for group in &groups {
        site.write_listeners(group, &mut tables);
    }
    tables.extend(manager::table(servers, site.report));
    let before = tables.len();
    site.write_routes(&groups, &mut tables);
    if tables.len() == before {
        let mut rest = Table::new("[[route]]");
        rest.note("Nothing is proxied");
        rest.set_text("path", "/");
        route::answer(404, &mut rest);
        tables.push(rest);
    }
    site.write_balancers(&mut tables);
    site.tell_reverse();
    tables
}

impl<'d> Site<'_, 'd> {
    fn groups(&mut self, listeners: Vec<Listener<'d>>) -> Vec<Group<'d>> {
        let mut groups: Vec<Group<'d>> = Vec::new();
        for listener in listeners {
            let claims = self.claims(&listener);
            let same = |it: &&mut Group<'_>| it.claims == claims && it.is_tls == listener.is_tls;
            if let Some(group) = groups.iter_mut().find(same) {
                group.listeners.push(listener);
                continue;
            }
            let is_tls = listener.is_tls;
            let entries = claims.iter().map(|claim| {
                let entries = Entries {
                    servers: self.servers,
                    server: claim.server,
                    pool: &mut self.pool,
                    report: self.report,
                    entries: Vec::new(),
                };
                entries.collect(is_tls)
            });
            groups.push(Group {
                entries: entries.collect(),
                listeners: vec![listener],
                claims,
                is_tls,
            });
        }
        groups
    }

    /// Which server is for which hosts at a listener, in the order in which they are asked: those with names, then the first for
    /// all names that no other has.
    fn claims(&mut self, listener: &Listener<'_>) -> Vec<Claim> {
        let Some(first) = listener.hosts.first() else {
            let hosts = Vec::new();
            return vec![Claim { server: 0, hosts }];
        };
        let mut claims = Vec::new();
        for host in &listener.hosts {
            let server = host + 1;
            let (hosts, is_any) = hosts(&self.servers[server], self.report);
            if is_any {
                let hosts = Vec::new();
                claims.push(Claim { server, hosts });
                return claims;
            }
            if !hosts.is_empty() {
                claims.push(Claim { server, hosts });
            } else if host != first {
                let text =
                    "has no ServerName, and is not the first of its address: no client gets there";
                if let Some(section) = self.servers[server].section {
                    self.report.left_out(section, text);
                }
            }
        }
        let default = Claim {
            server: first + 1,
            hosts: Vec::new(),
        };
        // Its names come first only where another has them, too.
        let is_first = claims.first().is_some_and(|it| it.server == default.server);
        let others = claims.iter().skip(1);
        let overlaps = |own: &String| {
            others
                .clone()
                .any(|it| it.hosts.iter().any(|host| covers(host, own)))
        };
        if is_first && !claims[0].hosts.iter().any(overlaps) {
            claims.remove(0);
        }
        claims.push(default);
        claims
    }

    fn write_listeners(&mut self, group: &Group<'d>, tables: &mut Vec<Table>) {
        let main = &self.servers[0];
        let here: Vec<&Server<'_>> = match group.listeners.first() {
            Some(listener) if !listener.hosts.is_empty() => {
                let hosts = listener.hosts.iter();
                hosts.map(|place| &self.servers[place + 1]).collect()
            }
            _ => vec![main],
        };
        let https = group.https_redirect();
        for listener in &group.listeners {
            let mut table = Table::new("[[listen]]");
            if let Some(by) = listener.by {
                table.from(by);
            }
            table.set_text("address", &listener.address.to_string());
            if group.is_tls {
                for engine in here.iter().filter_map(|it| it.single("sslengine")) {
                    self.report.carried(engine);
                }
                match tls::listener(&here, main, self.root, self.report) {
                    Some(written) => table.set("tls", written),
                    None => {
                        let text = format!("{} has TLS, and no certificate", listener.address);
                        self.report.tell_all(Fate::Refused, None, text);
                    }
                }
            }
            if let Some((_, by)) = https {
                table.set_by("https-redirect", "443", by);
            }
            if let Some(by) = here
                .iter()
                .find_map(|it| it.single("remoteipproxyprotocol"))
                && by.switch() == Some(true)
            {
                table.set_by("proxy-protocol", "{ from = [\"0.0.0.0/0\", \"::/0\"] }", by);
                let text =
                    "any client may say where the client is: name the networks in `proxy-protocol`";
                self.report.differs(by, text);
            }
            tables.push(table);
        }
        if let Some((status, by)) = https
            && status != HTTPS_REDIRECT
        {
            let text = format!("is answered with {HTTPS_REDIRECT}, not with {status}");
            self.report
                .differs_as(by, text, "docs/configuration.md#listen");
        }
    }

    fn write_routes(&mut self, groups: &[Group<'d>], tables: &mut Vec<Table>) {
        let serving = groups.iter().filter(|it| it.https_redirect().is_none());
        let are_several = serving.clone().count() > 1;
        for group in serving {
            let addresses = group.listeners.iter().map(|it| it.address.to_string());
            let listeners: Vec<_> = addresses.filter(|_| are_several).collect();
            for (place, (claim, entries)) in group.claims.iter().zip(&group.entries).enumerate() {
                let common = Common {
                    servers: self.servers,
                    server: claim.server,
                    hosts: claim.hosts.clone(),
                    listeners: listeners.clone(),
                    is_tls: group.is_tls,
                    root: self.root,
                    files: self.files,
                };
                let drafts = draft::drafts(entries, self.servers, claim.server, self.report);
                let mut takes_all = false;
                let is_here = |host: &String| {
                    claim.hosts.is_empty() || claim.hosts.iter().any(|it| covers(it, host))
                };
                for draft in &drafts {
                    let own = &draft.entry.hosts;
                    if !own.is_empty() && !own.iter().all(is_here) {
                        let text = "has a condition on hosts that are not the server's";
                        self.report.left_out(draft.entry.by, text);
                        continue;
                    }
                    let is_all = draft.matcher == Matcher::Below("/".to_owned());
                    takes_all |= is_all && draft.exclude.is_empty() && draft.entry.hosts.is_empty();
                    tables.push(common.write(draft, &mut self.pool, self.report));
                }
                let is_last = place + 1 == group.claims.len();
                let later = group.entries.iter().skip(place + 1);
                let is_followed = !is_last && later.clone().any(|it| !it.is_empty());
                if !takes_all && is_followed && !claim.hosts.is_empty() {
                    tables.push(common.write_rest());
                }
            }
        }
    }

    fn write_balancers(&mut self, tables: &mut Vec<Table>) {
        let mut checks = Checks::default();
        for server in self.servers {
            let templates = server.several("proxyhctemplate").iter();
            for directive in templates.chain(server.several("proxyhcexpr")) {
                checks.read(directive, self.report);
            }
        }
        for place in 0..self.pool.all.len() {
            self.write_balancer(place, &checks, tables);
        }
    }

    fn write_balancer(&mut self, place: usize, checks: &Checks<'d>, tables: &mut Vec<Table>) {
        let pooled = &self.pool.all[place];
        let server = &self.servers[pooled.user.unwrap_or(pooled.server)];
        let main = &self.servers[0];
        let definition = &pooled.definition;
        let mut table = Table::new(&format!("[balancer.{}]", key_of(&pooled.name)));
        table.from(definition.by);
        member::write_balancer(&definition.parameters, &mut table, self.report);
        let timeout = ["proxytimeout", "timeout"].iter().find_map(|key| {
            let by = server.single(key).or_else(|| main.single(key))?;
            Some((units::time(by.word(0), 1000)?, by))
        });
        let around = Surroundings {
            timeout,
            tls: &MemberTls::of(server, main, self.root),
            checks,
            websockets: pooled.websockets,
        };
        let mut members: Vec<Table> = Vec::new();
        for member in &definition.members {
            members.extend(member::write(&pooled.name, member, &around, self.report));
        }
        if members.is_empty() {
            return;
        }
        // Where no session is read, Apache does not set the cookie.
        if let Some((cookie, by)) = &pooled.sticky
            && definition.parameters.get("stickysession").is_some()
        {
            let are_named = members.iter().all(|it| it.has("route"));
            let said = definition.parameters.get("stickysession");
            let read = said.and_then(|it| it.value.split('|').next());
            let separator = definition.parameters.get("stickysessionsep");
            let separator = separator.map_or(Some('.'), |it| it.value.chars().next());
            match () {
                () if !are_named => {
                    let text = format!(
                        "not every member of {} has a route, by which the cookie names it",
                        pooled.name
                    );
                    self.report.left_out(by, text);
                }
                () if read.is_some_and(|it| it != cookie.name) => {
                    let text = format!("stickysession of {} reads another cookie", pooled.name);
                    self.report.left_out(by, text);
                }
                () if cookie.separator != separator => {
                    let text = "has something else before the route than stickysessionsep says";
                    self.report.left_out(by, text);
                }
                () => {
                    table.set_by("sticky-cookie", cookie.written(), by);
                    let text = "the cookie has HttpOnly, SameSite=Lax and, by TLS, Secure";
                    self.report
                        .differs_as(by, text, "docs/apache-differences.md#sticky-sessions");
                }
            }
        }
        tell_standbys(definition, self.report);
        tables.push(table);
        tables.append(&mut members);
    }

    /// What `ProxyPassReverse` names that nothing is passed to, and what no route has looked at.
    fn tell_reverse(&mut self) {
        for server in self.servers {
            let sections = server.sections.iter().map(|it| &it.settings);
            for settings in sections.chain([&server.base]) {
                for (directive, _) in &settings.reverse {
                    if !self.report.knows(directive) {
                        let text =
                            "names another place than the ProxyPass that it should belong to";
                        self.report.left_out(directive, text);
                    }
                }
                settings.tell_unused(self.report);
            }
        }
    }
}

/// What a listener with `https-redirect` answers with.
const HTTPS_REDIRECT: u16 = 308;

impl<'d> Group<'d> {
    /// Whether all that these listeners do is to send clients to `https`: with which status, and by which directive.
    fn https_redirect(&self) -> Option<(u16, &'d Directive)> {
        let first = |entries: &Vec<Entry<'d>>| match entries.first().map(|it| (&it.action, it.by)) {
            Some((Action::Https { status }, by)) => Some((*status, by)),
            _ => None,
        };
        let all: Option<Vec<_>> = self.entries.iter().map(first).collect();
        let all = all.filter(|_| !self.is_tls)?;
        all.into_iter().next()
    }
}

/// The names of a virtual host in our form, and whether it is for all.
fn hosts(server: &Server<'_>, report: &mut Report) -> (Vec<String>, bool) {
    let mut hosts: Vec<String> = Vec::new();
    if let Some(name) = server.name.filter(|name| is_host(name)) {
        hosts.push(name.to_ascii_lowercase());
    }
    for (alias, by) in &server.aliases {
        let host = alias.to_ascii_lowercase();
        if host == "*" {
            report.carried(by);
            return (Vec::new(), true);
        }
        let is_known = host.strip_prefix("*.").is_some_and(is_host) || is_host(&host);
        match is_known {
            true => report.carried(by),
            false => report.left_out(
                by,
                format!("`{alias}` is no host, nor `*.` and a host behind it"),
            ),
        }
        if is_known && !hosts.contains(&host) {
            hosts.push(host);
        }
    }
    (hosts, false)
}

/// Whether our configuration takes the text for a host.
fn is_host(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let label = |label: &str| (1..=63).contains(&label.len()) && label.bytes().all(legal);
    let is_number = |label: &str| label.bytes().all(|byte| byte.is_ascii_digit());
    let last = text.rsplit('.').next().unwrap_or_default();
    let is_address = text.parse::<std::net::Ipv4Addr>().is_ok();
    text.len() <= 253 && text.split('.').all(label) && (!is_number(last) || is_address)
}

/// Whether a host pattern is for a host, or for all below it.
fn covers(pattern: &str, host: &str) -> bool {
    let below = pattern.strip_prefix('*');
    pattern == host || below.is_some_and(|suffix| host.trim_start_matches('*').ends_with(suffix))
}

/// Explains what a balancer does whose members are all hot standbys.
fn tell_standbys(definition: &super::balancer::Definition<'_>, report: &mut Report) {
    let is_standby = |member: &super::balancer::MemberDefinition<'_>| {
        let status = member.parameters.get("status");
        status.is_some_and(|it| {
            it.value.to_ascii_uppercase().contains('H') && !it.value.contains('-')
        })
    };
    if definition.members.len() < 2 || !definition.members.iter().all(is_standby) {
        return;
    }
    let text = "H is hot standby, and all members have it: with no other member in the balancer they share its requests as if none had. Health checks are something else: write hcmethod=GET hcuri=/health behind each BalancerMember (or hcmethod in our [balancer.NAME])";
    if let Some(by) = definition.members.first().map(|it| it.by) {
        report.differs_as(by, text, "docs/health.md#active-checks");
    }
}

/// The text of a file's name in quotes.
pub(crate) fn quoted_file(root: &Path, file: &str) -> String {
    quoted(&tls::in_root(root, file))
}
