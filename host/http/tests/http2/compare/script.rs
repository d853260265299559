//! Any bytes as the frames of a client, most of them framed well, so that what is in them matters.

use std::fmt;

/// The most frames of a script: fewer than streams that may be at once, or than any budget against floods takes for one.
const FRAMES: usize = 64;

pub(super) const DATA: u8 = 0x0;
pub(super) const HEADERS: u8 = 0x1;
pub(super) const PRIORITY: u8 = 0x2;
pub(super) const RST_STREAM: u8 = 0x3;
pub(super) const SETTINGS: u8 = 0x4;
pub(super) const PING: u8 = 0x6;
pub(super) const GOAWAY: u8 = 0x7;
pub(super) const WINDOW_UPDATE: u8 = 0x8;
pub(super) const CONTINUATION: u8 = 0x9;
pub(super) const PRIORITY_UPDATE: u8 = 0x10;

pub(super) const END_STREAM: u8 = 0x1;
pub(super) const ACK: u8 = 0x1;
pub(super) const END_HEADERS: u8 = 0x4;
pub(super) const PADDED: u8 = 0x8;
pub(super) const HAS_PRIORITY: u8 = 0x20;

#[derive(Clone)]
pub(super) struct Frame {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            flags,
            stream,
            payload,
        } = self;
        let payload = payload.escape_ascii();
        write!(
            formatter,
            "kind {kind:#x}, flags {flags:#x}, stream {stream:#x}: {payload}"
        )
    }
}

impl Frame {
    pub(super) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The stream without the bit that is reserved.
    pub(super) fn number(&self) -> u32 {
        self.stream & (u32::MAX >> 1)
    }

    /// Whether it is HEADERS that say of their stream that it depends on itself (RFC 7540, 5.3.1).
    pub(super) fn is_circular(&self) -> bool {
        let start = usize::from(self.has(PADDED));
        let dependency = self.payload.get(start..start + 4);
        let number = self.number().to_be_bytes();
        let is_own =
            dependency.is_some_and(|it| it[0] & 0x7f == number[0] && it[1..] == number[1..]);
        self.kind == HEADERS && self.has(HAS_PRIORITY) && is_own
    }

    /// Whether a header block goes on behind it.
    pub(super) fn leaves_block_open(&self) -> bool {
        matches!(self.kind, HEADERS | CONTINUATION) && !self.has(END_HEADERS)
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let length = (self.payload.len() as u32).to_be_bytes();
        let stream = self.stream.to_be_bytes();
        let header = [&length[1..], &[self.kind, self.flags], &stream];
        [&header.concat(), &self.payload[..]].concat()
    }
}

/// Heads that are right, and nothing, to which a script adds fields.
const HEADS: [&[(&str, &str)]; 6] = [
    &[
        (":method", "GET"),
        (":scheme", "https"),
        (":path", "/"),
        (":authority", "a"),
    ],
    &[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a:80"),
        (":path", "/a?b=c"),
        ("content-length", "3"),
    ],
    &[
        (":method", "PUT"),
        (":path", "/%20"),
        (":scheme", "https"),
        ("host", "a.example"),
    ],
    &[
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":path", "/chat"),
        (":authority", "a"),
    ],
    &[
        (":authority", "a"),
        (":path", "*"),
        (":scheme", "http"),
        (":method", "OPTIONS"),
    ],
    &[],
];

/// Fields that are right, and some that are wrong, or somewhere.
const FIELDS: [(&str, &[u8]); 61] = [
    ("accept", b"*/*"),
    ("user-agent", b"test/1"),
    ("x-a", b"1"),
    ("x-a", b"2"),
    ("x-empty", b""),
    ("cookie", b"a=1"),
    ("cookie", b"b=2"),
    ("cookie", b""),
    ("te", b"trailers"),
    ("te", b"gzip"),
    ("content-length", b"0"),
    ("content-length", b"3"),
    ("content-length", b"5"),
    ("content-length", b"03"),
    ("content-length", b"+3"),
    ("content-length", b""),
    ("content-length", b"99999999999999999999"),
    ("host", b"a"),
    ("host", b"A"),
    ("host", b"b"),
    ("host", b"a b"),
    ("expect", b"100-continue"),
    ("priority", b"u=1, i"),
    ("trailer", b"x-sum"),
    ("sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    ("connection", b"close"),
    ("keep-alive", b"1"),
    ("proxy-connection", b"close"),
    ("transfer-encoding", b"chunked"),
    ("upgrade", b"h2c"),
    ("x-value", b" a"),
    ("x-value", b"a\t"),
    ("x-value", b"a\0b"),
    ("x-value", b"a\x7fb"),
    ("x-value", b"a\r\nb: c"),
    ("x-value", b"\xc3\xa9"),
    ("X-Upper", b"1"),
    ("x y", b"1"),
    ("", b"1"),
    ("x\u{e9}", b"1"),
    (":method", b"GET"),
    (":method", b"get it"),
    (":method", b"CONNECT"),
    (":scheme", b"https"),
    (":scheme", b"ftp"),
    (":scheme", b"HTTP"),
    (":authority", b"a"),
    (":authority", b""),
    (":authority", b"u@a"),
    (":authority", b"a:65536"),
    (":authority", b"[::1]:1"),
    (":path", b"/"),
    (":path", b""),
    (":path", b"a"),
    (":path", b"/a#b"),
    (":path", b"/\xc3\xa9"),
    (":path", b"/\xff"),
    (":path", b"/{\"a\"}"),
    (":protocol", b"websocket"),
    (":status", b"200"),
    (":unknown", b"1"),
];

/// The frames that a script says.
pub(super) struct Script<'s> {
    rest: &'s [u8],
    /// The highest stream that was opened as it should be.
    last: u32,
    left: usize,
}

