//! Paths as our configuration has them.

/// A path in our form: without a slash at its end, and without doubled ones. `None`: our configuration cannot have it.
pub(crate) fn normal(path: &str) -> Option<String> {
    let is_legal = |part: char| part.is_ascii_graphic() && !"\"<>\\^`{|}?#".contains(part);
    if !path.starts_with('/') || !path.chars().all(is_legal) {
        return None;
    }
    let segments: Vec<_> = path.split('/').filter(|it| !it.is_empty()).collect();
    let is_dots = |segment: &&str| matches!(*segment, "." | "..");
    (!segments.iter().any(is_dots)).then(|| format!("/{}", segments.join("/")))
}

/// A path that is compared with decoded ones, such as that of a `<Location>`, in our form: percent-encoded where it has to be.
pub(crate) fn of_decoded(path: &str) -> Option<String> {
    let mut encoded = String::new();
    for byte in path.bytes() {
        match byte {
            b'%' | b'?' | b'#' | b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                encoded += &format!("%{byte:02X}");
            }
            plain if plain.is_ascii_graphic() => encoded.push(char::from(plain)),
            other => encoded += &format!("%{other:02X}"),
        }
    }
    normal(&encoded)
}

/// Whether a path lies at or below another, both in our form.
pub(crate) fn is_within(path: &str, prefix: &str) -> bool {
    let rest = path.strip_prefix(prefix.trim_end_matches('/'));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path with what another has beyond a prefix of it behind it, all in our form.
pub(crate) fn moved(path: &str, prefix: &str, to: &str) -> String {
    let rest = path
        .strip_prefix(prefix.trim_end_matches('/'))
        .unwrap_or_default();
    let moved = format!("{}{rest}", to.trim_end_matches('/'));
    match moved.trim_end_matches('/') {
        "" => "/".to_owned(),
        moved => moved.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_brought_into_our_form() {
        for (path, expected) in [
            ("/", Some("/")),
            ("/a//b/", Some("/a/b")),
            ("a", None),
            ("/a b", None),
            ("/../a", None),
            ("/a%20b", Some("/a%20b")),
        ] {
            assert_eq!(normal(path).as_deref(), expected, "{path}");
        }
        assert_eq!(of_decoded("/a b/ä%").as_deref(), Some("/a%20b/%C3%A4%25"));
        assert!(is_within("/a/b", "/a") && is_within("/a", "/a") && is_within("/a", "/"));
        assert!(!is_within("/ab", "/a"));
        assert_eq!(moved("/a/b", "/a", "/"), "/b");
        assert_eq!(moved("/a", "/a", "/x"), "/x");
        assert_eq!(moved("/b", "/", "/x"), "/x/b");
        assert_eq!(moved("/", "/", "/x"), "/x");
        assert_eq!(moved("/a", "/a", "/"), "/");
    }
}
