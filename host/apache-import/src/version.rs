//! `<IfVersion>`.

use regex::Regex;

/// The version whose behaviour is ours.
const VERSION: [u32; 3] = [2, 4, 71];

/// Whether `<IfVersion>` with these words holds; `None`: they say nothing that can be compared.
pub(crate) fn holds(words: &[String]) -> Option<bool> {
    let (operator, version) = match words {
        [version] => ("=", version),
        [operator, version, ..] => (&**operator, version),
        [] => return None,
    };
    let (is_negated, operator) = match operator.strip_prefix('!') {
        Some(operator) => (true, operator),
        None => (false, operator),
    };
    let expression = version
        .strip_prefix('/')
        .and_then(|it| it.strip_suffix('/'));
    let holds = match (operator, expression) {
        ("=" | "==", Some(expression)) => matches(expression)?,
        ("~", None) => matches(version)?,
        (operator, None) => compares(operator, version)?,
        _ => return None,
    };
    Some(holds != is_negated)
}

fn matches(expression: &str) -> Option<bool> {
    let [major, minor, patch] = VERSION;
    let version = format!("{major}.{minor}.{patch}");
    Some(Regex::new(expression).ok()?.is_match(&version))
}

/// Parts that are not written count as 0.
fn compares(operator: &str, version: &str) -> Option<bool> {
    let mut parts = [0; 3];
    for (place, part) in version.split('.').enumerate() {
        *parts.get_mut(place)? = part.parse().ok()?;
    }
    Some(match operator {
        "=" | "==" => VERSION == parts,
        ">" => VERSION > parts,
        ">=" => VERSION >= parts,
        "<" => VERSION < parts,
        "<=" => VERSION <= parts,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared() {
        for (text, expected) in [
            (">= 2.4", Some(true)),
            ("< 2.4", Some(false)),
            ("!< 2.4", Some(true)),
            ("2.4.71", Some(true)),
            ("= 2.4", Some(false)),
            ("~ ^2\\.4", Some(true)),
            ("= /^2\\.2/", Some(false)),
            (">= x", None),
            ("", None),
        ] {
            let words: Vec<_> = text.split_whitespace().map(str::to_owned).collect();
            assert_eq!(holds(&words), expected, "{text}");
        }
    }
}
