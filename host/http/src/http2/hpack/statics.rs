//! The static table (RFC 7541, appendix A).

use super::line::{FieldLine, Named, Shape};
use crate::http2::pseudo::Pseudo;
use crate::known::{COUNT, Known};
use crate::violation::Violation;

macro_rules! statics {
    ($($name:literal = $value:literal,)+) => {
        /// The entries as lines of HTTP/1 would be, from index 1 on.
        const LINES: &[&str] = &[$(concat!($name, ": ", $value, "\r\n"),)+];

        /// How long their names are.
        const NAMES: &[usize] = &[$($name.len(),)+];
    };
}

statics! {
    ":authority" = "",
    ":method" = "GET",
    ":method" = "POST",
    ":path" = "/",
    ":path" = "/index.html",
    ":scheme" = "http",
    ":scheme" = "https",
    ":status" = "200",
    ":status" = "204",
    ":status" = "206",
    ":status" = "304",
    ":status" = "400",
    ":status" = "404",
    ":status" = "500",
    "accept-charset" = "",
    "accept-encoding" = "gzip, deflate",
    "accept-language" = "",
    "accept-ranges" = "",
    "accept" = "",
    "access-control-allow-origin" = "",
    "age" = "",
    "allow" = "",
    "authorization" = "",
    "cache-control" = "",
    "content-disposition" = "",
    "content-encoding" = "",
    "content-language" = "",
    "content-length" = "",
    "content-location" = "",
    "content-range" = "",
    "content-type" = "",
    "cookie" = "",
    "date" = "",
    "etag" = "",
    "expect" = "",
    "expires" = "",
    "from" = "",
    "host" = "",
    "if-match" = "",
    "if-modified-since" = "",
    "if-none-match" = "",
    "if-range" = "",
    "if-unmodified-since" = "",
    "last-modified" = "",
    "link" = "",
    "location" = "",
    "max-forwards" = "",
    "proxy-authenticate" = "",
    "proxy-authorization" = "",
    "range" = "",
    "referer" = "",
    "refresh" = "",
    "retry-after" = "",
    "server" = "",
    "set-cookie" = "",
    "strict-transport-security" = "",
    "transfer-encoding" = "",
    "user-agent" = "",
    "vary" = "",
    "via" = "",
    "www-authenticate" = "",
}

/// How many entries there are; the dynamic table begins behind them.
pub(super) const COUNT_OF_STATICS: usize = LINES.len();

const _: () = assert!(COUNT_OF_STATICS == 61);

static ENTRIES: [FieldLine<'static>; COUNT_OF_STATICS] = entries();

/// The index of the first entry with each known name; 0 where there is none.
static INDICES: [u8; COUNT] = indices();

/// The entry of this index.
#[inline]
pub(super) fn get(index: usize) -> Option<&'static FieldLine<'static>> {
    ENTRIES.get(index.checked_sub(1)?)
}

/// The index of an entry that has this name; 0 where there is none.
#[inline]
pub(super) fn index_of(known: Known) -> usize {
    usize::from(INDICES[known as usize])
}

const fn entries() -> [FieldLine<'static>; COUNT_OF_STATICS] {
    let none = FieldLine {
        bytes: b"",
        shape: Shape {
            name_length: 0,
            named: Named::Other,
            fault: None,
            is_never_indexed: false,
        },
    };
    let (mut entries, mut index) = ([none; COUNT_OF_STATICS], 0);
    while index < COUNT_OF_STATICS {
        let (name, _) = LINES[index].as_bytes().split_at(NAMES[index]);
        entries[index].bytes = LINES[index].as_bytes();
        entries[index].shape.name_length = name.len() as u32;
        entries[index].shape.named = match (Pseudo::of(name), known(name)) {
            (Some(pseudo), _) => Named::Pseudo(pseudo),
            (_, Some(known)) => Named::Known(known),
            _ => panic!("each name of the table is known"),
        };
        index += 1;
    }
    // The one entry of which the value, where it is taken, must not pass.
    entries[0].shape.fault = Some(Violation::HostInvalid);
    entries
}

const fn indices() -> [u8; COUNT] {
    let (entries, mut indices, mut index) = (entries(), [0; COUNT], COUNT_OF_STATICS);
    while index > 0 {
        if let Named::Known(known) = entries[index - 1].shape.named {
            indices[known as usize] = index as u8;
        }
        index -= 1;
    }
    indices
}

/// The known field of this name, when this is compiled.
const fn known(name: &[u8]) -> Option<Known> {
    let mut index = 0;
    while index < COUNT {
        let known = Known::ALL[index];
        if is_same(known.name().as_bytes(), name) {
            return Some(known);
        }
        index += 1;
    }
    None
}

const fn is_same(one: &[u8], other: &[u8]) -> bool {
    let (mut index, mut is_same) = (0, one.len() == other.len());
    while is_same && index < one.len() {
        is_same = one[index] == other[index];
        index += 1;
    }
    is_same
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http2::hpack::line::{COLON, END, fault};

    #[test]
    fn entries_are_lines_with_right_names() {
        assert!(get(0).is_none() && get(62).is_none());
        for index in 1..=61 {
            let entry = get(index).unwrap();
            assert_eq!(Named::of(entry.name()), entry.named(), "{index}");
            assert_eq!(
                fault(entry.named(), entry.value()),
                entry.fault(),
                "{index}"
            );
            let line = [entry.name(), COLON, entry.value(), END].concat();
            assert_eq!(line, entry.bytes());
        }
        let pair = |index| get(index).map(|entry| (entry.name(), entry.value()));
        assert_eq!(pair(1), Some((&b":authority"[..], &b""[..])));
        assert_eq!(
            pair(16),
            Some((&b"accept-encoding"[..], &b"gzip, deflate"[..]))
        );
        assert_eq!(pair(61), Some((&b"www-authenticate"[..], &b""[..])));
    }

    #[test]
    fn known_names_have_their_index() {
        assert_eq!(index_of(Known::AcceptCharset), 15);
        assert_eq!(index_of(Known::WwwAuthenticate), 61);
        assert_eq!(index_of(Known::Te), 0);
    }
}
