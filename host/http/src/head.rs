//! A message's head: the bytes as they came, and a table of what is where in them (RFC 9110, 6; RFC 9112, 2 to 5).
//!
//! It is the same type for requests and responses, and whatever version they came by: a head that is made from HTTP/2 has the
//! bytes that HTTP/1 would have had. Reading one anew reuses its memory.

use std::fmt;
use std::ops::{Deref, DerefMut, Range};

use crate::fields::{Fields, offset};
use crate::host;
use crate::known::Known;
use crate::method::Method;
use crate::syntax::{
    TargetParts, decimal, is_keep_alive, is_token, is_trailers, target_end, target_parts, text_end,
};
use crate::violation::Violation;

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// HTTP/1.0.
    Http10,
    /// HTTP/1.1.
    #[default]
    Http11,
    /// HTTP/2.
    Http2,
}

impl Version {
    /// As it stands in a start line.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2.0",
        }
    }

    /// The rest of a request line behind its target.
    const fn behind_target(self) -> &'static [u8] {
        match self {
            Self::Http10 => b" HTTP/1.0\r\n",
            Self::Http11 => b" HTTP/1.1\r\n",
            Self::Http2 => b" HTTP/2.0\r\n",
        }
    }
}

/// The head of a request or of a response; its [`Fields`] are its own.
///
/// What only the other kind has is empty: a response has no target, and a request's status is 0.
#[derive(Clone, Default)]
pub struct Head {
    pub(crate) fields: Fields,
    pub(crate) start: Start,
}

/// What the start line says.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Start {
    pub(crate) version: Version,
    pub(crate) line: Line,
    /// Where the first field begins.
    pub(crate) end: u32,
    /// Whether the target is never indexed (RFC 7541, 7.1.3).
    pub(crate) is_target_never_indexed: bool,
}

#[derive(Debug, Clone, Copy, Default)]
pub(crate) enum Line {
    #[default]
    Missing,
    Request {
        method: Method,
        method_end: u32,
        /// Where the target's first question mark is, or its end.
        path_end: u32,
        target_end: u32,
        /// Whether there is a dot, a percent sign or a backslash before that question mark.
        has_odd_path: bool,
    },
    Response {
        status: u16,
        reason: (u32, u32),
    },
}

/// The forms of a request's target (RFC 9112, 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'t> {
    /// A path and perhaps a query: `/a?b`.
    Origin(&'t [u8]),
    /// An URL: `http://host:80/a?b`.
    Absolute {
        /// Whether the scheme is `https`.
        is_tls: bool,
        /// Host and perhaps a port.
        authority: &'t [u8],
        /// Path and query; where the URL has none, nothing, which means `/`.
        path: &'t [u8],
    },
    /// `*`, which is the server as a whole; for OPTIONS only.
    Asterisk,
    /// `host:80`, for CONNECT only.
    Authority(&'t [u8]),
    /// None of these.
    Invalid,
}

impl<'t> Target<'t> {
    /// The form of a target. `is_connect` says that the method is CONNECT, whose targets are another thing.
    #[inline]
    pub fn of(target: &'t [u8], is_connect: bool) -> Self {
        match target {
            _ if is_connect => Self::Authority(target),
            [b'/', ..] => Self::Origin(target),
            b"*" => Self::Asterisk,
            _ => Self::absolute(target).unwrap_or(Self::Invalid),
        }
    }

    #[cold]
    fn absolute(target: &'t [u8]) -> Option<Self> {
        let colon = memchr::memchr(b':', target)?;
        let (scheme, rest) = (&target[..colon], &target[colon + 1..]);
        let is_tls = scheme.eq_ignore_ascii_case(b"https");
        if !is_tls && !scheme.eq_ignore_ascii_case(b"http") {
            return None;
        }
        let rest = rest.strip_prefix(b"//")?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?'));
        let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
        host::is_valid(authority).then_some(Self::Absolute {
            is_tls,
            authority,
            path,
        })
    }
}

/// What a client expects before it sends its body: `Expect` (RFC 9110, 10.1.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expectation {
    /// Nothing.
    None,
    /// `100 Continue`, or the response at once.
    Continue,
    /// Something that is not known: 417, or left to the member.
    Unknown,
}

