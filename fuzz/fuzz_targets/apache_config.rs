//! Apache's configuration comes to one of ours that can be read, or what is wrong is told.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| equipoise::fuzz::apache_config(bytes));
