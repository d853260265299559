//! Rewrites member URLs and cookie scopes in responses (ProxyPassReverse, ProxyPassReverseCookieDomain,
//! ProxyPassReverseCookiePath), and the target of requests.
//!
//! Values are bytes: what is not ASCII passes as it came, and keeps nothing from being rewritten.

use std::borrow::Cow;

use equipoise_http::{Edit, Head, Known, KnownSet};
use memchr::{memchr, memchr_iter};

use crate::path;
use crate::target;
use equipoise_config::{self as config, Route};
use equipoise_http::host;

#[cfg(test)]
mod tests;

/// Those that are rewritten.
const FIELDS: [Known; 6] = [
    Known::Location,
    Known::ContentLocation,
    Known::Uri,
    Known::Link,
    Known::Refresh,
    Known::SetCookie,
];

/// The same as a set.
const ANY: KnownSet = KnownSet::of(&FIELDS);

/// How a response of one member is rewritten for one client.
pub(crate) struct Rewrite<'request> {
    /// By what the client came: `http` or `https`.
    pub(crate) scheme: &'request str,
    /// `Host` of the request, port and all; empty if there is none.
    pub(crate) host: &'request [u8],
    pub(crate) route: &'request Route,
    /// All members of the balancer.
    pub(crate) members: &'request [config::Member],
    /// The one that the response comes from.
    pub(crate) member: &'request config::Member,
}

