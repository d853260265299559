//! A table of the file: hands out checked values and reports what is wrong with the rest.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::collector::{Collector, shorten};
use super::unsupported_apache;
use super::value::{self, Parsed};

/// A table being read.
///
/// Every reading method reports the mistakes it meets and returns what is left; the caller fills in a default and goes
/// on, so that all mistakes are found; what was made that way is not used.
pub(super) struct Table<'d> {
    report: &'d Collector<'d>,
    entries: &'d DeTable<'d>,
    /// The dotted key that leads here; empty for the file itself.
    name: String,
    /// Where the table begins in the text.
    start: usize,
}

/// Bounds on a table of texts, whose names may have up to [`MAX_NAME`] bytes.
pub(super) struct TextBounds {
    /// The most entries.
    pub(super) entries: usize,
    /// The longest value, in bytes.
    pub(super) value: usize,
}

/// The longest name in a table of texts, in bytes.
const MAX_NAME: usize = 256;

/// A value and where it is written.
struct Entry<'d> {
    value: &'d DeValue<'d>,
    span: Range<usize>,
}

impl<'d> Table<'d> {
    /// The whole file.
    pub(super) fn file(entries: &'d DeTable<'d>, report: &'d Collector<'d>) -> Self {
        Self {
            report,
            entries,
            name: String::new(),
            start: 0,
        }
    }

    /// The same table, with every key reported that is not one of `keys`.
    pub(super) fn holding(self, keys: &[&str]) -> Self {
        for key in self.keys() {
            if keys.contains(&key) {
                continue;
            }
            match self.report.is_full() {
                // Finding out what may have been meant takes its time.
                true => self.report.count(),
                false => self.refuse(key, unknown(key, keys)),
            }
        }
        self
    }

