//! What a server does with requests, in the order in which Apache asks: rules of rewriting, redirects of locations, `ProxyPass`
//! of locations from the last on, `ProxyPass` of the main server and then its own, and redirects.

use super::directive::Directive;
use super::pass::{self, Pass};
use super::path;
use super::pool::Pool;
use super::redirect::{From, Redirect};
use super::report::Report;
use super::rewrite::{self, Effect};
use super::server::{Paths, Section, Server};

/// One thing that is done with some requests.
#[derive(Debug)]
pub(crate) struct Entry<'d> {
    pub(crate) matcher: Matcher,
    pub(crate) action: Action,
    /// Hosts that it holds for, besides those of the server; empty: for all.
    pub(crate) hosts: Vec<String>,
    /// Paths that it does not hold for, in our form.
    pub(crate) except: Vec<String>,
    /// Whether Apache asks who may before it does this.
    pub(crate) is_guarded: bool,
    pub(crate) by: &'d Directive,
}

/// Which requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Matcher {
    /// Those at a path in our form, and below it.
    Below(String),
    /// Those whose path a regular expression matches.
    Matching(String),
}

/// What is done.
#[derive(Debug, Clone)]
pub(crate) enum Action {
    /// They go to a balancer of the pool. `member_path`: `None` where the path stays as it is.
    Pass {
        balancer: usize,
        member_path: Option<String>,
        /// The whole URL, as `<Proxy>` sees it.
        url: String,
    },
    Redirect {
        to: String,
        status: u16,
    },
    Answer {
        status: u16,
    },
    /// `ProxyPass … !`: no one gets them.
    Nothing,
    /// Everything goes to the same URL at `https`.
    Https {
        status: u16,
    },
}

/// Collects what a server does.
pub(crate) struct Entries<'a, 'd> {
    pub(crate) servers: &'a [Server<'d>],
    pub(crate) server: usize,
    pub(crate) pool: &'a mut Pool<'d>,
    pub(crate) report: &'a mut Report,
    pub(crate) entries: Vec<Entry<'d>>,
}

/// The sections that hold for a server: those of the main server first.
pub(crate) fn sections<'a, 'd>(
    servers: &'a [Server<'d>],
    server: usize,
) -> impl DoubleEndedIterator<Item = &'a Section<'d>> {
    let own = (server != 0).then(|| servers[server].sections.iter());
    servers[0].sections.iter().chain(own.into_iter().flatten())
}

