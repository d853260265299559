//! Header blocks of HTTP/2 are read, whatever they are; and a request that is accepted is the same one in HTTP/1.

#![no_main]

#[path = "../../host/http/tests/http2_blocks/accepted.rs"]
mod accepted;

use equipoise_http::http1::Sender;
use equipoise_http::http2::hpack::TABLE_SIZE;
use equipoise_http::http2::message::Reader;
use equipoise_http::{Fields, Head, Limits, Method};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut reader = Reader::new(TABLE_SIZE);
    let (mut head, mut trailers, limits) = (Head::new(), Fields::default(), Limits::default());
    let mut rest = bytes;
    // Each block is behind a byte that says what it is of, and one that says how long it is.
    while let [what, length, behind @ ..] = rest {
        let (block, behind) = behind.split_at(behind.len().min(usize::from(*length)));
        rest = behind;
        let read = match what % 4 {
            0 => reader
                .response(block, &limits, Method::Get, &mut head)
                .map(drop),
            1 => reader
                .trailers(block, &limits, Sender::Member, &mut trailers)
                .map(drop),
            _ => accepted::compare(&mut reader, block, &limits, &mut head),
        };
        if read.is_err() {
            return;
        }
    }
});
