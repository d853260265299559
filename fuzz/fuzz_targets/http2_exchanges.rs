//! Whole exchanges with the h2 crate as the peer, the engine on either side: what is sent is what comes, whatever the script.

#![no_main]

#[path = "../../host/http/tests/http2/h2/driver.rs"]
mod driver;
#[path = "../../host/http/tests/http2/h2/peer.rs"]
mod peer;
#[path = "../../host/http/tests/http2/h2/script.rs"]
mod script;
#[path = "../../host/http/tests/http2/h2/scripted.rs"]
mod scripted;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| scripted::play(bytes));