impl<'d> Entries<'_, 'd> {
    /// What is done with clients that come by TLS, or not.
    pub(crate) fn collect(mut self, is_tls: bool) -> Vec<Entry<'d>> {
        let servers = self.servers;
        let own = &servers[self.server];
        let rules = own.rewrites.rules(is_tls, own.name, self.report);
        let mut websockets = Vec::new();
        for rule in rules {
            match rule.effect {
                Effect::WebSocket { .. } => websockets.push(rule),
                _ => self.rule(rule),
            }
        }
        for section in sections(servers, self.server).rev() {
            for redirect in &section.settings.redirects {
                self.redirect(redirect, Some(&section.paths));
            }
        }
        for section in sections(servers, self.server).rev() {
            if let Some(directive) = section.settings.pass {
                let path = match &section.paths {
                    Paths::Below(path) => (&**path, false),
                    Paths::Matching(expression) => (&**expression, true),
                };
                match pass::read(directive, Some(path)) {
                    Ok(pass) => self.pass(&pass),
                    Err(reason) => self.report.left_out(directive, reason),
                }
            }
        }
        let inherits = |it: &Server<'_>| {
            let said = it.single("proxypassinherit");
            said.is_none_or(|it| it.switch() != Some(false))
        };
        if self.server != 0 && inherits(own) && inherits(&servers[0]) {
            servers[0].passes.iter().for_each(|pass| self.pass(pass));
        }
        own.passes.iter().for_each(|pass| self.pass(pass));
        for rule in websockets {
            self.websocket(rule);
        }
        for redirect in &own.base.redirects {
            self.redirect(redirect, None);
        }
        if self.server != 0 {
            for redirect in &servers[0].base.redirects {
                self.redirect(redirect, None);
            }
        }
        self.entries
    }

    fn push(&mut self, matcher: Matcher, action: Action, is_guarded: bool, by: &'d Directive) {
        self.entries.push(Entry {
            matcher,
            action,
            hosts: Vec::new(),
            except: Vec::new(),
            is_guarded,
            by,
        });
    }

    fn rule(&mut self, rule: rewrite::Rule<'d>) {
        let by = rule.by;
        let mut matcher = match rule.expression {
            Some(expression) => Matcher::Matching(expression),
            None => Matcher::Below("/".to_owned()),
        };
        let mut is_guarded = false;
        let action = match rule.effect {
            Effect::Https { status } => Action::Https { status },
            Effect::Redirect { to, status } => Action::Redirect { to, status },
            Effect::Answer { status } => Action::Answer { status },
            Effect::Pass { url, path } | Effect::WebSocket { url, path } => {
                let none = super::parameters::Parameters::default();
                let balancer = self
                    .pool
                    .resolve(self.servers, self.server, &url, &none, by);
                is_guarded = true;
                let member_path = match path {
                    rewrite::Path::Before(before) if before.trim_matches('/').is_empty() => None,
                    rewrite::Path::Before(path) => Some(path.trim_end_matches('/').to_owned()),
                    rewrite::Path::Template(path) => {
                        matcher = Matcher::Matching(by.word(0).to_owned());
                        Some(path)
                    }
                };
                Action::Pass {
                    balancer,
                    member_path,
                    url,
                }
            }
        };
        let except = rule.except.iter().map(|it| path::normal(it));
        let Some(except) = except.collect::<Option<Vec<_>>>() else {
            return self.report.left_out(by, "leaves out what is no path here");
        };
        if matches!(matcher, Matcher::Matching(_)) && !except.is_empty() {
            return self.report.left_out(
                by,
                "leaves out paths of those that an expression matches, which has no key here",
            );
        }
        self.report.carried(by);
        self.entries.push(Entry {
            matcher,
            action,
            hosts: rule.hosts,
            except,
            is_guarded,
            by,
        });
    }

    /// WebSockets go where all requests go, if they go to the same members.
    fn websocket(&mut self, rule: rewrite::Rule<'d>) {
        let Effect::WebSocket { url, .. } = &rule.effect else {
            return;
        };
        let none = super::parameters::Parameters::default();
        let wanted = match pass::balancer(url) {
            Some(_) => {
                let place = self
                    .pool
                    .resolve(self.servers, self.server, url, &none, rule.by);
                let members = &self.pool.all[place].definition.members;
                members.iter().map(|it| place_of(&it.url)).collect()
            }
            None => vec![place_of(url)],
        };
        let passed = self.entries.iter().filter_map(|it| match it.action {
            Action::Pass { balancer, .. } => Some(balancer),
            _ => None,
        });
        let mut passed: Vec<usize> = passed.collect();
        passed.dedup();
        let mut found = false;
        for place in passed {
            let pooled = &mut self.pool.all[place];
            let mut members = pooled.definition.members.iter();
            let is_same = members.any(|it| wanted.contains(&place_of(&it.url)));
            if is_same {
                pooled.websockets = Some(rule.by);
                found = true;
            }
        }
        match (found, self.entries.is_empty()) {
            (true, _) => self.report.carried(rule.by),
            (false, true) => self.rule(rule),
            (false, false) => {
                let text = "WebSockets go to other members than the rest: give their path a ProxyPass of its own";
                self.report.left_out(rule.by, text);
            }
        }
    }

    fn redirect(&mut self, redirect: &Redirect<'d>, section: Option<&Paths>) {
        let by = redirect.by;
        let Some((matcher, to)) = redirected(redirect, section) else {
            return self.report.left_out(by, "is about what is no path here");
        };
        self.report.carried(by);
        let action = match to {
            Some(to) => Action::Redirect {
                to,
                status: redirect.status,
            },
            None => Action::Answer {
                status: redirect.status,
            },
        };
        self.push(matcher, action, section.is_some(), by);
    }

    fn pass(&mut self, pass: &Pass<'d>) {
        let by = pass.by;
        match read_pass(pass) {
            Err(reason) => self.report.left_out(by, reason),
            Ok((matcher, None)) => {
                self.report.carried(by);
                self.push(matcher, Action::Nothing, true, by);
            }
            Ok((matcher, Some((url, member_path)))) => {
                self.report.carried(by);
                let balancer =
                    self.pool
                        .resolve(self.servers, self.server, url, &pass.parameters, by);
                let action = Action::Pass {
                    balancer,
                    member_path,
                    url: url.to_owned(),
                };
                self.push(matcher, action, true, by);
            }
        }
    }
}

/// Host and port of a member's URL, whatever is spoken there, with the port of its scheme where none is written.
fn place_of(url: &str) -> String {
    let (origin, _) = pass::split(url);
    let (scheme, place) = origin.split_once("://").unwrap_or(("", origin));
    let place = place.to_ascii_lowercase();
    let has_port = place.rsplit(']').next().is_some_and(|it| it.contains(':'));
    let is_tls = matches!(&*scheme.to_ascii_lowercase(), "https" | "wss" | "h2");
    match (has_port, is_tls) {
        (true, _) => place,
        (false, true) => format!("{place}:443"),
        (false, false) => format!("{place}:80"),
    }
}