impl Rewrite<'_> {
    /// Rewrites all fields that name a place or a cookie's scope.
    pub(super) fn apply(&self, edit: &mut Edit, response: &Head) {
        if !response.has_any(ANY) {
            return;
        }
        for name in FIELDS {
            if !response.has(name) {
                continue;
            }
            for index in response.positions(name) {
                let value = response.at(index).map(|field| field.value);
                let value = value.and_then(|value| self.field(name, value));
                if let Some(value) = value {
                    edit.replace_at(index, &value);
                }
            }
        }
    }

    /// Another value for a field; `None` where it stays as it is. So do the functions for each field.
    pub(crate) fn field(&self, name: Known, value: &[u8]) -> Option<Vec<u8>> {
        match name {
            Known::SetCookie => self.cookie(value),
            _ if !self.route.rewrite_location => None,
            Known::Link => self.link(value),
            Known::Refresh => self.refresh(value),
            Known::Location | Known::ContentLocation | Known::Uri => self.location(value),
            _ => None,
        }
    }

    /// A place of any member of the balancer, or a path of this one, as the client knows it.
    pub(crate) fn location(&self, value: &[u8]) -> Option<Vec<u8>> {
        let Some(url) = Url::split(value) else {
            let path = value.first() == Some(&b'/');
            let path = path.then(|| self.client_path(value, &self.member.path))?;
            return path.filter(|path| path != value);
        };
        let mut members = self.members.iter();
        let member = members.find(|member| url.is_at(member))?;
        let path = if url.path.is_empty() { b"/" } else { url.path };
        let path = self.client_path(path, &member.path)?;
        Some(match self.host {
            b"" => path,
            host => [self.scheme.as_bytes(), b"://", host, &path].concat(),
        })
    }

    /// The targets of links (RFC 8288): `<…>` at the beginning, and behind commas that are not within a target or a quoted
    /// text.
    pub(crate) fn link(&self, value: &[u8]) -> Option<Vec<u8>> {
        let mut rewritten = Vec::with_capacity(value.len());
        let (mut rest, mut changed) = (value, false);
        while let Some(open) = find_unquoted(rest, b'<') {
            let target = &rest[open + 1..];
            let Some(length) = target.iter().position(|&byte| byte == b'>') else {
                break;
            };
            rewritten.extend_from_slice(&rest[..=open]);
            let place = self.location(&target[..length]);
            changed |= place.is_some();
            rewritten.extend(place.unwrap_or_else(|| target[..length].to_vec()));
            rest = &target[length..];
        }
        rewritten.extend_from_slice(rest);
        changed.then_some(rewritten)
    }

    /// The place that a page is followed by, behind the seconds: `5; url=…`, perhaps in quotes.
    pub(crate) fn refresh(&self, value: &[u8]) -> Option<Vec<u8>> {
        let separator = value.iter().position(|byte| matches!(byte, b';' | b','))?;
        let place = skip_url_key(&value[separator + 1..]);
        let (place, quote) = match place {
            [quote @ (b'"' | b'\''), rest @ ..] => (rest, Some(quote)),
            place => (place, None),
        };
        let end = place.iter().position(|byte| Some(byte) == quote);
        let (place, behind) = place.split_at(end.unwrap_or(place.len()));
        let before = value.len() - place.len() - behind.len();
        let place = self.location(place.trim_ascii_end())?;
        Some([&value[..before], &place, behind].concat())
    }

    /// A cookie whose scope is the client's view; its name and value are never touched.
    pub(crate) fn cookie(&self, value: &[u8]) -> Option<Vec<u8>> {
        let is_path_kept = self.route.cookie_path.is_empty() && self.is_root_to_root();
        if !has_scope(value, !is_path_kept) {
            return None;
        }
        let (mut rewritten, mut copied) = (None::<Vec<u8>>, 0);
        let mut rest = memchr(b';', value);
        while let Some(semicolon) = rest {
            let from = semicolon + 1;
            rest = memchr(b';', &value[from..]).map(|length| from + length);
            let end = rest.unwrap_or(value.len());
            if let Some(attribute) = self.attribute(&value[from..end]) {
                let out = rewritten.get_or_insert_default();
                out.extend_from_slice(&value[copied..from]);
                out.extend_from_slice(&attribute);
                copied = end;
            }
        }
        let mut rewritten = rewritten?;
        rewritten.extend_from_slice(&value[copied..]);
        Some(rewritten)
    }

    /// The attribute with another value.
    fn attribute(&self, attribute: &[u8]) -> Option<Vec<u8>> {
        let is_of_interest = |byte: &&u8| matches!(**byte | 0x20, b'p' | b'd');
        attribute
            .trim_ascii_start()
            .first()
            .filter(is_of_interest)?;
        let equals = attribute.iter().position(|&byte| byte == b'=')?;
        let (name, value) = (&attribute[..equals], attribute[equals + 1..].trim_ascii());
        let rewritten = match name.trim_ascii() {
            path if path.eq_ignore_ascii_case(b"path") => self.cookie_path(value),
            domain if domain.eq_ignore_ascii_case(b"domain") => self.cookie_domain(value),
            _ => None,
        };
        let rewritten = rewritten.filter(|rewritten| rewritten != value)?;
        Some([name, b"=", &rewritten].concat())
    }

    fn cookie_path(&self, value: &[u8]) -> Option<Vec<u8>> {
        let mut configured = self.route.cookie_path.iter();
        let configured = configured.find(|(inner, _)| value.starts_with(inner.as_bytes()));
        match configured {
            Some((_, outer)) => Some(outer.clone().into_bytes()),
            // Both are the root: each path is the same.
            None if self.is_root_to_root() => None,
            None if value.starts_with(b"/") => self.client_path(value, &self.member.path),
            None => None,
        }
    }

    /// Whether paths are the same at the member.
    fn is_root_to_root(&self) -> bool {
        let inner = [&self.member.path, &self.route.member_path];
        let mut all = inner.into_iter().chain([&self.route.path]);
        all.all(|path| matches!(path.as_bytes(), [] | [b'/']))
    }

    fn cookie_domain(&self, value: &[u8]) -> Option<Vec<u8>> {
        let value = value.strip_prefix(b".").unwrap_or(value);
        let is = |name: &str| value.eq_ignore_ascii_case(name.as_bytes());
        let mut configured = self.route.cookie_domain.iter();
        if let Some((_, outer)) = configured.find(|(inner, _)| is(inner)) {
            return Some(outer.clone().into_bytes());
        }
        let is_member = self.members.iter().any(|member| is(&member.host));
        is_member.then(|| self.host[..host::port_at(self.host)].into())
    }

    /// A path at a member, as the client knows it; `None` for one that no request through this route can reach.
    fn client_path(&self, path: &[u8], base: &str) -> Option<Vec<u8>> {
        let inner = format!("{base}{}", self.route.member_path);
        let end = path.iter().position(|byte| matches!(byte, b'?' | b'#'));
        let (path, suffix) = path.split_at(end.unwrap_or(path.len()));
        let rest = &path[path::strip_prefix(path, &inner)?..];
        let outer = join(self.route.path.trim_end_matches('/').as_bytes(), rest);
        Some([&outer, suffix].concat())
    }
}

