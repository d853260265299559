//! TOML, with comments that say where each part comes from.

use std::fmt::Write as _;

use super::directive::Directive;

/// A table of the file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Table {
    /// `[[route]]`; empty for keys at the top.
    header: String,
    comments: Vec<String>,
    entries: Vec<Entry>,
}

/// A key with its value, written.
#[derive(Debug, Clone)]
struct Entry {
    key: String,
    value: String,
    /// What stands behind it.
    comment: Option<String>,
}

/// A line of the file that has a value, and whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Spot {
    pub(crate) table: usize,
    /// None for the header.
    pub(crate) entry: Option<usize>,
}

/// The most comments of a table.
const MOST_COMMENTS: usize = 8;

/// The longest comment, in characters.
const LONGEST_COMMENT: usize = 160;

impl Table {
    pub(crate) fn new(header: &str) -> Self {
        Self {
            header: header.to_owned(),
            ..Self::default()
        }
    }

    /// Says above the table which directive it comes from.
    pub(crate) fn from(&mut self, directive: &Directive) {
        self.note(&format!("{} ({})", directive.shown(), directive.place));
    }

    /// Says something above the table, once.
    pub(crate) fn note(&mut self, text: &str) {
        let text = equipoise_text::sanitize::text(text, LONGEST_COMMENT);
        if self.comments.len() < MOST_COMMENTS && !self.comments.contains(&text) {
            self.comments.push(text);
        }
    }

    /// Whether it has a key.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.entries.iter().any(|entry| entry.key == key)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets a key to a value that is written already, in the place of one before.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) {
        self.remove(key);
        self.entries.push(Entry {
            key: key.to_owned(),
            value: value.into(),
            comment: None,
        });
    }

    /// The same, with the directive that says so behind it.
    pub(crate) fn set_by(&mut self, key: &str, value: impl Into<String>, directive: &Directive) {
        self.set(key, value);
        let comment = format!("{} ({})", directive.name, directive.place);
        if let Some(entry) = self.entries.last_mut() {
            entry.comment = Some(equipoise_text::sanitize::text(&comment, LONGEST_COMMENT));
        }
    }

    pub(crate) fn set_text(&mut self, key: &str, text: &str) {
        self.set(key, quoted(text));
    }

    pub(crate) fn remove(&mut self, key: &str) {
        self.entries.retain(|entry| entry.key != key);
    }

    /// The key of an entry, and its value as it is written.
    pub(crate) fn entry(&self, place: usize) -> Option<(&str, &str)> {
        let entry = self.entries.get(place)?;
        Some((&entry.key, &entry.value))
    }

    pub(crate) fn header(&self) -> &str {
        &self.header
    }

    pub(crate) fn comments(&self) -> &[String] {
        &self.comments
    }
}

/// The text of tables, and for each of its lines whose it is.
pub(crate) fn write(title: &str, tables: &[Table]) -> (String, Vec<Option<Spot>>) {
    let mut text = format!("# {title}\n");
    let mut spots = vec![None];
    for (number, table) in tables.iter().enumerate() {
        text.push('\n');
        spots.push(None);
        for comment in &table.comments {
            let _ = writeln!(text, "# {comment}");
            spots.push(None);
        }
        let spot = |entry| {
            Some(Spot {
                table: number,
                entry,
            })
        };
        if !table.header.is_empty() {
            let _ = writeln!(text, "{}", table.header);
            spots.push(spot(None));
        }
        for (place, entry) in table.entries.iter().enumerate() {
            let _ = write!(text, "{} = {}", entry.key, entry.value);
            if let Some(comment) = &entry.comment {
                let _ = write!(text, " # {comment}");
            }
            text.push('\n');
            let lines = entry.value.matches('\n').count() + 1;
            spots.extend(std::iter::repeat_n(spot(Some(place)), lines));
        }
    }
    (text, spots)
}

/// A text in TOML's quotes, on one line.
pub(crate) fn quoted(text: &str) -> String {
    let is_literal = text.contains(['\\', '"'])
        && !text.contains('\'')
        && !text.chars().any(|part| part.is_control());
    if is_literal {
        return format!("'{text}'");
    }
    let mut made = "\"".to_owned();
    for character in text.chars() {
        match character {
            '"' => made.push_str("\\\""),
            '\\' => made.push_str("\\\\"),
            '\n' => made.push_str("\\n"),
            '\t' => made.push_str("\\t"),
            '\r' => made.push_str("\\r"),
            control if control.is_control() => {
                let _ = write!(made, "\\u{:04X}", u32::from(control));
            }
            other => made.push(other),
        }
    }
    made + "\""
}

/// A list of texts.
pub(crate) fn list<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> String {
    let texts: Vec<_> = texts.into_iter().map(|it| quoted(it.as_ref())).collect();
    format!("[{}]", texts.join(", "))
}

/// A table on one line, of keys and values that are written already.
pub(crate) fn inline<K: AsRef<str>>(pairs: impl IntoIterator<Item = (K, String)>) -> String {
    let pairs = pairs.into_iter();
    let pairs: Vec<_> = pairs
        .map(|(key, value)| format!("{} = {value}", key_of(key.as_ref())))
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

/// A key, in quotes where it has to be.
pub(crate) fn key_of(key: &str) -> String {
    let is_bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match !key.is_empty() && key.bytes().all(is_bare) {
        true => key.to_owned(),
        false => quoted(key),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_what_they_were_when_they_are_read() {
        for text in [
            "",
            "a",
            r"^/a\.b",
            "say \"x\"",
            "it's \"x\" \\",
            "a\nb\t\u{1}\u{7f}\u{85}",
            "ä€🦀",
        ] {
            let document = format!(
                "a = {}\n{} = 1\n",
                quoted(text),
                key_of(&format!("k{text}"))
            );
            let read: toml_edit::DocumentMut = document.parse().expect("TOML");
            assert_eq!(read["a"].as_str(), Some(text), "{document}");
            assert_eq!(document.lines().count(), 2, "{document}");
        }
    }
}
