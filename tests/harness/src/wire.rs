//! HTTP/1.1 on the wire, read strictly and by hand: what both the sample members and the client are made of.

use std::fmt;
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use bytes::BytesMut;

use super::WAIT_TIMEOUT;

/// How many bytes of a message are kept to look at; more are counted and compared with the pattern only.
const KEPT: usize = 2 * 1024 * 1024;

/// After how many bytes the pattern repeats: a prime, so that nothing shifted by a power of two looks right.
const PERIOD: usize = 65_521;

/// The longest piece of the pattern that can be had at once.
const PIECE: usize = 64 * 1024;

static PATTERN: LazyLock<Vec<u8>> = LazyLock::new(|| {
    (0..PERIOD + PIECE)
        .map(|index| (index % PERIOD).wrapping_mul(0x9e37_79b9).to_le_bytes()[2])
        .collect()
});

/// What a large body consists of: the bytes from `offset` on, as many as are wanted but at most 64 KiB.
pub fn pattern(offset: u64, wanted: u64) -> &'static [u8] {
    let start = (offset % PERIOD as u64) as usize;
    &PATTERN[start..start + wanted.min(PIECE as u64) as usize]
}

/// The first line and the fields of a request or a response.
#[derive(Debug, Clone, Default)]
pub struct Head {
    /// The request line or the status line.
    pub start: String,
    /// Names as they were sent, and values without the white space around them.
    pub fields: Vec<(String, String)>,
}

impl Head {
    /// The only value of a field; `None` where there is no such field.
    #[track_caller]
    pub fn field(&self, name: &str) -> Option<&str> {
        let values = self.all(name);
        assert!(values.len() < 2, "more than one {name}: {values:?}");
        values.first().copied()
    }

    /// The first value of a field; `None` where there is no such field.
    pub fn first(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// Every value of a field, in order.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let named = |field: &&(String, String)| field.0.eq_ignore_ascii_case(name);
        let values = self.fields.iter().filter(named);
        values.map(|(_, value)| value.as_str()).collect()
    }

    /// How the body behind this head is delimited, or `None` where the head does not say.
    fn framing(&self) -> io::Result<Option<Framing>> {
        match (
            &self.all("transfer-encoding")[..],
            &self.all("content-length")[..],
        ) {
            ([], []) => Ok(None),
            (["chunked"], []) => Ok(Some(Framing::Chunked)),
            ([], [length]) => match length.parse() {
                Ok(length) => Ok(Some(Framing::Length(length))),
                Err(_) => Err(nonsense(format!("content-length {length:?}"))),
            },
            (codings, lengths) => Err(nonsense(format!(
                "transfer-encoding {codings:?} with content-length {lengths:?}"
            ))),
        }
    }

    /// How the body of this request is delimited.
    pub fn request_framing(&self) -> io::Result<Framing> {
        Ok(self.framing()?.unwrap_or(Framing::Length(0)))
    }

    /// How the body of this response to a request with `method` is delimited.
    pub fn response_framing(&self, method: &str, status: u16) -> io::Result<Framing> {
        let framing = self.framing()?;
        if method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
            return Ok(Framing::Length(0));
        }
        Ok(framing.unwrap_or(Framing::UntilClose))
    }
}

impl fmt::Display for Head {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}\r\n", self.start)?;
        for (name, value) in &self.fields {
            write!(out, "{name}: {value}\r\n")?;
        }
        out.write_str("\r\n")
    }
}

/// How a body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It has so many bytes.
    Length(u64),
    /// It is in chunks.
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// A body, or the part of it that came.
#[derive(Debug, Clone)]
pub struct Body {
    /// Its content, without chunk framing; the first 2 MiB.
    pub bytes: Vec<u8>,
    /// How many bytes it has.
    pub length: u64,
    /// Whether every byte is as [`pattern`] has it.
    pub patterned: bool,
    /// The fields behind the last chunk.
    pub trailers: Vec<(String, String)>,
}

impl Default for Body {
    fn default() -> Self {
        Self {
            bytes: Vec::new(),
            length: 0,
            patterned: true,
            trailers: Vec::new(),
        }
    }
}

impl Body {
    /// The content as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }

    fn push(&mut self, bytes: &[u8]) {
        keep(&mut self.bytes, bytes);
        for piece in bytes.chunks(PIECE) {
            self.patterned &= piece == pattern(self.length, piece.len() as u64);
            self.length += piece.len() as u64;
        }
    }
}

/// A connection, as the bytes and messages that come and go on it.
pub struct Wire {
    stream: Arc<TcpStream>,
    /// What came and was not read yet.
    unread: BytesMut,
    /// Every byte read since the last call of [`record`](Self::record), the first 2 MiB.
    record: Vec<u8>,
}

impl Wire {
    /// Takes a connection over; reads and writes on it fail after [`WAIT_TIMEOUT`].
    pub fn new(stream: Arc<TcpStream>) -> Self {
        set_options(&stream).expect("a connected socket takes options");
        Self {
            stream,
            unread: BytesMut::new(),
            record: Vec::new(),
        }
    }

