//! What a container sends by AJP is told alike wherever reads are cut, within its bounds.

#![no_main]

use equipoise_http::ajp::{DEFAULT_PACKET, Event, ResponseReader};
use equipoise_http::{Head, Limits, Method};

const METHODS: [Method; 3] = [Method::Get, Method::Post, Method::Head];

/// Each event with the head it came with; payload is put together.
fn told(method: Method, bytes: &[u8], cut: usize) -> Vec<String> {
    let mut reader = ResponseReader::new(Limits::default(), DEFAULT_PACKET);
    reader.expect_response_to(method);
    let mut head = Head::new();
    let (mut told, mut body) = (Vec::new(), 0);
    for mut piece in bytes.chunks(cut) {
        loop {
            let (used, event) = reader.read(piece, &mut head);
            piece = &piece[used..];
            match event {
                Event::More => break,
                Event::Data(range) => body += range.len(),
                Event::Head | Event::Interim => told.push(format!("{body} {event:?} {head:?}")),
                Event::Refused(_) => {
                    told.push(format!("{body} {event:?}"));
                    return told;
                }
                event => told.push(format!("{body} {event:?}")),
            }
        }
    }
    assert!(reader.capacity() <= 2 * DEFAULT_PACKET);
    told.push(body.to_string());
    told
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let [how, bytes @ ..] = bytes else {
        return;
    };
    let method = METHODS[usize::from(how & 3) % METHODS.len()];
    let cut = usize::from(how >> 2) + 1;
    assert_eq!(told(method, bytes, cut), told(method, bytes, usize::MAX));
});
