//! Blocks of all kinds, beside another implementation.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::both::{Encoding, decode};

/// How often each property is tried.
const CASES: u32 = 2000;

/// Names that are in the static table, known, in classes of others, and pseudo.
const NAMES: [&str; 14] = [
    ":path",
    ":authority",
    ":method",
    "server",
    "date",
    "x-request-id",
    "cookie",
    "set-cookie",
    "x-a",
    "x-b",
    "x-c",
    "x-d",
    "a-rather-long-name-of-a-field-that-is-nowhere-known",
    "vary",
];

/// Blocks of fields of which many repeat, with other values of any bytes.
fn blocks() -> impl Strategy<Value = Vec<Vec<(&'static str, Vec<u8>, bool)>>> {
    let value = prop_oneof![
        3 => select(&["1", "text/html", "Mon, 01 Jan 2024 00:00:00 GMT"][..]).prop_map(|it| it.as_bytes().to_vec()),
        1 => vec(any::<u8>(), 0..300),
    ];
    let field = (select(&NAMES[..]), value, prop::bool::weighted(0.1));
    vec(vec(field, 1..12), 1..30)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn what_one_encodes_the_other_decodes(blocks in blocks(), sizes in vec(prop::option::weighted(0.2, 0_usize..5000), 30)) {
        let mut encoding = Encoding::new();
        for (fields, size) in blocks.iter().zip(sizes) {
            if let Some(size) = size {
                encoding.set_max_size(size);
            }
            let fields: Vec<_> = fields.iter().map(|(name, value, never_indexed)| (name.as_bytes(), &value[..], *never_indexed)).collect();
            encoding.block(&fields);
        }
    }

    #[test]
    fn any_bytes_are_decoded_by_both_or_by_none(blocks in vec(vec(byte(), 0..40), 1..5)) {
        decode(blocks.iter().map(Vec::as_slice));
    }
}

/// Bytes that make fields more often than any would.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        2 => select(&[0x00, 0x40, 0x10, 0x82, 0x88, 0xbe, 0xbf, 0x41, 0x0f, 0x7f][..]),
        3 => 0_u8..6,
        1 => 0x80_u8..0x86,
        1 => any::<u8>(),
    ]
}
