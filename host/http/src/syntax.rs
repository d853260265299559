//! What messages are made of: tokens, text, blanks (RFC 9110, 5.5 and 5.6), told apart many bytes at a time.

use wide::u8x16;

/// How many bytes are looked at together.
const BLOCK: usize = 16;

/// How many blocks a name is in: what is behind a head need not be searched for a colon.
const NEAR: usize = 3;

/// The bytes of those.
const FAR: usize = NEAR * BLOCK;

/// The bytes of a token (RFC 9110, 5.6.2).
pub(crate) const TOKEN: [bool; 256] = alphanumeric_and(b"!#$%&'*+-.^_`|~");

/// The bytes of a token in lower case.
pub(crate) const LOWER_TOKEN: [bool; 256] = {
    let (mut table, mut byte) = (TOKEN, b'A');
    while byte <= b'Z' {
        table[byte as usize] = false;
        byte += 1;
    }
    table
};

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

/// Whether this is a token.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|&byte| TOKEN[usize::from(byte)])
}

/// Whether a byte may stand in a field value: no control byte but the tabulator.
pub(crate) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Whether a byte is a space or a tabulator.
pub(crate) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// Without spaces and tabulators around it.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// Where the token ends that begins at `from`.
#[inline]
pub(crate) fn token_end(bytes: &[u8], from: usize) -> usize {
    let rest = bytes.get(from..).unwrap_or_default();
    let end = rest.iter().position(|&byte| !TOKEN[usize::from(byte)]);
    from + end.unwrap_or(rest.len())
}

/// Where the first colon is at or behind `from`; the end if there is none.
#[inline]
pub(crate) fn colon(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, colons)
}

/// The same where it is in the first blocks, or the end is near.
#[inline(always)]
pub(crate) fn near_colon(bytes: &[u8]) -> Option<usize> {
    let blocks = bytes.as_chunks::<BLOCK>().0;
    for (number, block) in blocks.iter().take(NEAR).enumerate() {
        match colons(u8x16::new(*block)).to_bitmask() {
            0 => {}
            found => return Some(number * BLOCK + first_of(found)),
        }
    }
    match bytes.len() {
        FAR.. => None,
        _ => Some(colon(bytes, 0)),
    }
}

#[inline(always)]
fn colons(block: u8x16) -> u8x16 {
    equal(block, b':')
}

/// Where the text ends that begins at `from`: at the first control byte that is no tabulator.
#[inline]
pub(crate) fn text_end(bytes: &[u8], from: usize) -> usize {
    let mut at = find(bytes, from, controls);
    while bytes.get(at) == Some(&b'\t') {
        at = find(bytes, at + 1, controls);
    }
    at
}

/// Where the request target ends that begins at `from`: at the first space, control byte or `#`.
#[inline]
pub(crate) fn target_end(bytes: &[u8], from: usize) -> usize {
    find(bytes, from, no_targets)
}

/// What is where in a request target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetParts {
    /// Where its path ends: at the first question mark, or with the target.
    pub(crate) path_end: usize,
    /// Where it ends, as [`target_end`] says.
    pub(crate) end: usize,
    /// Whether the path has a byte by which it could be another than it seems: a dot, a percent sign or a backslash.
    pub(crate) has_odd_path: bool,
}

/// The parts of the request target that begins at `from`.
#[inline]
pub(crate) fn target_parts(bytes: &[u8], from: usize) -> TargetParts {
    let first = find(bytes, from, |block| {
        no_targets(block) | equal(block, b'?') | odd_in_path(block)
    });
    let has_odd_path = matches!(bytes.get(first), Some(b'.' | b'%' | b'\\'));
    let path_end = match has_odd_path {
        true => find(bytes, first, |block| no_targets(block) | equal(block, b'?')),
        false => first,
    };
    let end = match bytes.get(path_end) {
        Some(b'?') => target_end(bytes, path_end),
        _ => path_end,
    };
    TargetParts {
        path_end,
        end,
        has_odd_path,
    }
}

#[inline(always)]
fn odd_in_path(block: u8x16) -> u8x16 {
    equal(block, b'.') | equal(block, b'%') | equal(block, b'\\')
}

/// The control bytes.
#[inline(always)]
fn controls(block: u8x16) -> u8x16 {
    at_most(block, b' ' - 1) | equal(block, 0x7f)
}

