//! Clients that say anything, beside h2's server.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::compare::compare;

/// How many scripts are tried.
const CASES: u32 = 500;

/// A step of a script: kind, flags, stream, and payload; of most, a message that begins, goes on, or ends.
fn step() -> impl Strategy<Value = Vec<u8>> {
    let kind = prop_oneof![3 => 12_u8..16, 2 => 0_u8..12, 1 => any::<u8>()];
    let flags = prop_oneof![3 => select(&[0_u8, 1, 4, 5][..]), 1 => any::<u8>()];
    let stream = prop_oneof![4 => select(&[0_u8, 1, 3, 5][..]), 1 => any::<u8>()];
    let byte = prop_oneof![2 => 0_u8..12, 1 => any::<u8>()];
    (kind, flags, stream, vec(byte, 0..8)).prop_map(|(kind, flags, stream, payload)| {
        [&[kind, flags, stream, payload.len() as u8], &payload[..]].concat()
    })
}

#[test]
fn requests_are_whole_to_both() {
    // See `compare::script`: kind, flags, stream, length, and picks of a head and fields, or payload.
    let table: [(&[u8], usize); 5] = [
        (b"\x0c\x01\0\x01\0\x0c\x01\0\x03\0\x80\x7f", 2),
        (b"\x0c\0\0\x01\x01\x0e\x01\0\x03abc", 1),
        // Less than its Content-Length says.
        (b"\x0c\0\0\x01\x01\x0e\x01\0\x02ab", 0),
        // With trailers.
        (b"\x0c\0\0\x01\x02\x0e\0\0\x03abc\x0f\0\0\x01\x02", 1),
        (b"\x0c\0\0\x01\x03\x0e\x01\0\x03abc", 1),
    ];
    for (script, whole) in table {
        assert_eq!(compare(script), whole, "{}", script.escape_ascii());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(CASES))]

    #[test]
    fn what_a_client_says_is_told_as_by_another_server(steps in vec(step(), 1..20)) {
        compare(&steps.concat());
    }
}
