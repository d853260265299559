//! Numbers with a prefix of some bits (RFC 7541, 5.1).

use super::HpackError;

/// Reads the number whose first byte is `first`, with a prefix of `bits`; the others are taken from `rest`.
///
/// # Errors
/// It ends within, or has more than four bytes behind the first: indices and lengths are far below what those can say.
#[inline]
pub(super) fn read(first: u8, bits: u32, rest: &mut &[u8]) -> Result<usize, HpackError> {
    let most = (1_u8 << bits) - 1;
    let low = first & most;
    if low < most {
        return Ok(usize::from(low));
    }
    read_more(most, rest)
}

fn read_more(most: u8, rest: &mut &[u8]) -> Result<usize, HpackError> {
    let mut number = usize::from(most);
    for shift in [0, 7, 14, 21] {
        let (&byte, behind) = rest.split_first().ok_or(HpackError::Truncated)?;
        *rest = behind;
        number += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(HpackError::Integer)
}

/// Writes a number with a prefix of `bits`; `flags` are the other bits of its first byte.
#[inline]
pub(super) fn write(number: usize, bits: u32, flags: u8, out: &mut Vec<u8>) {
    let most = (1 << bits) - 1;
    if number < most {
        out.push(flags | number as u8);
        return;
    }
    out.push(flags | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_all(bytes: &[u8], bits: u32) -> Result<(usize, usize), HpackError> {
        let (first, mut rest) = bytes.split_first().unwrap();
        let number = read(*first, bits, &mut rest)?;
        Ok((number, bytes.len() - rest.len()))
    }

    #[test]
    fn the_rfcs_examples_are_read_and_written() {
        // RFC 7541, C.1.
        let table: [(usize, u32, &[u8]); 3] = [
            (10, 5, &[0b0_1010]),
            (1337, 5, &[0b1_1111, 0b1001_1010, 0b0000_1010]),
            (42, 8 - 1, &[0b010_1010]),
        ];
        for (number, bits, bytes) in table {
            assert_eq!(read_all(bytes, bits), Ok((number, bytes.len())));
            let mut out = Vec::new();
            write(number, bits, 0, &mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn a_number_is_bounded_and_must_be_all_there() {
        assert_eq!(read_all(&[0x7f], 7), Err(HpackError::Truncated));
        assert_eq!(read_all(&[0x7f, 0x80], 7), Err(HpackError::Truncated));
        let largest = [0x7f, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(read_all(&largest, 7), Ok((127 + (1 << 28) - 1, 5)));
        for long in [
            [0x7f, 0xff, 0xff, 0xff, 0xff, 0x00],
            [0x7f, 0x80, 0x80, 0x80, 0x80, 0x00],
        ] {
            assert_eq!(read_all(&long, 7), Err(HpackError::Integer));
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(number in 0_usize..(1 << 28), bits in 4_u32..=7, behind: u8) {
            let flags = 0x80;
            let mut out = Vec::new();
            write(number, bits, flags, &mut out);
            let length = out.len();
            out.push(behind);
            prop_assert_eq!(out[0] & 0x80, flags);
            prop_assert_eq!(read_all(&out, bits), Ok((number, length)));
        }
    }
}
