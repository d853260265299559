//! Patterns with `*`, `?` and `[…]`, as shells and `IncludeOptional` have them.

/// Whether a name fits a pattern. With `is_path`, `*`, `?` and `[` do not stand for a slash.
pub(crate) fn fits(pattern: &str, name: &str, is_path: bool) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let name: Vec<char> = name.chars().collect();
    // For the last star: where it stands, and how far it reaches. One is enough, but for paths, where a star ends at a slash.
    let (mut at, mut of) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    loop {
        if of < name.len() {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, of));
                    at += 1;
                    continue;
                }
                Some(_) => {
                    if let Some(next) = one(&pattern, at, name[of], is_path) {
                        (at, of) = (next, of + 1);
                        continue;
                    }
                }
                None => {}
            }
        } else if pattern[at..].iter().all(|&left| left == '*') {
            return true;
        }
        match star {
            Some((place, reach)) if reach < name.len() && !(is_path && name[reach] == '/') => {
                star = Some((place, reach + 1));
                (at, of) = (place + 1, reach + 1);
            }
            _ => return false,
        }
    }
}

/// Where the pattern goes on behind what stands for one character, if that is this one.
fn one(pattern: &[char], at: usize, character: char, is_path: bool) -> Option<usize> {
    let is_slash = is_path && character == '/';
    match pattern[at] {
        '?' => (!is_slash).then_some(at + 1),
        '[' => class(pattern, at + 1, character).and_then(|(holds, next)| {
            let fits = holds && !is_slash;
            fits.then_some(next)
        }),
        '\\' if at + 1 < pattern.len() => (pattern[at + 1] == character).then_some(at + 2),
        literal => (literal == character).then_some(at + 1),
    }
}

/// Whether a class that begins here holds a character, and where it ends; `None`: it does not end.
fn class(pattern: &[char], start: usize, character: char) -> Option<(bool, usize)> {
    let is_negated = matches!(pattern.get(start), Some('!' | '^'));
    let mut at = start + usize::from(is_negated);
    let first = at;
    let mut holds = false;
    loop {
        let from = *pattern.get(at)?;
        if from == ']' && at > first {
            return Some((holds != is_negated, at + 1));
        }
        let to = match (pattern.get(at + 1), pattern.get(at + 2)) {
            (Some('-'), Some(&to)) if to != ']' => {
                at += 2;
                to
            }
            _ => from,
        };
        holds |= (from..=to).contains(&character);
        at += 1;
    }
}

/// Whether the text has anything that stands for something else.
pub(crate) fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '['])
}

/// The regular expression that fits the same paths from their beginning, as `<Location "/a*">` has it.
pub(crate) fn as_expression(pattern: &str) -> String {
    let mut expression = "^".to_owned();
    for character in pattern.chars() {
        match character {
            '*' => expression.push_str("[^/]*"),
            '?' => expression.push_str("[^/]"),
            '[' | ']' | '-' => expression.push(character),
            other => expression.push_str(&regex::escape(other.encode_utf8(&mut [0; 4]))),
        }
    }
    expression + "(?:/|$)"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_fit_as_in_shells() {
        for (pattern, name, is_path, expected) in [
            ("*.conf", "a.conf", true, true),
            ("*.conf", "a.load", true, false),
            ("*.conf", ".conf", true, true),
            ("*", "", true, true),
            ("", "", true, true),
            ("", "a", true, false),
            ("a*b*c", "aXbYbZc", true, true),
            ("a*b*c", "aXbYbZ", true, false),
            ("?", "ä", true, true),
            ("[0-9]*", "000-default.conf", true, true),
            ("[!0-9]*", "000-default.conf", true, false),
            ("[]a]", "]", true, true),
            ("[a", "[a", true, false),
            ("\\*", "*", true, true),
            ("*", "a/b", true, false),
            ("*", "a/b", false, true),
            ("a*/c*", "ab/cd", true, true),
        ] {
            assert_eq!(fits(pattern, name, is_path), expected, "{pattern} {name}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!fits(&pattern, &"a".repeat(400), false));
    }
}