impl Head {
    /// An empty one, to be read into.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets the message; the memory stays.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.start = Start::default();
    }

    /// Whether it has a start line of a request; one that was refused has it only if nothing was wrong with that.
    pub fn is_request(&self) -> bool {
        matches!(self.start.line, Line::Request { .. })
    }

    /// Whether it has one of a response.
    pub fn is_response(&self) -> bool {
        matches!(self.start.line, Line::Response { .. })
    }

    /// The version it came by.
    pub fn version(&self) -> Version {
        self.start.version
    }

    /// The request's method.
    pub fn method(&self) -> Method {
        match self.start.line {
            Line::Request { method, .. } => method,
            _ => Method::Other,
        }
    }

    /// The request's method as it came.
    pub fn method_bytes(&self) -> &[u8] {
        match self.start.line {
            Line::Request { method_end, .. } => &self.fields.bytes[..method_end as usize],
            _ => &[],
        }
    }

    /// The request's target as it came.
    pub fn target(&self) -> &[u8] {
        self.target_range()
            .map_or(&[], |range| &self.fields.bytes[range])
    }

    /// The request's target up to its first question mark, and what is behind that.
    pub fn target_and_query(&self) -> (&[u8], Option<&[u8]>) {
        let Line::Request {
            method_end,
            path_end,
            target_end,
            ..
        } = self.start.line
        else {
            return (&[], None);
        };
        let target = &self.fields.bytes[..target_end as usize];
        let (before, behind) = target.split_at(path_end as usize);
        (&before[method_end as usize + 1..], behind.get(1..))
    }

    /// Whether the request's target is a path, and perhaps a query, and the path has no dot, percent sign or backslash, by which it
    /// could be another path than it seems.
    pub fn has_plain_path(&self) -> bool {
        let is_plain = matches!(
            self.start.line,
            Line::Request {
                has_odd_path: false,
                ..
            }
        );
        is_plain && self.target().first() == Some(&b'/')
    }

    /// The form of the request's target.
    pub fn form(&self) -> Target<'_> {
        Target::of(self.target(), self.method() == Method::Connect)
    }

    /// Host and port that the request is for: of the target, or of `Host`.
    pub fn authority(&self) -> Option<&[u8]> {
        match self.form() {
            Target::Absolute { authority, .. } | Target::Authority(authority) => Some(authority),
            _ => self.fields.get(Known::Host),
        }
    }

    /// The response's status.
    pub fn status(&self) -> u16 {
        match self.start.line {
            Line::Response { status, .. } => status,
            _ => 0,
        }
    }

    /// The response's reason phrase as it came.
    pub fn reason(&self) -> &[u8] {
        match self.start.line {
            Line::Response {
                reason: (from, to), ..
            } => &self.fields.bytes[from as usize..to as usize],
            _ => &[],
        }
    }

    /// Whether this is an interim response: 1xx, but not 101, behind which there is another protocol.
    pub fn is_interim(&self) -> bool {
        matches!(self.status(), 100 | 102..=199)
    }

    /// Whether its sender keeps the connection for another message, as far as the head says so (RFC 9112, 9.3).
    #[inline]
    pub fn keeps_alive(&self) -> bool {
        match self.fields.has(Known::Connection) {
            true => self.keeps_alive_by_options(),
            false => self.start.version >= Version::Http11,
        }
    }

    fn keeps_alive_by_options(&self) -> bool {
        let is_one = !self.fields.repeated.contains(Known::Connection);
        let (mut keeps, mut closes) = (self.start.version >= Version::Http11, false);
        match self.fields.get(Known::Connection) {
            Some(option) if is_one && is_keep_alive(option) => keeps = true,
            Some(option) if is_one && option.eq_ignore_ascii_case(b"close") => closes = true,
            None => {}
            Some(_) => {
                for option in self.fields.elements(Known::Connection) {
                    closes |= option.eq_ignore_ascii_case(b"close");
                    keeps |= option.eq_ignore_ascii_case(b"keep-alive");
                }
            }
        }
        self.start.version == Version::Http2 || (keeps && !closes)
    }

    /// The length of the body that the head tells, in bytes.
    pub fn content_length(&self) -> Option<u64> {
        self.fields.get(Known::ContentLength).and_then(decimal)
    }

    /// What the client expects before it sends its body.
    pub fn expectation(&self) -> Expectation {
        if !self.fields.has(Known::Expect) {
            return Expectation::None;
        }
        let mut elements = self.fields.elements(Known::Expect);
        match elements.next() {
            None => Expectation::None,
            Some(first) if first.eq_ignore_ascii_case(b"100-continue") => {
                let is_alone = elements.all(|it| it.eq_ignore_ascii_case(b"100-continue"));
                if is_alone {
                    Expectation::Continue
                } else {
                    Expectation::Unknown
                }
            }
            Some(_) => Expectation::Unknown,
        }
    }

    /// The protocols that the sender would change to, in its order of preference; none where `Connection` does not say so, for
    /// then `Upgrade` is not about this connection (RFC 9110, 7.8).
    pub fn upgrades(&self) -> impl Iterator<Item = &[u8]> {
        let is_meant = self.fields.has_element(Known::Connection, "upgrade");
        let elements = self.fields.elements(Known::Upgrade);
        elements.filter(move |_| is_meant)
    }

    /// Whether the sender takes trailers: it says so in `TE` (RFC 9110, 10.1.4).
    pub fn takes_trailers(&self) -> bool {
        match self.fields.get(Known::Te) {
            None => false,
            Some(te) if is_trailers(te) => true,
            Some(_) => self.fields.has_element(Known::Te, "trailers"),
        }
    }

    /// Starts a request that has not come by HTTP/1, or is ours. Its fields are pushed.
    ///
    /// # Errors
    /// The method is no token, the target is empty, or has a byte that none may have.
    pub fn begin_request(
        &mut self,
        method: &[u8],
        target: &[u8],
        version: Version,
    ) -> Result<(), Violation> {
        self.clear();
        if !is_token(method) {
            return Err(Violation::Method);
        }
        match target.get(target_end(target, 0)) {
            None if target.is_empty() => return Err(Violation::RequestLine),
            None => {}
            Some(b'#') => return Err(Violation::Fragment),
            Some(_) => return Err(Violation::TargetByte),
        }
        self.write_request_line(method, target, version);
        Ok(())
    }

    /// Writes the first line of a request, of which both were judged, into an empty head.
    #[inline]
    pub(crate) fn write_request_line(&mut self, method: &[u8], target: &[u8], version: Version) {
        let bytes = &mut self.fields.bytes;
        for part in [method, b" ", target, version.behind_target()] {
            bytes.extend_from_slice(part);
        }
        let TargetParts {
            path_end,
            end,
            has_odd_path,
        } = target_parts(bytes, method.len() + 1);
        let line = Line::Request {
            method: Method::of(method),
            method_end: offset(method.len()),
            path_end: offset(path_end),
            target_end: offset(end),
            has_odd_path,
        };
        self.begun(version, line);
    }

    /// Starts a response that has not come by HTTP/1, or is ours. Its fields are pushed. A `reason` of HTTP/2 is the usual one.
    ///
    /// # Errors
    /// The status has not three digits, or the reason has control bytes.
    pub fn begin_response(
        &mut self,
        status: u16,
        reason: &str,
        version: Version,
    ) -> Result<(), Violation> {
        self.clear();
        if !(100..1000).contains(&status) {
            return Err(Violation::Status);
        }
        if text_end(reason.as_bytes(), 0) < reason.len() {
            return Err(Violation::Reason);
        }
        self.start_response(status, reason, version);
        Ok(())
    }

    /// Writes the first line of a response, of which both were judged, into an empty head.
    #[inline]
    pub(crate) fn start_response(&mut self, status: u16, reason: &str, version: Version) {
        write_status_line(&mut self.fields.bytes, version, status, reason.as_bytes());
        let end = self.fields.bytes.len() - 2;
        let line = Line::Response {
            status,
            reason: (offset(end - reason.len()), offset(end)),
        };
        self.begun(version, line);
    }

    fn begun(&mut self, version: Version, line: Line) {
        self.start = Start {
            version,
            line,
            end: offset(self.fields.bytes.len()),
            is_target_never_indexed: false,
        };
    }

    /// Where the target is in the bytes.
    fn target_range(&self) -> Option<Range<usize>> {
        match self.start.line {
            Line::Request {
                method_end,
                target_end,
                ..
            } => Some(method_end as usize + 1..target_end as usize),
            _ => None,
        }
    }
}

