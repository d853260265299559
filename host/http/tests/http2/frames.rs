//! Frames as bytes, made and told without the engine.

pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;
pub(crate) const PRIORITY_UPDATE: u8 = 16;

pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WHOLE: u8 = END_STREAM | END_HEADERS;

/// `GET http://a/`, as a header block.
pub(crate) const GET: &[u8] = b"\x82\x86\x84\x01\x01a";

/// `POST http://a/`.
pub(crate) const POST: &[u8] = b"\x83\x86\x84\x01\x01a";

/// `content-length: 3`.
pub(crate) const THREE: &[u8] = b"\x0f\x0d\x013";

/// `:status: 200`.
pub(crate) const OK: &[u8] = b"\x88";

/// `x: 1`.
pub(crate) const X: &[u8] = b"\x00\x01x\x011";

pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes
}

pub(crate) fn headers(flags: u8, stream: u32, block: &[u8]) -> Vec<u8> {
    frame(HEADERS, flags, stream, block)
}

pub(crate) fn data(flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    frame(DATA, flags, stream, payload)
}

pub(crate) fn get(stream: u32) -> Vec<u8> {
    headers(WHOLE, stream, GET)
}

pub(crate) fn post(stream: u32) -> Vec<u8> {
    headers(END_HEADERS, stream, POST)
}

pub(crate) fn settings(pairs: &[(u16, u32)]) -> Vec<u8> {
    let pairs = pairs.iter();
    let payload =
        pairs.flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &payload.collect::<Vec<_>>())
}

pub(crate) fn window_update(stream: u32, increment: u32) -> Vec<u8> {
    frame(WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
}

pub(crate) fn rst_stream(stream: u32, code: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &code.to_be_bytes())
}

pub(crate) fn goaway(last: u32, code: u32) -> Vec<u8> {
    let payload = [last.to_be_bytes(), code.to_be_bytes()].concat();
    frame(GOAWAY, 0, 0, &payload)
}

pub(crate) fn priority_update(stream: u32, value: &str) -> Vec<u8> {
    let payload = [&stream.to_be_bytes()[..], value.as_bytes()].concat();
    frame(PRIORITY_UPDATE, 0, 0, &payload)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    pub(crate) fn in_words(&self) -> String {
        let number = |from: usize| {
            let bytes = self.payload[from..from + 4].try_into().unwrap();
            u32::from_be_bytes(bytes)
        };
        let end = if self.flags & 1 != 0 { " end" } else { "" };
        let stream = self.stream;
        match self.kind {
            DATA => format!("{stream} DATA {}{end}", self.payload.len()),
            HEADERS => format!("{stream} HEADERS{end}"),
            RST_STREAM => format!("{stream} RST_STREAM {}", number(0)),
            SETTINGS if self.flags & ACK != 0 => "SETTINGS ACK".to_owned(),
            SETTINGS => "SETTINGS".to_owned(),
            PING if self.flags & ACK != 0 => format!("PING ACK {}", self.payload.escape_ascii()),
            PING => format!("PING {}", self.payload.escape_ascii()),
            GOAWAY => format!("GOAWAY {} {}", number(0), number(4)),
            WINDOW_UPDATE => format!("{stream} WINDOW_UPDATE {}", number(0)),
            CONTINUATION => format!("{stream} CONTINUATION"),
            kind => format!("{stream} kind {kind}"),
        }
    }
}

/// The frames that these bytes are, all of them whole.
#[track_caller]
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (header, rest) = bytes.split_at(9);
        let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
        let (payload, rest) = rest.split_at(length);
        frames.push(Frame {
            kind: header[3],
            flags: header[4],
            stream: u32::from_be_bytes(header[5..9].try_into().unwrap()),
            payload: payload.to_vec(),
        });
        bytes = rest;
    }
    frames
}
