//! What is shown to those who run the site, in bounded space; of what clients send, without what may be a secret.

use std::fmt::Write as _;

/// The text in so many characters at most, with control characters made visible.
pub fn text(text: &str, longest: usize) -> String {
    let mut shown = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == longest {
            shown.push('…');
            break;
        }
        match character {
            character if character.is_control() => {
                let _ = write!(shown, "\\u{{{:x}}}", u32::from(character));
            }
            character => shown.push(character),
        }
    }
    shown
}

/// A path in so many characters at most, without its parameters, which may hold a session.
pub fn path(path: &str, longest: usize) -> String {
    match path.split_once(';') {
        Some((path, _)) => text(path, longest) + ";…",
        None => text(path, longest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_bounded_and_visible() {
        assert_eq!(text("a\r\n\u{1b}b", 9), "a\\u{d}\\u{a}\\u{1b}b");
        assert_eq!(text("abc", 3), "abc");
        assert_eq!(text("äbcd", 3), "äbc…");
        assert_eq!(path("/a;jsessionid=secret/b", 9), "/a;…");
    }
}
