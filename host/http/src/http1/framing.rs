//! Where a message's body ends (RFC 9112, 6.3), and what a head may say about that.
//!
//! Wherever two readers could come to two ends, the message is refused: two different lengths, a length and a coding, a coding
//! that is not understood, one in HTTP/1.0.

use crate::fields::Fields;
use crate::head::{Head, Target, Version};
use crate::host;
use crate::known::Known;
use crate::method::Method;
use crate::syntax::{decimal, is_token, trim};
use crate::violation::Violation;

/// Where a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// After so many bytes; 0 is one that is empty.
    Length(u64),
    /// With its last chunk, and trailers behind it.
    Chunked,
    /// With the connection.
    Close,
    /// Nowhere: the connection is not one of HTTP any more (101, or 2xx to CONNECT).
    Tunnel,
}

/// What a head says about its body.
enum Said {
    Nothing,
    Length(u64),
    Chunked,
}

/// Judges a request's head as a whole, and says where its body ends. Of equal lengths, the first is kept in the head.
///
/// # Errors
/// What it says of its body, or of its host, may be understood in two ways.
pub fn request_framing(head: &mut Head) -> Result<Framing, Violation> {
    validate_host(head)?;
    request_length(head)
}

/// The same of a head of which the host is right.
pub(crate) fn request_length(head: &mut Head) -> Result<Framing, Violation> {
    if head.repeated.contains(Known::ContentLength) {
        unite_lengths(&mut head.fields)?;
    }
    Ok(match said(&head.fields, head.version())? {
        Said::Nothing => Framing::None,
        Said::Length(length) => Framing::Length(length),
        Said::Chunked => Framing::Chunked,
    })
}

/// Judges a response's head as a whole, and says where its body ends. `method` is that of its request.
///
/// # Errors
/// What it says of its body may be understood in two ways; also where there is none, for a reader behind us may differ.
pub fn response_framing(head: &Head, method: Method) -> Result<Framing, Violation> {
    let said = said(&head.fields, head.version())?;
    Ok(match (head.status(), said) {
        (101, _) => Framing::Tunnel,
        (200..300, _) if method == Method::Connect => Framing::Tunnel,
        (100..200 | 204 | 304, _) => Framing::None,
        _ if method == Method::Head => Framing::None,
        (_, Said::Chunked) => Framing::Chunked,
        (_, Said::Length(length)) => Framing::Length(length),
        (_, Said::Nothing) => Framing::Close,
    })
}

#[inline]
fn said(fields: &Fields, version: Version) -> Result<Said, Violation> {
    let is_repeated = |known| fields.repeated.contains(known);
    let (length, coding) = (
        fields.get(Known::ContentLength),
        fields.get(Known::TransferEncoding),
    );
    match (length, coding) {
        (Some(_), Some(_)) => Err(Violation::LengthAndCoding),
        (Some(_), None) if is_repeated(Known::ContentLength) => Err(Violation::LengthRepeated),
        (Some(length), None) => decimal(length).map(Said::Length).ok_or(Violation::Length),
        (None, Some(_)) if is_repeated(Known::TransferEncoding) => Err(Violation::Coding),
        (None, Some(_)) if version == Version::Http10 => Err(Violation::CodingInHttp10),
        (None, Some(coding)) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Said::Chunked),
        (None, Some(codings)) => Err(unusual_codings(codings)),
        (None, None) => Ok(Said::Nothing),
    }
}

/// What is wrong with codings that are not `chunked` alone: they are malformed, or have `chunked` at the wrong place; or they are
/// others, which is fine, but not here.
#[cold]
fn unusual_codings(codings: &[u8]) -> Violation {
    let mut codings = codings.split(|&byte| byte == b',').map(trim).rev();
    let is_last_chunked = |coding: &[u8]| coding.eq_ignore_ascii_case(b"chunked");
    let last = codings.next().unwrap_or_default();
    let are_others = codings.all(|coding| is_token(coding) && !is_last_chunked(coding));
    if is_token(last) && are_others {
        Violation::CodingUnknown
    } else {
        Violation::Coding
    }
}

/// Of several lengths that are the same, keeps the first (RFC 9110, 8.6).
#[cold]
fn unite_lengths(fields: &mut Fields) -> Result<(), Violation> {
    let mut lengths = fields.all(Known::ContentLength);
    let Some(first) = lengths.next() else {
        return Ok(());
    };
    let first = decimal(first).ok_or(Violation::Length)?;
    let (mut others, mut is_same) = (0, true);
    for other in lengths {
        is_same &= decimal(other).ok_or(Violation::Length)? == first;
        others += 1;
    }
    if !is_same {
        return Err(Violation::LengthRepeated);
    }
    for _ in 0..others {
        let last = fields.positions(Known::ContentLength).last();
        last.into_iter().for_each(|index| fields.remove(index));
    }
    Ok(())
}

/// Judges what a request says of its host (RFC 9112, 3.2): `Host` has to be there with HTTP/1.1, once, and name the target's host
/// if that has one.
#[inline]
fn validate_host(head: &Head) -> Result<(), Violation> {
    if head.repeated.contains(Known::Host) {
        return Err(Violation::HostRepeated);
    }
    let host = head.get(Known::Host);
    if host.is_some_and(|host| !host::is_valid(host)) {
        return Err(Violation::HostInvalid);
    }
    match head.form() {
        Target::Absolute {
            is_tls, authority, ..
        } => match host {
            Some(host) if host::is_same(host, authority, is_tls) => Ok(()),
            Some(_) => Err(Violation::HostMismatch),
            // Also in HTTP/1.0: nothing confirms what the target says.
            None => Err(Violation::HostMissing),
        },
        _ if host.is_some() || head.version() == Version::Http10 => Ok(()),
        _ => Err(Violation::HostMissing),
    }
}
