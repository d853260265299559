//! What a server does, cut along the paths that its sections say something about: one draft becomes one route.

use super::access::Access;
use super::directive::Directive;
use super::entry::{self, Action, Entry, Matcher};
use super::path;
use super::pattern;
use super::report::Report;
use super::rewrite::beginnings;
use super::server::{Paths, Section, Server};
use super::settings::Settings;

/// A route before it is written.
#[derive(Debug)]
pub(crate) struct Draft<'a, 'd> {
    pub(crate) matcher: Matcher,
    /// Paths below that it leaves to others.
    pub(crate) exclude: Vec<String>,
    /// All that is said about its requests.
    pub(crate) settings: Settings<'d>,
    /// `None`: the path stays as it is.
    pub(crate) member_path: Option<String>,
    pub(crate) entry: &'a Entry<'d>,
    /// The sections that say something about them.
    pub(crate) sections: Vec<&'d Directive>,
    /// A rule about who may cannot be carried over: none may.
    pub(crate) is_closed: bool,
}

/// The most drafts of a server.
const MOST: usize = 2000;

/// Makes drafts of what a server does.
pub(crate) fn drafts<'a, 'd>(
    entries: &'a [Entry<'d>],
    servers: &[Server<'d>],
    server: usize,
    report: &mut Report,
) -> Vec<Draft<'a, 'd>> {
    let mut drafts = Vec::new();
    let mut nothing: Vec<&str> = Vec::new();
    for entry in entries {
        if let (Action::Nothing, Matcher::Below(path)) = (&entry.action, &entry.matcher) {
            nothing.push(path);
            continue;
        }
        let cutter = Cutter {
            servers,
            server,
            entry,
            nothing: &nothing,
        };
        drafts.extend(cutter.cut(report));
        if drafts.len() > MOST {
            let text = format!("makes more than {MOST} routes");
            report.refused(entry.by, text);
            drafts.truncate(MOST);
            break;
        }
    }
    drafts
}

/// Cuts one entry.
struct Cutter<'c, 'a, 'd> {
    servers: &'c [Server<'d>],
    server: usize,
    entry: &'a Entry<'d>,
    nothing: &'c [&'a str],
}

