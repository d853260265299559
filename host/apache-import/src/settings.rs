//! What a server, a `<Proxy>` or a `<Location>` says about requests: Apache's directory configuration.

use std::collections::BTreeMap;

use super::access::{self, Access, HostRules};
use super::directive::{self, Directive};
use super::document::{self, Document};
use super::field::{self, FieldRule, Side};
use super::redirect::{self, Redirect};
use super::report::Report;
use super::sticky::{self, StickyCookie};
use super::units;

/// What is said, each with the directive that says so; nothing where nothing is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Settings<'d> {
    /// `Require`: of several in one section, one is enough.
    required: Option<(Access, &'d Directive)>,
    /// `Order`, `Allow`, `Deny`.
    hosts: Option<(HostRules, &'d Directive)>,
    /// `Satisfy Any`.
    any: Option<bool>,
    /// What asks for TLS, certificates or else, and is not known here.
    closing: Vec<&'d Directive>,
    pub(crate) tls_only: Option<&'d Directive>,
    pub(crate) preserve_host: Option<(bool, &'d Directive)>,
    pub(crate) add_headers: Option<(bool, &'d Directive)>,
    pub(crate) override_errors: Option<(bool, &'d Directive)>,
    pub(crate) documents: BTreeMap<u16, (Document, &'d Directive)>,
    pub(crate) fields: Vec<FieldRule<'d>>,
    pub(crate) sticky: Option<(StickyCookie, &'d Directive)>,
    pub(crate) cookie_domains: Vec<(&'d Directive, String, String)>,
    pub(crate) cookie_paths: Vec<(&'d Directive, String, String)>,
    /// `ProxyPassReverse`: the URLs that it names.
    pub(crate) reverse: Vec<(&'d Directive, String)>,
    pub(crate) handler: Option<&'d Directive>,
    pub(crate) max_body: Option<(u64, &'d Directive)>,
    pub(crate) redirects: Vec<Redirect<'d>>,
    /// `ProxyPass` and `ProxyPassMatch` of a `<Location>`.
    pub(crate) pass: Option<&'d Directive>,
}

impl<'d> Settings<'d> {
    /// What these directives say; those that say something else are answered. `is_section`: they stand in a `<Location>`, whose
    /// path is what those are about that name none.
    pub(crate) fn of(
        directives: &'d [Directive],
        is_section: bool,
        report: &mut Report,
    ) -> (Self, Vec<&'d Directive>) {
        let mut settings = Self::default();
        let mut others = Vec::new();
        let mut required = Vec::new();
        for directive in directives {
            if access::is_requirement(directive) {
                required.push((Access::of(directive), directive));
            } else if !settings.read(directive, is_section, report) {
                others.push(directive);
            }
        }
        if let Some((_, first)) = required.first() {
            let first = *first;
            let rules = required.into_iter().map(|(access, by)| {
                mark(by, report);
                access
            });
            settings.required = Some((Access::any(rules.collect()), first));
        }
        (settings, others)
    }

    /// Takes up what a directive says; answers whether it says something about requests.
    fn read(&mut self, directive: &'d Directive, is_section: bool, report: &mut Report) -> bool {
        match &*directive.key {
            "order" | "allow" | "deny" => {
                let (rules, _) = self
                    .hosts
                    .get_or_insert_with(|| (HostRules::default(), directive));
                rules.read(directive);
                report.carried(directive);
            }
            "satisfy" => {
                self.any = Some(directive.word(0).eq_ignore_ascii_case("any"));
                report.carried(directive);
            }
            "sslrequiressl" => self.tls_only = Some(directive),
            "sslrequire" => self.closing.push(directive),
            "authmerging" if !directive.word(0).eq_ignore_ascii_case("off") => {
                self.closing.push(directive);
            }
            // For a server as a whole it is a matter of its listener.
            "sslverifyclient" if is_section => self.closing.push(directive),
            "<limit" | "<limitexcept" | "<if" | "<elseif" | "<else" => {
                if closes(directive) {
                    self.closing.push(directive);
                } else {
                    let text =
                        "what stands here holds for some requests, and there is no key for that";
                    report.left_out(directive, text);
                }
                quiet(&directive.children, report);
            }
            "proxypreservehost" => {
                self.preserve_host = switch(directive, report).or(self.preserve_host);
            }
            "proxyaddheaders" => {
                self.add_headers = switch(directive, report).or(self.add_headers);
            }
            "proxyerroroverride" => {
                if directive.words.len() > 1 {
                    report.differs(directive, "holds for all statuses from 400 on");
                }
                self.override_errors = switch(directive, report).or(self.override_errors);
            }
            "errordocument" => match document::read(directive) {
                Some((status, document)) => {
                    self.documents.insert(status, (document, directive));
                }
                None => report.left_out(directive, "names no status from 400 to 599"),
            },
            "header" | "requestheader" => self.read_field(directive, report),
            "proxypassreversecookiedomain" | "proxypassreversecookiepath" => {
                let [from, to] = [directive.word(0), directive.word(1)].map(str::to_owned);
                match directive.key.ends_with("domain") {
                    true => self.cookie_domains.push((directive, from, to)),
                    false => self.cookie_paths.push((directive, from, to)),
                }
                report.carried(directive);
            }
            "proxypassreverse" => {
                let url = match is_section && directive.words.len() == 1 {
                    true => directive.word(0),
                    false => directive.word(1),
                };
                self.reverse.push((directive, url.to_owned()));
            }
            "sethandler" => self.handler = Some(directive),
            "limitrequestbody" => match units::whole(directive.word(0)) {
                Some(bytes) => self.max_body = Some((bytes, directive)),
                None => report.left_out(directive, "is no number of bytes"),
            },
            "redirect" | "redirectmatch" | "redirecttemp" | "redirectpermanent" => {
                match redirect::read(directive, is_section) {
                    Ok(redirect) => self.redirects.push(redirect),
                    Err(reason) => report.left_out(directive, reason),
                }
            }
            "proxypass" | "proxypassmatch" if is_section => self.pass = Some(directive),
            _ => return false,
        }
        true
    }

    fn read_field(&mut self, directive: &'d Directive, report: &mut Report) {
        if let Some(cookie) = sticky::read(directive) {
            self.sticky = Some((cookie, directive));
            return;
        }
        match field::read(directive) {
            Ok(rule) => self.fields.push(rule),
            // Members may trust a field that clients must not send.
            Err(reason) if field::removes_of_request(directive) => {
                report.refused(directive, reason)
            }
            Err(reason) => report.left_out(directive, reason),
        }
    }

    /// Lays what a section says over what is said already.
    pub(crate) fn lay_over(&mut self, over: &Self) {
        self.required = over.required.clone().or_else(|| self.required.take());
        self.hosts = over.hosts.clone().or_else(|| self.hosts.take());
        self.any = over.any.or(self.any);
        self.closing.extend(&over.closing);
        self.tls_only = over.tls_only.or(self.tls_only);
        self.preserve_host = over.preserve_host.or(self.preserve_host);
        self.add_headers = over.add_headers.or(self.add_headers);
        self.override_errors = over.override_errors.or(self.override_errors);
        self.documents
            .extend(over.documents.iter().map(|(k, v)| (*k, v.clone())));
        self.fields.extend(over.fields.iter().cloned());
        self.sticky = over.sticky.clone().or_else(|| self.sticky.take());
        self.cookie_domains
            .extend(over.cookie_domains.iter().cloned());
        self.cookie_paths.extend(over.cookie_paths.iter().cloned());
        self.reverse.extend(over.reverse.iter().cloned());
        self.handler = over.handler.or(self.handler);
        self.max_body = over.max_body.or(self.max_body);
        self.pass = over.pass.or(self.pass);
    }

    /// Which clients may; a rule that there is no key for with its directive.
    pub(crate) fn access(&self) -> (Access, Option<&'d Directive>) {
        let hosts = self.hosts.as_ref();
        let required = self.required.as_ref();
        let by = required.map(|it| it.1).or_else(|| hosts.map(|it| it.1));
        if let Some(directive) = self.closing.first() {
            let reason = "there is no key for that".to_owned();
            return (Access::Unknown(reason), Some(directive));
        }
        let of_hosts = hosts.map(|(rules, _)| rules.access());
        let of_required = required.map(|(access, _)| access.clone());
        let access = match (of_hosts, of_required, self.any) {
            (Some(hosts), Some(required), Some(true)) => Access::any(vec![hosts, required]),
            (None, Some(_), Some(true)) => Access::All,
            (hosts, required, _) => {
                let hosts = hosts.unwrap_or(Access::All);
                hosts.and(required.unwrap_or(Access::All))
            }
        };
        (access, by)
    }

    /// Whether there is anything that routes can tell apart by.
    pub(crate) fn says_something(&self) -> bool {
        self.required.is_some()
            || self.hosts.is_some()
            || self.tls_only.is_some()
            || !self.closing.is_empty()
            || self.preserve_host.is_some()
            || self.add_headers.is_some()
            || self.override_errors.is_some()
            || !self.documents.is_empty()
            || !self.fields.is_empty()
            || !self.cookie_domains.is_empty()
            || !self.cookie_paths.is_empty()
            || self.max_body.is_some()
    }

    /// Whether it may shut out clients.
    pub(crate) fn may_close(&self) -> bool {
        self.tls_only.is_some() || self.access().0 != Access::All
    }

    /// Rules of one side.
    pub(crate) fn fields_of(&self, side: Side) -> impl Iterator<Item = &FieldRule<'d>> {
        self.fields.iter().filter(move |rule| rule.side == side)
    }
}

/// Whether a section of conditions holds rules about who may.
fn closes(section: &Directive) -> bool {
    let about_access = |it: &Directive| {
        let name = &*it.key;
        let is_host_rule = matches!(name, "order" | "allow" | "deny" | "satisfy");
        is_host_rule || access::is_requirement(it) || name.starts_with("auth")
    };
    let children = &section.children;
    children.iter().any(|it| about_access(it) || closes(it))
}

fn switch<'d>(directive: &'d Directive, report: &mut Report) -> Option<(bool, &'d Directive)> {
    match directive::switch(directive.word(0)) {
        Some(is_on) => {
            report.carried(directive);
            Some((is_on, directive))
        }
        None => {
            report.left_out(directive, "is neither On nor Off");
            None
        }
    }
}

fn mark(directive: &Directive, report: &mut Report) {
    report.carried(directive);
    for child in &directive.children {
        mark(child, report);
    }
}

/// What stands in a section that is told of as a whole.
pub(crate) fn quiet(directives: &[Directive], report: &mut Report) {
    for directive in directives {
        report.meaningless(directive);
        quiet(&directive.children, report);
    }
}

impl Settings<'_> {
    /// Tells of what no route has looked at.
    pub(crate) fn tell_unused(&self, report: &mut Report) {
        let fields = self.fields.iter().map(|it| it.by);
        let documents = self.documents.values().map(|it| it.1);
        let sticky = self.sticky.iter().map(|it| it.1);
        for by in fields.chain(documents).chain(sticky) {
            if !report.knows(by) {
                report.left_out(by, "no request that is proxied is one that it is about");
            }
        }
    }
}
