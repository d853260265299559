//! Start lines (RFC 9112, 3 and 4) and field lines (5), strictly.
//!
//! Each function reads the line that begins at a place, and knows three outcomes: the line is right, it is not all there, or it
//! must not pass. The usual line is read in one pass without looking for its end first; what is wrong with another is found
//! out apart, when all of it is there.

use memchr::memchr;

use crate::fields::{Entry, offset};
use crate::head::{Line, Start, Target, Version};
use crate::known;
use crate::limits::Limits;
use crate::method::Method;
use crate::syntax::{
    TOKEN, TargetParts, is_blank, is_text, is_token, near_colon, status, target_end, target_parts,
    text_end, token_end, trim,
};
use crate::violation::Violation;

/// A line, or `None` if not all of it is there.
pub(super) type Read<T> = Result<Option<T>, Violation>;

/// Where the line that begins at `from` ends behind its LF, if it is all there.
pub(super) fn line_end(bytes: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    memchr(b'\n', rest).map(|end| from + end + 1)
}

/// What is wrong with a line by its end alone, or the line without that.
fn without_end(line: &[u8]) -> Result<&[u8], Violation> {
    let Some(line) = line.strip_suffix(b"\r\n") else {
        return Err(Violation::BareLf);
    };
    match memchr(b'\r', line) {
        Some(_) => Err(Violation::BareCr),
        None => Ok(line),
    }
}

/// A request line, at the start of these bytes.
#[inline]
pub(super) fn request_line(bytes: &[u8], limits: &Limits) -> Read<Start> {
    let (method, method_end) = match bytes.first_chunk() {
        Some(b"GET ") => (Method::Get, 3),
        _ => method(bytes),
    };
    let target = method_end + 1;
    let TargetParts {
        path_end,
        end: target_end,
        has_odd_path,
    } = target_parts(bytes, target);
    let behind = bytes.get(target_end..).unwrap_or_default();
    let version = match behind.first_chunk::<11>() {
        Some(b" HTTP/1.1\r\n") => Version::Http11,
        Some(b" HTTP/1.0\r\n") => Version::Http10,
        _ => return unusual_request_line(bytes),
    };
    if method_end == 0 || bytes[method_end] != b' ' || target_end == target {
        return unusual_request_line(bytes);
    }
    if target_end - target > limits.target as usize {
        return Err(Violation::TargetTooLong);
    }
    if bytes[target] != b'/' {
        other_target(method, &bytes[target..target_end])?;
    } else if method == Method::Connect {
        return Err(Violation::Connect);
    }
    Ok(Some(Start {
        version,
        line: Line::Request {
            method,
            method_end: offset(method_end),
            path_end: offset(path_end),
            target_end: offset(target_end),
            has_odd_path,
        },
        end: offset(target_end + 11),
        is_target_never_indexed: false,
    }))
}

/// The method that these bytes begin with, and where it ends.
fn method(bytes: &[u8]) -> (Method, usize) {
    let end = token_end(bytes, 0);
    (Method::of(&bytes[..end]), end)
}

/// Judges a target that is no path.
#[cold]
fn other_target(method: Method, target: &[u8]) -> Result<(), Violation> {
    match Target::of(target, method == Method::Connect) {
        Target::Authority(_) => Err(Violation::Connect),
        Target::Asterisk if method == Method::Options => Ok(()),
        Target::Absolute { .. } => Ok(()),
        Target::Asterisk | Target::Invalid | Target::Origin(_) => Err(Violation::TargetForm),
    }
}

/// Says what is wrong with a request line, if it is all there.
#[cold]
fn unusual_request_line(bytes: &[u8]) -> Read<Start> {
    first_of_request(bytes)?;
    let Some(end) = line_end(bytes, 0) else {
        return Ok(None);
    };
    Err(without_end(&bytes[..end]).map_or_else(|violation| violation, wrong_request_line))
}

fn wrong_request_line(line: &[u8]) -> Violation {
    if line == b"PRI * HTTP/2.0" {
        return Violation::Preface;
    }
    let mut parts = line.split(|&byte| byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Violation::RequestLine;
    };
    let is_version = matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit());
    let wrong = target.get(target_end(target, 0));
    match wrong {
        _ if !is_token(method) => Violation::Method,
        _ if target.is_empty() || !is_version => Violation::RequestLine,
        Some(b'#') => Violation::Fragment,
        Some(_) => Violation::TargetByte,
        None => Violation::Version,
    }
}

/// Judges the first byte of a request, which is enough for what is no HTTP at all.
pub(super) fn first_of_request(bytes: &[u8]) -> Result<(), Violation> {
    match bytes.first() {
        Some(b'\n') => Err(Violation::BareLf),
        Some(&byte) if !TOKEN[usize::from(byte)] => Err(Violation::Method),
        _ => Ok(()),
    }
}

/// What every response begins with.
const BEGINNING: &[u8; 7] = b"HTTP/1.";

/// Judges the first bytes of a response, which are enough for what is no HTTP at all.
pub(super) fn first_of_response(bytes: &[u8]) -> Result<(), Violation> {
    let length = bytes.len().min(BEGINNING.len());
    if bytes[..length] == BEGINNING[..length] {
        Ok(())
    } else {
        Err(Violation::StatusLine)
    }
}

