//! Paths of request targets: made unambiguous before anything is decided by them.
//!
//! They are bytes: what a URL should have percent-encoded, such as `{` or bytes beyond ASCII, passes as it came, and stands for the
//! same as its encoded form where paths are compared.

mod subject;

use std::borrow::Cow;

pub(crate) use subject::{Captures, Subject};

/// The path with dot segments resolved and needless percent-encoding removed (RFC 3986, 6.2.2), as a member would read it.
///
/// Runs of slashes, encoded slashes, backslashes and segments' parameters (`;v=1`) stay. `None` for what is no absolute path, leads
/// above the root, has a broken percent-encoding, or means different things to different members: an encoded zero byte, dot
/// segments hidden behind encoded slashes, backslashes or parameters, or a backslash among the slashes at its beginning, behind
/// which some see a host.
pub fn normalize(path: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !path.starts_with(b"/") {
        return None;
    }
    // Without a branch for each byte: several are looked at together.
    let is_odd = |is_odd, byte: &u8| is_odd | matches!(byte, b'%' | b'\\' | b'.');
    let is_plain = |pair: &[u8; 2]| !matches!(pair, [_, b'%' | b'\\'] | b"/.");
    if !path.iter().fold(false, is_odd) || path.array_windows().all(is_plain) {
        return Some(Cow::Borrowed(path));
    }
    let resolved = resolve_dots(&decode_unreserved(path)?)?;
    let has_zero = resolved.array_windows().any(|it| it == b"%00");
    match has_zero || hides_host(&resolved) || hides_dots(&resolved) {
        true => None,
        false if resolved == path => Some(Cow::Borrowed(path)),
        false => Some(Cow::Owned(resolved)),
    }
}

/// Where the rest of `path` begins behind the prefix `prefix`, if `path` is it or lies below it.
///
/// The prefix ends at a segment boundary, where the rest begins: with a slash, or with the parameters of the prefix's last segment.
/// Runs of slashes count as one, parameters of segments do not count, and a byte is the same percent-encoded or not; but an
/// encoded slash is none.
pub fn strip_prefix(path: &[u8], prefix: &str) -> Option<usize> {
    let literal = prefix.trim_end_matches('/').as_bytes();
    match path.strip_prefix(literal) {
        Some([] | [b'/' | b';', ..]) => Some(literal.len()),
        _ if are_other(path, literal) => None,
        _ => strip(path, literal, Slashes::Plain),
    }
}

/// Whether no reading of a path makes this prefix of it: the first byte that is another stands for itself in both, and nothing before
/// it could be read in two ways.
#[inline]
fn are_other(path: &[u8], prefix: &[u8]) -> bool {
    for (one, other) in path.iter().zip(prefix) {
        match (one, other) {
            (b'%' | b';', _) => return false,
            (one, other) if one == other => {}
            (one, other) => return one.is_ascii_alphanumeric() && other.is_ascii_alphanumeric(),
        }
    }
    false
}

/// Whether a normalized `path` is `prefix` or lies below it for any member: whether encoded slashes and backslashes are slashes to it
/// or not.
pub fn is_below(path: &[u8], prefix: &str) -> bool {
    let is_plain = !path.iter().any(|byte| matches!(byte, b'%' | b'\\'));
    let literal = prefix.trim_end_matches('/').as_bytes();
    strip_prefix(path, prefix).is_some()
        || (!is_plain && strip(path, literal, Slashes::Any).is_some())
}

/// What counts as a slash.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Slashes {
    /// A slash.
    Plain,
    /// What any server takes for one: `%2F`, `\` and `%5C`, too.
    Any,
}

/// What stands at one place of a path.
#[derive(PartialEq, Eq)]
enum Unit {
    Slash,
    /// Parameters of a segment begin.
    Semicolon,
    /// A byte, encoded or not.
    Byte(u8),
}

/// What stands at `at`, and how many bytes it takes; `None` at the end.
fn unit(path: &[u8], at: usize, slashes: Slashes) -> Option<(Unit, usize)> {
    let (byte, length) = match path.get(at..)? {
        [] => return None,
        [b'/', ..] => return Some((Unit::Slash, 1)),
        [b';', ..] => return Some((Unit::Semicolon, 1)),
        [b'%', rest @ ..] => decoded(rest).map_or((b'%', 1), |byte| (byte, 3)),
        [byte, ..] => (*byte, 1),
    };
    let is_slash = slashes == Slashes::Any && matches!(byte, b'/' | b'\\');
    let unit = if is_slash {
        Unit::Slash
    } else {
        Unit::Byte(byte)
    };
    Some((unit, length))
}

/// The byte that two hexadecimal digits at the start of `rest` stand for.
fn decoded(rest: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*rest.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}

