//! Texts with variables in them, filled in for one request.

use std::borrow::Cow;
use std::cell::Cell;
use std::io::Write as _;

use equipoise_http::{Head, host};

use super::{ProxyError, target};
use crate::downstream::Client;
use crate::path::{self, Captures};
use equipoise_config::{Member, Piece, Route, Template, Variable};

/// What variables stand for in one request.
pub(super) struct Values<'request> {
    pub(super) client: &'request Client,
    pub(super) request: &'request Head,
    pub(super) route: &'request Route,
    /// The balancer's name, and the member that is asked; none where none is.
    pub(super) asked: Option<(&'request str, &'request Member)>,
    /// What the route's pattern has captured, and of which path.
    pub(super) captured: Option<(&'request Captures, &'request [u8])>,
    pub(super) id: &'request RequestId,
}

/// What a request is known by, once that is asked for.
#[derive(Debug, Default)]
pub(super) struct RequestId(Cell<Option<u128>>);

impl RequestId {
    fn number(&self) -> u128 {
        let number = self.0.get().unwrap_or_else(|| fastrand::u128(..));
        self.0.set(Some(number));
        number
    }
}

impl Values<'_> {
    /// Writes a template with its variables filled in.
    pub(super) fn fill(&self, template: &Template, out: &mut Vec<u8>) {
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => out.extend_from_slice(text.as_bytes()),
                Piece::Variable(variable) => self.write(*variable, out),
                Piece::Capture(number) => {
                    let captured = self.captured;
                    let group = captured.map(|(captures, path)| captures.group(*number, path));
                    out.extend_from_slice(group.unwrap_or_default());
                }
            }
        }
    }

    fn write(&self, variable: Variable, out: &mut Vec<u8>) {
        let authority = self.request.authority().unwrap_or_default();
        let (path, query) = target::split(self.request);
        let tls = self.client.tls.as_ref();
        let member = self.asked.map(|(_, member)| &member.settings);
        let text: &[u8] = match variable {
            Variable::ClientAddress => self.client.forwarded_for.value(),
            Variable::ClientPort => return push(out, &self.client.address.port()),
            Variable::Host => &authority[..host::port_at(authority)],
            Variable::Authority => authority,
            Variable::Scheme => self.client.scheme().as_bytes(),
            Variable::Method => self.request.method_bytes(),
            Variable::Path => path,
            Variable::Query => query.unwrap_or_default(),
            Variable::QuestionQuery => {
                out.extend(query.map(|_| b'?'));
                query.unwrap_or_default()
            }
            Variable::Route => return push(out, &self.route.label()),
            Variable::Balancer => self.asked.map_or("", |(name, _)| name).as_bytes(),
            Variable::Member => member.map_or("", |it| &it.name).as_bytes(),
            Variable::MemberRoute => {
                let route = member.and_then(|it| it.route.as_deref());
                route.unwrap_or_default().as_bytes()
            }
            Variable::TlsVersion => tls.map_or("", |tls| tls.version()).as_bytes(),
            Variable::TlsCipher => {
                return out.extend(tls.map(|tls| tls.cipher()).unwrap_or_default().bytes());
            }
            Variable::RequestId => return push(out, &format_args!("{:032x}", self.id.number())),
        };
        out.extend_from_slice(text);
    }
}

fn push(out: &mut Vec<u8>, shown: &dyn std::fmt::Display) {
    // Writing to memory does not fail.
    let _ = write!(out, "{shown}");
}

/// The path that a member is asked for, below its own, where the route says it by what its pattern has captured.
///
/// # Errors
/// What was put together is no path that a client could have asked for.
#[cold]
pub(super) fn path_of<'path>(
    route: &Route,
    captures: &Captures,
    path: Cow<'path, [u8]>,
) -> Result<Cow<'path, [u8]>, ProxyError> {
    let member_path = route
        .pattern
        .as_ref()
        .and_then(|it| it.member_path.as_ref());
    let Some(member_path) = member_path else {
        return Ok(path);
    };
    let mut made = Vec::with_capacity(path.len());
    for piece in member_path.pieces() {
        match piece {
            Piece::Text(text) => made.extend_from_slice(text.as_bytes()),
            Piece::Capture(number) => made.extend_from_slice(captures.group(*number, &path)),
            // It has none.
            Piece::Variable(_) => {}
        }
    }
    match path::normalize(&made).as_deref() == Some(&*made) {
        true => Ok(Cow::Owned(made)),
        false => Err(ProxyError::BadRequest("the path cannot be passed on")),
    }
}
