//! Heads, beside httparse: wherever the two differ, it is known why.

#![no_main]

#[path = "../../host/http/tests/httparse/compare.rs"]
mod compare;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| compare::compare(bytes));