impl<'s> Script<'s> {
    pub(super) fn new(script: &'s [u8]) -> Self {
        Self {
            rest: script,
            last: 0,
            left: FRAMES,
        }
    }

    /// Opens the next stream, or goes on with the last.
    fn of_message(&mut self, what: u8, flags: u8, payload: &[u8]) -> Frame {
        let (kind, flags, payload) = match what {
            0 | 1 => (HEADERS, flags & END_STREAM | END_HEADERS, head(payload)),
            2 => (DATA, flags & END_STREAM, payload.to_vec()),
            _ => (HEADERS, END_STREAM | END_HEADERS, fields(payload)),
        };
        if what < 2 {
            self.last = match self.last {
                0 => 1,
                last => last + 2,
            };
        }
        Frame {
            kind,
            flags,
            stream: self.last,
            payload,
        }
    }
}

impl Iterator for Script<'_> {
    type Item = Frame;

    fn next(&mut self) -> Option<Frame> {
        self.left = self.left.checked_sub(1)?;
        let [what, flags, stream, length, rest @ ..] = self.rest else {
            return None;
        };
        let (payload, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        self.rest = rest;
        let kind = match what % 16 {
            message @ 12.. => return Some(self.of_message(message - 12, *flags, payload)),
            10 => PRIORITY_UPDATE,
            kind => kind,
        };
        let mut payload = payload.to_vec();
        if let Some(size) = size(kind, *flags).filter(|_| what & 0x80 == 0) {
            payload.resize(size, 0);
        }
        // The first bit is reserved, and says nothing.
        let stream = u32::from(stream & 0x80) << 24 | u32::from(stream & 0x1f);
        let number = stream & 0x1f;
        if kind == HEADERS && number % 2 == 1 {
            self.last = self.last.max(number);
        }
        Some(Frame {
            kind,
            flags: *flags,
            stream,
            payload,
        })
    }
}

/// The size that a payload of this kind has to have, if there is one.
fn size(kind: u8, flags: u8) -> Option<usize> {
    match kind {
        PRIORITY => Some(5),
        RST_STREAM | WINDOW_UPDATE => Some(4),
        SETTINGS if flags & ACK != 0 => Some(0),
        SETTINGS => Some(6),
        PING | GOAWAY => Some(8),
        _ => None,
    }
}

/// The block of one of the heads, and of fields behind it.
fn head(picks: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    let (first, rest) = picks.split_first().unwrap_or((&0, &[]));
    for (name, value) in HEADS[usize::from(*first) % HEADS.len()] {
        literal(0, name.as_bytes(), value.as_bytes(), &mut block);
    }
    block.extend(fields(rest));
    block
}

/// A block of fields, each of which a byte picks, with what it is added to the table; or an entry of that.
fn fields(picks: &[u8]) -> Vec<u8> {
    let mut block = Vec::new();
    for pick in picks {
        match pick & 0x7f {
            0x7f => block.push(0xbe),
            field => {
                let (name, value) = FIELDS[usize::from(field) % FIELDS.len()];
                literal(pick & 0x80, name.as_bytes(), value, &mut block);
            }
        }
    }
    block
}

/// Adds a literal (RFC 7541, 6.2), into the table or not.
fn literal(is_indexed: u8, name: &[u8], value: &[u8], block: &mut Vec<u8>) {
    block.push(is_indexed >> 1);
    for string in [name, value] {
        block.push(string.len() as u8);
        block.extend_from_slice(string);
    }
}