    /// The value of `key`; `None` where it is missing or wrong.
    pub(super) fn read<T>(
        &self,
        key: &str,
        parse: impl FnOnce(&DeValue<'_>) -> Parsed<T>,
    ) -> Option<T> {
        let entry = self.entry(key)?;
        let reading = parse(entry.value);
        reading.map_err(|remedy| self.refuse(key, remedy)).ok()
    }

    /// The value of a key that has to be there; `why` says what to write where it is not.
    pub(super) fn require<T>(
        &self,
        key: &str,
        why: &str,
        parse: impl FnOnce(&DeValue<'_>) -> Parsed<T>,
    ) -> Option<T> {
        if !self.has(key) {
            self.missing(key, why);
        }
        self.read(key, parse)
    }

    /// The elements of the list `key`; empty where it is missing.
    pub(super) fn list<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&DeValue<'_>) -> Parsed<T>,
    ) -> Vec<T> {
        let elements = self.elements(key, &format!("must be a list such as {example}"));
        let read = |(name, element): (String, &Spanned<DeValue<'_>>)| {
            let reading = parse(element.get_ref());
            reading
                .map_err(|remedy| self.report.wrong(element.span(), name, &remedy))
                .ok()
        };
        elements.into_iter().filter_map(read).collect()
    }

    /// What a text says, or each text of a list, which must not be empty; empty where the key is missing.
    pub(super) fn one_or_more<T>(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Parsed<T>,
    ) -> Vec<T> {
        let list = self.entry(key).and_then(|entry| entry.value.as_array());
        match list {
            Some(list) if list.is_empty() => {
                self.refuse(
                    key,
                    format!("must not be empty: write {example}, or leave it out"),
                );
                Vec::new()
            }
            Some(_) => self.list(key, example, value::text_as(parse)),
            None => self.read(key, value::text_as(parse)).into_iter().collect(),
        }
    }

    /// A table of texts to texts that are read alike, such as `{ "/app" = "/shop" }`, in the order of the file.
    pub(super) fn pairs(
        &self,
        key: &str,
        example: &str,
        parse: impl Fn(&str) -> Parsed<String>,
    ) -> Vec<(String, String)> {
        let Some(pairs) = self.open(key, &format!("must be a table such as {example}")) else {
            return Vec::new();
        };
        let read = |name: &str| {
            let to = pairs.read(name, |written| parse(value::text(written)?));
            let from = parse(name)
                .map_err(|remedy| pairs.refuse(name, format!("what it replaces {remedy}")));
            Some((from.ok()?, to?))
        };
        pairs.keys().into_iter().filter_map(read).collect()
    }

    /// A table of values by free names, such as `{ "X-A" = "1" }`, in the order of the file.
    pub(super) fn named_values<T>(
        &self,
        key: &str,
        example: &str,
        mut parse: impl FnMut(&str, &DeValue<'_>) -> Parsed<T>,
    ) -> Vec<(String, T)> {
        let Some(values) = self.open(key, &format!("must be a table such as {example}")) else {
            return Vec::new();
        };
        let read = |name: &str| {
            let value = values.read(name, |value| parse(name, value))?;
            Some((name.to_owned(), value))
        };
        values.keys().into_iter().filter_map(read).collect()
    }

    /// A table of free texts by free names, such as `{ zone = "a" }`; empty where it is missing.
    pub(super) fn texts(
        &self,
        key: &str,
        example: &str,
        bounds: &TextBounds,
    ) -> BTreeMap<String, String> {
        self.checked_texts(key, example, bounds, |_, _| Ok(()))
    }

    /// The same of texts and names that `check` has to find right.
    pub(super) fn checked_texts(
        &self,
        key: &str,
        example: &str,
        bounds: &TextBounds,
        check: impl Fn(&str, &str) -> Parsed<()>,
    ) -> BTreeMap<String, String> {
        let Some(texts) = self.open(key, &format!("must be a table such as {example}")) else {
            return BTreeMap::new();
        };
        let (count, most) = (texts.entries.len(), bounds.entries);
        if count > most {
            self.refuse(
                key,
                format!("must have at most {most} entries, not {count}"),
            );
        }
        let read = |name: &str| {
            if !(1..=MAX_NAME).contains(&name.len()) {
                let remedy = format!("its name must have 1 to {MAX_NAME} bytes");
                texts.refuse(name, remedy);
            }
            let text = texts.read(name, |value| {
                let text = value::free_text(bounds.value)(value)?;
                check(name, &text).map(|()| text)
            })?;
            Some((name.to_owned(), text))
        };
        texts.keys().into_iter().filter_map(read).collect()
    }

    /// The table `key`; `None` where it is missing.
    pub(super) fn table(&self, key: &str, keys: &[&str]) -> Option<Self> {
        let known = keys.join(", ");
        let table = self.open(key, &format!("must be a table that holds some of: {known}"))?;
        Some(table.holding(keys))
    }

    /// The tables `[[key]]`; empty where there are none.
    pub(super) fn tables(&self, key: &str, keys: &[&str]) -> Vec<Self> {
        let remedy = format!("must be a list of tables: write [[{}]]", self.header(key));
        let open = |(name, element): (String, &'d Spanned<DeValue<'d>>)| {
            let Some(entries) = element.get_ref().as_table() else {
                self.report.wrong(element.span(), name, &remedy);
                return None;
            };
            let table = Self {
                report: self.report,
                entries,
                name,
                start: element.span().start,
            };
            Some(table.holding(keys))
        };
        let elements = self.elements(key, &remedy);
        elements.into_iter().filter_map(open).collect()
    }

    /// The tables `[[key]]`, of which there has to be one; `example` is what it may hold.
    pub(super) fn required_tables(&self, key: &str, keys: &[&str], example: &str) -> Vec<Self> {
        let tables = self.tables(key, keys);
        let elements = self.entry(key).map(|entry| entry.value.as_array());
        if elements.is_none_or(|list| list.is_some_and(|list| list.is_empty())) {
            let header = self.header(key);
            self.missing(key, &format!("write [[{header}]] with {example} in it"));
        }
        tables
    }

    /// The tables `[key.NAME]` with their names, such as `example`, in the order of the file.
    pub(super) fn named_tables(
        &self,
        key: &str,
        keys: &[&str],
        example: &str,
    ) -> Vec<(&'d str, Self)> {
        let remedy = format!(
            "must be a table with a name: write [{}.NAME]",
            self.header(key)
        );
        let Some(tables) = self.open(key, &remedy) else {
            return Vec::new();
        };
        let open = |name: &'d str| {
            let table = tables.open(name, &remedy)?;
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
                let form = "must have a name of printable ASCII without spaces";
                table.refuse_whole(&format!("{form}, such as {example}"));
            }
            Some((name, table.holding(keys)))
        };
        tables.keys().into_iter().filter_map(open).collect()
    }

