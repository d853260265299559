//! Members' answers speak of members; clients must hear of us. What ProxyPassReverse, ProxyPassReverseCookieDomain and
//! ProxyPassReverseCookiePath do.

use std::borrow::Cow;

use http::header::{CONTENT_LOCATION, HeaderName, LOCATION, SET_COOKIE};
use http::{HeaderMap, HeaderValue, Uri};

use crate::config::{self, Route};
use crate::path;
use crate::proxy::headers::Survey;
use crate::router;
use crate::server::Client;
use crate::snapshot::Cluster;

const URI: HeaderName = HeaderName::from_static("uri");

/// How an answer of one member is rewritten for one client.
pub(crate) struct Rewrite<'request> {
    pub(crate) client: &'request Client,
    pub(crate) route: &'request Route,
    pub(crate) cluster: &'request Cluster,
    /// The member the answer comes from.
    pub(crate) member: &'request config::Member,
    /// `Host` of the request.
    pub(crate) host: &'request str,
}

impl Rewrite<'_> {
    /// Rewrites all fields that name a place or a cookie's scope.
    pub(crate) fn apply(&self, headers: &mut HeaderMap, survey: &Survey) {
        if survey.has_place && self.route.rewrite_location {
            for name in [LOCATION, CONTENT_LOCATION, URI] {
                let rewritten = headers.get(&name).and_then(|value| self.location(value));
                if let Some(value) = rewritten {
                    headers.insert(name, value);
                }
            }
        }
        if survey.has_cookie {
            self.cookies(headers);
        }
    }

    /// A place of any member of the balancer, as the client knows it; `None` where it stays as it is.
    fn location(&self, value: &HeaderValue) -> Option<HeaderValue> {
        let location = value.to_str().ok()?;
        if location.starts_with('/') && !location.starts_with("//") {
            let path = self.outer_path(location, &self.member.path)?;
            return (path != location).then(|| HeaderValue::try_from(path).ok())?;
        }
        let (is_tls, authority, path) = split_http_url(location)?;
        let member = self
            .cluster
            .config
            .members
            .iter()
            .find(|member| is_at(member, is_tls, authority))?;
        let path = self.outer_path(if path.is_empty() { "/" } else { path }, &member.path)?;
        HeaderValue::try_from(format!("{}://{}{path}", self.client.scheme(), self.host)).ok()
    }

    /// A path at a member, as the client knows it; `None` for one that no request through this route can reach.
    fn outer_path(&self, path: &str, base: &str) -> Option<String> {
        let inner = format!("{base}{}", self.route.member_path);
        let (path, suffix) = path.split_at(path.find(['?', '#']).unwrap_or(path.len()));
        let rest = &path[path::strip_prefix(path.as_bytes(), &inner)?..];
        let base = self.route.path.trim_end_matches('/');
        let outer = join(base.as_bytes(), rest.as_bytes());
        Some(String::from_utf8(outer).ok()? + suffix)
    }

    fn cookies(&self, headers: &mut HeaderMap) {
        let cookies: Vec<HeaderValue> = headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|cookie| self.cookie(cookie))
            .collect();
        headers.remove(SET_COOKIE);
        for cookie in cookies {
            headers.append(SET_COOKIE, cookie);
        }
    }

    /// A cookie whose scope is the client's view; its name and value are never touched.
    fn cookie(&self, cookie: &HeaderValue) -> HeaderValue {
        let Ok(text) = cookie.to_str() else {
            return cookie.clone();
        };
        let mut attributes = text.split(';');
        let mut rewritten = attributes.next().unwrap_or_default().to_owned();
        for attribute in attributes {
            rewritten.push(';');
            rewritten.push_str(
                &self
                    .attribute(attribute)
                    .unwrap_or_else(|| attribute.to_owned()),
            );
        }
        HeaderValue::try_from(rewritten).unwrap_or_else(|_| cookie.clone())
    }

    /// The attribute with another value; `None` where it stays as it is.
    fn attribute(&self, attribute: &str) -> Option<String> {
        let (name, value) = attribute.split_once('=')?;
        let value = value.trim();
        let rewritten = match name.trim() {
            path if path.eq_ignore_ascii_case("path") => self.cookie_path(value),
            domain if domain.eq_ignore_ascii_case("domain") => self.cookie_domain(value),
            _ => None,
        }?;
        Some(format!("{name}={rewritten}"))
    }

    fn cookie_path(&self, value: &str) -> Option<String> {
        let configured = self
            .route
            .cookie_path
            .iter()
            .find(|(inner, _)| value.starts_with(inner.as_str()));
        if let Some((_, outer)) = configured {
            return Some(outer.clone());
        }
        value
            .starts_with('/')
            .then(|| self.outer_path(value, &self.member.path))
            .flatten()
    }

    fn cookie_domain(&self, value: &str) -> Option<String> {
        let value = value.strip_prefix('.').unwrap_or(value);
        let configured = self
            .route
            .cookie_domain
            .iter()
            .find(|(inner, _)| value.eq_ignore_ascii_case(inner));
        if let Some((_, outer)) = configured {
            return Some(outer.clone());
        }
        let is_member = self
            .cluster
            .config
            .members
            .iter()
            .any(|member| member.host.eq_ignore_ascii_case(value));
        is_member.then(|| router::without_port(self.host).to_owned())
    }
}

