//! A configuration is read, or what is wrong is told.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| equipoise::fuzz::configuration(bytes));
