//! The idiom by which Apache keeps sessions without help of the members:
//! `Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e; path=/" env=BALANCER_ROUTE_CHANGED`.

use super::directive::Directive;
use super::writer::{inline, quoted};

/// A cookie that says which member served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StickyCookie {
    pub(crate) name: String,
    /// What stands before the route.
    pub(crate) separator: Option<char>,
    /// Our keys with their values as they are written.
    attributes: Vec<(&'static str, String)>,
}

/// The variable that makes it one.
const ROUTE: &str = "%{BALANCER_WORKER_ROUTE}e";

/// Reads the idiom; `None`: it is another rule.
pub(crate) fn read(directive: &Directive) -> Option<StickyCookie> {
    if directive.key != "header" {
        return None;
    }
    let mut words = directive.words.iter().map(|word| &**word);
    let at = words.position(|word| word.eq_ignore_ascii_case("set-cookie"))?;
    let action = directive
        .words
        .get(at.checked_sub(1)?)?
        .to_ascii_lowercase();
    let value = words.next()?;
    let condition = words.next();
    let is_condition = |word: &str| word.trim_start_matches("env=") == "BALANCER_ROUTE_CHANGED";
    if !matches!(&*action, "add" | "set" | "append") || !condition.is_none_or(is_condition) {
        return None;
    }
    let mut parts = value.split(';');
    let (name, content) = parts.next()?.split_once('=')?;
    let before = content.strip_suffix(ROUTE)?;
    Some(StickyCookie {
        name: name.trim().to_owned(),
        separator: before.chars().next_back(),
        attributes: parts.filter_map(attribute).collect(),
    })
}

/// An attribute as a key of ours; `None`: we say that anyway, or have no key.
fn attribute(text: &str) -> Option<(&'static str, String)> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let value = value.trim();
    match &*name.trim().to_ascii_lowercase() {
        "path" if value != "/" => Some(("path", quoted(value))),
        "domain" => Some(("domain", quoted(value.trim_start_matches('.')))),
        "secure" => Some(("secure", "true".to_owned())),
        "max-age" => Some(("max-age", quoted(&format!("{value}s")))),
        "samesite" => Some(("same-site", quoted(&value.to_ascii_lowercase()))),
        _ => None,
    }
}

impl StickyCookie {
    /// As the value of `sticky-cookie`.
    pub(crate) fn written(&self) -> String {
        let name = ("name", quoted(&self.name));
        inline(std::iter::once(name).chain(self.attributes.iter().cloned()))
    }
}
