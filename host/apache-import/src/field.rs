//! `Header` and `RequestHeader`.

use super::directive::Directive;

/// Which way a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Request,
    Response,
}

/// What is done to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Action {
    Set,
    Append,
    Unset,
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct FieldRule<'d> {
    pub(crate) side: Side,
    /// `always`: for responses that no member has made, too.
    pub(crate) is_always: bool,
    pub(crate) action: Action,
    pub(crate) name: String,
    /// In our words: `$$` is a dollar.
    pub(crate) value: String,
    pub(crate) by: &'d Directive,
}

/// Variables of Apache's, with the letter behind them, and ours.
const VARIABLES: &[(&str, char, &str)] = &[
    ("REMOTE_ADDR", 's', "${client-address}"),
    ("REMOTE_ADDR", 'e', "${client-address}"),
    ("REMOTE_PORT", 's', "${client-port}"),
    ("HTTP_HOST", 's', "${authority}"),
    ("REQUEST_SCHEME", 's', "${scheme}"),
    ("REQUEST_METHOD", 's', "${method}"),
    ("SSL_PROTOCOL", 's', "${tls-version}"),
    ("SSL_CIPHER", 's', "${tls-cipher}"),
    ("SSL_CLIENT_S_DN", 's', "${tls-client-subject}"),
    ("BALANCER_NAME", 'e', "${balancer}"),
    ("BALANCER_WORKER_NAME", 'e', "${member}"),
    ("BALANCER_WORKER_ROUTE", 'e', "${member-route}"),
    ("UNIQUE_ID", 'e', "${request-id}"),
];

/// The variables of an expression (`expr=%{NAME}`).
const EXPRESSIONS: &[(&str, &str)] = &[
    ("%{REMOTE_ADDR}", "${client-address}"),
    ("%{REMOTE_PORT}", "${client-port}"),
    ("%{HTTP_HOST}", "${authority}"),
    ("%{REQUEST_SCHEME}", "${scheme}"),
    ("%{REQUEST_METHOD}", "${method}"),
    ("%{SSL_PROTOCOL}", "${tls-version}"),
    ("%{SSL_CIPHER}", "${tls-cipher}"),
    ("%{SSL_CLIENT_S_DN}", "${tls-client-subject}"),
];

/// Reads a rule.
///
/// # Errors
/// Why there is no key for it.
pub(crate) fn read(directive: &Directive) -> Result<FieldRule<'_>, String> {
    let side = match &*directive.key {
        "requestheader" => Side::Request,
        _ => Side::Response,
    };
    let mut words = directive.words.iter().map(|word| &**word).peekable();
    let condition =
        words.next_if(|word| ["always", "onsuccess"].contains(&&*word.to_ascii_lowercase()));
    let action = words.next().unwrap_or_default().to_ascii_lowercase();
    let action = match &*action {
        "set" => Action::Set,
        "append" | "add" | "merge" => Action::Append,
        "unset" => Action::Unset,
        other => return Err(format!("`{other}` has no key here")),
    };
    let name = words.next().unwrap_or_default();
    let name = name.strip_suffix(':').unwrap_or(name);
    if name.is_empty() {
        return Err("names no field".to_owned());
    }
    let value = match action {
        Action::Unset => String::new(),
        _ => value(words.next().unwrap_or_default())?,
    };
    match words.next() {
        None => {}
        Some(early) if early.eq_ignore_ascii_case("early") => {}
        Some(condition) => {
            return Err(format!(
                "`{condition}` is a condition, which has no key here"
            ));
        }
    }
    Ok(FieldRule {
        side,
        is_always: condition.is_some_and(|word| word.eq_ignore_ascii_case("always")),
        action,
        name: name.to_owned(),
        value,
        by: directive,
    })
}

/// Whether a rule removes a field of requests.
pub(crate) fn removes_of_request(directive: &Directive) -> bool {
    let is_unset = |word: &String| word.eq_ignore_ascii_case("unset");
    directive.key == "requestheader" && directive.words.first().is_some_and(is_unset)
}

/// Names that there are no rules for, since they are about one connection, frame a message or are decided elsewhere.
const RESERVED: &[&str] = &[
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
    "transfer-encoding",
    "content-length",
    "proxy",
];

/// Those of requests.
const RESERVED_IN_REQUESTS: &[&str] = &[
    "host",
    "expect",
    "max-forwards",
    "client-cert",
    "client-cert-chain",
];

impl FieldRule<'_> {
    /// Whether there is no rule for the name.
    pub(crate) fn is_reserved(&self) -> bool {
        let name = self.name.to_ascii_lowercase();
        let is_own = self.side == Side::Request && RESERVED_IN_REQUESTS.contains(&&*name);
        is_own || RESERVED.contains(&&*name) || name.starts_with("proxy-")
    }

    /// Whether it removes a field that never passes anyway.
    pub(crate) fn is_done_anyway(&self) -> bool {
        self.action == Action::Unset
            && !matches!(&*self.name.to_ascii_lowercase(), "host" | "expect")
    }
}

/// A value in our words.
fn value(text: &str) -> Result<String, String> {
    if let Some(expression) = text.strip_prefix("expr=") {
        let known = EXPRESSIONS.iter().find(|(name, _)| *name == expression);
        return known
            .map(|(_, ours)| (*ours).to_owned())
            .ok_or_else(|| "there is no variable for this expression".to_owned());
    }
    let mut made = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        made.push_str(&rest[..at].replace('$', "$$"));
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('%') {
            made.push('%');
            rest = behind;
            continue;
        }
        let unknown = || format!("there is no variable for what begins with `%` in `{text}`");
        let variable = rest.strip_prefix('{').and_then(|it| it.split_once('}'));
        let (name, behind) = variable.ok_or_else(unknown)?;
        let letter = behind.chars().next().ok_or_else(unknown)?;
        let mut known = VARIABLES.iter();
        let known = known.find(|(theirs, kind, _)| *theirs == name && *kind == letter);
        let (_, _, ours) =
            known.ok_or_else(|| format!("there is no variable for %{{{name}}}{letter}"))?;
        made.push_str(ours);
        rest = &behind[letter.len_utf8()..];
    }
    Ok(made + &rest.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_said_in_our_words() {
        for (text, expected) in [
            ("plain", Some("plain")),
            ("100%% $5", Some("100% $$5")),
            (
                "%{REMOTE_ADDR}s:%{REMOTE_PORT}s",
                Some("${client-address}:${client-port}"),
            ),
            ("id %{UNIQUE_ID}e", Some("id ${request-id}")),
            ("expr=%{REQUEST_SCHEME}", Some("${scheme}")),
            ("expr=%{TIME}", None),
            ("%D", None),
            ("%{X}e", None),
            ("%{REMOTE_ADDR}", None),
            ("%", None),
        ] {
            assert_eq!(value(text).ok().as_deref(), expected, "{text}");
        }
    }
}