impl<'a, 'd> Cutter<'_, 'a, 'd> {
    fn cut(&self, report: &mut Report) -> Vec<Draft<'a, 'd>> {
        match &self.entry.matcher {
            Matcher::Below(path) => self.cut_path(path, report),
            Matcher::Matching(expression) => self.cut_expression(expression, report),
        }
    }

    /// The sections that may say something about these requests.
    fn sections(&self) -> Vec<&Section<'d>> {
        let all = entry::sections(self.servers, self.server);
        let telling = all.filter(|section| section.settings.says_something());
        telling.filter(|_| self.entry.is_guarded).collect()
    }

    /// What is said about all requests of the entry outside of locations.
    fn base(&self) -> Settings<'d> {
        let mut settings = Settings::default();
        let own = [Some(&self.servers[0]), Some(&self.servers[self.server])];
        let servers: Vec<_> = own
            .into_iter()
            .flatten()
            .take(1 + usize::from(self.server != 0))
            .collect();
        servers.iter().for_each(|it| settings.lay_over(&it.base));
        if let Action::Pass { url, .. } = &self.entry.action {
            for (directive, proxy) in servers.iter().flat_map(|it| &it.proxies) {
                if is_for(directive, url) {
                    settings.lay_over(proxy);
                }
            }
        }
        settings
    }

    fn draft(&self, matcher: Matcher, settings: Settings<'d>) -> Draft<'a, 'd> {
        let member_path = match &self.entry.action {
            Action::Pass { member_path, .. } => member_path.clone(),
            _ => None,
        };
        Draft {
            matcher,
            exclude: Vec::new(),
            settings,
            member_path,
            entry: self.entry,
            sections: Vec::new(),
            is_closed: false,
        }
    }

    fn cut_path(&self, whole: &str, report: &mut Report) -> Vec<Draft<'a, 'd>> {
        let sections = self.sections();
        let mut cuts = vec![whole.to_owned()];
        for section in &sections {
            if let Some(path) = below(section)
                && path::is_within(&path, whole)
                && !cuts.contains(&path)
            {
                cuts.push(path);
            }
        }
        // The deepest first; of equals, as they stand.
        cuts.sort_by_key(|path| std::cmp::Reverse(path.len()));
        let mut drafts = Vec::new();
        let mut is_closed = false;
        for section in sections.iter().rev() {
            if let Paths::Matching(expression) = &section.paths {
                match self.cut_by_expression(whole, expression, section, &sections) {
                    Ok(draft) => drafts.push(draft),
                    Err(reason) if section.settings.may_close() => {
                        report.refused(section.by, reason);
                        is_closed = true;
                    }
                    Err(reason) => report.left_out(section.by, reason),
                }
            }
        }
        let is_pass = matches!(self.entry.action, Action::Pass { .. });
        for cut in cuts {
            let excluded = self.nothing.iter().copied().filter(|_| is_pass);
            let excluded: Vec<&str> = excluded
                .chain(self.entry.except.iter().map(|it| &**it))
                .collect();
            if excluded.iter().any(|it| path::is_within(&cut, it)) {
                continue;
            }
            let mut draft = self.draft(Matcher::Below(cut.clone()), self.base());
            for section in &sections {
                if below(section).is_some_and(|path| path::is_within(&cut, &path)) {
                    draft.settings.lay_over(&section.settings);
                    draft.sections.push(section.by);
                }
            }
            draft.member_path = match &draft.member_path {
                Some(to) => Some(path::moved(&cut, whole, to)).filter(|to| *to != cut),
                None => None,
            };
            let below = |it: &&str| path::is_within(it, &cut) && **it != *cut;
            draft.exclude = excluded
                .into_iter()
                .filter(below)
                .map(str::to_owned)
                .collect();
            draft.exclude.dedup();
            draft.is_closed = is_closed;
            drafts.push(draft);
        }
        drafts
    }

    /// The part of a path's requests that an expression matches.
    fn cut_by_expression(
        &self,
        whole: &str,
        expression: &str,
        section: &Section<'d>,
        sections: &[&Section<'d>],
    ) -> Result<Draft<'a, 'd>, &'static str> {
        let stays = matches!(
            &self.entry.action,
            Action::Pass {
                member_path: None,
                ..
            }
        );
        let is_inside = covers_all(whole, expression) == Some(true);
        if !stays || !is_inside || regex::Regex::new(expression).is_err() {
            return Err(
                "is for some paths of those that are proxied, and there is no key for both: write the path as a prefix",
            );
        }
        let is_elsewhere = |other: &&Section<'d>| {
            let closes = other.settings.may_close();
            closes && below(other).is_some_and(|path| path != "/" && path != *whole)
        };
        if sections.iter().any(is_elsewhere) || !self.nothing.is_empty() {
            return Err(
                "is for some paths that other sections may be for, too, and there is no key for that: write the path as a prefix",
            );
        }
        let mut draft = self.draft(Matcher::Matching(expression.to_owned()), self.base());
        for other in sections {
            let holds = below(other).is_some_and(|path| path::is_within(whole, &path));
            if holds || std::ptr::eq(*other, section) {
                draft.settings.lay_over(&other.settings);
                draft.sections.push(other.by);
            }
        }
        Ok(draft)
    }

    fn cut_expression(&self, expression: &str, report: &mut Report) -> Vec<Draft<'a, 'd>> {
        let mut draft = self.draft(Matcher::Matching(expression.to_owned()), self.base());
        let mut shut = Vec::new();
        for section in self.sections() {
            let relation = match &section.paths {
                Paths::Matching(other) => (other == expression).then_some(true),
                Paths::Below(path) => covers_all(path, expression),
            };
            match relation {
                Some(true) => {
                    draft.settings.lay_over(&section.settings);
                    draft.sections.push(section.by);
                }
                Some(false) => {}
                // None may go there, whether the expression matches or not.
                None if section.settings.access().0 == Access::Denied
                    && below(section).is_some() =>
                {
                    shut.extend(below(section).map(|path| {
                        let mut draft = self.draft(Matcher::Below(path), Settings::default());
                        draft.is_closed = true;
                        draft.sections.push(section.by);
                        draft
                    }));
                }
                None if section.settings.may_close() => {
                    let text = "is for some paths of those that an expression sends to a member, and there is no key for both";
                    report.refused(section.by, text);
                    draft.is_closed = true;
                }
                None => {
                    let text = "may be for some paths of those that an expression matches, and there is no key for both";
                    report.left_out(section.by, text);
                }
            }
        }
        let mut drafts = shut;
        // What no one gets of these has a route of its own.
        for nothing in self.nothing {
            if matches!(self.entry.action, Action::Pass { .. })
                && covers_all(nothing, expression) != Some(false)
            {
                drafts.push(self.draft(Matcher::Below((*nothing).to_owned()), Settings::default()));
            }
        }
        drafts.push(draft);
        drafts
    }
}