/// What a `ProxyPass` is for, and the URL with the path at the member.
type Passed<'p> = (Matcher, Option<(&'p str, Option<String>)>);

fn read_pass<'p>(pass: &'p Pass<'_>) -> Result<Passed<'p>, String> {
    if !pass.is_expression {
        let from = path::normal(&pass.from);
        let from = from.ok_or_else(|| format!("`{}` is no path here", pass.from))?;
        let Some(url) = &pass.url else {
            return Ok((Matcher::Below(from), None));
        };
        let (_, to) = pass::split(url);
        let to = if to.is_empty() { "/" } else { to };
        let to = path::normal(to).ok_or_else(|| format!("`{to}` is no path here"))?;
        let member_path = (to != from).then_some(to);
        return Ok((Matcher::Below(from), Some((url, member_path))));
    }
    let expression = &pass.from;
    if regex::Regex::new(expression).is_err() {
        let text = format!("`{expression}` cannot be matched in time that is linear");
        return Err(text);
    }
    let Some(url) = &pass.url else {
        return Ok((Matcher::Matching(expression.clone()), None));
    };
    let (origin, to) = pass::split(url);
    if origin.contains('$') {
        return Err("has captures in its host, which has no key here".to_owned());
    }
    if to.contains(['?', '%']) || to.contains("$0") {
        return Err("has what there is no key for in its URL".to_owned());
    }
    let matcher = Matcher::Matching(expression.clone());
    if to.contains('$') {
        // `^/(.*)$` and `/$1` are all paths as they are.
        if let (true, Ok(rewrite::Path::Before(before))) = rewrite::whole(expression, to) {
            let before = if before.is_empty() {
                "/".to_owned()
            } else {
                before
            };
            let before = path::normal(&before).ok_or("has no path that is one here")?;
            let member_path = (before != "/").then_some(before);
            return Ok((Matcher::Below("/".to_owned()), Some((url, member_path))));
        }
        return Ok((matcher, Some((url, Some(to.to_owned())))));
    }
    // Without captures, the whole path of the request stands behind the URL's.
    match to.trim_end_matches('/') {
        "" => Ok((matcher, Some((url, None)))),
        before => {
            let inside = expression
                .strip_prefix('^')
                .and_then(|it| it.strip_suffix('$'));
            let inside = inside.ok_or("has a path in its URL, and an expression that is not for whole paths, which has no key here")?;
            let matcher = Matcher::Matching(format!("^({inside})$"));
            Ok((matcher, Some((url, Some(format!("{before}$1"))))))
        }
    }
}

/// What a redirect is for, and where it leads to in our words; `None`: it is for no path of ours.
fn redirected(
    redirect: &Redirect<'_>,
    section: Option<&Paths>,
) -> Option<(Matcher, Option<String>)> {
    let escape = |text: &str| text.replace('$', "$$");
    let query = |to: &str| if to.contains('?') { "" } else { "${?query}" };
    let to = redirect.to.as_deref();
    Some(match (&redirect.from, section) {
        (From::Section, Some(Paths::Below(path))) => {
            let matcher = Matcher::Below(path::normal(path)?);
            (matcher, to.map(|to| escape(to) + query(to)))
        }
        (From::Section, Some(Paths::Matching(expression))) => {
            let matcher = Matcher::Matching(expression.clone());
            (matcher, to.map(|to| escape(to) + query(to)))
        }
        (From::Section, None) => return None,
        (From::Path(path), _) => {
            let path = path::normal(path)?;
            let Some(to) = to else {
                return Some((Matcher::Below(path), None));
            };
            if path == "/" {
                let whole = escape(to.trim_end_matches('/')) + "${path}" + query(to);
                return Some((Matcher::Below(path), Some(whole)));
            }
            // A host and what is captured behind it have a slash between them.
            let plain = to.trim_end_matches('/');
            let is_bare = pass::split(plain).1.is_empty() && plain.contains("://");
            let (rest, behind) = if is_bare {
                ("(?:/(.*))?", "/$1")
            } else {
                ("(/.*)?", "$1")
            };
            let expression = format!("^{}{rest}$", regex::escape(&path));
            let to = escape(plain) + behind + query(to);
            (Matcher::Matching(expression), Some(to))
        }
        (From::Expression(expression), _) => {
            regex::Regex::new(expression).ok()?;
            let to = to.map(|to| to.to_owned() + query(to));
            (Matcher::Matching(expression.clone()), to)
        }
    })
}
