//! What is encoded, and how.

use equipoise_http::http2::hpack::{Decoder, Encoder, TABLE_SIZE};

use super::{bytes, decode, encode};

/// Encodes a field alone in a block.
fn one(encoder: &mut Encoder, name: &str, value: &str) -> Vec<u8> {
    encode(encoder, &[(name, value, false)])
}

#[test]
fn what_comes_again_is_indexed_and_what_is_different_each_time_is_not() {
    let mut encoder = Encoder::new();
    assert_eq!(one(&mut encoder, "server", "a"), bytes("0f27 0161"));
    assert_eq!(one(&mut encoder, "server", "a"), bytes("76 0161"));
    assert_eq!(one(&mut encoder, "server", "a"), bytes("be"));
    for length in ["1", "2", "3"] {
        let block = one(&mut encoder, "content-length", length);
        assert_eq!(block[..3], bytes("0f0d 01"));
    }
    assert_eq!(one(&mut encoder, "server", "a"), bytes("be"));
    // Names that are not in the static table, in any case.
    assert_eq!(
        one(&mut encoder, "X-One", "1"),
        bytes("00 05 782d6f6e65 01 31")
    );
    assert_eq!(
        one(&mut encoder, "x-one", "1"),
        bytes("40 05 782d6f6e65 01 31")
    );
    assert_eq!(one(&mut encoder, "x-ONE", "1"), bytes("be"));
    assert_eq!(one(&mut encoder, "x-one", "2"), bytes("0f2f 01 32"));
    assert_eq!(one(&mut encoder, "server", "a"), bytes("bf"));
}

#[test]
fn requests_say_what_is_in_the_static_table_by_an_index() {
    let mut encoder = Encoder::new();
    let mut pseudo = |name: &str, value: &str| one(&mut encoder, name, value);
    assert_eq!(pseudo(":method", "GET"), bytes("82"));
    assert_eq!(pseudo(":method", "POST"), bytes("83"));
    assert_eq!(pseudo(":path", "/"), bytes("84"));
    assert_eq!(pseudo(":scheme", "https"), bytes("87"));
    for _ in 0..3 {
        assert_eq!(
            pseudo(":path", "/a"),
            bytes("04 02 2f61"),
            "a path is never in the table"
        );
        assert_eq!(pseudo(":method", "PUT"), bytes("02 03 505554"));
    }
    assert_eq!(
        pseudo(":protocol", "a"),
        bytes("00 09 3a70726f746f636f6c 01 61")
    );
}

#[test]
fn never_indexed_stays_so_and_so_are_credentials_and_short_cookies() {
    let mut encoder = Encoder::new();
    let long = "a=0123456789abcdefghij";
    let table = [
        ("x-secret", "1", true, 0x10),
        (":path", "/", true, 0x14),
        ("authorization", "Basic YTpi", false, 0x1f),
        ("proxy-authorization", "Basic YTpi", false, 0x1f),
        ("cookie", "a=1", false, 0x1f),
        ("cookie", long, false, 0x0f),
        ("cookie", long, true, 0x1f),
        ("set-cookie", long, false, 0x0f),
    ];
    for (name, value, never_indexed, first) in table {
        for _ in 0..3 {
            let block = encode(&mut encoder, &[(name, value, never_indexed)]);
            assert_eq!(block[0], first, "{name}");
            let fields = decode(&mut Decoder::new(TABLE_SIZE), &block).unwrap();
            assert_eq!(fields[0].2, first & 0x10 != 0, "{name}");
        }
    }
}

#[test]
fn the_other_side_is_told_of_sizes() {
    let mut encoder = Encoder::new();
    let begun = |encoder: &mut Encoder| encode(encoder, &[]);
    encoder.set_max_size(TABLE_SIZE);
    encoder.set_max_size(65_536);
    assert!(
        begun(&mut encoder).is_empty(),
        "more than we use changes nothing"
    );
    encoder.set_max_size(0);
    assert_eq!(begun(&mut encoder), bytes("20"));
    encoder.set_max_size(100);
    assert_eq!(begun(&mut encoder), bytes("3f45"));
    assert!(begun(&mut encoder).is_empty());
    // RFC 7541, 4.2: the smallest between two blocks, and the last.
    for size in [60, 20, 70] {
        encoder.set_max_size(size);
    }
    assert_eq!(begun(&mut encoder), bytes("34 3f27"));
    for size in [10, 70] {
        encoder.set_max_size(size);
    }
    assert_eq!(begun(&mut encoder), bytes("2a 3f27"));
}

#[test]
fn nothing_is_indexed_where_the_table_has_no_room() {
    let mut encoder = Encoder::new();
    encoder.set_max_size(0);
    assert_eq!(one(&mut encoder, "server", "a"), bytes("20 0f27 0161"));
    for _ in 0..3 {
        assert_eq!(one(&mut encoder, "server", "a"), bytes("0f27 0161"));
    }
    let mut encoder = Encoder::new();
    let large = "x".repeat(1024);
    for _ in 0..3 {
        let block = one(&mut encoder, "server", &large);
        assert_eq!(
            block[..2],
            bytes("0f27"),
            "one of a quarter of the table would displace many"
        );
    }
}

#[test]
fn what_was_displaced_is_indexed_again() {
    let (mut encoder, mut decoder) = (Encoder::new(), Decoder::new(TABLE_SIZE));
    let mut lengths = Vec::new();
    for _ in 0..10 {
        // Each name takes some 100 bytes of the table, which has room for 40.
        for known in 0..50 {
            let name = format!("x-name-{known}");
            let value = format!("{known:060}");
            let block = one(&mut encoder, &name, &value);
            let fields = decode(&mut decoder, &block).unwrap();
            assert_eq!(fields, [(name, value, false)]);
            lengths.push(block.len());
        }
    }
    assert!(lengths.iter().any(|&length| length < 3));
    let mut often = Vec::new();
    for number in 0..200 {
        for (name, value) in [
            ("server", "a"),
            ("date", &format!("{:030}", number / 2)[..]),
        ] {
            let block = one(&mut encoder, name, value);
            decode(&mut decoder, &block).unwrap();
            if name == "server" {
                often.push(block.len());
            }
        }
    }
    let literals = often.iter().filter(|&&length| length > 2).count();
    assert!(literals < 10, "{literals}");
}