/// Where a byte stands first, not within double quotes.
fn find_unquoted(text: &[u8], wanted: u8) -> Option<usize> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.iter().position(|&byte| {
        let is_plain = !is_quoted;
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            _ => {}
        }
        is_plain && byte == wanted
    })
}

/// The value of `url=`, or the whole without that key.
fn skip_url_key(text: &[u8]) -> &[u8] {
    let text = text.trim_ascii_start();
    let value = text
        .split_at_checked(3)
        .filter(|(key, _)| key.eq_ignore_ascii_case(b"url"));
    let value = value.and_then(|(_, rest)| rest.trim_ascii_start().strip_prefix(b"="));
    value.map_or(text, <[u8]>::trim_ascii_start)
}

/// A URL with an authority.
struct Url<'value> {
    /// Whether its scheme is `https`, or else `http`; `None` if it has none, and has the scheme of the response.
    is_tls: Option<bool>,
    authority: &'value [u8],
    /// The path with all that follows it; it may be empty.
    path: &'value [u8],
}

impl<'value> Url<'value> {
    /// `None` for what is no URL of HTTP with an authority.
    fn split(text: &'value [u8]) -> Option<Self> {
        let slashes = text.array_windows().position(|pair| pair == b"//")?;
        let is_tls = match &text[..slashes] {
            b"" => None,
            scheme if scheme.eq_ignore_ascii_case(b"http:") => Some(false),
            scheme if scheme.eq_ignore_ascii_case(b"https:") => Some(true),
            _ => return None,
        };
        let rest = &text[slashes + 2..];
        let end = rest
            .iter()
            .position(|byte| matches!(byte, b'/' | b'?' | b'#'));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        Some(Self {
            is_tls,
            authority,
            path,
        })
    }

    /// Whether it is the member's: the same with TLS or without, and its authority, the scheme's own port being there or not.
    fn is_at(&self, member: &config::Member) -> bool {
        let is_tls = member.is_tls();
        let configured = member.authority.as_str().as_bytes();
        let (own_port, suffix) = if is_tls {
            (443, &b":443"[..])
        } else {
            (80, &b":80"[..])
        };
        let is_own_port =
            |host: &[u8]| member.port == own_port && host.eq_ignore_ascii_case(configured);
        self.is_tls.is_none_or(|written| written == is_tls)
            && (self.authority.eq_ignore_ascii_case(configured)
                || self.authority.strip_suffix(suffix).is_some_and(is_own_port))
    }
}

/// Whether a cookie may have a `Domain`, or a `Path` if that is of interest: whether an attribute begins with that letter, or with
/// anything but one space.
fn has_scope(cookie: &[u8], has_path: bool) -> bool {
    memchr_iter(b';', cookie).any(|semicolon| match cookie[semicolon + 1..] {
        [b' ', b'p' | b'P', ..] => has_path,
        [b' ', first, ..] => matches!(first, b'd' | b'D') || first <= b' ',
        _ => true,
    })
}

/// The path of the request to a member: its own base, the route's member path and what is behind the route's prefix.
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

/// The request target for a member, where it is another than the client's; `path` and `rest` as in [`path_at_member`].
pub(crate) fn request_target(
    request: &Head,
    path: &[u8],
    rest: usize,
    route: &Route,
    member: &config::Member,
) -> Option<Vec<u8>> {
    let (original, query) = target::split(request);
    let path = match path {
        b"*" => return None,
        path => path_at_member(path, rest, route, member),
    };
    let is_same = match &path {
        Cow::Borrowed(path) => std::ptr::eq(*path, original) || *path == original,
        Cow::Owned(path) => path == original,
    };
    if is_same && request.target().starts_with(b"/") {
        return None;
    }
    let mut target = path.into_owned();
    if let Some(query) = query {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    Some(target)
}
