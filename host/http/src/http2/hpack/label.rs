//! Names of fields on their way out, and where it is remembered what was last encoded of each.

use super::line::{FieldLine, Named};
use super::statics;
use crate::http2::pseudo::Pseudo;
use crate::known::{self, COUNT, Known};

/// A place for each known name, one for the authority, and some for others, in classes that are told by their bytes.
const AUTHORITY: usize = COUNT;
const OTHERS: usize = COUNT + 1;
pub(super) const SLOTS: usize = OTHERS + 32;

/// A field's name, on its way out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Label<'n> {
    Pseudo(Pseudo),
    Known(Known),
    /// In any case; it is written in lower case.
    Other(&'n [u8]),
}

impl Label<'_> {
    /// The index of the name in the static table; 0 where it is not there.
    #[inline]
    pub(super) fn static_index(self) -> usize {
        match self {
            Self::Known(known) => statics::index_of(known),
            Self::Other(_) | Self::Pseudo(Pseudo::Protocol) => 0,
            Self::Pseudo(Pseudo::Authority) => 1,
            Self::Pseudo(Pseudo::Method) => 2,
            Self::Pseudo(Pseudo::Path) => 4,
            Self::Pseudo(Pseudo::Scheme) => 6,
            Self::Pseudo(Pseudo::Status) => 8,
        }
    }

    pub(super) fn named(self) -> Named {
        match self {
            Self::Pseudo(pseudo) => Named::Pseudo(pseudo),
            Self::Known(known) => Named::Known(known),
            Self::Other(_) => Named::Other,
        }
    }

    /// Whether a line has this name.
    #[inline]
    pub(super) fn is_of(self, line: &FieldLine<'_>) -> bool {
        match (self, line.named()) {
            (Self::Known(known), Named::Known(of_line)) => known == of_line,
            (Self::Pseudo(pseudo), Named::Pseudo(of_line)) => pseudo == of_line,
            (Self::Other(name), Named::Other) => line.name().eq_ignore_ascii_case(name),
            _ => false,
        }
    }

    pub(super) fn length(self) -> usize {
        match self {
            Self::Pseudo(pseudo) => pseudo.name().len(),
            Self::Known(known) => known.name().len(),
            Self::Other(name) => name.len(),
        }
    }

    /// Writes it in lower case.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::Pseudo(pseudo) => out.extend_from_slice(pseudo.name().as_bytes()),
            Self::Known(known) => out.extend_from_slice(known.name().as_bytes()),
            Self::Other(name) => out.extend(name.iter().map(u8::to_ascii_lowercase)),
        }
    }

    /// Where it is remembered what was last encoded of it.
    #[inline]
    pub(super) fn slot(self) -> usize {
        match self {
            Self::Known(known) => known as usize,
            Self::Pseudo(_) => AUTHORITY,
            Self::Other(name) => OTHERS + known::class(name) % (SLOTS - OTHERS),
        }
    }

    /// What tells it from most others that have the same slot.
    pub(super) fn class(self) -> u16 {
        match self {
            Self::Other(name) => known::class(name) as u16,
            _ => 0,
        }
    }
}
