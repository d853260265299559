//! The main server and the virtual hosts: what stands in each.

use std::collections::HashMap;

use super::balancer::Definitions;
use super::directive::Directive;
use super::names::{self, Kind};
use super::pass::{self, Pass};
use super::path;
use super::pattern;
use super::report::Report;
use super::rewrite;
use super::settings::{self, Settings};

/// A server.
#[derive(Debug, Default)]
pub(crate) struct Server<'d> {
    /// `<VirtualHost>`; none for the main server.
    pub(crate) section: Option<&'d Directive>,
    pub(crate) name: Option<&'d str>,
    pub(crate) aliases: Vec<(&'d str, &'d Directive)>,
    /// What it says about all requests.
    pub(crate) base: Settings<'d>,
    /// `<Proxy>`: the beginning of URLs, or a pattern.
    pub(crate) proxies: Vec<(&'d Directive, Settings<'d>)>,
    /// `<Location>` and `<LocationMatch>`, in their order.
    pub(crate) sections: Vec<Section<'d>>,
    /// `ProxyPass` and `ProxyPassMatch`, in their order.
    pub(crate) passes: Vec<Pass<'d>>,
    pub(crate) rewrites: rewrite::Rules<'d>,
    pub(crate) balancers: Definitions<'d>,
    /// The last directive of a name, for those that say one thing.
    single: HashMap<&'d str, &'d Directive>,
    /// All directives of a name, for those that say one more thing each.
    several: HashMap<&'d str, Vec<&'d Directive>>,
}

/// `<Location>` and what stands in it.
#[derive(Debug)]
pub(crate) struct Section<'d> {
    pub(crate) paths: Paths,
    pub(crate) settings: Settings<'d>,
    pub(crate) by: &'d Directive,
}

/// The paths that a section is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Paths {
    /// This one, and what is below it.
    Below(String),
    /// What a regular expression matches.
    Matching(String),
}

/// Directives that say one thing about a server.
const SINGLE: &[&str] = &[
    "proxytimeout",
    "timeout",
    "keepalivetimeout",
    "proxyvia",
    "proxyrequests",
    "sslengine",
    "sslprotocol",
    "sslcacertificatefile",
    "sslverifyclient",
    "sslproxyverify",
    "sslproxycacertificatefile",
    "sslproxycacertificatepath",
    "sslproxymachinecertificatefile",
    "sslproxycheckpeername",
    "sslproxycheckpeercn",
    "sslcertificatechainfile",
    "proxypassinherit",
    "balancerinherit",
    "heartbeatlisten",
    "remoteipheader",
    "remoteipproxyprotocol",
    "documentroot",
    "errorlog",
    "limitrequestfields",
    "usecanonicalname",
    "proxywebsocketidletimeout",
];

/// Directives that say one more thing each time.
const SEVERAL: &[&str] = &[
    "listen",
    "customlog",
    "transferlog",
    "logformat",
    "sslcertificatefile",
    "sslcertificatekeyfile",
    "proxyhctemplate",
    "proxyhcexpr",
    "remoteipinternalproxy",
    "remoteiptrustedproxy",
    "setenv",
];

impl<'d> Server<'d> {
    /// What stands in a virtual host, or outside of all.
    pub(crate) fn read(
        section: Option<&'d Directive>,
        directives: &'d [Directive],
        report: &mut Report,
    ) -> Self {
        let (base, others) = Settings::of(directives, false, report);
        let mut server = Self {
            section,
            base,
            ..Self::default()
        };
        for directive in others {
            server.take(directive, report);
        }
        server
    }

