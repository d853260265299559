//! Pseudo-fields (RFC 9113, 8.3; RFC 8441, 4): what HTTP/1 says in a message's first line.

use crate::fields::offset;
use crate::host;
use crate::http2::hpack::give_back;
use crate::syntax::{is_token, status, target_end};
use crate::violation::Violation;

/// A pseudo-field that is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pseudo {
    Authority,
    Method,
    Path,
    Scheme,
    Status,
    Protocol,
}

impl Pseudo {
    /// The one of this name.
    pub(crate) const fn of(name: &[u8]) -> Option<Self> {
        match name {
            b":authority" => Some(Self::Authority),
            b":method" => Some(Self::Method),
            b":path" => Some(Self::Path),
            b":scheme" => Some(Self::Scheme),
            b":status" => Some(Self::Status),
            b":protocol" => Some(Self::Protocol),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Authority => ":authority",
            Self::Method => ":method",
            Self::Path => ":path",
            Self::Scheme => ":scheme",
            Self::Status => ":status",
            Self::Protocol => ":protocol",
        }
    }

    /// Judges a value by itself.
    ///
    /// # Errors
    /// No message may have it.
    pub(crate) fn validate(self, value: &[u8]) -> Result<(), Violation> {
        let (is_right, violation) = match self {
            Self::Method => (is_token(value), Violation::Method),
            Self::Scheme => (is_tls(value).is_some(), Violation::TargetForm),
            Self::Authority => (host::is_valid(value), Violation::HostInvalid),
            Self::Path => return validate_path(value),
            Self::Status => (status(value).is_some(), Violation::Status),
            Self::Protocol => (is_token(value), Violation::Protocol),
        };
        is_right.then_some(()).ok_or(violation)
    }
}

/// Whether a scheme has TLS; `None` where it is none of HTTP.
pub(super) fn is_tls(scheme: &[u8]) -> Option<bool> {
    match scheme {
        b"https" => Some(true),
        b"http" => Some(false),
        _ if scheme.eq_ignore_ascii_case(b"https") => Some(true),
        _ if scheme.eq_ignore_ascii_case(b"http") => Some(false),
        _ => None,
    }
}

/// A path, or `*`, with the bytes that HTTP/1 allows in a target.
fn validate_path(path: &[u8]) -> Result<(), Violation> {
    match path.get(target_end(path, 0)) {
        Some(b'#') => Err(Violation::Fragment),
        Some(_) => Err(Violation::TargetByte),
        None if path.starts_with(b"/") || path == b"*" => Ok(()),
        None => Err(Violation::TargetForm),
    }
}

/// Pseudo-fields of a message that have come. They are held until its first other field comes, for a head begins with all of
/// them at once.
#[derive(Debug, Clone, Default)]
pub(super) struct PseudoFields {
    bytes: Vec<u8>,
    places: [Option<ReadState>; 6],
}

/// Where one of them is in the bytes.
#[derive(Debug, Clone, Copy)]
struct ReadState {
    from: u32,
    to: u32,
    is_never_indexed: bool,
}

impl PseudoFields {
    /// Forgets them, and gives back memory that is much.
    pub(super) fn clear(&mut self) {
        give_back(&mut self.bytes);
        self.bytes.clear();
        self.places = [None; 6];
    }

    /// Bytes of memory that are held.
    pub(super) fn capacity(&self) -> usize {
        self.bytes.capacity()
    }

    /// Adds one.
    ///
    /// # Errors
    /// It is there already.
    #[inline]
    pub(super) fn add(
        &mut self,
        pseudo: Pseudo,
        value: &[u8],
        is_never_indexed: bool,
    ) -> Result<(), Violation> {
        let place = &mut self.places[pseudo as usize];
        if place.is_some() {
            return Err(Violation::PseudoRepeated);
        }
        let from = offset(self.bytes.len());
        self.bytes.extend_from_slice(value);
        *place = Some(ReadState {
            from,
            to: offset(self.bytes.len()),
            is_never_indexed,
        });
        Ok(())
    }

    #[inline]
    pub(super) fn get(&self, pseudo: Pseudo) -> Option<&[u8]> {
        let place = self.places[pseudo as usize]?;
        self.bytes.get(place.from as usize..place.to as usize)
    }

    /// One that has to be there.
    #[inline]
    pub(super) fn need(&self, pseudo: Pseudo) -> Result<&[u8], Violation> {
        self.get(pseudo).ok_or(Violation::PseudoMissing)
    }

    pub(super) fn is_never_indexed(&self, pseudo: Pseudo) -> bool {
        self.places[pseudo as usize].is_some_and(|place| place.is_never_indexed)
    }
}
