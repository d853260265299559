//! What members send by HTTP/1 is read alike, wherever reads are cut.

#![no_main]

use equipoise_http::transcript::responses;
use equipoise_http::{Limits, Method, Section};

/// Small ones, so that they are met.
const TIGHT: Limits = Limits {
    head: Section {
        bytes: 200,
        line: 80,
        fields: 6,
    },
    target: 0,
    empty_lines: 0,
    interims: 3,
    chunk_line: 20,
    extensions: 40,
    trailers: Section {
        bytes: 60,
        line: 40,
        fields: 2,
    },
};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The first byte says where reads are cut, by which limits, and what was asked.
    let Some((how, bytes)) = bytes.split_first() else {
        return;
    };
    let limits = if how & 0x80 == 0 {
        Limits::default()
    } else {
        TIGHT
    };
    let methods = match how & 0x60 {
        0 => [Method::Get, Method::Get],
        0x20 => [Method::Head, Method::Get],
        0x40 => [Method::Connect, Method::Get],
        _ => [Method::Post, Method::Head],
    };
    let whole = responses(bytes, usize::MAX, limits, &methods);
    assert_eq!(
        responses(bytes, usize::from(how & 0x1f), limits, &methods),
        whole
    );
});
