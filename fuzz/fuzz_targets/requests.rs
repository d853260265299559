//! What clients send is scanned alike, wherever reads are cut.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| equipoise::fuzz::requests(bytes));
