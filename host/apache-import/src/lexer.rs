//! Lines and words, as Apache reads them.

/// A directive's line: several of the file, where the first end in `\`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// Of the file, counted from 1: where it begins.
    pub(crate) number: u32,
    /// Without blanks around it; never empty, and no comment.
    pub(crate) text: String,
}

/// The lines of a file that say something.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Line> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut physical = (1..).zip(text.split('\n'));
    std::iter::from_fn(move || {
        loop {
            let line = join(&mut physical)?;
            if !line.text.is_empty() && !line.text.starts_with('#') {
                return Some(line);
            }
        }
    })
}

/// The next line with those that it goes on in. A comment goes on, too.
fn join<'t>(physical: &mut impl Iterator<Item = (u32, &'t str)>) -> Option<Line> {
    let (number, mut part) = physical.next()?;
    let mut text = String::new();
    loop {
        let line = part.strip_suffix('\r').unwrap_or(part);
        let Some(continued) = line.strip_suffix('\\') else {
            text.push_str(line);
            break;
        };
        text.push_str(continued);
        match physical.next() {
            Some((_, next)) => part = next,
            None => break,
        }
    }
    Some(Line {
        number,
        text: text.trim_matches(is_blank).to_owned(),
    })
}

/// Takes the next word off the front: up to a blank, or what stands between quotes, in which `\` keeps a quote or a `\`.
/// `None`: there is no more.
pub(crate) fn word(rest: &mut &str) -> Option<String> {
    let text = rest.trim_start_matches(is_blank);
    let mut characters = text.char_indices();
    let (_, first) = characters.next()?;
    let quote = matches!(first, '"' | '\'').then_some(first);
    let start = if quote.is_some() { 1 } else { 0 };
    let mut word = String::new();
    let mut inside = text[start..].char_indices().peekable();
    let mut end = text.len();
    while let Some((at, character)) = inside.next() {
        let is_end = match quote {
            Some(quote) => character == quote,
            None => is_blank(character),
        };
        if is_end {
            end = start + at + character.len_utf8();
            break;
        }
        let next = inside.peek().map(|(_, next)| *next);
        match next {
            Some(kept) if character == '\\' && (kept == '\\' || Some(kept) == quote) => {
                word.push(kept);
                inside.next();
            }
            _ => word.push(character),
        }
    }
    *rest = text[end..].trim_start_matches(is_blank);
    Some(word)
}

/// The words of a text.
pub(crate) fn words(text: &str) -> Vec<String> {
    let mut rest = text;
    std::iter::from_fn(|| word(&mut rest)).collect()
}

/// What C's `isspace` takes for one.
fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t' | '\n' | '\u{b}' | '\u{c}' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_go_on_behind_a_backslash_and_comments_do_too() {
        let text = "\u{feff}A b\\\n  c \r\n\n  # no\\\nno\nD\\\n";
        let read: Vec<_> = lines(text).map(|it| (it.number, it.text)).collect();
        assert_eq!(
            read,
            [(1, "A b  c".to_owned()), (6, "D".to_owned())],
            "the backslash alone ends the file"
        );
    }

    #[test]
    fn words_are_quoted_as_in_apache() {
        for (text, expected) in [
            ("a  b\tc", &["a", "b", "c"][..]),
            (r#""a b" c"#, &["a b", "c"]),
            (r#"'a "b"' c"#, &["a \"b\"", "c"]),
            (r#""a \"b\" \\ \d" c"#, &[r#"a "b" \ \d"#, "c"]),
            (r"^/a\.b\\c d", &[r"^/a\.b\c", "d"]),
            (r#"a"b c"d"#, &["a\"b", "c\"d"]),
            (r#""a"b"#, &["a", "b"]),
            (r#""a b"#, &["a b"]),
            ("\"\" x", &["", "x"]),
            ("   ", &[]),
        ] {
            assert_eq!(words(text), expected, "{text}");
        }
    }
}
