//! Frames of HTTP/2 are weighed alike, wherever reads are cut.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| equipoise::fuzz::frames(bytes));
