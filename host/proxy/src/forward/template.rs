//! Texts with variables in them, filled in for one request.

use std::borrow::Cow;

use super::ProxyError;
use crate::path::{self, Captures};
use equipoise_config::{Piece, Route};

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
