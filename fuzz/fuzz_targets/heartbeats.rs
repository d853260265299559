//! Heartbeats are read or refused.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| equipoise::fuzz::heartbeats(bytes));
