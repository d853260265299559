//! Bounds on what is told: a message has so many bytes, and a list so many entries, whatever others made them of.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

/// The longest message, in bytes, with the words that it was cut.
pub const MESSAGE: usize = 1024;

/// The most entries of a list; how many more there are is told.
pub const LIST: usize = 100;

/// Room for the words that a message was cut.
const MARK: usize = 40;

/// A message in [`MESSAGE`] bytes at most, cut between two characters, with the number of bytes that are left out.
pub fn message(text: &str) -> Cow<'_, str> {
    if text.len() <= MESSAGE {
        return text.into();
    }
    let kept = &text[..text.floor_char_boundary(MESSAGE - MARK)];
    format!("{kept}… ({} bytes more)", text.len() - kept.len()).into()
}

/// An error with its causes, as a [`message`].
pub fn error(error: &anyhow::Error) -> String {
    message(&format!("{error:#}")).into_owned()
}

/// Entries one after the other, [`LIST`] at most, each as a [`message`].
pub fn list<T: Display>(entries: impl IntoIterator<Item = T>, separator: &str) -> String {
    let mut entries = entries.into_iter();
    let mut list = String::new();
    for (number, entry) in entries.by_ref().take(LIST).enumerate() {
        if number > 0 {
            list.push_str(separator);
        }
        list.push_str(&message(&entry.to_string()));
    }
    match entries.count() {
        0 => {}
        more => {
            let _ = write!(list, "{separator}and {more} more");
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_between_characters_and_says_so() {
        assert_eq!(message("short"), "short");
        assert_eq!(message(&"x".repeat(MESSAGE)), "x".repeat(MESSAGE));
        for character in ["x", "ä", "€", "🦀"] {
            for offset in 0..4 {
                let text = "y".repeat(offset) + &character.repeat(100_000);
                let cut = message(&text);
                assert!(cut.len() <= MESSAGE, "{} bytes", cut.len());
                let (kept, left_out) = cut.split_once("… (").expect("it says so");
                let expected = format!("{} bytes more)", text.len() - kept.len());
                assert!(text.starts_with(kept) && left_out == expected, "{left_out}");
            }
        }
    }

    #[test]
    fn a_long_list_tells_how_many_more_there_are() {
        assert_eq!(list([""; 0], ", "), "");
        assert_eq!(list(1..=3, ", "), "1, 2, 3");
        assert!(list(0..LIST, ", ").ends_with(", 99"));
        assert!(list(0..LIST + 2, ", ").ends_with(", 99, and 2 more"));
        let names = (0..200).map(|_| "n".repeat(99_000));
        assert!(list(names, ", ").len() < LIST * (MESSAGE + 2) + 50);
    }
}
