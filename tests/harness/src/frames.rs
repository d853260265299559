//! Frames of HTTP/2 by hand, for what no library sends.

/// What a client begins a connection with, before its settings.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `GET http://lb.test/`, as HPACK has it.
pub const GET: &[u8] = b"\x82\x86\x84\x41\x07lb.test";

/// The same with POST.
pub const POST: &[u8] = b"\x83\x86\x84\x41\x07lb.test";

/// The flag of a frame behind which no other of its stream comes.
pub const END_STREAM: u8 = 1;

/// The flag of a frame that answers another.
pub const ACK: u8 = 1;

/// The flag of a frame with the end of a header block.
pub const END_HEADERS: u8 = 4;

/// A frame of any kind.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A piece of a body.
pub fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

/// A header block, or the beginning of one.
pub fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(1, flags, stream, block)
}

/// The end of a stream before its time: `CANCEL`.
pub fn cancel(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, 8])
}

/// Settings, each of six bytes.
pub fn settings(payload: &[u8]) -> Vec<u8> {
    frame(4, 0, 0, payload)
}

/// A question whether the other side is there, or with [`ACK`] the answer.
pub fn ping(flags: u8) -> Vec<u8> {
    frame(6, flags, 0, &[0; 8])
}

/// All that a client sends before its first request: the preface, these settings, and that it has taken the other side's.
pub fn hello(payload: &[u8]) -> Vec<u8> {
    [PREFACE, &settings(payload), &frame(4, 1, 0, b"")].concat()
}

/// A header block for this path of `http://lb.test`, where `block` is that for `/`.
pub fn at(block: &[u8], path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).expect("a short path");
    assert!(length < 0x7f, "a short path");
    // Method and scheme, then a path that goes into no table, then the host.
    [&block[..2], &[0x04, length], path.as_bytes(), &block[3..]].concat()
}

/// A field that goes into no table, as HPACK has it without Huffman's code.
pub fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).expect("a short text");
    assert!(name.len() < 0x7f && value.len() < 0x7f);
    [&[0, length(name)], name, &[length(value)], value].concat()
}
