//! Pseudo-fields (RFC 9113, 8.3; RFC 8441, 4): what HTTP/1 says in a message's first line.

use crate::fields::offset;
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
}

/// Pseudo-fields of a message that have come. They are held until its first other field comes, for a head begins with all of
/// them at once.
#[derive(Debug, Clone, Default)]
pub(super) struct PseudoFields {
    bytes: Vec<u8>,
    places: [Option<Place>; 6],
}

/// Where one of them is in the bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    from: u32,
    to: u32,
    is_never_indexed: bool,
}

impl PseudoFields {
    pub(super) fn clear(&mut self) {
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
        *place = Some(Place {
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
