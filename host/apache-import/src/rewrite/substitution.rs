//! Patterns of rewrite rules, and what they become.

use regex_syntax::hir::Look;
use regex_syntax::hir::literal::Extractor;

use super::Path;

/// The expressions that match every path, and how much of the path their first group is: all of it, or what is behind its slash.
const WHOLE: &[(&str, Option<Group>)] = &[
    ("^", None),
    (".*", None),
    ("^.*", None),
    ("^.*$", None),
    ("^/", None),
    ("/", None),
    ("(.*)", Some(Group::All)),
    ("^(.*)", Some(Group::All)),
    ("^(.*)$", Some(Group::All)),
    ("(.*)$", Some(Group::All)),
    ("^/(.*)", Some(Group::BehindSlash)),
    ("^/(.*)$", Some(Group::BehindSlash)),
    ("/(.*)$", Some(Group::BehindSlash)),
    ("/(.*)", Some(Group::BehindSlash)),
    ("^/?(.*)", Some(Group::BehindSlash)),
    ("^/?(.*)$", Some(Group::BehindSlash)),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Group {
    All,
    BehindSlash,
}

/// Whether an expression matches every path.
pub(crate) fn is_whole(pattern: &str) -> bool {
    WHOLE.iter().any(|(known, _)| *known == pattern)
}

/// The path that stands for the request's, before the group of an expression that matches every path: `/base` of `/base/$1`.
fn before_all(pattern: &str, template: &str) -> Option<String> {
    let (_, group) = WHOLE.iter().find(|(known, _)| *known == pattern)?;
    let before = match group {
        Some(Group::All) => template.strip_suffix("$1"),
        Some(Group::BehindSlash) => template.strip_suffix("/$1"),
        None => None,
    };
    before.map(str::to_owned)
}

/// The path at a member, of what stands in the rule behind its URL.
///
/// # Errors
/// It has what there is no key for.
pub(crate) fn member_path(pattern: &str, is_whole: bool, template: &str) -> Result<Path, String> {
    if template.contains('?') {
        return Err("has a query in its URL, which has no key here".to_owned());
    }
    if is_whole {
        let plain = template.strip_suffix("%{REQUEST_URI}");
        if let Some(before) = before_all(pattern, template).or_else(|| plain.map(str::to_owned)) {
            return Ok(Path::Before(before));
        }
    }
    if template.contains("$0") || template.contains('%') {
        return Err("has variables in its URL, which has no key here".to_owned());
    }
    let slash = if template.starts_with('/') { "" } else { "/" };
    Ok(Path::Template(format!("{slash}{template}")))
}

/// A URL in our words, but for the query.
///
/// # Errors
/// It has variables that there is no key for.
pub(crate) fn url(
    pattern: &str,
    is_whole: bool,
    target: &str,
    name: Option<&str>,
) -> Result<String, String> {
    let mut to = target.to_owned();
    if is_whole {
        // What stands for the whole path is the path as it came.
        if let Some(before) = before_all(pattern, target) {
            to = before + "%{REQUEST_URI}";
        } else if target.contains('$') && !target.contains("${") {
            return Err("has variables that there is no key for".to_owned());
        }
    }
    let server_name = name.unwrap_or("${host}");
    let replaced = to
        .replace("%{HTTP_HOST}", "${authority}")
        .replace("%{SERVER_NAME}", server_name)
        .replace("%{REQUEST_URI}", "${path}");
    if replaced.contains('%') || replaced.contains("$0") {
        return Err("has variables that there is no key for".to_owned());
    }
    Ok(replaced)
}

/// The text that an expression without anything special in it matches.
pub(crate) fn literal(expression: &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = expression.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next()? {
                escaped if escaped.is_ascii_alphanumeric() => return None,
                escaped => text.push(escaped),
            },
            // A dot that is meant as one, mostly.
            '.' => text.push('.'),
            '*' | '+' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '|' | '^' | '$' => return None,
            other => text.push(other),
        }
    }
    Some(text)
}

/// How paths begin that an expression matches: each of them in one of these ways (`/api/`, `/rest/` of `^/(api|rest)/`). One
/// that is not known to begin in some way may begin in any.
pub(crate) fn beginnings(expression: &str) -> Vec<String> {
    let any = || vec![String::new()];
    let Ok(parsed) = regex_syntax::parse(expression) else {
        return any();
    };
    if !parsed.properties().look_set_prefix().contains(Look::Start) {
        return any();
    }
    let found = Extractor::new().extract(&parsed);
    let Some(literals) = found.literals() else {
        return any();
    };
    let texts = literals
        .iter()
        .map(|it| str::from_utf8(it.as_bytes()).map(str::to_owned));
    texts.collect::<Result<_, _>>().unwrap_or_else(|_| any())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_expression_begins_with_is_known() {
        for (expression, expected) in [
            ("^/app/(.*)$", &["/app/"][..]),
            ("^/a\\.b/x+", &["/a.b/x"]),
            ("^/ab?", &["/ab", "/a"]),
            ("/app", &[""]),
            ("^/a|^/b", &["/a", "/b"]),
            ("^/a|/b", &[""]),
            ("^/(api|rest)/(.*)$", &["/api/", "/rest/"]),
            ("^.*\\.jsp$", &[""]),
            ("(", &[""]),
        ] {
            assert_eq!(beginnings(expression), expected, "{expression}");
        }
    }

    #[test]
    fn the_whole_path_is_recognised() {
        let before = |text: &str| Ok(Path::Before(text.to_owned()));
        assert_eq!(member_path("/(.*)", true, "/$1"), before(""));
        assert_eq!(member_path("^(.*)$", true, "/base$1"), before("/base"));
        assert_eq!(member_path("^/?(.*)", true, "/base/$1"), before("/base"));
        let template = Ok(Path::Template("/x/$1".to_owned()));
        assert_eq!(member_path("^/a/(.*)$", false, "/x/$1"), template);
        assert!(member_path("^/a", false, "/x?y=1").is_err());
        let url = |pattern, target| url(pattern, true, target, Some("a.test"));
        for (pattern, target, expected) in [
            (
                "^",
                "https://%{HTTP_HOST}%{REQUEST_URI}",
                "https://${authority}${path}",
            ),
            (
                "^/?(.*)",
                "https://%{HTTP_HOST}/$1",
                "https://${authority}${path}",
            ),
            (
                "^(.*)$",
                "https://%{HTTP_HOST}$1",
                "https://${authority}${path}",
            ),
            ("(.*)", "https://%{SERVER_NAME}$1", "https://a.test${path}"),
            ("^", "https://b.test/", "https://b.test/"),
        ] {
            assert_eq!(url(pattern, target).as_deref(), Ok(expected), "{target}");
        }
        assert!(url("^", "https://%1/").is_err());
    }
}
