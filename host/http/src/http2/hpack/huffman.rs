//! The Huffman code of strings (RFC 7541, 5.2 and appendix B).
//!
//! The code is canonical: of codes of one length, those of smaller bytes come first, and shorter ones before longer ones. So all
//! tables are made from the lengths when this is compiled. Codes of up to ten bits, which texts mostly have, are found by one look
//! into a table; longer ones by their length.

use super::HpackError;

/// The lengths of the codes of all bytes, in bits, and of the one that says the end, which no string may have.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

/// The shortest code, in bits.
const SHORTEST: u32 = 5;

/// The longest code, in bits.
const MAX_CODE_LENGTH: u32 = 30;

/// Bits that one look tells about.
const LOOK: u32 = 10;

/// The codes of all bytes, in their low bits.
static CODES: [u32; 256] = codes();

/// What begins with these bits: the length of a code, and above it its byte; 0 for a code that is longer.
static SHORT: [u16; 1 << LOOK] = short();

/// The codes of each length: the first that is larger than all of them, and what makes a place in [`SORTED`] of one.
static LONG: [Length; MAX_CODE_LENGTH as usize + 1] = long();

/// All symbols in the order of their codes.
static SORTED: [u16; 257] = sorted();

#[derive(Clone, Copy)]
struct Length {
    end: u32,
    offset: u32,
}

const fn sorted() -> [u16; 257] {
    let (mut sorted, mut place, mut length) = ([0; 257], 0, 0);
    while length <= MAX_CODE_LENGTH {
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as u32 == length {
                sorted[place] = symbol as u16;
                place += 1;
            }
            symbol += 1;
        }
        length += 1;
    }
    sorted
}

const fn codes() -> [u32; 256] {
    let (sorted, mut codes, mut place) = (sorted(), [0; 256], 0);
    let (mut code, mut length) = (0, LENGTHS[sorted[0] as usize]);
    // The last one is the end's.
    while place < 256 {
        let symbol = sorted[place] as usize;
        code <<= LENGTHS[symbol] - length;
        length = LENGTHS[symbol];
        codes[symbol] = code;
        code += 1;
        place += 1;
    }
    codes
}

const fn short() -> [u16; 1 << LOOK] {
    let (codes, mut table, mut symbol) = (codes(), [0; 1 << LOOK], 0);
    while symbol < 256 {
        let length = LENGTHS[symbol] as u32;
        if length <= LOOK {
            let (first, mut index) = ((codes[symbol] as usize) << (LOOK - length), 0);
            while index < 1 << (LOOK - length) {
                table[first + index] = (symbol as u16) << 8 | length as u16;
                index += 1;
            }
        }
        symbol += 1;
    }
    table
}

const fn long() -> [Length; MAX_CODE_LENGTH as usize + 1] {
    let mut long = [Length { end: 0, offset: 0 }; MAX_CODE_LENGTH as usize + 1];
    let (mut length, mut end, mut place) = (0, 0_u32, 0_u32);
    while length <= MAX_CODE_LENGTH as usize {
        let (first, mut symbol) = (end << 1, 0);
        end = first;
        while symbol < 257 {
            end += (LENGTHS[symbol] as usize == length) as u32;
            symbol += 1;
        }
        // Places follow codes: one is as far from the first as the other.
        let offset = place.wrapping_sub(first);
        long[length] = Length { end, offset };
        place += end - first;
        length += 1;
    }
    long
}

/// Decodes a string, and appends it.
///
/// # Errors
/// It has the code of the end, or is filled up with something else than its first bits, or with more than seven (RFC 7541, 5.2).
pub(super) fn decode(mut input: &[u8], out: &mut Vec<u8>) -> Result<(), HpackError> {
    let from = out.len();
    // The shortest codes have five bits.
    out.resize(from + input.len() * 8 / SHORTEST as usize, 0);
    let mut bits = Bits {
        bits: 0,
        count: 0,
        out,
        end: from,
    };
    while let Some((word, rest)) = input.split_first_chunk::<4>() {
        bits.add(u32::from_be_bytes(*word), 32);
        input = rest;
        bits.decode_most()?;
    }
    for &byte in input {
        bits.add(u32::from(byte), 8);
    }
    bits.decode_most()?;
    bits.decode_rest()?;
    let end = bits.end;
    out.truncate(end);
    Ok(())
}

/// Bits that are to be decoded, and what they come to.
struct Bits<'o> {
    /// From the highest down; zeros behind them.
    bits: u64,
    count: u32,
    /// Has room for all bytes.
    out: &'o mut [u8],
    end: usize,
}

