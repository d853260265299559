//! An HTTP/2 connection has the same events and output wherever reads are cut, and leaves no stream behind.

#![no_main]

#[path = "../../host/http/tests/http2/spoken.rs"]
mod spoken;

use equipoise_http::http2::Role;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    // The first two bytes say which side this is, by which bounds, where reads are cut, and where everything is responded to.
    let [how, half, bytes @ ..] = bytes else {
        return;
    };
    let role = if how & 0x80 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let (first, second) = bytes.split_at(bytes.len().min(usize::from(*half)));
    let read = |cut| spoken::spoken(role, how & 0x40 != 0, [first, second], cut);
    assert_eq!(read(usize::from(how & 0x3f)), read(usize::MAX));
});
