//! What a client says by a connection of HTTP/2, beside h2's server: requests, bodies, trailers, and how it ends.

#![no_main]

#[path = "../../host/http/tests/http2/compare/mod.rs"]
mod compare;

libfuzzer_sys::fuzz_target!(|script: &[u8]| {
    compare::compare(script);
});
