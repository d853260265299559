//! `Redirect`, `RedirectMatch` and their kin.

use super::directive::Directive;

/// Which requests are answered with another place, and with which.
#[derive(Debug, Clone)]
pub(crate) struct Redirect<'d> {
    pub(crate) from: From,
    /// None: the status is the whole answer.
    pub(crate) to: Option<String>,
    pub(crate) status: u16,
    pub(crate) by: &'d Directive,
}

/// What it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum From {
    /// All of its section.
    Section,
    /// A path and what is below it.
    Path(String),
    /// What a regular expression matches.
    Expression(String),
}

/// Reads one.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read(directive: &Directive, is_section: bool) -> Result<Redirect<'_>, String> {
    let mut words = directive.words.iter().map(|word| &**word).peekable();
    let status = match &*directive.key {
        "redirectpermanent" => 301,
        "redirecttemp" => 302,
        _ => match words.peek().and_then(|word| status(word)) {
            Some(status) => {
                words.next();
                status
            }
            None => 302,
        },
    };
    let words: Vec<&str> = words.collect();
    let has_target = (300..400).contains(&status);
    let (from, to) = match (&words[..], has_target) {
        ([from, to], true) => (Some(*from), Some(*to)),
        ([to], true) if is_section => (None, Some(*to)),
        ([from], false) => (Some(*from), None),
        ([], false) if is_section => (None, None),
        _ => return Err("has not as many words as it needs".to_owned()),
    };
    let from = match from {
        None => From::Section,
        Some(expression) if directive.key == "redirectmatch" => {
            From::Expression(expression.to_owned())
        }
        Some(path) if path.starts_with('/') => From::Path(path.to_owned()),
        Some(path) => return Err(format!("`{path}` is no path")),
    };
    Ok(Redirect {
        from,
        to: to.map(str::to_owned),
        // Others are not answered with here.
        status: match (has_target, status) {
            (true, 301 | 302 | 303 | 307 | 308) | (false, _) => status,
            (true, _) => 302,
        },
        by: directive,
    })
}

fn status(word: &str) -> Option<u16> {
    match &*word.to_ascii_lowercase() {
        "permanent" => Some(301),
        "temp" => Some(302),
        "seeother" => Some(303),
        "gone" => Some(410),
        number => {
            let status = number.parse().ok()?;
            (300..600).contains(&status).then_some(status)
        }
    }
}
