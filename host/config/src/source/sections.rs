//! Where the members of balancers are written in the text of a file: so that a change of few members costs no look at the others.
//!
//! A member is written in sections of its own: `[[balancer.NAME.member]]` and what is below it. What stands between the last line of
//! the section before and its header, such as a comment, belongs to the header.

use std::collections::HashSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::changes::{Changes, Presence};

/// Where members are written that have sections of their own, in the order of the text.
#[derive(Debug, Default)]
pub(super) struct Sections {
    /// Names of the balancers that they are of.
    balancers: Vec<String>,
    members: Vec<Member>,
}

/// Where a member is written.
#[derive(Debug)]
struct Member {
    /// The place of its balancer's name.
    balancer: usize,
    url: String,
    /// All that is its own: whole lines.
    span: Range<usize>,
    /// Its header.
    header: Range<usize>,
}

/// Stretches of a text that are left out, and what stands in their place.
pub(super) struct Cuts {
    /// The text without them.
    pub(super) text: String,
    /// What stands in for each, and where it is in the text before.
    stretches: Vec<(String, Range<usize>)>,
}

impl Sections {
    /// Those of a text, which is this document.
    pub(super) fn of(text: &str, document: &DeTable<'_>) -> Self {
        let mut headers = Headers {
            text,
            found: vec![Header::new(None, 0..0)],
            balancers: Vec::new(),
            members: Vec::new(),
        };
        headers.walk(document, Level::File, 0);
        headers.into_sections()
    }

    /// The text without members that no change is about: each stretch of them is one that stands in for it.
    pub(super) fn cut(&self, text: &str, changes: &Changes) -> Cuts {
        let mut marker = "equipoise-stretch".to_owned();
        while text.contains(&marker) {
            marker.push('-');
        }
        let names = self.balancers.iter();
        let kept: Vec<_> = names.map(|name| Kept::of(changes, name)).collect();
        let mut cuts = Cuts {
            text: String::new(),
            stretches: Vec::new(),
        };
        let mut last = None;
        let mut copied = 0;
        for member in &self.members {
            if kept[member.balancer].has(&member.url) {
                continue;
            }
            match cuts.stretches.last_mut() {
                Some((_, stretch))
                    if stretch.end == member.span.start && last == Some(member.balancer) =>
                {
                    stretch.end = member.span.end;
                }
                _ => {
                    cuts.text.push_str(&text[copied..member.span.start]);
                    let number = cuts.stretches.len();
                    let header = &text[member.header.clone()];
                    let stand_in = format!("{header}\nurl = \"{marker}{number}\"\n");
                    cuts.text.push_str(&stand_in);
                    cuts.stretches.push((stand_in, member.span.clone()));
                }
            }
            last = Some(member.balancer);
            copied = member.span.end;
        }
        cuts.text.push_str(&text[copied..]);
        cuts
    }
}

impl Cuts {
    /// Puts what was cut out of `before` back into the text, which was changed meanwhile. `None` where one of those that stand in for it is
    /// not there any more as it was.
    pub(super) fn mend(&self, changed: &str, before: &str) -> Option<String> {
        let mut whole = String::with_capacity(changed.len() + before.len());
        let mut rest = changed;
        for (stand_in, stretch) in &self.stretches {
            let (text, behind) = rest.split_once(&**stand_in)?;
            whole.push_str(text);
            whole.push_str(&before[stretch.clone()]);
            rest = behind;
        }
        whole.push_str(rest);
        Some(whole)
    }
}

/// The members of a balancer that changes are about.
enum Kept<'changes> {
    All,
    Some(HashSet<&'changes str>),
}

impl<'changes> Kept<'changes> {
    fn of(changes: &'changes Changes, name: &str) -> Self {
        match changes.balancers.get(name) {
            Some(changes) if changes.presence != Presence::Configured => Self::All,
            Some(changes) => Self::Some(changes.members.iter().map(|it| &*it.url).collect()),
            None => Self::Some(HashSet::new()),
        }
    }

    fn has(&self, url: &str) -> bool {
        match self {
            Self::All => true,
            Self::Some(urls) => urls.contains(url),
        }
    }
}

/// The headers of a text, as they are found.
struct Headers<'text> {
    text: &'text str,
    /// What is before the first header is a section, too.
    found: Vec<Header>,
    balancers: Vec<String>,
    /// The balancer and the URL of each member.
    members: Vec<(usize, String)>,
}

