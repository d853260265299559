//! Beside `fluke-hpack`, a fork of `hpack` that was used by others for years.

use equipoise_http::http2::hpack::{Decoder, Encoder, TABLE_SIZE};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

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

/// The other one, held to our bound. What it does of its own: it refuses a block that is nothing but sizes, takes sizes between
/// fields, and panics where one breaks off; so blocks of any bytes have no sizes here.
fn other() -> fluke_hpack::Decoder<'static> {
    let mut decoder = fluke_hpack::Decoder::new();
    decoder.set_max_allowed_table_size(TABLE_SIZE);
    decoder
}

type Pair = (Vec<u8>, Vec<u8>);

fn ours(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Pair>, ()> {
    let mut fields = Vec::new();
    let decoded = decoder.decode(block, |line| {
        fields.push((line.name().to_vec(), line.value().to_vec()))
    });
    decoded.map(|()| fields).map_err(drop)
}

fn theirs(decoder: &mut fluke_hpack::Decoder<'_>, block: &[u8]) -> Result<Vec<Pair>, ()> {
    decoder.decode(block).map_err(drop)
}

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
    fn what_is_encoded_is_decoded_by_both(blocks in blocks(), sizes in vec(prop::option::weighted(0.2, 0_usize..5000), 30)) {
        let mut encoder = Encoder::new();
        let mut decoder = Decoder::new(TABLE_SIZE);
        let mut other = other();
        for (fields, size) in blocks.iter().zip(sizes) {
            if let Some(size) = size {
                encoder.set_max_size(size);
            }
            let mut block = Vec::new();
            encoder.begin(&mut block);
            for (name, value, never_indexed) in fields {
                encoder.field(name.as_bytes(), value, *never_indexed, &mut block);
            }
            let sent: Vec<_> = fields.iter().map(|(name, value, _)| (name.as_bytes().to_vec(), value.clone())).collect();
            prop_assert_eq!(ours(&mut decoder, &block), Ok(sent.clone()));
            prop_assert_eq!(theirs(&mut other, &block), Ok(sent));
        }
    }

    #[test]
    fn what_the_other_encodes_is_decoded(blocks in blocks()) {
        let mut encoder = fluke_hpack::Encoder::new();
        let mut decoder = Decoder::new(TABLE_SIZE);
        for fields in &blocks {
            let block = encoder.encode(fields.iter().map(|(name, value, _)| (name.as_bytes(), &value[..])));
            let sent: Vec<_> = fields.iter().map(|(name, value, _)| (name.as_bytes().to_vec(), value.clone())).collect();
            prop_assert_eq!(ours(&mut decoder, &block), Ok(sent));
        }
    }

    #[test]
    fn any_bytes_are_decoded_by_both_or_by_none(blocks in vec(vec(byte(), 0..40), 1..5)) {
        let mut decoder = Decoder::new(TABLE_SIZE);
        let mut other = other();
        for block in blocks {
            let (ours, theirs) = (ours(&mut decoder, &block), theirs(&mut other, &block));
            prop_assert_eq!(&ours, &theirs, "{:x?}", block);
            if ours.is_err() {
                break;
            }
        }
    }
}

/// Bytes that make fields more often than any would.
fn byte() -> impl Strategy<Value = u8> {
    prop_oneof![
        2 => select(&[0x00, 0x40, 0x10, 0x82, 0x88, 0xbe, 0xbf, 0x41, 0x0f, 0x7f][..]),
        3 => 0_u8..6,
        1 => 0x80_u8..0x86,
        1 => any::<u8>().prop_map(|byte| if byte & 0xe0 == 0x20 { byte | 0x40 } else { byte }),
    ]
}