/// The path of a section in our form; `None`: it is for an expression.
fn below(section: &Section<'_>) -> Option<String> {
    match &section.paths {
        Paths::Below(path) => path::normal(path),
        Paths::Matching(_) => None,
    }
}

/// Whether all paths that an expression matches are below a path (`true`), none (`false`), or perhaps some.
fn covers_all(path: &str, expression: &str) -> Option<bool> {
    let beginnings = beginnings(expression);
    let mut relations = beginnings.iter().map(|it| covers(path, it));
    let first = relations.next()??;
    relations.all(|it| it == Some(first)).then_some(first)
}

/// Whether all paths that begin in this way are below a path (`true`), none (`false`), or perhaps some.
fn covers(path: &str, prefix: &str) -> Option<bool> {
    let path = path::normal(path)?;
    if path == "/" || prefix.starts_with(&format!("{path}/")) {
        return Some(true);
    }
    let inside = format!("{path}/");
    match inside.starts_with(prefix) || prefix.starts_with(&*path) {
        true => None,
        false => Some(false),
    }
}

/// Whether a `<Proxy>` or `<ProxyMatch>` is for a URL.
fn is_for(directive: &Directive, url: &str) -> bool {
    let (is_expression, wanted) = match directive.word(0) {
        "~" => (true, directive.word(1)),
        wanted => (directive.key == "<proxymatch", wanted),
    };
    let url = if super::pass::split(url).1.is_empty() {
        format!("{url}/")
    } else {
        url.to_owned()
    };
    match (is_expression, pattern::is_pattern(wanted)) {
        // One that cannot be understood may be for it.
        (true, _) => regex::Regex::new(wanted).map_or(true, |it| it.is_match(&url)),
        (false, true) => pattern::fits(wanted, &url, false) || wanted == "*",
        (false, false) => url
            .to_ascii_lowercase()
            .starts_with(&wanted.to_ascii_lowercase()),
    }
}

impl Draft<'_, '_> {
    /// Which clients may, where Apache asks.
    pub(crate) fn access(&self) -> (Access, Option<&Directive>) {
        match self.entry.is_guarded {
            true => self.settings.access(),
            false => (Access::All, None),
        }
    }

    /// Whether no one gets these requests.
    pub(crate) fn is_nothing(&self) -> bool {
        let is_expression = matches!(self.entry.matcher, Matcher::Matching(_));
        let is_other = self.matcher != self.entry.matcher && !self.is_closed;
        let is_path = matches!(self.matcher, Matcher::Below(_));
        matches!(self.entry.action, Action::Nothing) || is_expression && is_other && is_path
    }
}