impl Deref for Head {
    type Target = Fields;

    fn deref(&self) -> &Fields {
        &self.fields
    }
}

impl DerefMut for Head {
    fn deref_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }
}

impl fmt::Debug for Head {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = &self.fields.bytes[..self.start.end as usize];
        let mut shown = formatter.debug_struct("Head");
        shown.field("start", &line.trim_ascii_end().escape_ascii().to_string());
        shown.field("fields", &self.fields).finish()
    }
}

/// Writes a status line; `status` has three digits.
pub(crate) fn write_status_line(out: &mut Vec<u8>, version: Version, status: u16, reason: &[u8]) {
    out.extend_from_slice(version.text().as_bytes());
    let digit = |power: u16| b'0' + (status / power % 10) as u8;
    out.extend_from_slice(&[b' ', digit(100), digit(10), digit(1), b' ']);
    out.extend_from_slice(reason);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, fields: &[(&str, &str)]) -> Head {
        let mut head = Head::new();
        head.begin_request(b"GET", target.as_bytes(), Version::Http11)
            .unwrap();
        for (name, value) in fields {
            head.push(name.as_bytes(), value.as_bytes()).unwrap();
        }
        head
    }

    #[test]
    fn a_head_that_is_made_has_what_one_that_came_has() {
        let mut head = request("/a?b", &[("Host", "a"), ("X-One", " 1 "), ("x-one", "2")]);
        assert_eq!(head.method(), Method::Get);
        assert_eq!(head.method_bytes(), b"GET");
        assert_eq!(head.target(), b"/a?b");
        assert_eq!(head.get(Known::Host), Some(&b"a"[..]));
        let values: Vec<_> = head.all("X-ONE").collect();
        assert_eq!(values, [&b"1"[..], b"2"]);
        let names: Vec<_> = head.iter().map(|field| field.name.to_vec()).collect();
        assert_eq!(names, [&b"Host"[..], b"X-One", b"x-one"]);
        assert!(!head.has(Known::Cookie) && !head.has("x-two"));
        head.begin_response(404, "Not Found", Version::Http2)
            .unwrap();
        assert_eq!((head.status(), head.reason()), (404, &b"Not Found"[..]));
        assert!(head.is_empty() && head.is_response() && head.target().is_empty());
    }

    #[test]
    fn what_is_no_head_cannot_be_made() {
        let mut head = Head::new();
        let mut start =
            |method: &[u8], target: &[u8]| head.begin_request(method, target, Version::Http2);
        assert_eq!(start(b"G T", b"/"), Err(Violation::Method));
        assert_eq!(start(b"", b"/"), Err(Violation::Method));
        assert_eq!(start(b"GET", b""), Err(Violation::RequestLine));
        assert_eq!(start(b"GET", b"/ "), Err(Violation::TargetByte));
        assert_eq!(start(b"GET", b"/\r\n"), Err(Violation::TargetByte));
        assert_eq!(start(b"GET", b"/#a"), Err(Violation::Fragment));
        let mut head = request("/", &[]);
        for name in ["", "a b", "a:", "\u{e9}", "a\r"] {
            assert_eq!(head.push(name.as_bytes(), b""), Err(Violation::FieldName));
        }
        for value in ["\r", "a\nb", "\0", "\u{7f}"] {
            assert_eq!(
                head.push(b"a", value.as_bytes()),
                Err(Violation::FieldValue)
            );
        }
        assert!(head.is_empty());
        assert_eq!(
            head.begin_response(99, "", Version::Http11),
            Err(Violation::Status)
        );
        assert_eq!(
            head.begin_response(1000, "", Version::Http11),
            Err(Violation::Status)
        );
        assert_eq!(
            head.begin_response(200, "\n", Version::Http11),
            Err(Violation::Reason)
        );
    }

    #[test]
    fn targets_have_forms() {
        let absolute = |is_tls, authority: &'static str, path: &'static str| Target::Absolute {
            is_tls,
            authority: authority.as_bytes(),
            path: path.as_bytes(),
        };
        let table = [
            ("/", Target::Origin(b"/")),
            ("//a/b?c", Target::Origin(b"//a/b?c")),
            ("*", Target::Asterisk),
            ("http://a", absolute(false, "a", "")),
            ("HTTPS://A:443/b?c", absolute(true, "A:443", "/b?c")),
            ("http://a?b", absolute(false, "a", "?b")),
            ("http://[::1]:80/", absolute(false, "[::1]:80", "/")),
            ("a", Target::Invalid),
            ("a:80", Target::Invalid),
            ("?q", Target::Invalid),
            ("**", Target::Invalid),
            ("http:/a", Target::Invalid),
            ("http:///a", Target::Invalid),
            ("http://u@a/", Target::Invalid),
            ("http://a,b/", Target::Invalid),
            ("http://[::1/", Target::Invalid),
            ("ftp://a/", Target::Invalid),
        ];
        for (target, form) in table {
            assert_eq!(Target::of(target.as_bytes(), false), form, "{target}");
        }
        assert_eq!(Target::of(b"a:80", true), Target::Authority(b"a:80"));
    }

    #[test]
    fn the_targets_host_is_told_before_host() {
        let host = [("host", "b")];
        assert_eq!(request("/", &host).authority(), Some(&b"b"[..]));
        assert_eq!(request("http://a/", &host).authority(), Some(&b"a"[..]));
        assert_eq!(request("/", &[]).authority(), None);
    }

    #[test]
    fn a_connection_is_kept_or_not() {
        let table = [
            (Version::Http11, "", true),
            (Version::Http11, "keep-alive", true),
            (Version::Http11, "upgrade, CLOSE", false),
            (Version::Http11, "x-close", true),
            (Version::Http10, "", false),
            (Version::Http10, "Keep-Alive", true),
            (Version::Http10, "keep-alive, close", false),
            (Version::Http2, "close", true),
        ];
        for (version, connection, expected) in table {
            let mut head = Head::new();
            head.begin_request(b"GET", b"/", version).unwrap();
            if !connection.is_empty() {
                head.push(b"connection", connection.as_bytes()).unwrap();
            }
            assert_eq!(head.keeps_alive(), expected, "{version:?} {connection}");
        }
    }

    #[test]
    fn expectations_upgrades_and_trailers_are_told() {
        let expectation = |value: &str| request("/", &[("expect", value)]).expectation();
        assert_eq!(request("/", &[]).expectation(), Expectation::None);
        assert_eq!(expectation("100-Continue"), Expectation::Continue);
        assert_eq!(
            expectation("100-continue, 100-continue"),
            Expectation::Continue
        );
        assert_eq!(expectation("100-continue, more"), Expectation::Unknown);
        assert_eq!(expectation("later"), Expectation::Unknown);

        let upgrades = |fields: &[(&str, &str)]| {
            let head = request("/", fields);
            head.upgrades().map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        let upgrade = ("upgrade", "websocket, h2c");
        assert!(upgrades(&[upgrade]).is_empty());
        assert_eq!(
            upgrades(&[upgrade, ("connection", "keep-alive, Upgrade")]),
            [&b"websocket"[..], b"h2c"]
        );
        assert!(request("/", &[("te", "gzip;q=0.5, Trailers")]).takes_trailers());
        assert!(!request("/", &[("te", "gzip")]).takes_trailers());
        assert_eq!(
            request("/", &[("content-length", "5")]).content_length(),
            Some(5)
        );
        assert_eq!(
            request("/", &[("content-length", "5,5")]).content_length(),
            None
        );
    }
}
