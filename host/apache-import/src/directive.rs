//! A directive with all that belongs to it.

use super::lexer;
use super::place::Place;

/// One directive, or a section with those within it.
#[derive(Debug, Clone)]
pub(crate) struct Directive {
    /// One number for each time that a directive is read.
    pub(crate) id: u32,
    pub(crate) place: Place,
    /// As it is written: `ProxyPass`, and for a section `<Location`.
    pub(crate) name: String,
    /// The same in lower case.
    pub(crate) key: String,
    /// What stands behind the name, variables replaced; of a section without its `>`.
    pub(crate) text: String,
    /// The same in words.
    pub(crate) words: Vec<String>,
    /// What a section holds.
    pub(crate) children: Vec<Self>,
}

/// The longest part of a directive that is shown, in characters.
const SHOWN: usize = 100;

impl Directive {
    /// The word at `index`; empty where there is none.
    pub(crate) fn word(&self, index: usize) -> &str {
        self.words.get(index).map_or("", |word| word)
    }

    /// Whether the first word is `On`; `None` where it is neither that nor `Off`.
    pub(crate) fn switch(&self) -> Option<bool> {
        switch(self.word(0))
    }

    /// What follows the first words, as it is written.
    pub(crate) fn text_behind(&self, words: usize) -> &str {
        let mut rest = &*self.text;
        for _ in 0..words {
            lexer::word(&mut rest);
        }
        rest
    }

    /// The directive as it is shown: in bounded space, and without what may be a secret.
    pub(crate) fn shown(&self) -> String {
        let text = without_secrets(&self.text);
        let whole = match (text.is_empty(), self.name.starts_with('<')) {
            (true, false) => self.name.clone(),
            (false, false) => format!("{} {text}", self.name),
            (true, true) => format!("{}>", self.name),
            (false, true) => format!("{} {text}>", self.name),
        };
        equipoise_text::sanitize::text(&whole, SHOWN)
    }
}

/// `On` or `Off`.
pub(crate) fn switch(word: &str) -> Option<bool> {
    match word {
        on if on.eq_ignore_ascii_case("on") => Some(true),
        off if off.eq_ignore_ascii_case("off") => Some(false),
        _ => None,
    }
}

/// The text with the value of `secret=` and of passwords in URLs left out.
fn without_secrets(text: &str) -> String {
    let mut shown = String::new();
    let mut rest = text;
    while let Some(at) = rest.to_ascii_lowercase().find("secret=") {
        let (before, behind) = rest.split_at(at + "secret=".len());
        shown.push_str(before);
        shown.push('…');
        let end = behind.find(char::is_whitespace).unwrap_or(behind.len());
        rest = &behind[end..];
    }
    shown + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        for (text, shown) in [
            ("ajp://a secret=s3cret route=1", "ajp://a secret=… route=1"),
            ("a Secret=x", "a Secret=…"),
            ("a secret=", "a secret=…"),
            ("a", "a"),
        ] {
            assert_eq!(without_secrets(text), shown);
        }
    }
}
