//! Paths are made unambiguous.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| equipoise::fuzz::paths(bytes));