/// What cannot stand in a target.
#[inline(always)]
fn no_targets(block: u8x16) -> u8x16 {
    at_most(block, b' ') | equal(block, 0x7f) | equal(block, b'#')
}

#[inline(always)]
fn equal(block: u8x16, byte: u8) -> u8x16 {
    block.simd_eq(u8x16::splat(byte))
}

#[inline(always)]
fn at_most(block: u8x16, bound: u8) -> u8x16 {
    block.min(u8x16::splat(bound)).simd_eq(block)
}

/// Where the first of the wanted bytes is at or behind `from`; the end if there is none.
#[inline(always)]
fn find(bytes: &[u8], from: usize, wanted: impl Fn(u8x16) -> u8x16) -> usize {
    let Some(rest) = bytes.get(from..) else {
        return from;
    };
    let (blocks, mut at) = (rest.as_chunks::<BLOCK>().0, from);
    for block in blocks {
        match wanted(u8x16::new(*block)).to_bitmask() {
            0 => at += BLOCK,
            found => return at + first_of(found),
        }
    }
    match wanted_in_tail(bytes, at, wanted) {
        0 => bytes.len(),
        found => at + first_of(found),
    }
}

/// Which bytes are wanted from `at` on, where fewer than a block are left: found in the last block of all, or in one that is
/// filled up.
#[inline(never)]
fn wanted_in_tail(bytes: &[u8], at: usize, wanted: impl Fn(u8x16) -> u8x16) -> u32 {
    match bytes.last_chunk::<BLOCK>() {
        Some(last) => wanted(u8x16::new(*last)).to_bitmask() >> (at + BLOCK - bytes.len()),
        None => {
            let mut block = [b'x'; BLOCK];
            block[..bytes.len()].copy_from_slice(bytes);
            wanted(u8x16::new(block)).to_bitmask() >> at
        }
    }
}

/// The place of the lowest bit.
#[inline(always)]
fn first_of(found: u32) -> usize {
    found.trailing_zeros() as usize
}

/// The eight bytes at `at`, the first of them the lowest; `None` if there are fewer.
#[inline]
pub(crate) fn word_at(bytes: &[u8], at: usize) -> Option<u64> {
    let word = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*word))
}

/// Whether an option of `Connection` is `keep-alive`, in any case. It has no control bytes, so nothing else becomes the same as
/// it in lower case.
#[inline]
pub(crate) fn is_keep_alive(option: &[u8]) -> bool {
    const LOWER: u64 = u64::from_ne_bytes([b' '; 8]);
    const FIRST: u64 = u64::from_le_bytes(*b"keep-ali");
    option.len() == 10
        && word_at(option, 0).is_some_and(|first| first | LOWER == FIRST)
        && option[8..].eq_ignore_ascii_case(b"ve")
}

/// Whether an element of `TE` is `trailers`.
#[inline]
pub(crate) fn is_trailers(element: &[u8]) -> bool {
    const LOWER: u64 = u64::from_ne_bytes([b' '; 8]);
    const ALL: u64 = u64::from_le_bytes(*b"trailers");
    // All of them are letters, and no other byte becomes one of these.
    element.len() == 8 && word_at(element, 0).is_some_and(|word| word | LOWER == ALL)
}

/// A number of up to 18 digits alone, which is more than any body has bytes.
pub(crate) fn decimal(digits: &[u8]) -> Option<u64> {
    if !(1..=18).contains(&digits.len()) {
        return None;
    }
    let mut number = 0;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    Some(number)
}

