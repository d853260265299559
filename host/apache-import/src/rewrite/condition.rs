//! `RewriteCond`: what is asked, where it is one of the usual things.

use crate::directive::Directive;

/// A condition.
pub(super) struct Condition {
    pub(super) test: Test,
    /// It, or the next.
    pub(super) is_or: bool,
}

/// What is asked.
pub(super) enum Test {
    /// The client does not come by TLS.
    Plain,
    /// It does.
    Tls,
    /// The connection is to become a WebSocket.
    WebSocket,
    /// It is not.
    NoWebSocket,
    /// `Connection: Upgrade`, which is so where a WebSocket is asked for.
    Connection,
    /// The request is for this host.
    Host(String),
    /// The path is not below this one.
    Except(String),
}

/// Reads a condition.
///
/// # Errors
/// It is not one of the usual ones.
pub(super) fn read(directive: &Directive) -> Result<Condition, String> {
    let flags = directive
        .word(2)
        .trim_matches(['[', ']'])
        .to_ascii_lowercase();
    let is_or = flags
        .split(',')
        .any(|flag| matches!(flag.trim(), "or" | "ornext"));
    let (subject, pattern) = (directive.word(0), directive.word(1));
    let test = test(&subject.to_ascii_lowercase(), pattern);
    let unknown = || format!("has the condition `{subject} {pattern}`, which has no key here");
    let test = test.ok_or_else(unknown)?;
    Ok(Condition { test, is_or })
}

fn test(subject: &str, pattern: &str) -> Option<Test> {
    let (is_negated, word) = match pattern.strip_prefix('!') {
        Some(word) => (true, word),
        None => (false, pattern),
    };
    let plain = literal(word)?.to_ascii_lowercase();
    match (subject, &*plain) {
        ("%{https}", "off") | ("%{server_port}", "80") | ("%{request_scheme}", "http") => {
            Some(if is_negated { Test::Tls } else { Test::Plain })
        }
        ("%{https}", "on") | ("%{server_port}", "443") | ("%{request_scheme}", "https") => {
            Some(if is_negated { Test::Plain } else { Test::Tls })
        }
        ("%{http:upgrade}", "websocket") => Some(match is_negated {
            true => Test::NoWebSocket,
            false => Test::WebSocket,
        }),
        ("%{query_string}", "transport=websocket") if !is_negated => Some(Test::WebSocket),
        ("%{http:connection}", "upgrade") => Some(Test::Connection),
        ("%{http_host}" | "%{server_name}", host) if !is_negated && is_exact(word) => {
            Some(Test::Host(host.to_owned()))
        }
        ("%{request_uri}", path)
            if is_negated && word.starts_with('^') && path.starts_with('/') =>
        {
            Some(Test::Except(path.to_owned()))
        }
        _ => None,
    }
}

/// Whether the whole text has to be the same.
fn is_exact(word: &str) -> bool {
    word.starts_with('=') || word.starts_with('^') && word.ends_with('$')
}

/// The text that a pattern asks for, where it is one.
fn literal(word: &str) -> Option<String> {
    if let Some(text) = word.strip_prefix('=') {
        return Some(text.trim_matches('"').to_owned());
    }
    let word = word.strip_prefix('^').unwrap_or(word);
    let word = word.strip_suffix('$').unwrap_or(word);
    super::substitution::literal(word)
}
