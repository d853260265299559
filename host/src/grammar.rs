//! What the lines of HTTP/1 are made of (RFC 9112), for whoever reads along with them.
//!
//! A line comes without its line end. Errors are sentences without their end, for the log.

use memchr::memchr;

/// The bytes of a token (RFC 9110, 5.6.2).
const TOKEN_BYTES: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// A table of the bytes that are letters, digits, or among `others`.
pub(crate) const fn alphanumeric_and(others: &[u8]) -> [bool; 256] {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    while byte < 128 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
}

/// How many of `left` bytes are in `bytes`, and how many are left after them.
pub(crate) fn take(left: u64, bytes: &[u8]) -> (usize, u64) {
    match usize::try_from(left) {
        Ok(left) if left <= bytes.len() => (left, 0),
        _ => (bytes.len(), left - bytes.len() as u64),
    }
}

/// The value of a field line, without white space around it, if the line is for `name` (in lower case).
pub(crate) fn value_of<'line>(line: &'line [u8], name: &[u8]) -> Option<&'line [u8]> {
    let (field, value) = line.split_at_checked(name.len())?;
    let value = value.strip_prefix(b":")?;
    field
        .eq_ignore_ascii_case(name)
        .then(|| trim_blanks(trim_blanks_before(value)))
}

/// A body's length in digits alone; up to 18 of them, which no real body needs.
pub(crate) fn length(value: &[u8]) -> Option<u64> {
    let is_number = (1..=18).contains(&value.len()) && value.iter().all(u8::is_ascii_digit);
    is_number.then(|| {
        value
            .iter()
            .fold(0, |length, digit| length * 10 + u64::from(digit - b'0'))
    })
}

/// A field line's name and value, with white space around the value.
///
/// # Errors
/// The name is no token, or the value has control bytes.
pub(crate) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let colon = memchr(b':', line).ok_or("a field has no colon")?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.is_empty() || name_end(name) < name.len() {
        return Err("a field's name is no token");
    }
    if !value.iter().all(|&byte| is_text(byte)) {
        return Err("a field has control bytes");
    }
    Ok((name, value))
}

/// A chunk's size, with or without extensions behind it (7.1).
///
/// # Errors
/// It is no hexadecimal number of up to 16 digits, or there is anything else behind it: an extension without a name, white
/// space before or behind everything.
pub(crate) fn chunk_size(line: &[u8]) -> Result<u64, &'static str> {
    let digits = line
        .iter()
        .position(|byte| !byte.is_ascii_hexdigit())
        .unwrap_or(line.len());
    let (size, extensions) = line.split_at(digits);
    let text = std::str::from_utf8(size).unwrap_or_default();
    let size = u64::from_str_radix(text, 16).ok();
    let size = size
        .filter(|_| digits <= 16)
        .ok_or("a chunk's size is no hexadecimal number of up to 16 digits")?;
    are_chunk_extensions(extensions)
        .then_some(size)
        .ok_or("a chunk's size is followed by nonsense")
}

/// Whether this is nothing, or chunk extensions (7.1.1).
fn are_chunk_extensions(mut rest: &[u8]) -> bool {
    while let [b';', behind @ ..] = rest {
        let named = trim_blanks_before(behind);
        let (name, behind) = named.split_at(name_end(named));
        if name.is_empty() {
            return false;
        }
        rest = match trim_blanks_before(behind) {
            [b'=', value @ ..] => match behind_value(trim_blanks_before(value)) {
                Some(behind) => behind,
                None => return false,
            },
            [b';', ..] => trim_blanks_before(behind),
            _ => behind,
        };
    }
    rest.is_empty()
}

/// What is behind a token or a quoted string; `None` if there is none.
fn behind_value(value: &[u8]) -> Option<&[u8]> {
    let [b'"', quoted @ ..] = value else {
        let end = name_end(value);
        return (end > 0).then(|| &value[end..]);
    };
    let mut rest = quoted;
    loop {
        rest = match rest {
            [b'"', behind @ ..] => return Some(behind),
            [b'\\', byte, behind @ ..] if is_text(*byte) => behind,
            [b'\\', ..] => return None,
            [byte, behind @ ..] if is_text(*byte) => behind,
            _ => return None,
        };
    }
}