impl Bits<'_> {
    /// Adds some; there are at most 64 altogether.
    #[inline]
    fn add(&mut self, bits: u32, count: u32) {
        self.bits |= u64::from(bits) << (64 - count - self.count);
        self.count += count;
    }

    /// Decodes what is surely all there, whatever its length.
    #[inline]
    fn decode_most(&mut self) -> Result<(), HpackError> {
        while self.count >= MAX_CODE_LENGTH {
            match self.look() {
                0 => {
                    let (symbol, length) = self.long_symbol()?;
                    self.take(symbol, length);
                }
                entry => self.take((entry >> 8) as u8, u32::from(entry as u8)),
            }
        }
        Ok(())
    }

    /// Decodes what is left of a string, up to what fills up its last byte: the first bits of the end's code, which are ones.
    #[inline]
    fn decode_rest(&mut self) -> Result<(), HpackError> {
        loop {
            let (symbol, length) = match self.look() {
                0 if self.is_padding() => return Ok(()),
                0 => self.long_symbol()?,
                entry => ((entry >> 8) as u8, u32::from(entry as u8)),
            };
            if length > self.count {
                return self.is_padding().then_some(()).ok_or(HpackError::Huffman);
            }
            self.take(symbol, length);
        }
    }

    fn is_padding(&self) -> bool {
        self.count < 8 && self.bits == !(u64::MAX >> self.count)
    }

    /// What the first bits tell, of [`SHORT`].
    #[inline]
    fn look(&self) -> u16 {
        SHORT[(self.bits >> (64 - LOOK)) as usize]
    }

    /// Takes the first symbol out, which has this length.
    #[inline]
    fn take(&mut self, symbol: u8, length: u32) {
        self.bits <<= length;
        self.count -= length;
        if let Some(place) = self.out.get_mut(self.end) {
            *place = symbol;
            self.end += 1;
        }
    }

    #[cold]
    fn long_symbol(&self) -> Result<(u8, u32), HpackError> {
        for length in LOOK + 1..=MAX_CODE_LENGTH {
            let code = (self.bits >> (64 - length)) as u32;
            let Length { end, offset } = LONG[length as usize];
            if code < end {
                let symbol = SORTED.get(code.wrapping_add(offset) as usize);
                let symbol = symbol.and_then(|&symbol| u8::try_from(symbol).ok());
                return Ok((symbol.ok_or(HpackError::Huffman)?, length));
            }
        }
        Err(HpackError::Huffman)
    }
}

/// How many bytes a string has when it is encoded.
pub(super) fn encoded_length(string: &[u8]) -> usize {
    let lengths = string
        .iter()
        .map(|&byte| usize::from(LENGTHS[usize::from(byte)]));
    lengths.sum::<usize>().div_ceil(8)
}

/// Encodes a string, and appends it.
pub(super) fn encode(string: &[u8], out: &mut Vec<u8>) {
    let (mut bits, mut count) = (0_u64, 0);
    for &byte in string {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        bits = bits << length | u64::from(CODES[usize::from(byte)]);
        count += length;
        if count >= 32 {
            count -= 32;
            out.extend_from_slice(&((bits >> count) as u32).to_be_bytes());
        }
    }
    while count >= 8 {
        count -= 8;
        out.push((bits >> count) as u8);
    }
    if count > 0 {
        out.push((bits << (8 - count)) as u8 | 0xff >> count);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(bytes: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = b"before".to_vec();
        decode(bytes, &mut out)?;
        Ok(out.split_off(6))
    }

    fn encoded(string: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(string, &mut out);
        out
    }

    #[test]
    fn the_codes_are_those_of_the_rfc() {
        // RFC 7541, appendix B, a code of each length.
        let table: [(u8, u32, u8); 22] = [
            (b'0', 0x0, 5),
            (b' ', 0x14, 6),
            (b':', 0x5c, 7),
            (b'&', 0xf8, 8),
            (b'!', 0x3f8, 10),
            (b'+', 0x7fb, 11),
            (b'#', 0xffa, 12),
            (0, 0x1ff8, 13),
            (b'^', 0x3ffc, 14),
            (b'{', 0x7ffe, 15),
            (b'\\', 0x7fff0, 19),
            (128, 0xfffe6, 20),
            (153, 0x1f_ffdc, 21),
            (129, 0x3f_ffd2, 22),
            (1, 0x7f_ffd8, 23),
            (9, 0xff_ffea, 24),
            (199, 0x1ff_ffec, 25),
            (192, 0x3ff_ffe0, 26),
            (203, 0x7ff_ffde, 27),
            (2, 0xfff_ffe2, 28),
            (249, 0xfff_fffe, 28),
            (22, 0x3fff_fffe, 30),
        ];
        for (byte, code, length) in table {
            let at = usize::from(byte);
            assert_eq!((CODES[at], LENGTHS[at]), (code, length), "{byte}");
        }
    }

    #[test]
    fn every_byte_is_encoded_and_decoded() {
        for byte in 0..=255 {
            for length in 1..12 {
                let string = vec![byte; length];
                let encoded = encoded(&string);
                assert_eq!(encoded.len(), encoded_length(&string));
                assert_eq!(decoded(&encoded), Ok(string));
            }
        }
    }

    #[test]
    fn padding_is_of_ones_and_less_than_a_byte() {
        // `a` is 00011, `0` is 00000.
        assert_eq!(decoded(&[0b0001_1111]), Ok(b"a".to_vec()));
        for wrong in [
            &[0b0001_1000][..],
            &[0b0001_1110],
            &[0b0001_1111, 0xff],
            &[0xff],
            &[0xff; 3],
            // The end itself, alone and behind something.
            &[0xff; 4],
            &[0xff; 8],
            &[0b0001_1111, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert_eq!(decoded(wrong), Err(HpackError::Huffman), "{wrong:x?}");
        }
        assert_eq!(decoded(&[]), Ok(Vec::new()));
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(string in proptest::collection::vec(any::<u8>(), 0..100)) {
            let encoded = encoded(&string);
            prop_assert_eq!(encoded.len(), encoded_length(&string));
            prop_assert_eq!(decoded(&encoded), Ok(string));
        }

        #[test]
        fn what_is_decoded_is_encoded_as_it_was(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            if let Ok(string) = decoded(&bytes) {
                prop_assert_eq!(encoded(&string), bytes);
            }
        }
    }
}