    /// The tables in the table `key` by their names, in the order of the file; empty where it is missing.
    pub(super) fn tables_by(
        &self,
        key: &str,
        keys: &[&str],
        example: &str,
    ) -> Vec<(&'d str, Self)> {
        let remedy = format!("must be a table such as {example}");
        let Some(tables) = self.open(key, &remedy) else {
            return Vec::new();
        };
        let open = |name: &'d str| {
            let table = tables.open(name, &remedy)?;
            Some((name, table.holding(keys)))
        };
        tables.keys().into_iter().filter_map(open).collect()
    }

    /// Whether `key` is written, rightly or wrongly.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Whether a table is written for `key`.
    pub(super) fn has_table(&self, key: &str) -> bool {
        self.entry(key).is_some_and(|entry| entry.value.is_table())
    }

    /// The text that is written for `key`, right or wrong; nothing is reported.
    pub(super) fn written(&self, key: &str) -> Option<&'d str> {
        self.entry(key)?.value.as_str()
    }

    /// The line, counted from 1, where the value of `key` is written.
    pub(super) fn line(&self, key: &str) -> usize {
        let start = self.entry(key).map_or(self.start, |entry| entry.span.start);
        self.report.line(start)
    }

    /// Reports the value of `key`.
    pub(super) fn refuse(&self, key: &str, remedy: impl Into<String>) {
        let (name, remedy) = (self.name_of(key), &remedy.into());
        match self.entry(key) {
            // What is secret is not shown.
            Some(entry) if self.is_section(&entry) || key == "secret" => {
                self.report.wrong_section(entry.span.start, name, remedy);
            }
            Some(entry) => self.report.wrong(entry.span, name, remedy),
            None => self.report.missing(self.start, name, remedy),
        }
    }

    /// Reports the value of `key` for want of something elsewhere in the file, such as the balancer it names.
    pub(super) fn refuse_dangling(&self, key: &str, remedy: impl Into<String>) {
        if !self.report.is_incomplete() {
            self.refuse(key, remedy);
        }
    }

    /// Reports the table itself.
    pub(super) fn refuse_whole(&self, remedy: &str) {
        let name = self.name.clone();
        self.report.wrong_section(self.start, name, remedy);
    }

    /// Reports that `key` is missing; `why` says what to write.
    pub(super) fn missing(&self, key: &str, why: &str) {
        let remedy = format!("is missing; {why}");
        self.report.missing(self.start, self.name_of(key), &remedy);
    }

    fn open(&self, key: &str, remedy: &str) -> Option<Self> {
        let entry = self.entry(key)?;
        let Some(entries) = entry.value.as_table() else {
            self.refuse(key, remedy);
            return None;
        };
        Some(Self {
            report: self.report,
            entries,
            name: self.name_of(key),
            start: entry.span.start,
        })
    }

    /// The elements of the list `key`, each with its dotted name.
    fn elements(&self, key: &str, remedy: &str) -> Vec<(String, &'d Spanned<DeValue<'d>>)> {
        let Some(entry) = self.entry(key) else {
            return Vec::new();
        };
        let Some(elements) = entry.value.as_array() else {
            self.refuse(key, remedy);
            return Vec::new();
        };
        let name = self.name_of(key);
        let numbered = elements.iter().enumerate();
        numbered
            .map(|(index, element)| (format!("{name}[{index}]"), element))
            .collect()
    }

    /// The keys of the table in the order of the file.
    fn keys(&self) -> Vec<&'d str> {
        let mut keys: Vec<_> = self.entries.keys().collect();
        keys.sort_by_key(|key| key.span().start);
        keys.into_iter().map(|key| key.get_ref().as_ref()).collect()
    }

    fn entry(&self, key: &str) -> Option<Entry<'d>> {
        let value = self.entries.get(key)?;
        Some(Entry {
            value: value.get_ref(),
            span: value.span(),
        })
    }

    /// Whether the value is written below headers of its own, not behind its key.
    fn is_section(&self, entry: &Entry<'_>) -> bool {
        match entry.value {
            DeValue::Table(_) => !self.report.starts_with(entry.span.start, "{"),
            DeValue::Array(_) => self.report.starts_with(entry.span.start, "[["),
            _ => false,
        }
    }

    fn name_of(&self, key: &str) -> String {
        let key = quoted_unless_bare(key);
        if self.name.is_empty() {
            key
        } else {
            format!("{}.{key}", self.name)
        }
    }

    /// The dotted key as headers write it: without the numbers of list elements.
    fn header(&self, key: &str) -> String {
        let name = self.name_of(key);
        let parts = name.split('.').map(|part| part.split('[').next());
        parts.flatten().collect::<Vec<_>>().join(".")
    }
}

/// A key as TOML writes it.
pub(super) fn quoted_unless_bare(key: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    if !key.is_empty() && key.bytes().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

fn unknown(key: &str, keys: &[&str]) -> String {
    if let Some(remedy) = unsupported_apache::remedy(key) {
        return remedy.to_owned();
    }
    let shown = shorten(key);
    match value::nearest(key, keys) {
        Some(near) => format!("unknown key `{shown}`; did you mean `{near}`?"),
        None => format!(
            "unknown key `{shown}`; the keys here are {}",
            keys.join(", ")
        ),
    }
}