/// Whether a URL is `https` or `http`, its authority, and its path.
fn split_http_url(location: &str) -> Option<(bool, &str, &str)> {
    let (scheme, rest) = location.split_once("://")?;
    let is_tls = scheme.eq_ignore_ascii_case("https");
    if !is_tls && !scheme.eq_ignore_ascii_case("http") {
        return None;
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    Some((is_tls, authority, path))
}

/// Whether a URL is the member's: the same with TLS or without, and its authority, the scheme's own port being there or not.
fn is_at(member: &config::Member, is_tls: bool, authority: &str) -> bool {
    let configured = member.authority.as_str();
    let (own_port, suffix) = if is_tls { (443, ":443") } else { (80, ":80") };
    let is_own_port = |host: &str| member.port == own_port && host.eq_ignore_ascii_case(configured);
    member.is_tls() == is_tls
        && (authority.eq_ignore_ascii_case(configured)
            || authority.strip_suffix(suffix).is_some_and(is_own_port))
}

/// The path that a member is asked for: its own base, the route's member path and what is behind the route's prefix.
///
/// `path` is the normalized path and `rest` where it goes on behind the prefix.
pub(crate) fn path_at_member<'path>(
    path: &'path [u8],
    rest: usize,
    route: &Route,
    member: &config::Member,
) -> Cow<'path, [u8]> {
    if member.path.is_empty() && route.member_path == route.path {
        return Cow::Borrowed(path);
    }
    let base = [&member.path, route.member_path.trim_end_matches('/')];
    Cow::Owned(join(base.concat().as_bytes(), &path[rest..]))
}

/// A path of a base without a slash at its end and what follows it: a slash, the parameters of the base's last segment, or nothing.
/// The root's segment has no name, so it has parameters only where nothing else follows.
fn join(base: &[u8], rest: &[u8]) -> Vec<u8> {
    if !base.is_empty() || rest.starts_with(b"/") {
        return [base, rest].concat();
    }
    match rest.iter().position(|&byte| byte == b'/') {
        Some(slash) => rest[slash..].to_vec(),
        None => [b"/", rest].concat(),
    }
}

