//! `ErrorDocument`.

use super::directive::Directive;

/// What is answered with a status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    /// Apache's own text.
    Default,
    /// A text.
    Text(String),
    /// A path of the site.
    Path(String),
    /// Another URL.
    Url(String),
}

/// The status and what is answered; `None`: it names no error.
pub(crate) fn read(directive: &Directive) -> Option<(u16, Document)> {
    let status: u16 = directive.word(0).parse().ok()?;
    if !(400..=599).contains(&status) {
        return None;
    }
    let rest = directive.text_behind(1);
    let word = directive.word(1);
    let document = match () {
        () if word.eq_ignore_ascii_case("default") => Document::Default,
        () if word.starts_with('/') => Document::Path(word.to_owned()),
        () if word.starts_with("http://") || word.starts_with("https://") => {
            Document::Url(word.to_owned())
        }
        // Of Apache 1.3: one quote, and the text behind it.
        () if rest.starts_with('"') && !rest[1..].contains('"') => {
            Document::Text(rest[1..].to_owned())
        }
        () => Document::Text(word.to_owned()),
    };
    Some((status, document))
}