/// [`strip_prefix`], unit by unit. `prefix` has no slash at its end.
fn strip(path: &[u8], prefix: &[u8], slashes: Slashes) -> Option<usize> {
    let (mut at, mut in_prefix) = (0, 0);
    while let Some((wanted, length)) = unit(prefix, in_prefix, Slashes::Plain) {
        in_prefix += length;
        if wanted == Unit::Slash {
            let rest = &prefix[in_prefix..];
            in_prefix += rest.iter().take_while(|&&byte| byte == b'/').count();
            at = skip_separator(path, at, slashes)?;
        } else {
            let (found, length) = unit(path, at, slashes)?;
            if found != wanted {
                return None;
            }
            at += length;
        }
    }
    let next = unit(path, at, slashes).map(|(unit, _)| unit);
    matches!(next, None | Some(Unit::Slash | Unit::Semicolon)).then_some(at)
}

/// Where the next segment begins: behind the parameters of the one before, and a run of slashes with nothing but parameters
/// between them. `None` if no segment begins there.
fn skip_separator(path: &[u8], at: usize, slashes: Slashes) -> Option<usize> {
    let mut at = skip_parameters(path, at, slashes);
    let mut next = None;
    while let Some((Unit::Slash, length)) = unit(path, at, slashes) {
        at += length;
        next = Some(at);
        at = skip_parameters(path, at, slashes);
    }
    next
}

/// Where the parameters of a segment end, if they begin there.
fn skip_parameters(path: &[u8], mut at: usize, slashes: Slashes) -> usize {
    if path.get(at) != Some(&b';') {
        return at;
    }
    while let Some((Unit::Semicolon | Unit::Byte(_), length)) = unit(path, at, slashes) {
        at += length;
    }
    at
}

/// Whether the path begins with a host for those who take backslashes for slashes, as in `//host/path`.
fn hides_host(path: &[u8]) -> bool {
    let mut slashes = path.iter().take_while(|byte| matches!(byte, b'/' | b'\\'));
    slashes.any(|&byte| byte == b'\\')
}

/// Whether the path has dot segments for members that take encoded slashes or backslashes for slashes, or parameters out of segments.
fn hides_dots(path: &[u8]) -> bool {
    let mut plain = Vec::with_capacity(path.len());
    let mut at = 0;
    while let Some((unit, length)) = unit(path, at, Slashes::Any) {
        match unit {
            Unit::Slash => plain.push(b'/'),
            Unit::Semicolon | Unit::Byte(_) => plain.extend_from_slice(&path[at..at + length]),
        }
        at += length;
    }
    let segments = plain.split(|&byte| byte == b'/');
    let mut names = segments.map(|it| it.split(|&byte| byte == b';').next());
    names.any(|name| matches!(name, Some(b"." | b"..")))
}

/// Decodes what need not be encoded: letters, digits and `-._~`. `None` where a percent sign stands without its two digits.
fn decode_unreserved(path: &[u8]) -> Option<Vec<u8>> {
    let mut plain = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some(percent) = rest.iter().position(|&byte| byte == b'%') {
        let (before, encoded) = rest.split_at(percent);
        plain.extend_from_slice(before);
        let byte = decoded(&encoded[1..])?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            plain.push(byte);
        } else {
            plain.extend_from_slice(&encoded[..3]);
        }
        rest = &encoded[3..];
    }
    plain.extend_from_slice(rest);
    Some(plain)
}

