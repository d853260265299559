//! Heads, beside httparse.

mod compare;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const PIECES: [&[u8]; 42] = [
    b"GET ",
    b"POST /a?b=c ",
    b"/",
    b"* ",
    b"http://a/ ",
    b"/\xff ",
    b"/\xc3\xa9 ",
    b"/\"<>{}|\\^` ",
    b"/#a ",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/1.2",
    b"HTTP/2.0",
    b"\r\n",
    b"\r\n",
    b"\r\n\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b"Host: a\r\n",
    b"Host: ",
    b"a",
    b"b-c",
    b"Content-Length: 5\r\n",
    b"Content-Length: ",
    b"05",
    b"Transfer-Encoding: chunked\r\n",
    b"X: 1 \t2 \r\n",
    b"X:\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 200\r\n",
    b"HTTP/1.1 099 \r\n",
    b"HTTP/1.1 ",
    b"\0",
    b"\x7f",
    b"\xff",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"HTTP/1.1 200 \xe9\r\n\r\n",
    b"\x0b",
    b"(",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn wherever_the_two_differ_it_is_known_why(pieces in vec(select(&PIECES[..]), 0..12)) {
        compare::compare(&pieces.concat());
    }

    #[test]
    fn a_byte_changed_in_what_is_right_makes_no_unknown_difference(at in 0_usize..60, byte: u8, is_response: bool) {
        let mut bytes = match is_response {
            true => b"HTTP/1.1 200 Fine\r\nX-Long-Name: some \tvalue \r\nY:\r\n\r\n".to_vec(),
            false => b"GET /some/path?query HTTP/1.1\r\nHost: host\r\nX: a, b\r\n\r\n".to_vec(),
        };
        let length = bytes.len();
        bytes[at % length] = byte;
        compare::compare(&bytes);
    }
}
