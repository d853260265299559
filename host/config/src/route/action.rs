//! What answers the requests of a route: `balancer`, `redirect` or `respond`.

use toml::de::DeValue;

use super::body::{CONTENT_KEYS, Content, LARGEST_RESPONSE, read_content};
use super::template::{Piece, Scope, Template, Variable};
use crate::Balancer;
use crate::reference::read_reference;
use crate::table::Table;
use crate::value::{Parsed, integer, integer_in, text};
use std::path::Path;

/// The keys of `redirect`.
pub(crate) const REDIRECT_KEYS: &[&str] = &["to", "status"];

/// The keys of `respond`.
pub(crate) const RESPOND_KEYS: &[&str] = &["status", "body", "body-file", "content-type"];

/// What of a route needs a balancer.
const OF_BALANCERS: &[&str] = &[
    "member-path",
    "preserve-host",
    "x-forwarded",
    "forwarded",
    "via",
    "request-headers",
    "replace-member-errors",
    "timeout",
    "max-body",
    "rewrite-location",
    "cookie-domain",
    "cookie-path",
    "options-asterisk",
];

/// What answers the requests of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `balancer`: a member of this one, by its index in [`Config::balancers`](crate::Config::balancers).
    Balancer(usize),
    /// `redirect`: the proxy, with another place.
    Redirect(Box<Redirect>),
    /// `respond`: the proxy, always with the same.
    Respond(Box<Respond>),
}

/// `redirect`: where clients are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redirect {
    /// `to`: a URL, or a path, which is on the host that the client asked.
    pub to: Template,
    /// `status`: 301, 302, 303, 307 or 308. Default 302.
    pub status: u16,
}

/// `respond`: what clients get.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// `status`. Default 200; 200 to 599.
    pub status: u16,
    /// The body with its type. Default: none.
    pub content: Option<Content>,
}

/// Reads what answers the requests of a route, which captures so many groups by its pattern, if it has one.
pub(super) fn read_action(
    table: &Table<'_>,
    balancers: &[Balancer],
    groups: Option<usize>,
    path: &Path,
) -> Option<Action> {
    let mut written = ["balancer", "redirect", "respond"]
        .into_iter()
        .filter(|key| table.has(key));
    let (first, second) = (written.next(), written.next());
    if let (Some(first), Some(second)) = (first, second) {
        let remedy = format!("contradicts {first}: write one of the two");
        table.refuse(second, remedy);
    }
    if first.is_some_and(|first| first != "balancer") {
        let useless = OF_BALANCERS.iter().filter(|key| table.has(key));
        useless.for_each(|key| table.refuse(key, "does nothing without a balancer: leave it out"));
    }
    match first {
        Some("redirect") => read_redirect(table, groups),
        Some("respond") => read_respond(table, path),
        _ => read_balancer(table, balancers).map(Action::Balancer),
    }
}

/// The index of the balancer that the route names.
fn read_balancer(table: &Table<'_>, balancers: &[Balancer]) -> Option<usize> {
    let why = "write which balancer takes the requests, such as balancer = \"mycluster\", or what answers them: redirect = { to = \"https://…\" } or respond = { status = 410 }";
    let names = balancers.iter().map(|balancer| &*balancer.settings.name);
    read_reference(table, "balancer", why, names)
}

fn read_redirect(route: &Table<'_>, groups: Option<usize>) -> Option<Action> {
    let table = route.table("redirect", REDIRECT_KEYS)?;
    let why =
        "write where clients are sent, such as to = \"https://www.example.com${path}${?query}\"";
    let to = table.require("to", why, |value| place(value, groups.or(Some(0))));
    let status = table.read("status", |value| {
        let status = integer(value).and_then(|it| u16::try_from(it).ok());
        let status = status.filter(|it| matches!(it, 301 | 302 | 303 | 307 | 308));
        status.ok_or_else(|| "must be one of 301, 302, 303, 307, 308".to_owned())
    });
    Some(Action::Redirect(Box::new(Redirect {
        to: to?,
        status: status.unwrap_or(302),
    })))
}

fn read_respond(route: &Table<'_>, path: &Path) -> Option<Action> {
    let table = route.table("respond", RESPOND_KEYS)?;
    let status = table.read("status", integer_in(200..=599)).unwrap_or(200);
    let content = read_content(&table, path, LARGEST_RESPONSE);
    if matches!(status, 204 | 205 | 304) {
        let written = CONTENT_KEYS.iter().filter(|key| table.has(key));
        let remedy = format!("has no place in a response with status {status}: leave it out");
        written.for_each(|key| table.refuse(key, &*remedy));
    }
    Some(Action::Respond(Box::new(Respond { status, content })))
}

/// A place that clients are sent to: an absolute URL, or a path. What comes from clients cannot make it one of another host.
pub(super) fn place(value: &DeValue<'_>, captures: Option<usize>) -> Parsed<Template> {
    let text = text(value)?;
    if let Some(illegal) = text.chars().find(|it| !it.is_ascii_graphic()) {
        return Err(format!(
            "must not hold {illegal:?}: write it percent-encoded"
        ));
    }
    let scope = Scope {
        variables: true,
        member: false,
        captures,
    };
    let template = Template::parse(text, &scope)?;
    let form = "must be a URL with http or https, or a path, such as \"https://www.example.com${path}${?query}\" or \"/new/$1\"";
    match template.pieces() {
        [Piece::Text(text), ..] if text.starts_with("//") => {
            Err("must not begin with two slashes, which stand for another host".to_owned())
        }
        [Piece::Text(text), ..] if text.starts_with('/') => Ok(template),
        [Piece::Variable(Variable::Path), ..] => Ok(template),
        [Piece::Text(text), rest @ ..] => {
            let authority = text
                .strip_prefix("https://")
                .or_else(|| text.strip_prefix("http://"));
            check_authority(authority.ok_or(form)?, rest)?;
            Ok(template)
        }
        [
            Piece::Variable(Variable::Scheme),
            Piece::Text(text),
            rest @ ..,
        ] => {
            check_authority(text.strip_prefix("://").ok_or(form)?, rest)?;
            Ok(template)
        }
        _ => Err(form.to_owned()),
    }
}

/// Holds the host of a URL, which begins with this text, to what the configuration says.
fn check_authority(text: &str, rest: &[Piece]) -> Parsed<()> {
    let mut is_empty = true;
    let first = Piece::Text(text.to_owned());
    for piece in std::iter::once(&first).chain(rest) {
        match piece {
            Piece::Text(text) => {
                let end = text.find(['/', '?', '#']);
                let host = &text[..end.unwrap_or(text.len())];
                if host.contains(['@', '\\']) {
                    return Err("must have a host alone behind its two slashes".to_owned());
                }
                is_empty &= host.is_empty();
                if end.is_some() {
                    break;
                }
            }
            Piece::Variable(Variable::Host | Variable::Authority) => is_empty = false,
            Piece::Variable(Variable::Path | Variable::QuestionQuery) => break,
            Piece::Variable(_) | Piece::Capture(_) => {
                return Err(
                    "must have a slash between its host and what the request says: that would be part of the host"
                        .to_owned(),
                );
            }
        }
    }
    match is_empty {
        true => Err("must have a host behind its two slashes".to_owned()),
        false => Ok(()),
    }
}
