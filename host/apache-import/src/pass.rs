//! `ProxyPass` and `ProxyPassMatch`.

use super::directive::Directive;
use super::parameters::Parameters;

/// Which requests go to which URL.
#[derive(Debug, Clone)]
pub(crate) struct Pass<'d> {
    /// The beginning of paths, or a regular expression.
    pub(crate) from: String,
    pub(crate) is_expression: bool,
    /// None: `!`, to no one.
    pub(crate) url: Option<String>,
    pub(crate) parameters: Parameters<'d>,
    pub(crate) by: &'d Directive,
}

/// Reads one; `path`: that of the `<Location>` around it, or the expression of the `<LocationMatch>`.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn read<'d>(
    directive: &'d Directive,
    path: Option<(&str, bool)>,
) -> Result<Pass<'d>, String> {
    let words = &directive.words;
    let is_match = directive.key == "proxypassmatch";
    // Within a section the path is left out, but it may stand there all the same in ProxyPassMatch.
    let has_own = path.is_none() || (is_match && is_from(words));
    let (from, rest) = match (has_own, words.split_first(), path) {
        (true, Some((from, rest)), _) => (from.clone(), rest),
        (false, Some(_), Some((path, _))) => (path.to_owned(), &words[..]),
        _ => return Err("names no URL".to_owned()),
    };
    let is_expression = match path {
        Some((_, is_expression)) if !has_own => is_expression,
        _ => is_match,
    };
    if is_expression && !is_match {
        return Err("stands in a <LocationMatch>: write ProxyPassMatch".to_owned());
    }
    let (url, rest) = rest.split_first().ok_or("names no URL")?;
    let (parameters, _flags) = Parameters::of(rest, directive);
    Ok(Pass {
        from,
        is_expression,
        url: (url != "!").then(|| url.clone()),
        parameters,
        by: directive,
    })
}

/// Whether the second word is the URL, so that the first says for what.
fn is_from(words: &[String]) -> bool {
    words
        .get(1)
        .is_some_and(|word| word.contains("://") || word == "!")
}

/// A URL in two parts: up to where its path begins (`balancer://shop`, `unix:/a|http://b`), and the path.
pub(crate) fn split(url: &str) -> (&str, &str) {
    let start = url.rfind("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    url.split_at(end)
}

/// The name of the balancer that a URL stands for, in lower case.
pub(crate) fn balancer(url: &str) -> Option<String> {
    let scheme = url.get(..11)?;
    if !scheme.eq_ignore_ascii_case("balancer://") {
        return None;
    }
    let (origin, _) = split(url);
    Some(origin[11..].to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_split_where_their_path_begins() {
        for (url, expected) in [
            ("balancer://shop/a/b", ("balancer://shop", "/a/b")),
            ("balancer://shop", ("balancer://shop", "")),
            ("http://m:80/", ("http://m:80", "/")),
            (
                "unix:/run/a.sock|http://m/b",
                ("unix:/run/a.sock|http://m", "/b"),
            ),
        ] {
            assert_eq!(split(url), expected);
        }
        assert_eq!(balancer("Balancer://Shop/x").as_deref(), Some("shop"));
        assert_eq!(balancer("http://a"), None);
    }
}
