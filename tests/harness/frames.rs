//! Frames of HTTP/2 by hand, for what no library sends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::PATIENCE;

/// What a client begins a connection with, before its settings.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// `GET http://lb.test/`, as HPACK has it.
pub(crate) const GET: &[u8] = b"\x82\x86\x84\x41\x07lb.test";

/// The same with POST.
pub(crate) const POST: &[u8] = b"\x83\x86\x84\x41\x07lb.test";

/// The flag of a frame behind which no other of its stream comes.
pub(crate) const END_STREAM: u8 = 1;

/// The flag of a frame that answers another.
pub(crate) const ACK: u8 = 1;

/// The flag of a frame with the end of a header block.
pub(crate) const END_HEADERS: u8 = 4;

/// A frame of any kind.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A piece of a body.
pub(crate) fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(0, flags, stream, payload)
}

/// A header block, or the beginning of one.
pub(crate) fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(1, flags, stream, block)
}

/// The end of a stream before its time: `CANCEL`.
pub(crate) fn cancel(stream: u32) -> Vec<u8> {
    frame(3, 0, stream, &[0, 0, 0, 8])
}

/// Settings, each of six bytes.
pub(crate) fn settings(payload: &[u8]) -> Vec<u8> {
    frame(4, 0, 0, payload)
}

/// A question whether the other side is there, or with [`ACK`] the answer.
pub(crate) fn ping(flags: u8) -> Vec<u8> {
    frame(6, flags, 0, &[0; 8])
}

/// All that a client sends before its first request: the preface, these settings, and that it has taken the other side's.
pub(crate) fn hello(payload: &[u8]) -> Vec<u8> {
    [PREFACE, &settings(payload), &frame(4, 1, 0, b"")].concat()
}

/// A header block for this path of `http://lb.test`, where `block` is that for `/`.
pub(crate) fn at(block: &[u8], path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).expect("a short path");
    assert!(length < 0x7f, "a short path");
    // Method and scheme, then a path that goes into no table, then the host.
    [&block[..2], &[0x04, length], path.as_bytes(), &block[3..]].concat()
}

/// A field that goes into no table, as HPACK has it without Huffman's code.
pub(crate) fn literal(name: &[u8], value: &[u8]) -> Vec<u8> {
    let length = |text: &[u8]| u8::try_from(text.len()).expect("a short text");
    [&[0, length(name)], name, &[length(value)], value].concat()
}

/// A connection on which frames are spoken by hand, by either side.
pub(crate) struct Speaker {
    stream: TcpStream,
    decoder: fluke_hpack::Decoder<'static>,
}

/// A frame that has come.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Speaker {
    /// A client that has begun with these settings.
    pub(crate) fn connect(address: SocketAddr, payload: &[u8]) -> Self {
        let stream = TcpStream::connect(address).expect("it listens");
        let mut speaker = Self::on(stream);
        speaker.send(hello(payload));
        speaker
    }

    pub(crate) fn on(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        Self {
            stream,
            decoder: fluke_hpack::Decoder::new(),
        }
    }

    #[track_caller]
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let sent = self.stream.write_all(bytes.as_ref());
        sent.expect("there is room");
    }

    /// The next frame; `None` where the connection is closed.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let mut header = [0; 9];
        self.stream.read_exact(&mut header).ok()?;
        let [a, b, c, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, a, b, c]) as usize];
        self.stream.read_exact(&mut payload).ok()?;
        Some(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    /// Reads so many bytes.
    pub(crate) fn skip(&mut self, bytes: usize) {
        let read = self.stream.read_exact(&mut vec![0; bytes]);
        read.expect("they come");
    }

    /// How a stream ends: with this status once its answer is whole, or reset.
    #[track_caller]
    pub(crate) fn end_of(&mut self, stream: u32) -> Result<u16, u32> {
        let mut status = 0;
        loop {
            let frame = self.frame().expect("the connection goes on");
            assert_ne!(frame.kind, GOAWAY, "the connection goes on: {frame:?}");
            let fields = match frame.kind {
                HEADERS => self.fields(&frame.payload),
                _ => Vec::new(),
            };
            if frame.stream != stream {
                continue;
            }
            if let Some((_, value)) = fields.iter().find(|(name, _)| name == ":status") {
                status = value.parse().expect("a status");
            }
            if frame.kind == RST_STREAM {
                let code = frame.payload.first_chunk().expect("a code");
                return Err(u32::from_be_bytes(*code));
            }
            if frame.kind <= HEADERS && frame.flags & END_STREAM != 0 {
                return Ok(status);
            }
        }
    }

    /// The fields of a whole header block without padding.
    #[track_caller]
    pub(crate) fn fields(&mut self, block: &[u8]) -> Vec<(String, String)> {
        let fields = self.decoder.decode(block).expect("HPACK");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let pairs = fields.into_iter();
        pairs
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }
}

/// Kinds of frames.
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;
