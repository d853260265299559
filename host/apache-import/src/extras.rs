//! What is about the program as a whole: logs, limits, heartbeats, and what is refused.

use std::collections::HashMap;
use std::path::Path;

use super::directive::Directive;
use super::names::{self, Kind};
use super::report::Report;
use super::server::Server;
use super::site::quoted_file;
use super::units;
use super::writer::{Table, inline, quoted};

/// The tables before listeners.
pub(crate) fn tables(servers: &[Server<'_>], root: &Path, report: &mut Report) -> Vec<Table> {
    let mut top = Table::new("");
    if let Some((file, format, by)) = access_log(servers, root, report) {
        let keys = [("file", file), ("format", quoted(format))];
        top.set_by("access-log", inline(keys), by);
    }
    let mut tables = vec![top];
    tables.push(limits(servers, report));
    if let Some(main) = servers.first() {
        tables.extend(heartbeat(main, report));
    }
    for server in servers {
        tell_refused(server, report);
    }
    tables.retain(|table| !table.is_empty());
    tables
}

/// The first log that can be had, of the main server or else of a virtual host.
fn access_log<'d>(
    servers: &[Server<'d>],
    root: &Path,
    report: &mut Report,
) -> Option<(String, &'static str, &'d Directive)> {
    let mut formats: HashMap<&str, &str> = HashMap::new();
    for directive in servers.iter().flat_map(|it| it.several("logformat")) {
        report.meaningless(directive);
        if !directive.word(1).is_empty() {
            formats.insert(directive.word(1), directive.word(0));
        }
    }
    let mut found: Option<(String, &'static str, &Directive)> = None;
    let logs = |it: &Server<'d>| [it.several("customlog"), it.several("transferlog")].concat();
    for directive in servers.iter().flat_map(logs) {
        let target = directive.word(0);
        if target.contains("${") {
            report.left_out(directive, "its file has a variable that is not defined");
        } else if target.starts_with('|') || target.starts_with("syslog") || target.is_empty() {
            report.left_out(directive, "lines go to a file or to standard output");
        } else if found.is_some() {
            report.left_out(
                directive,
                "there is one log for all servers, which another line names",
            );
        } else {
            let file = match target {
                "/dev/stdout" | "/proc/self/fd/1" => quoted("stdout"),
                file => quoted_file(root, file),
            };
            let nick = directive.word(1);
            let format = formats.get(nick).copied().unwrap_or(nick);
            let written = if format.trim_start().starts_with('{') {
                "json"
            } else {
                "combined"
            };
            let text = match nick {
                "combined" => "the balancer's fields stand behind Apache's",
                _ => "lines have the combined format with the balancer's fields behind it, or JSON",
            };
            report.differs_as(directive, text, "docs/operating.md#logs");
            found = Some((file, written, directive));
        }
    }
    for by in servers.iter().filter_map(|it| it.single("errorlog")) {
        report.differs_as(
            by,
            "what goes wrong is written to standard error",
            "docs/operating.md#logs",
        );
    }
    found
}

fn limits(servers: &[Server<'_>], report: &mut Report) -> Table {
    let mut table = Table::new("[limits]");
    let Some(main) = servers.first() else {
        return table;
    };
    for (theirs, ours) in [
        ("keepalivetimeout", "keepalive-timeout"),
        ("timeout", "client-timeout"),
    ] {
        if let Some(by) = main.single(theirs)
            && let Some(time) =
                units::time(by.word(0), 1000).filter(|time| (1..=86_400_000).contains(time))
            && time != 60_000
        {
            table.set_by(ours, quoted(&units::shown(time)), by);
            report.carried(by);
        }
    }
    if let Some(by) = main.single("limitrequestfields")
        && let Some(count) = units::whole(by.word(0)).filter(|count| (1..=1000).contains(count))
    {
        table.set_by("headers", count.to_string(), by);
        report.carried(by);
    }
    table
}

fn heartbeat(main: &Server<'_>, report: &mut Report) -> Option<Table> {
    let by = main.single("heartbeatlisten")?;
    report.carried(by);
    let mut table = Table::new("[heartbeat]");
    table.set_by("listen", quoted(by.word(0)), by);
    Some(table)
}

/// What would mean something else here.
fn tell_refused(server: &Server<'_>, report: &mut Report) {
    if let Some(by) = server.single("proxyrequests")
        && by.switch() != Some(false)
    {
        report.refused(by, "there is no forward proxy here");
    }
    for by in server.several("setenv") {
        match by.word(0) {
            "proxy-nokeepalive" | "proxy-initial-not-pooled" | "force-proxy-request-1.0" => {
                report.left_out(by, "write disablereuse=On behind the member");
            }
            other if other.starts_with("proxy-") || other == "no-proxy" => {
                report.left_out(by, "there is no key for this variable");
            }
            _ => report.meaningless(by),
        }
    }
}

/// Tells of directives that were kept for what needs them, and that no one has needed.
pub(crate) fn tell_unread(directives: &[Directive], report: &mut Report) {
    for directive in directives {
        if !report.knows(directive) {
            match names::kind(&directive.key) {
                Some(Kind::Refused(reason)) => report.refused(directive, reason),
                Some(Kind::Unspoken(reason)) => report.left_out(directive, reason),
                Some(Kind::AboutFiles) => report.left_out(directive, "files are not served here"),
                Some(Kind::Meaningless) => report.meaningless(directive),
                None => report.left_out(directive, "does nothing here"),
            }
        }
        tell_unread(&directive.children, report);
    }
}