/// A header, and what is below it.
struct Header {
    /// The member that it belongs to.
    member: Option<usize>,
    span: Range<usize>,
    /// Where the last value of the section ends, or the header.
    end: usize,
}

impl Header {
    fn new(member: Option<usize>, span: Range<usize>) -> Self {
        Self {
            member,
            end: span.end,
            span,
        }
    }
}

/// Which table is walked.
#[derive(Clone, Copy)]
enum Level {
    File,
    /// `balancer`.
    Balancers,
    /// The one of this place.
    Balancer(usize),
    Below,
}

impl Headers<'_> {
    /// Finds the headers in a table, of which what is no section of its own stands in `section`.
    fn walk(&mut self, table: &DeTable<'_>, level: Level, section: usize) {
        for (key, value) in table {
            let (key, span) = (key.get_ref().as_ref(), value.span());
            match value.get_ref() {
                DeValue::Table(inner) if !self.starts(&span, "{") => {
                    let level = self.below(level, key);
                    let section = match self.starts(&span, "[") {
                        true => self.open(span, self.found[section].member),
                        false => section,
                    };
                    self.walk(inner, level, section);
                }
                DeValue::Array(elements) if self.have_headers(elements) => {
                    for element in elements.iter() {
                        self.walk_element(element, level, key, section);
                    }
                }
                _ => {
                    let end = &mut self.found[section].end;
                    *end = span.end.max(*end);
                }
            }
        }
    }

    /// The same of one of several tables with a name, such as a member.
    fn walk_element(
        &mut self,
        element: &Spanned<DeValue<'_>>,
        level: Level,
        key: &str,
        section: usize,
    ) {
        let Some(table) = element.get_ref().as_table() else {
            return;
        };
        let url = table.get("url").and_then(|it| it.get_ref().as_str());
        let member = match (level, key, url) {
            (Level::Balancer(balancer), "member", Some(url)) => {
                self.members.push((balancer, url.to_owned()));
                Some(self.members.len() - 1)
            }
            _ => self.found[section].member,
        };
        let section = self.open(element.span(), member);
        self.walk(table, Level::Below, section);
    }

    fn below(&mut self, level: Level, key: &str) -> Level {
        match (level, key) {
            (Level::File, "balancer") => Level::Balancers,
            (Level::Balancers, name) => {
                self.balancers.push(name.to_owned());
                Level::Balancer(self.balancers.len() - 1)
            }
            _ => Level::Below,
        }
    }

    fn open(&mut self, span: Range<usize>, member: Option<usize>) -> usize {
        self.found.push(Header::new(member, span));
        self.found.len() - 1
    }

    fn starts(&self, span: &Range<usize>, with: &str) -> bool {
        let text = self.text.get(span.start..);
        text.is_some_and(|text| text.starts_with(with))
    }

    fn have_headers(&self, elements: &[Spanned<DeValue<'_>>]) -> bool {
        let first = elements.first();
        first.is_some_and(|it| it.get_ref().is_table() && self.starts(&it.span(), "[["))
    }

    /// The members whose sections stand together.
    fn into_sections(mut self) -> Sections {
        self.found.sort_by_key(|header| header.span.start);
        let mut members: Vec<Option<Member>> = Vec::new();
        members.resize_with(self.members.len(), || None);
        let mut is_apart = vec![false; members.len()];
        let (mut before, mut start) = (None, 0);
        for header in &self.found {
            let end = line_end(self.text, header.end);
            if let Some(number) = header.member {
                match &mut members[number] {
                    Some(member) if before == Some(number) => member.span.end = end,
                    Some(_) => is_apart[number] = true,
                    none => {
                        let (balancer, url) = std::mem::take(&mut self.members[number]);
                        *none = Some(Member {
                            balancer,
                            url,
                            span: start..end,
                            header: header.span.clone(),
                        });
                    }
                }
            }
            (before, start) = (header.member, end);
        }
        let members = members.into_iter().zip(is_apart);
        let members = members.filter_map(|(member, is_apart)| member.filter(|_| !is_apart));
        let mut members: Vec<_> = members
            .filter(|member| self.text[..member.span.end].ends_with('\n'))
            .collect();
        members.sort_by_key(|member| member.span.start);
        Sections {
            balancers: self.balancers,
            members,
        }
    }
}

/// Where the line ends that something ends in; at the very beginning, there.
fn line_end(text: &str, end: usize) -> usize {
    match text[end..].find('\n') {
        _ if end == 0 => 0,
        Some(rest) => end + rest + 1,
        None => text.len(),
    }
}