/// Where the token ends that `bytes` begin with.
fn name_end(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|&byte| !TOKEN_BYTES[usize::from(byte)])
        .unwrap_or(bytes.len())
}

/// Whether a byte may stand in a field value: no control byte but the tabulator.
fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

fn trim_blanks_before(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

fn trim_blanks(mut bytes: &[u8]) -> &[u8] {
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn chunk_sizes_are_read_with_their_extensions() {
        let table = [
            ("0", 0),
            ("5", 5),
            ("fF", 255),
            ("0000000000000005", 5),
            ("ffffffffffffffff", u64::MAX),
            ("5;a", 5),
            ("5; a", 5),
            ("5;a=b", 5),
            ("5;a = b", 5),
            ("5;a=b;c;d=e", 5),
            ("5;a ;c", 5),
            ("5;a=\"\"", 5),
            ("5;a=\"b;c=\\\"d\\\\\";e", 5),
        ];
        for (line, size) in table {
            assert_eq!(chunk_size(line.as_bytes()), Ok(size), "{line:?}");
        }
    }

    #[test]
    fn what_is_no_chunk_size_is_refused() {
        let lines = [
            "",
            " 5",
            "5 ",
            "5\t",
            "+5",
            "-5",
            "0x5",
            "5_0",
            "x",
            "00000000000000005",
            "5;",
            "5; ",
            "5;;a",
            "5;=a",
            "5;a=",
            "5;a= ",
            "5;a=\"",
            "5;a=\"b\"c",
            "5;a=\"\\",
            "5;a=b c",
            "5;a b",
            "5;a=b;",
            "5 ;a",
            "5,a",
            "5;a=\x01",
            "5;a=\"\x01\"",
            "5;\x7f",
            "5;a=b\rc",
            "5;a=\"\u{7f}\"",
            "5;a=@",
            "5;a ",
            "5;a=b ",
        ];
        for line in lines {
            assert!(chunk_size(line.as_bytes()).is_err(), "{line:?}");
        }
    }

    #[test]
    fn fields_have_a_name_and_text() {
        assert_eq!(field(b"a: b"), Ok((&b"a"[..], &b" b"[..])));
        assert_eq!(field(b"X-1:\xff\t"), Ok((&b"X-1"[..], &b"\xff\t"[..])));
        for line in [
            &b""[..],
            b"a",
            b":b",
            b"a :b",
            b" a:b",
            b"a\xff:b",
            b"a:\0",
            b"a:\r",
            b"a:\x7f",
        ] {
            assert!(field(line).is_err(), "{}", line.escape_ascii());
        }
    }

    #[test]
    fn lengths_are_digits() {
        assert_eq!(length(b"0"), Some(0));
        assert_eq!(length(b"999999999999999999"), Some(999_999_999_999_999_999));
        for value in [
            &b""[..],
            b"+1",
            b"-1",
            b"1,1",
            b"1 ",
            b"0x1",
            b"9999999999999999999",
        ] {
            assert_eq!(length(value), None, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_value_is_found_by_its_name() {
        assert_eq!(value_of(b"Host: \ta \t", b"host"), Some(&b"a"[..]));
        assert_eq!(value_of(b"Host:", b"host"), Some(&b""[..]));
        assert_eq!(value_of(b"Host:\x0ba", b"host"), Some(&b"\x0ba"[..]));
        assert_eq!(value_of(b"Host : a", b"host"), None);
        assert_eq!(value_of(b"Hos", b"host"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = (chunk_size(&bytes), field(&bytes), length(&bytes), value_of(&bytes, b"te"));
            let _ = chunk_size(&[b"5;a=\"", &bytes[..]].concat());
        }
    }
}