/// Resolves `.` and `..` segments (RFC 3986, 5.2.4); `None` where `..` leads above the root.
fn resolve_dots(path: &[u8]) -> Option<Vec<u8>> {
    let mut segments: Vec<&[u8]> = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.split(|&byte| byte == b'/').skip(1) {
        ends_in_directory = matches!(segment, b"." | b"..");
        match segment {
            b"." => {}
            b".." => {
                segments.pop()?;
            }
            segment => segments.push(segment),
        }
    }
    if ends_in_directory {
        segments.push(b"");
    }
    let mut resolved = vec![b'/'];
    resolved.extend(segments.join(&b'/'));
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::select;

    use super::*;

    fn text(path: &[u8]) -> String {
        path.escape_ascii().to_string()
    }

    #[test]
    fn dots_and_needless_encoding_are_resolved() {
        let table = [
            ("/", Some("/")),
            ("/a/b", Some("/a/b")),
            ("/a//b", Some("/a//b")),
            ("/a/./b", Some("/a/b")),
            ("/a/../b", Some("/b")),
            ("/a/..", Some("/")),
            ("/a/b/.", Some("/a/b/")),
            ("/.", Some("/")),
            ("/a/%2e%2E/b", Some("/b")),
            ("/%61/%7Eb", Some("/a/~b")),
            ("/a%2Fb%20c", Some("/a%2Fb%20c")),
            ("/.hidden/..x", Some("/.hidden/..x")),
            ("/..", None),
            ("/a/../../b", None),
            ("/%", None),
            ("/%2", None),
            ("/%+1", None),
            ("/%zz", None),
            ("/%2\u{e9}", None),
            ("/a%00", None),
            ("/..;/a", None),
            ("/a/..;v=1/b", None),
            ("/a/..%2fb", None),
            ("/a%5c%2e%2e%5Cb", None),
            ("/a;v=1/b%5Cc", Some("/a;v=1/b%5Cc")),
            ("*", None),
            ("", None),
        ];
        for (path, normalized) in table {
            let found = normalize(path.as_bytes());
            assert_eq!(found.as_deref(), normalized.map(str::as_bytes), "{path}");
        }
    }

    #[test]
    fn what_should_be_encoded_passes_as_it_came() {
        for path in [
            &b"/\"<>{}|^`"[..],
            b"/a\\b",
            b"/a\\",
            b"/a/\\\\b",
            b"/a\\b%5Cc/%7B",
            b"/caf\xc3\xa9",
            b"/\x80\xff/x",
            b"/a\\.b/.x\\x.",
        ] {
            assert_eq!(normalize(path), Some(Cow::Borrowed(path)), "{}", text(path));
        }
    }

    #[test]
    fn a_backslash_hides_neither_dot_segments_nor_a_host() {
        for path in [
            "/..\\a",
            "/a\\..",
            "/a\\..\\b",
            "/a/.\\b",
            "/a\\%2e%2e/b",
            "/a\\..%2Fb",
            "/a\\..;v=1/b",
            "/\\.",
            "/\\",
            "/\\a",
            "//\\a",
            "/x/../\\a",
        ] {
            assert_eq!(normalize(path.as_bytes()), None, "{path}");
        }
    }

    #[test]
    fn prefixes_match_at_segment_boundaries_and_runs_of_slashes_are_one() {
        let table = [
            ("/", "/", Some(0)),
            ("/a", "/", Some(0)),
            ("/app", "/app", Some(4)),
            ("/app/x", "/app", Some(4)),
            ("/app//x", "/app", Some(4)),
            ("//app/x", "/app", Some(5)),
            ("/a///b/x", "/a/b", Some(6)),
            ("/apple", "/app", None),
            ("/ap", "/app", None),
            ("/App", "/app", None),
        ];
        for (path, prefix, rest) in table {
            let found = strip_prefix(path.as_bytes(), prefix);
            assert_eq!(found, rest, "{path} below {prefix}");
        }
    }

    /// The parameters of the prefix's last segment are the rest's, so that they are passed on.
    #[test]
    fn parameters_of_segments_are_no_part_of_their_names() {
        let table = [
            ("/app;v=1", "/app", Some(4)),
            ("/app;", "/app", Some(4)),
            ("/app;v=1/x", "/app", Some(4)),
            ("/a;v=1/b;w=2/x", "/a/b", Some(8)),
            ("/;v=1/app/x", "/app", Some(9)),
            ("/a;v=1//;w/;/b", "/a/b", Some(14)),
            ("/;v=1", "/", Some(0)),
            ("/apple;v=1", "/app", None),
            ("/app%3Bv=1", "/app", None),
            ("/ap;p", "/app", None),
            // Of a prefix that has parameters, they count.
            ("/app;v=1/x", "/app;v=1", Some(8)),
            ("/app;v=2/x", "/app;v=1", None),
            ("/app/x", "/app;v=1", None),
        ];
        for (path, prefix, rest) in table {
            let found = strip_prefix(path.as_bytes(), prefix);
            assert_eq!(found, rest, "{path} below {prefix}");
            assert_eq!(is_below(path.as_bytes(), prefix), rest.is_some(), "{path}");
        }
    }

    #[test]
    fn a_byte_is_the_same_encoded_or_not() {
        let table = [
            (&b"/caf\xc3\xa9/x"[..], "/caf%C3%A9", Some(6)),
            (b"/caf%c3%a9", "/caf%C3%A9", Some(10)),
            (b"/a{b}", "/a%7Bb%7d", Some(5)),
            (b"/a%21", "/a!", Some(5)),
            (b"/a!", "/a%21", Some(3)),
            (b"/a%2fb", "/a%2Fb", Some(6)),
            (b"/a/b", "/a%2Fb", None),
            (b"/a%2Fb", "/a/b", None),
            (b"/a%2F", "/a", None),
            (b"/a\\b", "/a", None),
        ];
        for (path, prefix, rest) in table {
            assert_eq!(strip_prefix(path, prefix), rest, "{}", text(path));
        }
    }

    #[test]
    fn neither_encoded_slashes_nor_backslashes_nor_parameters_hide_what_is_below() {
        for path in [
            &b"/app%2fprivate/x"[..],
            b"/app%5Cprivate",
            b"/app\\private",
            b"\\app/private",
            b"/app/\\;v/private\\x",
            b"/app;v=1/private;v=2/x",
            b"/app;v=1%2Fprivate",
            b"/;/app/private",
            b"/app/%70rivate",
            b"/app/private%2F",
            b"/app/private\\",
        ] {
            assert!(is_below(path, "/app/private"), "{}", text(path));
        }
        for path in [
            &b"/app%2Fpublic"[..],
            b"/app/private%20",
            b"/app/privates;v=1",
            b"/app\\\\privat\\e",
        ] {
            assert!(!is_below(path, "/app/private"), "{}", text(path));
        }
    }

    /// Pieces of paths with everything that means something in them.
    fn any_path() -> impl Strategy<Value = Vec<u8>> {
        let pieces: &[&[u8]] = &[
            b"/",
            b"a",
            b".",
            b"..",
            b"%",
            b"%2e",
            b"%2F",
            b"%5c",
            b"\\",
            b";",
            b"%3b",
            b"%41",
            b"{",
            b"\xc3\xa9",
            b"\xff",
            b"%c3",
            b"%00",
        ];
        vec(select(pieces), 0..12).prop_map(|pieces| [b"/", &*pieces.concat()].concat())
    }

    /// The segment as clients may write it.
    fn written(segment: &str, how: u8) -> Vec<u8> {
        let encode = |byte: u8| match how & 1 {
            0 => vec![byte],
            _ => format!("%{byte:02x}").into_bytes(),
        };
        let mut text: Vec<_> = segment.bytes().flat_map(encode).collect();
        if how & 2 != 0 {
            text.extend(b";v=1");
        }
        text
    }

    proptest! {
        #[test]
        fn a_normalized_path_stays_as_it_is_and_leads_nowhere_else(path in any_path()) {
            if let Some(once) = normalize(&path) {
                let twice = normalize(&once);
                prop_assert_eq!(twice.as_deref(), Some(&*once));
                prop_assert!(!hides_dots(&once));
            }
        }

        #[test]
        fn bytes_beyond_ascii_are_never_changed(path in any_path()) {
            if let Some(normalized) = normalize(&path) {
                let beyond = |bytes: &[u8]| bytes.iter().filter(|it| !it.is_ascii()).count();
                let is_shortened = path.windows(3).any(|it| it == b"%2e" || it.ends_with(b".."));
                prop_assert!(is_shortened || beyond(&normalized) == beyond(&path));
            }
        }

        /// However it is written: with parameters, encoded, with runs of slashes.
        #[test]
        fn a_path_is_below_the_segments_that_it_begins_with(
            segments in vec(("[a-c]{1,3}", 0..4_u8, 1..3_usize), 1..5),
            length in 1..5_usize,
        ) {
            let length = length.min(segments.len());
            let names = segments[..length].iter().map(|(name, ..)| format!("/{name}"));
            let prefix: String = names.collect();
            let path: Vec<u8> = segments
                .iter()
                .flat_map(|(name, how, slashes)| [vec![b'/'; *slashes], written(name, *how)].concat())
                .collect();
            let rest = strip_prefix(&path, &prefix);
            let boundary = rest.and_then(|rest| path.get(rest));
            prop_assert!(rest.is_some(), "{} below {}", text(&path), prefix);
            prop_assert!(matches!(boundary, None | Some(b'/' | b';')));
            let hidden: Vec<u8> = path.iter().map(|&it| if it == b'/' { b'\\' } else { it }).collect();
            prop_assert!(is_below(&path, &prefix) && is_below(&hidden, &prefix));
            let longer = format!("{prefix}x");
            prop_assert!(!is_below(&path, &longer));
        }

        /// What is ruled out at once would be by each unit, too.
        #[test]
        fn a_path_that_is_another_has_not_the_prefix(
            path in "[/ab;]{0,3}(%2[fF]|%61|/)?[/abcA;%]{0,6}",
            prefix in "(/[abcA]{0,2}(%2F|%41)?;?/?){0,3}",
        ) {
            let literal = prefix.trim_end_matches('/').as_bytes();
            if are_other(path.as_bytes(), literal) {
                prop_assert_eq!(strip(path.as_bytes(), literal, Slashes::Plain), None);
            }
        }

        #[test]
        fn whatever_has_a_prefix_is_below_it(path in any_path(), prefix in any_path()) {
            let prefix = String::from_utf8_lossy(&prefix).into_owned();
            if let Some(rest) = strip_prefix(&path, &prefix) {
                prop_assert!(rest <= path.len() && is_below(&path, &prefix));
            }
        }
    }
}