/// A status: three digits alone, of which the first is no zero.
pub(crate) fn status(digits: &[u8]) -> Option<u16> {
    match digits {
        [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => {
            let digit = |byte: &u8| u16::from(byte - b'0');
            Some(digit(a) * 100 + digit(b) * 10 + digit(c))
        }
        _ => None,
    }
}

/// The elements of a list (RFC 9110, 5.6.1) without blanks around them; those that are empty are left out. A comma within
/// quotes ends no element.
pub(crate) fn elements(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = Some(list);
    std::iter::from_fn(move || {
        loop {
            let (element, behind) = split_element(rest?);
            rest = behind;
            let element = trim(element);
            if !element.is_empty() {
                return Some(element);
            }
        }
    })
}

/// The first element, and what is behind its comma.
#[inline]
fn split_element(list: &[u8]) -> (&[u8], Option<&[u8]>) {
    let Some(end) = list.iter().position(|byte| matches!(byte, b',' | b'"')) else {
        return (list, None);
    };
    if list[end] == b',' {
        return (&list[..end], Some(&list[end + 1..]));
    }
    split_quoted(list)
}

#[cold]
fn split_quoted(list: &[u8]) -> (&[u8], Option<&[u8]>) {
    let (mut is_quoted, mut is_escaped) = (false, false);
    for (at, &byte) in list.iter().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if is_quoted => is_escaped = true,
            b'"' => is_quoted = !is_quoted,
            b',' if !is_quoted => return (&list[..at], Some(&list[at + 1..])),
            _ => {}
        }
    }
    (list, None)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_digits() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"005"), Some(5));
        assert_eq!(
            decimal(b"999999999999999999"),
            Some(999_999_999_999_999_999)
        );
        for value in [
            "",
            "+1",
            "-1",
            "1,1",
            "1 ",
            " 1",
            "0x1",
            "1_0",
            "\u{663}",
            "9999999999999999999",
        ] {
            assert_eq!(decimal(value.as_bytes()), None, "{value}");
        }
    }

    #[test]
    fn lists_have_elements() {
        let table: [(&str, &[&str]); 7] = [
            ("", &[]),
            (" , ,", &[]),
            ("a", &["a"]),
            (" a ,\tb,,c ", &["a", "b", "c"]),
            ("a;b=\"c,d\",e", &["a;b=\"c,d\"", "e"]),
            ("\"a\\\",b\",c", &["\"a\\\",b\"", "c"]),
            ("\"a,b", &["\"a,b"]),
        ];
        for (list, expected) in table {
            let found: Vec<_> = elements(list.as_bytes())
                .map(|it| it.escape_ascii().to_string())
                .collect();
            let expected: Vec<_> = expected
                .iter()
                .map(|it| it.as_bytes().escape_ascii().to_string())
                .collect();
            assert_eq!(found, expected, "{list}");
        }
    }

    /// The same by looking at one byte after the other.
    fn first(bytes: &[u8], from: usize, is_wanted: impl Fn(u8) -> bool) -> usize {
        let found = (from..bytes.len()).find(|&at| is_wanted(bytes[at]));
        found.unwrap_or(bytes.len())
    }

    #[test]
    fn every_byte_is_told_from_others_at_every_place() {
        for length in 0..40 {
            for at in 0..length {
                for byte in 0..=255 {
                    let mut bytes = vec![b'x'; length];
                    bytes[at] = byte;
                    let bytes = &bytes[..];
                    assert_eq!(text_end(bytes, 0), first(bytes, 0, |it| !is_text(it)));
                    assert_eq!(
                        target_end(bytes, 0),
                        first(bytes, 0, |it| matches!(it, 0..=b' ' | 0x7f | b'#'))
                    );
                    assert_eq!(
                        token_end(bytes, 0),
                        first(bytes, 0, |it| !TOKEN[usize::from(it)])
                    );
                }
            }
        }
    }

    #[test]
    fn a_target_has_a_path_that_may_be_odd() {
        for (target, path, has_odd_path) in [
            ("", "", false),
            ("/", "/", false),
            ("/a?b", "/a", false),
            ("/a?b?c.%", "/a", false),
            ("?", "", false),
            ("/a.b", "/a.b", true),
            ("/a/%41?b", "/a/%41", true),
            ("/\\?", "/", true),
            (
                "/a/long/path/of/many/bytes?query",
                "/a/long/path/of/many/bytes",
                false,
            ),
            (
                "/a/long/path/of/many/bytes/.?query",
                "/a/long/path/of/many/bytes/.",
                true,
            ),
        ] {
            for behind in ["", " HTTP/1.1\r\nHost: a?.\r\n"] {
                let bytes = format!("GET {target}{behind}");
                let found = target_parts(bytes.as_bytes(), 4);
                let expected = TargetParts {
                    path_end: 4 + path.len() + usize::from(target == "/\\?"),
                    end: 4 + target.len(),
                    has_odd_path,
                };
                assert_eq!(found, expected, "{bytes}");
            }
        }
    }

    proptest! {
        #[test]
        fn ends_are_found_in_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80), from in 0_usize..80) {
            let from = from.min(bytes.len());
            prop_assert_eq!(text_end(&bytes, from), first(&bytes, from, |it| !is_text(it)));
            prop_assert_eq!(target_end(&bytes, from), first(&bytes, from, |it| matches!(it, 0..=b' ' | 0x7f | b'#')));
        }
    }
}