/// The request target for a member; `path` and `rest` as in [`path_at_member`]. `None` if that makes no URI.
pub(crate) fn target(
    original: &Uri,
    path: &[u8],
    rest: usize,
    route: &Route,
    member: &config::Member,
) -> Option<Uri> {
    let path = path_at_member(path, rest, route, member);
    if original.authority().is_none() && std::ptr::eq(&*path, original.path().as_bytes()) {
        return Some(original.clone());
    }
    let mut target = path.into_owned();
    if let Some(query) = original.query() {
        target.extend([b"?", query.as_bytes()].concat());
    }
    Uri::try_from(target).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn member(url: &str) -> config::Member {
        let text = format!(
            "listen = [{{ address = \"127.0.0.1:0\" }}]\nroute = [{{ path = \"/\", balancer = \"b\" }}]\n\
             [[balancer.b.member]]\nurl = \"{url}\"\n"
        );
        let mut config = config::Config::parse(&text, Path::new("test.toml")).unwrap();
        config.balancers.remove(0).members.remove(0)
    }

    #[test]
    fn paths_are_mapped_with_the_parameters_of_segments() {
        let table = [
            ("/app", "/app", "http://m", "/app;p=1", "/app;p=1"),
            ("/app", "/shop", "http://m", "/app", "/shop"),
            ("/app", "/shop", "http://m", "/app;p=1", "/shop;p=1"),
            ("/app", "/shop", "http://m", "/app;p=1/x;q", "/shop;p=1/x;q"),
            (
                "/app",
                "/shop",
                "http://m/base",
                "/app;p=1",
                "/base/shop;p=1",
            ),
            ("/a/b", "/shop", "http://m", "/a;o/b;p/x", "/shop;p/x"),
            ("/app", "/", "http://m", "/app", "/"),
            ("/app", "/", "http://m", "/app/x", "/x"),
            ("/app", "/", "http://m", "/app;p=1", "/;p=1"),
            ("/app", "/", "http://m", "/app;p=1/x", "/x"),
            ("/app", "/", "http://m/base", "/app;p=1/x", "/base;p=1/x"),
            ("/", "/shop", "http://m", "/;p=1", "/shop/;p=1"),
        ];
        for (path, member_path, url, asked, expected) in table {
            let text = format!(
                "listen = [{{ address = \"127.0.0.1:0\" }}]\nroute = [{{ path = \"{path}\", member-path = \"{member_path}\", balancer = \"b\" }}]\n\
                 [[balancer.b.member]]\nurl = \"{url}\"\n"
            );
            let config = config::Config::parse(&text, Path::new("test.toml")).unwrap();
            let (route, member) = (&config.routes[0], &config.balancers[0].members[0]);
            let rest = path::strip_prefix(asked.as_bytes(), path).unwrap();
            let found = path_at_member(asked.as_bytes(), rest, route, member);
            assert_eq!(
                found,
                expected.as_bytes(),
                "{path} {member_path} {url} {asked}"
            );
        }
    }

    #[test]
    fn a_url_is_the_members_with_its_tls_and_its_port_written_or_not() {
        let table = [
            ("http://app", "http://app/x", true),
            ("http://app", "HTTP://APP:80/x", true),
            ("http://app", "http://app:81/x", false),
            ("http://app", "https://app/x", false),
            ("http://app:443", "http://app:443/x", true),
            ("http://app:443", "http://app/x", false),
            ("h2c://app", "http://app/x", true),
            ("ws://app", "http://app:80", true),
            ("https://app", "https://app/x", true),
            ("https://app", "https://app:443/x", true),
            ("https://app", "https://app:80/x", false),
            ("https://app", "http://app/x", false),
            ("https://app:80", "https://app:80/x", true),
            ("https://app:80", "https://app/x", false),
            ("h2://app:8443", "https://app:8443?x", true),
            ("wss://[::1]", "https://[::1]/x", true),
            ("unix:/a|http://app", "http://app/x", true),
            ("http://app", "ftp://app/x", false),
        ];
        for (url, location, expected) in table {
            let parts = split_http_url(location);
            let found =
                parts.is_some_and(|(is_tls, authority, _)| is_at(&member(url), is_tls, authority));
            assert_eq!(found, expected, "{url} {location}");
        }
    }
}
