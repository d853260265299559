//! A field line as it is in a table or comes in a block, and what is known of it.
//!
//! It is held as HTTP/1 would write it, so that it becomes part of a head by one copy. What RFC 9113 demands of names and values
//! (8.2.1) is judged once, when a line is decoded from a literal; its verdict is kept with the line in the table. A line that must
//! not pass is a fault of its message: to HPACK it is as good as others.

use std::fmt;

use crate::http2::pseudo::Pseudo;
use crate::known::{self, Known};
use crate::syntax::{LOWER_TOKEN, is_token, text_end};
use crate::violation::Violation;

/// What comes behind a name.
pub(super) const COLON: &[u8] = b": ";

/// What comes behind a value.
pub(super) const END: &[u8] = b"\r\n";

/// A field line that has been decoded.
#[derive(Clone, Copy)]
pub struct FieldLine<'l> {
    /// Name, colon, space, value, CRLF.
    pub(super) bytes: &'l [u8],
    pub(super) shape: Shape,
}

/// What is known of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub(super) name_length: u32,
    pub(super) named: Named,
    /// What is wrong with the value.
    pub(super) fault: Option<Violation>,
    pub(super) is_never_indexed: bool,
}

/// What a line's name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Pseudo(Pseudo),
    Known(Known),
    Other,
    /// None that may be.
    Wrong(Violation),
}

impl Named {
    /// Judges a name (RFC 9113, 8.2.1 and 8.3).
    pub(super) fn of(name: &[u8]) -> Self {
        if let Some(known) = known::find(name) {
            return match known.name().as_bytes() == name {
                true => Self::Known(known),
                false => Self::Wrong(Violation::UpperCase),
            };
        }
        match name {
            [b':', ..] => {
                Pseudo::of(name).map_or(Self::Wrong(Violation::PseudoUnknown), Self::Pseudo)
            }
            [] => Self::Wrong(Violation::FieldName),
            _ if name.iter().all(|&byte| LOWER_TOKEN[usize::from(byte)]) => Self::Other,
            _ if is_token(name) => Self::Wrong(Violation::UpperCase),
            _ => Self::Wrong(Violation::FieldName),
        }
    }
}

/// What is wrong with a value: with that of any field (RFC 9113, 8.2.1; and as in HTTP/1, control bytes), or of a pseudo-field (8.3).
pub(super) fn fault(named: Named, value: &[u8]) -> Option<Violation> {
    match named {
        Named::Pseudo(pseudo) => pseudo.validate(value).err(),
        _ if text_end(value, 0) < value.len() => Some(Violation::FieldValue),
        _ if has_blanks_around(value) => Some(Violation::BlankAround),
        _ => None,
    }
}

fn has_blanks_around(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.first()) || is_blank(value.last())
}

impl<'l> FieldLine<'l> {
    /// The name as it came.
    #[inline]
    pub fn name(&self) -> &'l [u8] {
        &self.bytes[..self.shape.name_length as usize]
    }

    /// The bytes of the name.
    #[inline]
    pub(crate) fn name_length(&self) -> usize {
        self.shape.name_length as usize
    }

    /// The value as it came.
    #[inline]
    pub fn value(&self) -> &'l [u8] {
        let from = self.shape.name_length as usize + COLON.len();
        &self.bytes[from..self.bytes.len() - END.len()]
    }

    /// Whether it must stay a literal that is never indexed, wherever it is passed on (RFC 7541, 7.1.3).
    #[inline]
    pub fn is_never_indexed(&self) -> bool {
        self.shape.is_never_indexed
    }

    /// As HTTP/1 would write it.
    #[inline]
    pub(crate) fn bytes(&self) -> &'l [u8] {
        self.bytes
    }

    /// What its name is.
    #[inline]
    pub(crate) fn named(&self) -> Named {
        self.shape.named
    }

    /// What is wrong with its value.
    #[inline]
    pub(crate) fn fault(&self) -> Option<Violation> {
        self.shape.fault
    }
}

impl fmt::Debug for FieldLine<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("FieldLine");
        shown.field("name", &self.name().escape_ascii().to_string());
        shown.field("value", &self.value().escape_ascii().to_string());
        shown
            .field("is_never_indexed", &self.is_never_indexed())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_tokens_or_known_pseudo_fields() {
        let table = [
            ("host", Named::Known(Known::Host)),
            ("x-other", Named::Other),
            (":path", Named::Pseudo(Pseudo::Path)),
            (":Path", Named::Wrong(Violation::PseudoUnknown)),
            (":", Named::Wrong(Violation::PseudoUnknown)),
            (":x", Named::Wrong(Violation::PseudoUnknown)),
            ("Host", Named::Wrong(Violation::UpperCase)),
            ("x-Other", Named::Wrong(Violation::UpperCase)),
            ("", Named::Wrong(Violation::FieldName)),
            ("a b", Named::Wrong(Violation::FieldName)),
            ("a:", Named::Wrong(Violation::FieldName)),
            ("a\r\nb", Named::Wrong(Violation::FieldName)),
            ("a\0", Named::Wrong(Violation::FieldName)),
            ("\u{e9}", Named::Wrong(Violation::FieldName)),
        ];
        for (name, expected) in table {
            assert_eq!(Named::of(name.as_bytes()), expected, "{name:?}");
        }
    }

    #[test]
    fn values_have_no_control_bytes_and_no_blanks_around_them() {
        for value in ["", "a", "a b\tc", "\u{e9}"] {
            assert_eq!(fault(Named::Other, value.as_bytes()), None, "{value:?}");
        }
        for value in ["\r", "a\nb", "a\0", "\u{7f}"] {
            assert_eq!(
                fault(Named::Other, value.as_bytes()),
                Some(Violation::FieldValue),
                "{value:?}"
            );
        }
        for value in [" ", "\t", " a", "a ", "a\t"] {
            assert_eq!(
                fault(Named::Other, value.as_bytes()),
                Some(Violation::BlankAround),
                "{value:?}"
            );
        }
    }
}
