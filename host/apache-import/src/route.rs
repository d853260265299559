//! Routes, written.

use super::access::Access;
use super::directive::Directive;
use super::document::Document;
use super::draft::Draft;
use super::entry::{Action, Matcher};
use super::field::{Action as Rule, Side};
use super::files::{Files, Kind};
use super::pool::Pool;
use super::report::Report;
use super::server::Server;
use super::settings::Settings;
use super::tls::in_root;
use super::units;
use super::writer::{Table, inline, list, quoted};

/// What routes of one server at some listeners have in common.
pub(crate) struct Common<'c, 'd> {
    pub(crate) servers: &'c [Server<'d>],
    pub(crate) server: usize,
    /// Empty: for all hosts.
    pub(crate) hosts: Vec<String>,
    /// Empty: for all listeners.
    pub(crate) listeners: Vec<String>,
    pub(crate) is_tls: bool,
    pub(crate) root: &'c std::path::Path,
    pub(crate) files: &'c dyn Files,
}

impl<'d> Common<'_, 'd> {
    /// What the server, or the main one in its place, says once.
    fn single(&self, key: &str) -> Option<&'d Directive> {
        let own = self.servers[self.server].single(key);
        own.or_else(|| self.servers[0].single(key))
    }

    /// Writes a route of a draft.
    pub(crate) fn write(
        &self,
        draft: &Draft<'_, 'd>,
        pool: &mut Pool<'d>,
        report: &mut Report,
    ) -> Table {
        let mut table = Table::new("[[route]]");
        table.from(draft.entry.by);
        draft.sections.iter().for_each(|it| table.from(it));
        let own: Vec<String> = draft.entry.hosts.clone();
        self.write_place(if own.is_empty() { &self.hosts } else { &own }, &mut table);
        match &draft.matcher {
            Matcher::Below(path) => table.set_text("path", path),
            Matcher::Matching(expression) => table.set_text("match", expression),
        }
        if !draft.exclude.is_empty() {
            table.set("exclude", list(&draft.exclude));
        }
        let (status, networks) = self.judge(draft, report);
        if let Some(status) = status {
            answer(status, &mut table);
            self.write_own_fields(draft, &mut table, report);
            return table;
        }
        if let Some(networks) = networks {
            table.set("require", list(&networks));
        }
        match &draft.entry.action {
            Action::Pass { balancer, .. } => {
                self.write_pass(*balancer, draft, pool, &mut table, report)
            }
            Action::Redirect { to, status } => {
                redirect(to, *status, &mut table);
                self.write_own_fields(draft, &mut table, report);
            }
            Action::Https { status } => {
                redirect("https://${authority}${path}${?query}", *status, &mut table);
                self.write_own_fields(draft, &mut table, report);
            }
            Action::Answer { status } => {
                answer(*status, &mut table);
                self.write_own_fields(draft, &mut table, report);
            }
            Action::Nothing => answer(404, &mut table),
        }
        table
    }

    /// A route for what no other of the server takes: without it, another server's would.
    pub(crate) fn write_rest(&self) -> Table {
        let mut table = Table::new("[[route]]");
        let name = self.servers[self.server].shown();
        table.note(&format!("What nothing above takes of {name}"));
        self.write_place(&self.hosts, &mut table);
        table.set_text("path", "/");
        answer(404, &mut table);
        table
    }

    fn write_place(&self, hosts: &[String], table: &mut Table) {
        match hosts {
            [] => {}
            [host] => table.set_text("host", host),
            hosts => table.set("host", list(hosts)),
        }
        if !self.listeners.is_empty() {
            table.set("listener", list(&self.listeners));
        }
    }

    /// The status that all get, or the networks of those who may.
    fn judge(
        &self,
        draft: &Draft<'_, 'd>,
        report: &mut Report,
    ) -> (Option<u16>, Option<Vec<String>>) {
        if draft.is_nothing() {
            return (Some(404), None);
        }
        if draft.is_closed {
            return (Some(403), None);
        }
        if let Some(by) = draft.settings.tls_only.filter(|_| draft.entry.is_guarded) {
            report.carried(by);
            if !self.is_tls {
                return (Some(403), None);
            }
        }
        let (access, by) = draft.access();
        let behind_proxy = self.single("remoteipheader");
        match (access, by) {
            (Access::All, _) => (None, None),
            (Access::Denied, _) => (Some(403), None),
            (Access::Networks(_), Some(by)) if behind_proxy.is_some() => {
                let text = "is about addresses that a proxy tells of (RemoteIPHeader), and `require` about those that connect";
                report.refused(by, text);
                (Some(403), None)
            }
            (Access::Networks(networks), _) => {
                let networks = networks.iter().map(ToString::to_string);
                (None, Some(networks.collect()))
            }
            (Access::Unknown(reason), by) => {
                let text =
                    format!("would be lost: {reason}. Until it is said in our words, none may");
                report.refused(by.unwrap_or(draft.entry.by), text);
                (Some(403), None)
            }
        }
    }

    fn write_pass(
        &self,
        balancer: usize,
        draft: &Draft<'_, 'd>,
        pool: &mut Pool<'d>,
        table: &mut Table,
        report: &mut Report,
    ) {
        let settings = &draft.settings;
        let pooled = &mut pool.all[balancer];
        if pooled.definition.members.is_empty() {
            let text = "the balancer has no member: its requests get 503";
            report.left_out(draft.entry.by, text);
            return answer(503, table);
        }
        if let Some((cookie, by)) = &settings.sticky {
            pooled.sticky = Some((cookie.clone(), by));
        }
        table.set_text("balancer", &pooled.name);
        if let Some(path) = &draft.member_path {
            table.set_text("member-path", path);
        }
        if let Some((true, by)) = settings.preserve_host {
            table.set_by("preserve-host", "true", by);
        }
        self.write_forwarding(draft, table, report);
        self.write_reverse(draft, pooled, table, report);
        self.write_fields(settings, table, report);
        self.write_documents(draft, table, report);
        if let Some((bytes, by)) = settings.max_body {
            report.carried(by);
            if bytes > 0 {
                table.set_by("max-body", quoted(&units::size(bytes)), by);
            }
        }
    }

    fn write_forwarding(&self, draft: &Draft<'_, 'd>, table: &mut Table, report: &mut Report) {
        if let Some(by) = self.single("remoteipheader") {
            let servers = [&self.servers[0], &self.servers[self.server]];
            let keys = ["remoteipinternalproxy", "remoteiptrustedproxy"];
            let trusted = keys
                .iter()
                .flat_map(|key| servers.map(|it| it.several(key)));
            let mut networks: Vec<String> = Vec::new();
            for directive in trusted.flatten() {
                report.carried(directive);
                networks.extend(directive.words.iter().cloned());
            }
            networks.dedup();
            if by.word(0).eq_ignore_ascii_case("x-forwarded-for") && !networks.is_empty() {
                report.carried(by);
                table.set_by("x-forwarded", inline([("trust", list(&networks))]), by);
            } else {
                let text =
                    "only X-Forwarded-For counts, of networks that RemoteIPInternalProxy names";
                report.left_out(by, text);
            }
        }
        if let Some((false, by)) = draft.settings.add_headers {
            table.set_by("x-forwarded", quoted("off"), by);
        }
        if let Some(by) = self.single("proxyvia") {
            report.carried(by);
            match &*by.word(0).to_ascii_lowercase() {
                "on" | "full" => table.set_by("via", quoted("on"), by),
                "block" => table.set_by("via", quoted("block"), by),
                _ => {}
            }
        }
    }

    /// `ProxyPassReverse` and its kin.
    fn write_reverse(
        &self,
        draft: &Draft<'_, 'd>,
        pooled: &super::pool::Pooled<'d>,
        table: &mut Table,
        report: &mut Report,
    ) {
        let origin = |url: &str| super::pass::split(url).0.to_ascii_lowercase();
        let members = &pooled.definition.members;
        let wanted: Vec<String> = members.iter().map(|it| origin(&it.url)).collect();
        let own = match &draft.entry.action {
            Action::Pass { url, .. } => origin(url),
            _ => String::new(),
        };
        let mut is_reversed = false;
        for (directive, url) in &draft.settings.reverse {
            let named = origin(url);
            if named == own || wanted.contains(&named) {
                report.carried(directive);
                is_reversed = true;
            }
        }
        if !is_reversed {
            table.set("rewrite-location", "false");
        }
        for (key, pairs) in [
            ("cookie-domain", &draft.settings.cookie_domains),
            ("cookie-path", &draft.settings.cookie_paths),
        ] {
            let mut unique: Vec<(String, String)> = Vec::new();
            for (_, from, to) in pairs {
                if !unique.iter().any(|(known, _)| known == from) {
                    unique.push((from.clone(), quoted(to)));
                }
            }
            if !unique.is_empty() {
                table.set(key, inline(unique));
            }
        }
    }

    /// Fields of responses that no member has made: `Header always`.
    fn write_own_fields(&self, draft: &Draft<'_, 'd>, table: &mut Table, report: &mut Report) {
        let mut settings = draft.settings.clone();
        settings
            .fields
            .retain(|it| it.is_always && it.side == Side::Response);
        self.write_fields(&settings, table, report);
    }

    fn write_fields(&self, settings: &Settings<'d>, table: &mut Table, report: &mut Report) {
        let scheme = if self.is_tls { "https" } else { "http" };
        for (side, key) in [
            (Side::Request, "request-headers"),
            (Side::Response, "response-headers"),
        ] {
            let mut set: Vec<(String, String)> = Vec::new();
            let mut append: Vec<(String, String)> = Vec::new();
            let mut unset: Vec<String> = Vec::new();
            for rule in settings.fields_of(side) {
                if rule.is_reserved() {
                    match rule.is_done_anyway() {
                        true => report.carried(rule.by),
                        false => report.left_out(rule.by, "there are no rules for this field"),
                    }
                    continue;
                }
                report.carried(rule.by);
                let is_same = |name: &str| name.eq_ignore_ascii_case(&rule.name);
                let says_anyway = match &*rule.name.to_ascii_lowercase() {
                    "x-forwarded-proto" => rule.value == scheme || rule.value == "${scheme}",
                    "x-forwarded-for" => rule.value == "${client-address}",
                    _ => false,
                };
                if side == Side::Request && says_anyway && rule.action != Rule::Unset {
                    continue;
                }
                // What stands later wins.
                match rule.action {
                    Rule::Append => {}
                    Rule::Set | Rule::Unset => {
                        set.retain(|(name, _)| !is_same(name));
                        append.retain(|(name, _)| !is_same(name));
                        unset.retain(|name| !is_same(name));
                    }
                }
                let pair = (rule.name.clone(), quoted(&rule.value));
                match rule.action {
                    Rule::Set => set.push(pair),
                    Rule::Append => match append.iter().position(|(name, _)| is_same(name)) {
                        Some(_) => report.left_out(rule.by, "a field is added to once"),
                        None => append.push(pair),
                    },
                    Rule::Unset => unset.push(rule.name.clone()),
                }
            }
            let mut keys = Vec::new();
            for (name, pairs) in [("set", set), ("append", append)] {
                if !pairs.is_empty() {
                    keys.push((name, inline(pairs)));
                }
            }
            if !unset.is_empty() {
                keys.push(("unset", list(&unset)));
            }
            if !keys.is_empty() {
                table.set(key, inline(keys));
            }
        }
    }

    /// `ErrorDocument` and `ProxyErrorOverride`.
    fn write_documents(&self, draft: &Draft<'_, 'd>, table: &mut Table, report: &mut Report) {
        let mut pages = Vec::new();
        for (status, (document, by)) in &draft.settings.documents {
            match self.page(document) {
                Ok(Some(page)) => {
                    report.carried(by);
                    pages.push((status.to_string(), page));
                }
                Ok(None) => report.carried(by),
                Err(reason) => report.left_out(by, reason),
            }
        }
        if !pages.is_empty() {
            let quoted_keys = pages.into_iter();
            let pages: Vec<_> = quoted_keys
                .map(|(status, page)| format!("\"{status}\" = {page}"))
                .collect();
            table.set("error-pages", format!("{{ {} }}", pages.join(", ")));
        }
        if let Some((true, by)) = draft.settings.override_errors {
            table.set_by("replace-member-errors", "true", by);
        }
    }

    fn page(&self, document: &Document) -> Result<Option<String>, String> {
        const HTML: &str = "text/html; charset=utf-8";
        match document {
            Document::Default => Ok(None),
            Document::Text(text) => Ok(Some(inline([
                ("body", quoted(text)),
                ("content-type", quoted(HTML)),
            ]))),
            Document::Url(url) => Ok(Some(inline([(
                "redirect",
                quoted(&url.replace('$', "$$")),
            )]))),
            Document::Path(path) => {
                let root = self.single("documentroot");
                let root = root.ok_or("is a path of the site, and there is no DocumentRoot")?;
                let file = in_root(self.root, root.word(0)) + path;
                let is_there = self.files.kind(file.as_ref()) == Some(Kind::File);
                if path.contains("..") || !is_there {
                    return Err(format!(
                        "is a path of the site, and there is no file {file}"
                    ));
                }
                let is_html = file.ends_with(".html") || file.ends_with(".htm");
                let kind = if is_html {
                    HTML
                } else {
                    "text/plain; charset=utf-8"
                };
                Ok(Some(inline([
                    ("body-file", quoted(&file)),
                    ("content-type", quoted(kind)),
                ])))
            }
        }
    }
}

/// Has all requests answered with a status.
pub(crate) fn answer(status: u16, table: &mut Table) {
    table.set("respond", inline([("status", status.to_string())]));
}

fn redirect(to: &str, status: u16, table: &mut Table) {
    let keys = [("to", quoted(to)), ("status", status.to_string())];
    table.set("redirect", inline(keys));
}