    fn take(&mut self, directive: &'d Directive, report: &mut Report) {
        let key = &*directive.key;
        if let Some(known) = SINGLE.iter().find(|known| **known == key) {
            self.single.insert(known, directive);
        }
        if let Some(known) = SEVERAL.iter().find(|known| **known == key) {
            self.several.entry(known).or_default().push(directive);
        }
        match key {
            "servername" => self.name = Some(self.server_name(directive, report)),
            "serveralias" => {
                let aliases = directive.words.iter();
                self.aliases
                    .extend(aliases.map(|alias| (&**alias, directive)));
            }
            "<location" | "<locationmatch" => self.take_location(directive, report),
            "<proxy" | "<proxymatch" => self.take_proxy(directive, report),
            "proxyset" | "balancermember" => self.balancers.read(directive, None, report),
            "proxypass" | "proxypassmatch" => match pass::read(directive, None) {
                Ok(pass) => self.passes.push(pass),
                Err(reason) => report.left_out(directive, reason),
            },
            "rewriteengine" | "rewriterule" | "rewritecond" => {
                self.rewrites.read(directive, report);
            }
            "<virtualhost" => {}
            _ => tell(directive, report),
        }
    }

    /// The name without scheme and port.
    fn server_name(&self, directive: &'d Directive, report: &mut Report) -> &'d str {
        report.carried(directive);
        let name = directive.word(0);
        let name = name.split_once("://").map_or(name, |(_, name)| name);
        let end = match name.starts_with('[') {
            true => name.find(']').map(|at| at + 1),
            false => name.find(':'),
        };
        &name[..end.unwrap_or(name.len())]
    }

    fn take_location(&mut self, directive: &'d Directive, report: &mut Report) {
        let (is_expression, path) = match directive.word(0) {
            "~" => (true, directive.word(1)),
            path => (directive.key == "<locationmatch", path),
        };
        let paths = match () {
            () if is_expression => Paths::Matching(path.to_owned()),
            () if pattern::is_pattern(path) => Paths::Matching(pattern::as_expression(path)),
            () => match path::of_decoded(path) {
                Some(path) => Paths::Below(path),
                None => {
                    let text = "is about no path that clients can ask for";
                    report.left_out(directive, text);
                    return settings::quiet(&directive.children, report);
                }
            },
        };
        let (settings, others) = Settings::of(&directive.children, true, report);
        for other in others {
            tell(other, report);
        }
        report.carried(directive);
        self.sections.push(Section {
            paths,
            settings,
            by: directive,
        });
    }

    fn take_proxy(&mut self, directive: &'d Directive, report: &mut Report) {
        let (settings, others) = Settings::of(&directive.children, false, report);
        let url = directive.word(0);
        let is_balancer = pass::balancer(url).is_some();
        report.carried(directive);
        if is_balancer && directive.key == "<proxy" {
            self.balancers.define(url, directive);
        }
        for other in others {
            match &*other.key {
                "balancermember" | "proxyset" => self.balancers.read(other, Some(url), report),
                _ => tell(other, report),
            }
        }
        self.proxies.push((directive, settings));
    }

    /// The last directive of a name in lower case.
    pub(crate) fn single(&self, key: &str) -> Option<&'d Directive> {
        self.single.get(key).copied()
    }

    /// All directives of a name in lower case.
    pub(crate) fn several(&self, key: &str) -> &[&'d Directive] {
        self.several.get(key).map_or(&[], |all| all)
    }

    /// What it is called in comments.
    pub(crate) fn shown(&self) -> String {
        match (self.name, self.section) {
            (Some(name), _) => name.to_owned(),
            (None, Some(section)) => section.text.clone(),
            (None, None) => "the main server".to_owned(),
        }
    }
}

/// Tells what becomes of a directive that says nothing about requests, by its name.
fn tell(directive: &Directive, report: &mut Report) {
    let known = SINGLE.iter().chain(SEVERAL).any(|it| *it == directive.key);
    match names::kind(&directive.key) {
        Some(Kind::Refused(reason)) => report.refused(directive, reason),
        Some(Kind::Unspoken(reason)) => report.left_out(directive, reason),
        Some(Kind::AboutFiles) => {
            report.left_out(directive, "files are not served here");
            settings::quiet(&directive.children, report);
        }
        // Read where it is needed.
        _ if known => {}
        Some(Kind::Meaningless) => report.meaningless(directive),
        None => {
            report.left_out(directive, "is not known here");
            settings::quiet(&directive.children, report);
        }
    }
}
