//! Paths of request targets: made unambiguous before anything is decided by them.

use std::borrow::Cow;

/// The path with dot segments resolved and needless percent-encoding removed (RFC 3986, 6.2.2), as a member would read it.
///
/// Runs of slashes, encoded slashes and segments' parameters (`;v=1`) stay. `None` for what is no absolute path, leads
/// above the root, has a broken percent-encoding, or means different things to different members: a backslash, an
/// encoded zero byte, or dot segments hidden behind encoded slashes or parameters.
pub(crate) fn normalize(path: &str) -> Option<Cow<'_, str>> {
    if !path.starts_with('/') {
        return None;
    }
    let is_plain = |pair: &[u8; 2]| !matches!(pair, [_, b'%' | b'\\'] | b"/.");
    if path.as_bytes().array_windows().all(is_plain) {
        return Some(Cow::Borrowed(path));
    }
    let resolved = resolve_dots(&decode_unreserved(path)?)?;
    let is_clear = !resolved.contains('\\') && !resolved.contains("%00") && !hides_dots(&resolved);
    is_clear.then_some(Cow::Owned(resolved))
}

/// Where the rest of `path` begins behind the prefix `prefix`, if `path` is it or lies below it.
///
/// The prefix ends at a segment boundary; runs of slashes count as one, on both sides.
pub(crate) fn strip_prefix(path: &str, prefix: &str) -> Option<usize> {
    let (path, prefix) = (path.as_bytes(), prefix.trim_end_matches('/').as_bytes());
    if prefix.is_empty() {
        return Some(0);
    }
    let mut at = 0;
    for (index, byte) in prefix.iter().enumerate() {
        if path.get(at) != Some(byte) {
            return None;
        }
        at += 1;
        if *byte == b'/' && prefix.get(index + 1) != Some(&b'/') {
            at += path[at..].iter().take_while(|&&byte| byte == b'/').count();
        }
    }
    matches!(path.get(at), None | Some(b'/')).then_some(at)
}

/// Whether a normalized `path` is `prefix` or lies below it for any member, be encoded slashes slashes to it or not, and
/// segments' parameters part of their names or not.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    let is_plain = path.bytes().all(|byte| !matches!(byte, b'%' | b';'));
    strip_prefix(path, prefix).is_some()
        || (!is_plain && strip_prefix(&without_parameters(&decode_slashes(path)), prefix).is_some())
}

/// The path with encoded slashes and backslashes as slashes.
fn decode_slashes(path: &str) -> String {
    ["%2F", "%2f", "%5C", "%5c"]
        .iter()
        .fold(path.to_owned(), |path, encoded| path.replace(encoded, "/"))
}

/// The path with its segments' parameters removed.
fn without_parameters(path: &str) -> String {
    let segments = path
        .split('/')
        .map(|segment| segment.split(';').next().unwrap_or_default());
    segments.collect::<Vec<_>>().join("/")
}

/// Whether the path has dot segments for members that take encoded slashes for slashes, or parameters out of segments.
fn hides_dots(path: &str) -> bool {
    without_parameters(&decode_slashes(path))
        .split('/')
        .any(|segment| matches!(segment, "." | ".."))
}

/// Decodes what need not be encoded: letters, digits and `-._~`.
fn decode_unreserved(path: &str) -> Option<String> {
    let mut decoded = String::with_capacity(path.len());
    let mut rest = path;
    while let Some(percent) = rest.find('%') {
        let (before, encoded) = rest.split_at(percent);
        decoded.push_str(before);
        let digits = encoded.get(1..3)?;
        let byte = u8::from_str_radix(digits, 16)
            .ok()
            .filter(|_| digits.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            decoded.push(char::from(byte));
        } else {
            decoded.push_str(&encoded[..3]);
        }
        rest = &encoded[3..];
    }
    decoded.push_str(rest);
    Some(decoded)
}

/// Resolves `.` and `..` segments (RFC 3986, 5.2.4); `None` where `..` leads above the root.
fn resolve_dots(path: &str) -> Option<String> {
    let mut segments = Vec::new();
    let mut ends_in_directory = false;
    for segment in path.split('/').skip(1) {
        ends_in_directory = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => {
                segments.pop()?;
            }
            segment => segments.push(segment),
        }
    }
    if ends_in_directory {
        segments.push("");
    }
    Some(format!("/{}", segments.join("/")))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
            ("/a\\b", None),
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
            assert_eq!(normalize(path).as_deref(), normalized, "{path}");
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
            assert_eq!(strip_prefix(path, prefix), rest, "{path} below {prefix}");
        }
    }

    #[test]
    fn neither_encoded_slashes_nor_parameters_hide_what_is_below() {
        for path in [
            "/app%2fprivate/x",
            "/app%5Cprivate",
            "/app;v=1/private;v=2/x",
            "/;/app/private",
        ] {
            assert!(is_below(path, "/app/private"), "{path}");
        }
        for path in ["/app%2Fpublic", "/app/private%20", "/app/privates;v=1"] {
            assert!(!is_below(path, "/app/private"), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normalized_path_stays_as_it_is(path in "/[a./%2eE]{0,20}") {
            if let Some(once) = normalize(&path) {
                let twice = normalize(&once);
                prop_assert_eq!(twice.as_deref(), Some(&*once));
                prop_assert!(!once.split('/').any(|segment| matches!(segment, "." | "..")));
            }
        }
    }
}
