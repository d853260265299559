//! Which route a request takes.

use http::header::HOST;
use http::request::Parts;

use crate::config::{HostPattern, Route};
use crate::path;

/// The first route for this host (as in `Host`, port and all) and this normalized path, with its number among all and where
/// the path goes on behind the route's prefix.
pub(crate) fn find<'routes>(
    routes: &'routes [Route],
    host: &str,
    path: &str,
) -> Option<(usize, &'routes Route, usize)> {
    routes.iter().enumerate().find_map(|(number, route)| {
        if !is_for_host(&route.host, host) {
            return None;
        }
        let rest = path::strip_prefix(path, &route.path)?;
        let is_excluded = route
            .exclude
            .iter()
            .any(|excluded| path::is_below(path, excluded));
        (!is_excluded).then_some((number, route, rest))
    })
}

/// The host a request is for, port and all; empty if it names none. `None` if target and `Host` name two.
pub(crate) fn host(parts: &Parts) -> Option<&str> {
    let host = parts
        .headers
        .get(HOST)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let is_named_twice = parts
        .uri
        .authority()
        .is_some_and(|authority| !authority.as_str().eq_ignore_ascii_case(host));
    (!is_named_twice).then_some(host)
}

/// `Host` without its port.
pub(crate) fn without_port(host: &str) -> &str {
    match host.rfind([':', ']']) {
        Some(colon) if host.as_bytes()[colon] == b':' => &host[..colon],
        _ => host,
    }
}

fn is_for_host(pattern: &HostPattern, host: &str) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(name) => bare_name(host).eq_ignore_ascii_case(name),
        HostPattern::Below(suffix) => {
            let host = bare_name(host);
            host.len() > suffix.len()
                && host
                    .get(host.len() - suffix.len()..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        }
    }
}

/// The host without port and without the dot that may end a name.
fn bare_name(host: &str) -> &str {
    let host = without_port(host);
    host.strip_suffix('.').unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_whatever_their_case_port_or_final_dot() {
        let exact = HostPattern::Exact("shop.example.com".into());
        let below = HostPattern::Below(".example.com".into());
        let table = [
            (&exact, "shop.example.com", true),
            (&exact, "SHOP.example.com:8080", true),
            (&exact, "shop.example.com.", true),
            (&exact, "example.com", false),
            (&below, "a.b.example.com:1", true),
            (&below, "example.com", false),
            (&below, ".example.com", false),
            (&below, "badexample.com", false),
            (&HostPattern::Any, "", true),
        ];
        for (pattern, host, matches) in table {
            assert_eq!(
                is_for_host(pattern, host),
                matches,
                "{pattern:?} for {host}"
            );
        }
        assert_eq!(without_port("[::1]:80"), "[::1]");
        assert_eq!(without_port("[::1]"), "[::1]");
    }
}