/// A status line, at the start of these bytes.
#[inline]
pub(super) fn status_line(bytes: &[u8]) -> Read<Start> {
    if let Some(b"HTTP/1.1 200 OK\r\n") = bytes.first_chunk() {
        return Ok(Some(Start {
            version: Version::Http11,
            line: Line::Response {
                status: 200,
                reason: (13, 15),
            },
            end: 17,
            is_target_never_indexed: false,
        }));
    }
    let version = match bytes.first_chunk::<9>() {
        Some(b"HTTP/1.1 ") => Version::Http11,
        Some(b"HTTP/1.0 ") => Version::Http10,
        _ => return unusual_status_line(bytes),
    };
    let Some(status) = bytes.get(9..).and_then(three_digits) else {
        return unusual_status_line(bytes);
    };
    let from = match bytes.get(12) {
        Some(b' ') => 13,
        Some(b'\r') => 12,
        _ => return unusual_status_line(bytes),
    };
    let to = text_end(bytes, from);
    let Some(b"\r\n") = bytes.get(to..).and_then(|behind| behind.first_chunk()) else {
        return unusual_status_line(bytes);
    };
    Ok(Some(Start {
        version,
        line: Line::Response {
            status,
            reason: (offset(from), offset(to)),
        },
        end: offset(to + 2),
        is_target_never_indexed: false,
    }))
}

/// The number of three digits that these bytes begin with; the first is no zero.
fn three_digits(bytes: &[u8]) -> Option<u16> {
    status(bytes.first_chunk::<3>()?)
}

/// Says what is wrong with a status line, if it is all there.
#[cold]
fn unusual_status_line(bytes: &[u8]) -> Read<Start> {
    first_of_response(bytes)?;
    let Some(end) = line_end(bytes, 0) else {
        return Ok(None);
    };
    let line = without_end(&bytes[..end])?;
    let is_version = line.starts_with(b"HTTP/1.1 ") || line.starts_with(b"HTTP/1.0 ");
    let status = line.get(9..).unwrap_or_default();
    Err(if !is_version {
        Violation::StatusLine
    } else if three_digits(status).is_none() || !matches!(status.get(3), None | Some(b' ')) {
        Violation::Status
    } else {
        Violation::Reason
    })
}

/// The field whose line begins at `start`, if it is as they usually are: all there, its name a short token, and no white space but
/// one space before the value.
#[inline(always)]
pub(super) fn usual_field(bytes: &[u8], start: usize) -> Option<Entry> {
    let line = bytes.get(start..)?;
    let first = u64::from_le_bytes(*line.first_chunk()?);
    if first & 0xff == u64::from(b'\r') {
        return None;
    }
    let length = near_colon(line)?;
    let (name, behind) = (line.get(..length)?, *line.get(length + 1)?);
    let known = known::find_by(name, first);
    // A name that is known is a token. Another has to be looked at.
    if known.is_none() && !is_token(name) {
        return None;
    }
    let name_end = start + length;
    let value = name_end + 1 + usize::from(behind == b' ');
    let end = text_end(bytes, value);
    let Some(b"\r\n") = bytes.get(end..)?.first_chunk() else {
        return None;
    };
    // An empty value, or blanks at the ends of one: the first byte tells of both, since none below a space is left but CR and
    // tabulators.
    if bytes[value] <= b' ' || bytes[end - 1] <= b' ' {
        return None;
    }
    Some(Entry {
        start: offset(start),
        name_end: offset(name_end),
        value: offset(value),
        value_end: offset(end),
        end: offset(end + 2),
        known,
        is_plain: true,
        is_never_indexed: false,
    })
}

/// The field whose line begins at `start`; the line is not empty.
#[inline(never)]
pub(super) fn field(bytes: &[u8], start: usize) -> Read<Entry> {
    let name_end = token_end(bytes, start);
    if name_end == start || bytes.get(name_end) != Some(&b':') {
        return unusual_field(bytes, start);
    }
    let mut value = name_end + 1;
    while bytes.get(value).is_some_and(|&byte| is_blank(byte)) {
        value += 1;
    }
    let end = text_end(bytes, value);
    let Some(b"\r\n") = bytes.get(end..).and_then(|behind| behind.first_chunk()) else {
        return unusual_field(bytes, start);
    };
    let mut value_end = end;
    while value_end > value && is_blank(bytes[value_end - 1]) {
        value_end -= 1;
    }
    let before = &bytes[name_end + 1..value];
    Ok(Some(Entry {
        start: offset(start),
        name_end: offset(name_end),
        value: offset(value),
        value_end: offset(value_end),
        end: offset(end + 2),
        known: known::find(&bytes[start..name_end]),
        is_plain: value_end == end && matches!(before, b"" | b" "),
        is_never_indexed: false,
    }))
}

/// Says what is wrong with a field line, if it is all there.
#[cold]
fn unusual_field(bytes: &[u8], start: usize) -> Read<Entry> {
    let Some(end) = line_end(bytes, start) else {
        return Ok(None);
    };
    Err(without_end(&bytes[start..end]).map_or_else(|violation| violation, wrong_field))
}

fn wrong_field(line: &[u8]) -> Violation {
    if line.first().is_some_and(|&byte| is_blank(byte)) {
        return Violation::Folded;
    }
    let Some(colon) = memchr(b':', line) else {
        return Violation::NoColon;
    };
    let name = &line[..colon];
    if name.last().is_some_and(|&byte| is_blank(byte)) && is_token(trim(name)) {
        return Violation::BlankBeforeColon;
    }
    if is_token(name) {
        debug_assert!(!line[colon..].iter().all(|&byte| is_text(byte)));
        return Violation::FieldValue;
    }
    Violation::FieldName
}
