//! Which route a request takes.

use std::net::SocketAddr;

use crate::path::{self, Captures, Subject};
use equipoise_config::{HostPattern, PathPattern, Route};
use equipoise_http::host;

/// A route that takes a request.
#[derive(Debug)]
pub(crate) struct Found<'routes> {
    /// Its number among all.
    pub(crate) number: usize,
    pub(crate) route: &'routes Route,
    /// Where the path goes on behind the route's prefix.
    pub(crate) rest: usize,
    /// What its pattern has captured of the path; none without a pattern.
    pub(crate) captures: Option<Box<Captures>>,
}

/// The first route for this listener, this host (as in `Host`, port and all) and this normalized path.
pub(crate) fn find<'routes>(
    routes: &'routes [Route],
    listener: SocketAddr,
    host: &[u8],
    path: &[u8],
) -> Option<Found<'routes>> {
    let mut subject = None;
    routes.iter().enumerate().find_map(|(number, route)| {
        if !is_for(route, listener, host) {
            return None;
        }
        let rest = path::strip_prefix(path, &route.path)?;
        let captures = match &route.pattern {
            None => None,
            Some(pattern) => Some(captures(pattern, path, &mut subject)?),
        };
        let is_excluded = route
            .exclude
            .iter()
            .any(|excluded| path::is_below(path, excluded));
        (!is_excluded).then_some(Found {
            number,
            route,
            rest,
            captures,
        })
    })
}

/// What a pattern captures of a path, if the path matches it.
#[cold]
fn captures(
    pattern: &PathPattern,
    path: &[u8],
    subject: &mut Option<Subject>,
) -> Option<Box<Captures>> {
    let subject = subject.get_or_insert_with(|| Subject::of(path));
    subject.captures(pattern.regex.regex()).map(Box::new)
}

/// The first route for this listener and this host that takes what asks about the server as a whole (`OPTIONS *`).
pub(crate) fn find_for_server<'routes>(
    routes: &'routes [Route],
    listener: SocketAddr,
    host: &[u8],
) -> Option<Found<'routes>> {
    let takes = |route: &Route| route.options_asterisk && is_for(route, listener, host);
    let found = routes.iter().enumerate().find(|(_, route)| takes(route));
    found.map(|(number, route)| Found {
        number,
        route,
        rest: 0,
        captures: None,
    })
}

#[inline]
fn is_for(route: &Route, listener: SocketAddr, host: &[u8]) -> bool {
    (route.listeners.is_empty() || route.listeners.contains(&listener))
        && (route.hosts.is_empty() || route.hosts.iter().any(|it| is_for_host(it, host)))
}

fn is_for_host(pattern: &HostPattern, host: &[u8]) -> bool {
    match pattern {
        HostPattern::Exact(name) => bare_name(host).eq_ignore_ascii_case(name.as_bytes()),
        HostPattern::Below(suffix) => {
            let host = bare_name(host);
            let end = host.len().checked_sub(suffix.len()).filter(|&it| it > 0);
            end.is_some_and(|end| host[end..].eq_ignore_ascii_case(suffix.as_bytes()))
        }
    }
}

/// The host without port and without the dot that may end a name.
fn bare_name(host: &[u8]) -> &[u8] {
    let name = &host[..host::port_at(host)];
    name.strip_suffix(b".").unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use equipoise_config::Config;

    /// Which of the routes, each some lines of configuration, takes the path, and what of it is behind the prefix.
    fn found<'path>(
        routes: &[&str],
        host: &str,
        path: &'path [u8],
    ) -> Option<(usize, &'path [u8])> {
        let routes = routes
            .iter()
            .map(|lines| format!("[[route]]\nbalancer = \"b\"\n{lines}\n"));
        let text = format!(
            "[[listen]]\naddress = \"127.0.0.1:0\"\n{}[[balancer.b.member]]\nurl = \"http://m\"\n",
            routes.collect::<String>()
        );
        let config =
            Config::parse(&text, Path::new("test.toml")).unwrap_or_else(|it| panic!("{it}"));
        let listener = config.listeners[0].address;
        let found = find(&config.routes, listener, host.as_bytes(), path)?;
        Some((found.number, &path[found.rest..]))
    }

    #[test]
    fn parameters_and_encoding_lead_to_no_other_route() {
        let routes = [
            "path = \"/app\"\nexclude = [\"/app/private\"]",
            "path = \"/caf%C3%A9\"",
            "path = \"/\"\nhost = \"shop.test\"",
            "path = \"/\"",
        ];
        let table = [
            (&b"/app;jsessionid=1.r1"[..], 0, &b";jsessionid=1.r1"[..]),
            (b"/app;v=1/x", 0, b";v=1/x"),
            (b"/app/privat;e", 0, b"/privat;e"),
            (b"/app;v=1/private", 3, b"/app;v=1/private"),
            (b"/app/private;v=1/x", 3, b"/app/private;v=1/x"),
            (b"/app\\private", 3, b"/app\\private"),
            (b"/app%5Cprivate", 3, b"/app%5Cprivate"),
            (b"/app\\x", 3, b"/app\\x"),
            (b"/caf\xc3\xa9;v=1", 1, b";v=1"),
            (b"/apple;v=1", 3, b"/apple;v=1"),
        ];
        for (path, number, rest) in table {
            let path = path.to_vec();
            let shown = path.escape_ascii();
            assert_eq!(
                found(&routes, "any.test", &path),
                Some((number, rest)),
                "{shown}"
            );
            let number = number.min(2);
            assert_eq!(
                found(&routes, "shop.test:80", &path),
                Some((number, rest)),
                "{shown}"
            );
        }
    }

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
        ];
        for (pattern, host, matches) in table {
            assert_eq!(
                is_for_host(pattern, host.as_bytes()),
                matches,
                "{pattern:?} for {host}"
            );
        }
    }
}
