//! The target of a request: its path and its query.

use equipoise_http::Head;
use equipoise_http::head::Target;

/// The path and, behind its question mark, the query. An URL without a path has `/`.
pub(crate) fn split(request: &Head) -> (&[u8], Option<&[u8]>) {
    match request.form() {
        Target::Absolute { path, .. } => of_url(path),
        _ => request.target_and_query(),
    }
}

/// The same of what is behind the authority in an URL.
#[cold]
fn of_url(target: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (path, query) = match memchr::memchr(b'?', target) {
        None => (target, None),
        Some(at) => (&target[..at], Some(&target[at + 1..])),
    };
    match path {
        [] => (b"/", query),
        path => (path, query),
    }
}

#[cfg(test)]
mod tests {
    use equipoise_http::Version;

    use super::*;

    #[test]
    fn a_target_has_a_path_and_perhaps_a_query() {
        for (target, path, query) in [
            ("/", "/", None),
            ("/a?b?c", "/a", Some("b?c")),
            ("/a?", "/a", Some("")),
            ("http://h", "/", None),
            ("http://h?a", "/", Some("a")),
            ("https://h/a?b", "/a", Some("b")),
            ("*", "*", None),
        ] {
            let mut head = Head::new();
            head.begin_request(b"GET", target.as_bytes(), Version::Http11)
                .unwrap();
            let expected = (path.as_bytes(), query.map(str::as_bytes));
            assert_eq!(split(&head), expected, "{target}");
        }
    }
}