    /// The socket itself.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// The bytes read since this was asked last.
    pub fn record(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.record)
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream().write_all(bytes)
    }

    /// Sends `length` bytes of the pattern, and tells of each piece that is sent.
    pub fn send_pattern(&mut self, length: u64, mut sent: impl FnMut(usize)) -> io::Result<()> {
        let mut offset = 0;
        while offset < length {
            let piece = pattern(offset, length - offset);
            self.send(piece)?;
            sent(piece.len());
            offset += piece.len() as u64;
        }
        Ok(())
    }

    /// Waits until this text has come, and leaves it unread.
    pub fn await_text(&mut self, text: &str) -> io::Result<()> {
        while !String::from_utf8_lossy(&self.unread).contains(text) {
            self.receive()?;
        }
        Ok(())
    }

    /// Whether anything, or the end, comes within this time.
    pub fn hears_within(&mut self, time: Duration) -> bool {
        if !self.unread.is_empty() {
            return true;
        }
        let bound = |time| self.stream.set_read_timeout(Some(time));
        bound(time).expect("a connected socket takes options");
        let heard = match self.stream.peek(&mut [0]) {
            Ok(_) => true,
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
        };
        bound(WAIT_TIMEOUT).expect("a connected socket takes options");
        heard
    }

    /// Reads whatever comes until the other side closes.
    pub fn drain(&mut self) -> io::Result<Body> {
        let mut rest = Body::default();
        self.rest(&mut rest).map(|()| rest)
    }

    /// Reads a head up to its empty line; `None` where the other side closed before it sent anything.
    pub fn head(&mut self) -> io::Result<Option<Head>> {
        if self.ready()? == 0 {
            return Ok(None);
        }
        Ok(Some(Head {
            start: self.line()?,
            fields: self.fields()?,
        }))
    }

    /// Reads at least one byte and at most as many as wanted; the end is an error.
    pub fn some(&mut self, wanted: u64) -> io::Result<Vec<u8>> {
        match self.ready()? as u64 {
            0 => Err(cut()),
            ready => Ok(self.take(ready.min(wanted) as usize)),
        }
    }

    /// Reads a body into `body`, which has what came even if reading fails.
    pub fn body(&mut self, framing: Framing, body: &mut Body) -> io::Result<()> {
        match framing {
            Framing::Length(length) => self.counted(length, body),
            Framing::Chunked => self.chunks(body),
            Framing::UntilClose => self.rest(body),
        }
    }

    fn counted(&mut self, length: u64, body: &mut Body) -> io::Result<()> {
        let mut missing = length;
        while missing > 0 {
            let piece = self.some(missing)?;
            body.push(&piece);
            missing -= piece.len() as u64;
        }
        Ok(())
    }

    fn chunks(&mut self, body: &mut Body) -> io::Result<()> {
        loop {
            let line = self.line()?;
            let size = u64::from_str_radix(&line, 16)
                .map_err(|_| nonsense(format!("chunk size {line:?}")))?;
            if size == 0 {
                body.trailers = self.fields()?;
                return Ok(());
            }
            self.counted(size, body)?;
            if !self.line()?.is_empty() {
                return Err(nonsense("more bytes in a chunk than it said".to_owned()));
            }
        }
    }

    fn rest(&mut self, body: &mut Body) -> io::Result<()> {
        loop {
            match self.ready()? {
                0 => return Ok(()),
                count => body.push(&self.take(count)),
            }
        }
    }

    fn fields(&mut self) -> io::Result<Vec<(String, String)>> {
        let mut fields = Vec::new();
        loop {
            let line = self.line()?;
            if line.is_empty() {
                return Ok(fields);
            }
            let (name, value) = line
                .split_once(':')
                .ok_or_else(|| nonsense(format!("field without colon: {line:?}")))?;
            fields.push((name.to_owned(), value.trim().to_owned()));
        }
    }

    /// Reads a line and takes its CRLF off.
    fn line(&mut self) -> io::Result<String> {
        let end = loop {
            match self.unread.iter().position(|byte| *byte == b'\n') {
                Some(end) => break end,
                None => self.receive()?,
            }
        };
        let line = self.take(end + 1);
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(nonsense("bare LF".to_owned())),
        }
    }

    /// How many bytes can be taken at once; 0 at the end.
    fn ready(&mut self) -> io::Result<usize> {
        if self.unread.is_empty() {
            match self.receive() {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(0),
                received => received?,
            }
        }
        Ok(self.unread.len())
    }

    /// Waits for more bytes; the end is an error.
    fn receive(&mut self) -> io::Result<()> {
        let start = self.unread.len();
        self.unread.resize(start + PIECE, 0);
        let received = (&*self.stream).read(&mut self.unread[start..]);
        self.unread
            .truncate(start + *received.as_ref().unwrap_or(&0));
        match received? {
            0 => Err(cut()),
            _ => Ok(()),
        }
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        let taken = self.unread.split_to(count).to_vec();
        keep(&mut self.record, &taken);
        taken
    }
}

fn set_options(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(WAIT_TIMEOUT))?;
    stream.set_write_timeout(Some(WAIT_TIMEOUT))?;
    stream.set_nodelay(true)
}

fn keep(kept: &mut Vec<u8>, bytes: &[u8]) {
    let room = KEPT.saturating_sub(kept.len());
    kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

fn cut() -> Error {
    Error::new(ErrorKind::UnexpectedEof, "cut off")
}

fn nonsense(what: String) -> Error {
    Error::new(ErrorKind::InvalidData, what)
}
