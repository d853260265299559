//! A client of HTTP/2 with prior knowledge that sends one request and keeps its connection.

use std::net::{SocketAddr, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use equipoise_harness::frames::{ACK, END_HEADERS, END_STREAM, PREFACE, frame, headers, settings};
use equipoise_harness::raw::{DATA, GOAWAY, HEADERS, PING, RST_STREAM, RawConnection, SETTINGS};

use crate::requests::SMALL;

/// The stream of the request.
const STREAM: u32 = 1;

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
pub(crate) struct Client(RawConnection);

impl Client {
    /// Connects and asks once; the answer has to have a body of so many bytes.
    ///
    /// # Errors
    /// The connection broke, or the answer is not the origin's.
    pub(crate) fn after_one_request(address: SocketAddr, body_bytes: usize) -> Result<Self> {
        let mut client = Self(RawConnection::on(TcpStream::connect(address)?));
        client.0.try_send(opening());
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
            let frame = self.0.try_frame()?;
            let is_ours = frame.stream == STREAM;
            match frame.kind {
                SETTINGS if frame.flags & ACK == 0 => self.acknowledge(SETTINGS, &[]),
                PING if frame.flags & ACK == 0 => self.acknowledge(PING, &frame.payload),
                DATA => received += frame.payload.len(),
                RST_STREAM | GOAWAY => bail!("the proxy gave up: {:?}", frame.payload),
                _ => {}
            }
            let may_end = matches!(frame.kind, DATA | HEADERS);
            if is_ours && may_end && frame.flags & END_STREAM != 0 {
                return Ok(received);
            }
        }
    }

    /// The next read finds that the connection is closed, if it is.
    fn acknowledge(&mut self, kind: u8, payload: &[u8]) {
        self.0.try_send(frame(kind, ACK, 0, payload));
    }
}

/// The preface, default settings, and a request without a body.
fn opening() -> Vec<u8> {
    // GET and http.
    let mut block = vec![0x82, 0x86];
    for (name, value) in FIELDS {
        block.extend([name, value.len() as u8]);
        block.extend(value.bytes());
    }
    let request = headers(END_STREAM | END_HEADERS, STREAM, &block);
    [PREFACE, &settings(&[]), &request].concat()
}
