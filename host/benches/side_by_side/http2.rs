//! A client of HTTP/2 with prior knowledge that sends one request and keeps its connection.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::requests::SMALL;

/// What every connection begins with.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The stream of the request.
const STREAM: u32 = 1;

/// Types of frames (RFC 9113, 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const PING: u8 = 6;
    pub(super) const GOAWAY: u8 = 7;
}

/// Flags of frames; two have the same bit.
mod flag {
    pub(super) const END_STREAM: u8 = 1;
    pub(super) const ACK: u8 = 1;
    pub(super) const END_HEADERS: u8 = 4;
}

/// Static names that values stand behind (RFC 7541, appendix A), all but the first of which go into the dynamic table, as from any
/// client.
const FIELDS: [(u8, &str); 5] = [
    (0x04, SMALL),
    (0x41, "bench.test"),
    (0x7a, "side-by-side/1"),
    (0x53, "*/*"),
    (0x50, "gzip"),
];

/// A connection that has had one request.
#[derive(Debug)]
pub(crate) struct Client {
    stream: TcpStream,
}

impl Client {
    /// Connects and asks once; the answer has to have a body of so many bytes.
    ///
    /// # Errors
    /// The connection broke, or the answer is not the origin's.
    pub(crate) fn after_one_request(address: SocketAddr, body_bytes: usize) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let mut client = Self { stream };
        client.stream.write_all(&opening())?;
        let received = client.read_answer().context("asking by HTTP/2")?;
        ensure!(
            received == body_bytes,
            "{received} bytes are not the origin's answer"
        );
        Ok(client)
    }

    /// Reads frames until the end of the answer; the length of its body.
    fn read_answer(&mut self) -> Result<usize> {
        let mut received = 0;
        loop {
            let frame = self.read_frame()?;
            let is_ours = frame.stream == STREAM;
            match frame.kind {
                kind::SETTINGS if frame.flags & flag::ACK == 0 => {
                    self.acknowledge(frame.kind, &[])?
                }
                kind::PING if frame.flags & flag::ACK == 0 => {
                    self.acknowledge(frame.kind, &frame.payload)?;
                }
                kind::DATA => received += frame.payload.len(),
                kind::RST_STREAM | kind::GOAWAY => bail!("the proxy gave up: {:?}", frame.payload),
                _ => {}
            }
            let may_end = matches!(frame.kind, kind::DATA | kind::HEADERS);
            if is_ours && may_end && frame.flags & flag::END_STREAM != 0 {
                return Ok(received);
            }
        }
    }

    fn read_frame(&mut self) -> Result<Frame> {
        let mut header = [0; 9];
        self.stream.read_exact(&mut header)?;
        let [high, middle, low, kind, flags, stream @ ..] = header;
        let mut payload = vec![0; u32::from_be_bytes([0, high, middle, low]) as usize];
        self.stream.read_exact(&mut payload)?;
        Ok(Frame {
            kind,
            flags,
            stream: u32::from_be_bytes(stream),
            payload,
        })
    }

    fn acknowledge(&mut self, kind: u8, payload: &[u8]) -> std::io::Result<()> {
        self.stream.write_all(&frame(kind, flag::ACK, 0, payload))
    }
}

/// A frame as it has come.
#[derive(Debug)]
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

/// The preface, default settings, and a request without a body.
fn opening() -> Vec<u8> {
    // GET and http.
    let mut block = vec![0x82, 0x86];
    for (name, value) in FIELDS {
        block.extend([name, value.len() as u8]);
        block.extend(value.bytes());
    }
    let settings = frame(kind::SETTINGS, 0, 0, &[]);
    let flags = flag::END_STREAM | flag::END_HEADERS;
    let request = frame(kind::HEADERS, flags, STREAM, &block);
    [PREFACE, &settings, &request].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    let mut frame = length.to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}
