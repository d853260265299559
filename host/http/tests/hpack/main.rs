//! HPACK: the examples of RFC 7541, what cannot be decoded, what is indexed; and beside another implementation.

mod both;
mod compare;
mod encoder;
mod rfc;

use equipoise_http::http2::hpack::{Decoder, Encoder, HpackError, TABLE_SIZE};

/// A field: name, value, and whether it is never indexed.
type Field = (String, String, bool);

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Vec<Field>, HpackError> {
    let mut fields = Vec::new();
    decoder.decode(block, |line| {
        let text = |bytes: &[u8]| bytes.escape_ascii().to_string();
        fields.push((
            text(line.name()),
            text(line.value()),
            line.is_never_indexed(),
        ));
    })?;
    Ok(fields)
}

fn encode(encoder: &mut Encoder, fields: &[(&str, &str, bool)]) -> Vec<u8> {
    let mut out = Vec::new();
    encoder.begin(&mut out);
    for (name, value, never_indexed) in fields {
        encoder.field(name.as_bytes(), value.as_bytes(), *never_indexed, &mut out);
    }
    out
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits
        .chunks(2)
        .map(|pair| (pair[0] << 4 | pair[1]) as u8)
        .collect()
}

#[test]
fn what_cannot_be_decoded_is_an_error_of_the_connection() {
    use HpackError::{Huffman, Index, Integer, Resize, Truncated};
    let table = [
        // Indices: of nothing, behind the tables, in a literal.
        ("80", Index),
        ("be", Index),
        ("ffffffff7f", Index),
        ("7e0161", Index),
        ("0f8001 0161", Index),
        // Numbers.
        ("ff8080808000", Integer),
        ("ffffffffffff", Integer),
        ("ff", Truncated),
        ("0f", Truncated),
        ("007f8080808000", Integer),
        // Strings that end before their end.
        ("00", Truncated),
        ("0001", Truncated),
        ("000161", Truncated),
        ("0001610261", Truncated),
        ("40", Truncated),
        ("4000", Truncated),
        ("04", Truncated),
        // Huffman: filled up with zeros, with too much, with the end.
        ("00016181 18", Huffman),
        ("00016182 1fff", Huffman),
        ("00016184 ffffffff", Huffman),
        ("0081 18 0161", Huffman),
        // Sizes: above the bound, and behind a field.
        ("3fe21f", Resize),
        ("3fffffff7f", Resize),
        ("8220", Resize),
        ("0001610161 20", Resize),
    ];
    for (hex, error) in table {
        let mut decoder = Decoder::new(TABLE_SIZE);
        assert_eq!(decode(&mut decoder, &bytes(hex)), Err(error), "{hex}");
    }
}

#[test]
fn sizes_are_taken_at_the_start_of_a_block() {
    let mut decoder = Decoder::new(TABLE_SIZE);
    // `a: b` into the table, and from it.
    let found = |decoder: &mut Decoder, hex| decode(decoder, &bytes(hex)).map(|it| it.len());
    assert_eq!(found(&mut decoder, "4001610162 be"), Ok(2));
    assert_eq!(found(&mut decoder, "22 3fe11f be"), Err(HpackError::Index));
    assert_eq!(found(&mut decoder, "20 22 3fe11f"), Ok(0));
    assert_eq!(found(&mut decoder, "4001610162 be"), Ok(2));
    assert_eq!(
        found(&mut decoder, "3f03 be"),
        Ok(1),
        "34 bytes are enough for it"
    );
    assert_eq!(found(&mut decoder, "3f02"), Ok(0));
    assert_eq!(found(&mut decoder, "be"), Err(HpackError::Index));
}

#[test]
fn a_block_that_breaks_off_is_no_block() {
    let mut encoder = Encoder::new();
    let fields = [
        ("x-a", "1", false),
        ("cookie", "session", true),
        ("via", "1.1 a", false),
    ];
    for _ in 0..3 {
        let block = encode(&mut encoder, &fields);
        for end in 0..block.len() {
            // Where it breaks off between fields, those before are there; within one, it is an error.
            match decode(&mut Decoder::new(TABLE_SIZE), &block[..end]) {
                Ok(found) => assert!(found.len() < fields.len()),
                Err(error) => assert!(matches!(error, HpackError::Truncated | HpackError::Index)),
            }
        }
    }
}

#[test]
fn the_name_of_an_entry_outlives_it() {
    // RFC 7541, 4.4: the table has room for one entry; the second takes its name from the first, which it evicts.
    let mut decoder = Decoder::new(40);
    let block = bytes("4001610162 7e0163 be");
    let fields = decode(&mut decoder, &block).unwrap();
    let values: Vec<_> = fields
        .iter()
        .map(|(name, value, _)| format!("{name}={value}"))
        .collect();
    assert_eq!(values, ["a=b", "a=c", "a=c"]);
}

#[test]
fn memory_is_bounded_whatever_is_sent() {
    let mut decoder = Decoder::new(TABLE_SIZE);
    let mut block = Vec::new();
    for index in 0..10_000_u32 {
        block.extend([0x40, 4]);
        block.extend(format!("{index:04}").as_bytes().first_chunk::<4>().unwrap());
        block.extend([1, b'x']);
    }
    decode(&mut decoder, &block).unwrap();
    // A literal of a megabyte is held no longer than its block.
    let mut large = vec![0, 1, b'a', 0x7f];
    large.extend([0xff, 0xff, 0x3f]);
    large.resize(large.len() + (127 + 0xf_ffff), b'x');
    assert_eq!(decode(&mut decoder, &large).unwrap().len(), 1);
    assert!(
        decoder.capacity() < 8 * TABLE_SIZE,
        "{}",
        decoder.capacity()
    );
}
