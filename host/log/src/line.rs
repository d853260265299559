//! How long a line of the log may be.

use std::borrow::Cow;

/// The most bytes of an event that are logged.
const MAX_LINE: usize = 1024;

/// How many of them are kept from its end, where its fields are, such as the plugin that it is about.
const TAIL: usize = 128;

/// An event that fits into a line, or its beginning and its end with a mark between them that says how much was cut.
pub(super) fn cut(event: &str) -> Cow<'_, str> {
    if event.len() <= MAX_LINE {
        return event.into();
    }
    let tail = event.ceil_char_boundary(event.len() - TAIL);
    // What ends a colour may be in the part that is cut.
    let reset = match event.contains('\u{1b}') {
        true => "\u{1b}[0m",
        false => "",
    };
    // The mark is as long whatever the number, but for its digits.
    let mark = |bytes: usize| format!("{reset}…[{bytes} bytes cut]…");
    let room = MAX_LINE - (event.len() - tail) - mark(event.len()).len();
    let head = event.floor_char_boundary(room);
    format!("{}{}{}", &event[..head], mark(tail - head), &event[tail..]).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_is_left_as_it_is() {
        for event in [String::new(), "é".to_owned(), "x".repeat(MAX_LINE)] {
            assert!(matches!(cut(&event), Cow::Borrowed(same) if same == event));
        }
    }

    /// Characters of one to four bytes, so that every cut falls into one somewhere.
    #[test]
    fn a_long_event_keeps_its_ends_and_says_what_is_missing() {
        for character in ["x", "é", "…", "🦀"] {
            for padding in 0..4 {
                for length in [MAX_LINE + 1, 5_000, 1_000_000] {
                    let padding = "-".repeat(padding);
                    let body = character.repeat(length / character.len() + 1);
                    let event = format!("{padding}WARN {body} plugin=\"p\"");
                    let line = cut(&event);
                    assert!(line.len() <= MAX_LINE, "{} bytes", line.len());
                    assert!(line.len() > MAX_LINE - 20, "{} bytes", line.len());
                    let (head, rest) = line.split_once("…[").unwrap();
                    let (missing, tail) = rest.split_once(" bytes cut]…").unwrap();
                    assert!(event.starts_with(head) && event.ends_with(tail));
                    assert!(head.contains("WARN ") && tail.ends_with(" plugin=\"p\""));
                    let missing: usize = missing.parse().unwrap();
                    assert_eq!(head.len() + missing + tail.len(), event.len());
                }
            }
        }
    }

    #[test]
    fn colours_do_not_run_on_behind_a_cut() {
        let event = format!("\u{1b}[31m{}\u{1b}[0m", "x".repeat(2_000));
        let line = cut(&event);
        assert!(line.contains("\u{1b}[0m…[") && line.len() <= MAX_LINE);
    }
}
