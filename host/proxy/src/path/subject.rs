//! Paths as regular expressions see them.

use regex::Regex;

use super::{Slashes, Unit, skip_parameters, skip_separator, unit};

/// A normalized path as a regular expression sees it: with the same in it that counts for prefixes.
///
/// Percent-encoding is decoded, runs of slashes are one, and parameters of segments are left out. An encoded slash stays `%2F`,
/// and an encoded percent sign `%25`. What is not UTF-8 is U+FFFD, so that no byte escapes a `.`.
#[derive(Debug)]
pub(crate) struct Subject {
    text: String,
    /// For each byte of the text, where in the path begins what it stands for; parameters belong to what follows them. Behind the
    /// last, the path's end.
    places: Vec<u32>,
    /// Where the parameters begin that the path ends with, or its end.
    tail: u32,
}

/// What a regular expression has captured of a path: where each group is in it, as it came.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Captures([Option<(u32, u32)>; 9]);

impl Captures {
    /// What the group of this number, from 1, has captured of the path that was looked at; empty if it took no part.
    pub(crate) fn group<'path>(&self, number: usize, path: &'path [u8]) -> &'path [u8] {
        let place = number.checked_sub(1).and_then(|place| self.0.get(place));
        let range = place.copied().flatten();
        let part = range.and_then(|(from, to)| path.get(from as usize..to as usize));
        part.unwrap_or_default()
    }
}

impl Subject {
    /// A normalized path.
    pub(crate) fn of(path: &[u8]) -> Self {
        let (mut bytes, mut places) = (Vec::with_capacity(path.len()), Vec::new());
        let mut at = 0;
        let tail = loop {
            // A head has fewer bytes than 32 bits can count.
            let begin = at as u32;
            if let Some(next) = skip_separator(path, at, Slashes::Plain) {
                bytes.push(b'/');
                places.push(begin);
                at = next;
                continue;
            }
            at = skip_parameters(path, at, Slashes::Plain);
            let Some((unit, length)) = unit(path, at, Slashes::Plain) else {
                break begin;
            };
            match unit {
                Unit::Byte(b'/') => bytes.extend_from_slice(b"%2F"),
                Unit::Byte(b'%') => bytes.extend_from_slice(b"%25"),
                Unit::Byte(byte) => bytes.push(byte),
                Unit::Slash => bytes.push(b'/'),
                Unit::Semicolon => bytes.push(b';'),
            }
            places.resize(bytes.len(), begin);
            at += length;
        };
        places.push(path.len() as u32);
        Self::of_bytes(bytes, places, tail)
    }

    fn of_bytes(bytes: Vec<u8>, places: Vec<u32>, tail: u32) -> Self {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => return Self { text, places, tail },
            Err(error) => error.into_bytes(),
        };
        let (mut text, mut of_text) = (String::with_capacity(bytes.len()), Vec::new());
        let mut at = 0;
        for chunk in bytes.utf8_chunks() {
            let (valid, invalid) = (chunk.valid().len(), chunk.invalid().len());
            text.push_str(chunk.valid());
            of_text.extend_from_slice(&places[at..at + valid]);
            at += valid;
            if invalid > 0 {
                text.push(char::REPLACEMENT_CHARACTER);
                of_text.resize(text.len(), places[at]);
                at += invalid;
            }
        }
        of_text.extend(places.last());
        Self {
            text,
            places: of_text,
            tail,
        }
    }

    /// What the expression captures, if the path matches it.
    pub(crate) fn captures(&self, regex: &Regex) -> Option<Captures> {
        let found = regex.captures(&self.text)?;
        let mut groups = [None; 9];
        for (group, found) in groups.iter_mut().zip(found.iter().skip(1)) {
            *group = found.map(|it| (self.start(it.start()), self.places[it.end()]));
        }
        Some(Captures(groups))
    }

    /// Where in the path a group begins that begins there in the text.
    fn start(&self, at: usize) -> u32 {
        match at == self.text.len() {
            true => self.tail,
            false => self.places[at],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_seen_as_prefixes_see_it() {
        let table: [(&[u8], &str); 13] = [
            (b"/a/b", "/a/b"),
            (b"//a///b/", "/a/b/"),
            (b"/a%21/%7B", "/a!/{"),
            (b"/caf%C3%A9", "/caf\u{e9}"),
            (b"/caf\xc3%a9", "/caf\u{e9}"),
            (b"/a%2fb%2F", "/a%2Fb%2F"),
            (b"/a%252Fb", "/a%252Fb"),
            (b"/a;v=1/b;w=2", "/a/b"),
            (b"/;v=1/a", "/a"),
            (b"/a%3Bv", "/a;v"),
            (b"/a%0Ab", "/a\nb"),
            (b"/a\xff%FE/b", "/a\u{fffd}\u{fffd}/b"),
            (b"/a\\b%5c", "/a\\b\\"),
        ];
        for (path, text) in table {
            let subject = Subject::of(path);
            assert_eq!(subject.text, text, "{}", path.escape_ascii());
            assert_eq!(subject.places.len(), text.len() + 1);
        }
    }

    #[test]
    fn groups_are_parts_of_the_path_as_it_came() {
        type Row<'a> = (&'a str, &'a [u8], &'a [&'a [u8]]);
        let table: [Row<'_>; 9] = [
            ("^/(api|rest)/(.*)$", b"/api/x%20y/", &[b"api", b"x%20y/"]),
            ("^/(api|rest)/(.*)$", b"/rest//x%2Fy", &[b"rest", b"x%2Fy"]),
            // Parameters are captured with what follows them, or with the path's end.
            ("^/app(/.*)$", b"/app;v=1/x;w", &[b";v=1/x;w"]),
            ("^/app(.*)$", b"/app;v=1", &[b";v=1"]),
            ("^/(app)/(.*)$", b"/app;v=1/x", &[b"app", b"x"]),
            ("^(/.*)$", b"//a//b", &[b"//a//b"]),
            ("^/caf(.)(.*)$", b"/caf%C3%A9%ff", &[b"%C3%A9", b"%ff"]),
            ("^/(a)?(b)$", b"/b", &[b"", b"b"]),
            ("^/x(.*)$", b"/x%0A..", &[b"%0A.."]),
        ];
        for (regex, path, groups) in table {
            let mut builder = regex::RegexBuilder::new(regex);
            let regex = builder.dot_matches_new_line(true).build().unwrap();
            let captures = Subject::of(path).captures(&regex).unwrap();
            let found: Vec<_> = (1..=groups.len())
                .map(|it| captures.group(it, path))
                .collect();
            assert_eq!(found, groups, "{regex} of {}", path.escape_ascii());
            assert_eq!(captures.group(9, path), b"");
            assert_eq!(captures.group(0, path), b"");
        }
    }
}
