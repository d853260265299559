//! Session names are found in cookies and URLs.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| equipoise::fuzz::cookies(bytes));
