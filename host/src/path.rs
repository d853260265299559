//! Paths of request targets: made unambiguous before anything is decided by them.

use std::borrow::Cow;

/// The path with dot segments resolved and needless percent-encoding removed (RFC 3986, 6.2.2), as a member would read it.
///
/// Runs of slashes and encoded slashes stay. `None` for what is no absolute path, leads above the root or has a broken
/// percent-encoding.
pub(crate) fn normalize(path: &str) -> Option<Cow<'_, str>> {
    if !path.starts_with('/') {
        return None;
    }
    let is_plain = path
        .as_bytes()
        .array_windows()
        .all(|pair| pair[1] != b'%' && pair != b"/.");
    if is_plain {
        return Some(Cow::Borrowed(path));
    }
    resolve_dots(&decode_unreserved(path)?).map(Cow::Owned)
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

/// Whether `path` is `prefix` or lies below it, encoded slashes being slashes.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    if strip_prefix(path, prefix).is_some() {
        return true;
    }
    let has_encoded_slash = path.contains("%2F") || path.contains("%2f");
    has_encoded_slash
        && normalize(&path.replace("%2F", "/").replace("%2f", "/"))
            .is_none_or(|path| strip_prefix(&path, prefix).is_some())
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
    fn an_encoded_slash_hides_nothing() {
        assert!(is_below("/app%2fprivate/x", "/app/private"));
        assert!(is_below("/app%2F..%2fprivate", "/private"));
        assert!(!is_below("/app%2Fpublic", "/app/private"));
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
