//! HPACK, beside another implementation: what any blocks are decoded to, and that what one encodes is decoded by the other.

#![no_main]

#[path = "../../host/http/tests/hpack/both.rs"]
mod both;

use std::iter;

/// Names that are in the static table, known, in a class of others, and pseudo.
const NAMES: [&str; 8] = [
    ":path",
    ":status",
    "server",
    "date",
    "cookie",
    "x-request-id",
    "x-a",
    "a-rather-long-name-of-a-field-that-is-nowhere-known",
];

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((how, bytes)) = bytes.split_first() else {
        return;
    };
    match how % 2 {
        0 => decode(bytes),
        _ => encode(bytes),
    }
});

/// Each block is behind a byte that says how long it is.
fn decode(mut bytes: &[u8]) {
    both::decode(iter::from_fn(|| piece(&mut bytes)));
}

/// Each block is behind a byte that says how many fields it has, and whether the table is resized before; each field, behind one that says
/// what it is.
fn encode(mut bytes: &[u8]) {
    let mut encoding = both::Encoding::new();
    while let Some(how) = byte(&mut bytes) {
        if how & 0x80 != 0 {
            let size = byte(&mut bytes).unwrap_or_default();
            encoding.set_max_size(20 * usize::from(size));
        }
        let fields = (0..how % 16).map_while(|_| field(&mut bytes));
        encoding.block(&fields.collect::<Vec<_>>());
    }
}

fn field<'b>(bytes: &mut &'b [u8]) -> Option<both::Field<'b>> {
    let what = byte(bytes)?;
    let name = match NAMES.get(usize::from(what % 10)) {
        Some(name) => name.as_bytes(),
        None => piece(bytes)?,
    };
    Some((name, piece(bytes)?, what >= 230))
}

/// Bytes behind one that says how many they are.
fn piece<'b>(bytes: &mut &'b [u8]) -> Option<&'b [u8]> {
    let length = usize::from(byte(bytes)?);
    let (piece, rest) = bytes.split_at(length.min(bytes.len()));
    *bytes = rest;
    Some(piece)
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&first, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(first)
}
