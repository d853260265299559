//! `SetHandler`: the balancer-manager, and what else Apache shows of itself.

use super::access::Access;
use super::directive::Directive;
use super::path;
use super::report::Report;
use super::server::{Paths, Section, Server};
use super::settings::Settings;
use super::writer::{Table, list};

/// `[manager]`, where a location has the balancer-manager; what other handlers there are is told.
pub(crate) fn table(servers: &[Server<'_>], report: &mut Report) -> Option<Table> {
    let mut found: Option<Table> = None;
    for (place, server) in servers.iter().enumerate() {
        for section in &server.sections {
            let Some(by) = section.settings.handler else {
                continue;
            };
            match &*by.word(0).to_ascii_lowercase() {
                "balancer-manager" if found.is_some() => {
                    report.left_out(by, "the manager is at one path, which another section says");
                }
                "balancer-manager" => found = manager(servers, place, section, by, report),
                "server-status" | "server-info" => {
                    let text =
                        "the admin listener shows what goes on: write [admin] with its address";
                    report.left_out(by, text);
                }
                "none" | "default-handler" => report.meaningless(by),
                other => report.left_out(by, format!("there is no handler `{other}`")),
            }
        }
        if let Some(by) = server.base.handler {
            report.left_out(by, "is for all requests, and there is no key for that");
        }
    }
    found
}

fn manager(
    servers: &[Server<'_>],
    place: usize,
    section: &Section<'_>,
    by: &Directive,
    report: &mut Report,
) -> Option<Table> {
    let Paths::Below(path) = &section.paths else {
        report.left_out(
            by,
            "the manager is at one path, and this is for an expression",
        );
        return None;
    };
    let Some(path) = path::normal(path).filter(|path| path != "/") else {
        report.left_out(by, "the manager needs a path of its own");
        return None;
    };
    let server = &servers[place];
    let settings = settings_at(servers, place, &path);
    let mut table = Table::new("[manager]");
    table.from(section.by);
    table.set_text("path", &path);
    let (access, rule) = settings.access();
    let require = match access {
        Access::Denied => {
            report.carried(by);
            return None;
        }
        Access::Unknown(reason) => {
            let text = format!("would be lost: {reason}. The manager is left out");
            report.refused(rule.unwrap_or(by), text);
            return None;
        }
        Access::All => {
            report.differs(by, "any client may change what runs: write Require");
            vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()]
        }
        Access::Networks(networks) => {
            let is_local = networks.iter().all(|it| it.addr().is_loopback());
            match is_local {
                true => vec!["local".to_owned()],
                false => networks.iter().map(ToString::to_string).collect(),
            }
        }
    };
    if let Some(by) = settings.tls_only {
        let text = "asks for TLS, and the manager is on all listeners: it is left out";
        report.refused(by, text);
        return None;
    }
    table.set("require", list(require));
    let names = server.name.into_iter();
    let names = names.chain(server.aliases.iter().map(|(name, _)| *name));
    let names: Vec<_> = names.filter(|it| !it.contains(['*', '?'])).collect();
    if !names.is_empty() {
        table.set("hosts", list(names));
    }
    report.carried(by);
    tell_hidden(servers, place, &path, by, report);
    Some(table)
}

/// What is said about a path.
fn settings_at<'d>(servers: &[Server<'d>], place: usize, path: &str) -> Settings<'d> {
    let mut settings = Settings::default();
    for section in super::entry::sections(servers, place) {
        if let Paths::Below(prefix) = &section.paths
            && path::normal(prefix).is_some_and(|it| path::is_within(path, &it))
        {
            settings.lay_over(&section.settings);
        }
    }
    settings
}

/// In Apache, a ProxyPass for all paths takes the manager's, too.
fn tell_hidden(
    servers: &[Server<'_>],
    place: usize,
    path: &str,
    by: &Directive,
    report: &mut Report,
) {
    let own = servers[place].passes.iter();
    let takes = |from: &str| path::normal(from).is_some_and(|it| path::is_within(path, &it));
    let first = own
        .filter(|pass| !pass.is_expression)
        .find(|pass| takes(&pass.from));
    if first.is_some_and(|pass| pass.url.is_some()) {
        let text = "comes before every route: in Apache, ProxyPass takes its path, unless `ProxyPass /balancer-manager !` stands before";
        report.differs_as(by, text, "docs/apache-differences.md#the-balancer-manager");
    }
}
