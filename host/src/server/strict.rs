//! HTTP/1 as RFC 9112 demands it of an edge.
//!
//! hyper parses requests leniently where leniency is harmless to a single server: a bare LF ends a line, of two framing
//! headers one is dropped, a missing `Host` passes. Between a client and a member that may read the same bytes in another
//! way, each of these is a way to smuggle a request. [`Scanner`] reads along with hyper, byte by byte ahead of it, and
//! names the first byte that must not pass. It keeps no message: a line that ends in a later read is all it remembers.

use memchr::memchr;

use crate::grammar::{self, alphanumeric_and, take, value_of};

/// Reads along with a client's byte stream.
#[derive(Debug)]
pub(crate) struct Scanner {
    /// What the next byte belongs to.
    part: Part,
    /// The start of a line whose end has not been read yet.
    line: Vec<u8>,
    /// What the head being read has said so far.
    head: Head,
    /// Requests whose first line has begun.
    messages: u64,
    /// The longest line that is remembered.
    line_limit: usize,
}

/// What a byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// The request line, or empty lines before it.
    RequestLine,
    /// A header line, or the empty line behind them.
    HeaderLine,
    /// A body of known length; so many bytes are left.
    Content(u64),
    /// The line with a chunk's size.
    ChunkSize,
    /// A chunk's data; so many bytes are left.
    ChunkData(u64),
    /// The line end behind a chunk's data.
    ChunkEnd,
    /// A trailer line, or the empty line behind them.
    TrailerLine,
}

/// What a head says about its message.
#[derive(Debug, Clone, Copy, Default)]
struct Head {
    is_http_10: bool,
    has_host: bool,
    content_length: Option<u64>,
    is_chunked: bool,
}

/// Where a connection is in its exchange of messages, seen from what the client sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Between two requests.
    Idle,
    /// Within a request's head.
    Head,
    /// Within a request's body.
    Body,
}

/// A byte that must not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offence {
    /// Its index in the bytes just scanned.
    pub(crate) at: usize,
    /// Whether it belongs to a head or to a body.
    pub(crate) phase: Phase,
    /// What is wrong.
    pub(crate) reason: &'static str,
}

impl Scanner {
    /// A scanner at the start of a connection. No line may be longer than `line_limit` bytes.
    pub(crate) fn new(line_limit: usize) -> Self {
        Self {
            part: Part::RequestLine,
            line: Vec::new(),
            head: Head::default(),
            messages: 0,
            line_limit,
        }
    }

    /// Requests begun so far.
    pub(crate) fn messages(&self) -> u64 {
        self.messages
    }

    /// Where the next byte belongs.
    pub(crate) fn phase(&self) -> Phase {
        match self.part {
            Part::RequestLine if self.line.is_empty() => Phase::Idle,
            Part::RequestLine | Part::HeaderLine => Phase::Head,
            _ => Phase::Body,
        }
    }

    /// Reads the next bytes of the stream.
    ///
    /// # Errors
    /// The first byte that must not pass. The bytes before it are fine; the scanner is of no use afterwards.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(), Offence> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            at += match self.part {
                Part::Content(left) => {
                    let (taken, left) = take(left, rest);
                    self.part = if left == 0 {
                        Part::RequestLine
                    } else {
                        Part::Content(left)
                    };
                    taken
                }
                Part::ChunkData(left) => {
                    let (taken, left) = take(left, rest);
                    self.part = if left == 0 {
                        Part::ChunkEnd
                    } else {
                        Part::ChunkData(left)
                    };
                    taken
                }
                _ => self
                    .scan_line(rest)
                    .map_err(|(offset, phase, reason)| Offence {
                        at: at + offset,
                        phase,
                        reason,
                    })?,
            };
        }
        Ok(())
    }

    /// Reads up to the end of a line and says how many bytes that took.
    fn scan_line(&mut self, rest: &[u8]) -> Result<usize, (usize, Phase, &'static str)> {
        if self.part == Part::RequestLine
            && self.line.is_empty()
            && !matches!(rest[0], b'\r' | b'\n')
        {
            self.messages += 1;
        }
        let Some(end) = memchr(b'\n', rest) else {
            self.line.extend_from_slice(rest);
            return if self.line.len() > self.line_limit {
                Err((rest.len() - 1, self.phase(), "a line is too long"))
            } else {
                Ok(rest.len())
            };
        };
        let read = if self.line.is_empty() {
            self.read_line(&rest[..end])
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&rest[..end]);
            let read = self.read_line(&line);
            line.clear();
            self.line = line;
            read
        };
        let phase = if matches!(self.part, Part::RequestLine | Part::HeaderLine) {
            Phase::Head
        } else {
            Phase::Body
        };
        read.map(|part| self.part = part)
            .map_err(|reason| (end, phase, reason))?;
        Ok(end + 1)
    }

    /// Judges a line without its LF and says what comes behind it.
    fn read_line(&mut self, line: &[u8]) -> Result<Part, &'static str> {
        let Some((b'\r', line)) = line.split_last() else {
            return Err("a line ends in LF alone");
        };
        match self.part {
            Part::RequestLine => self.read_request_line(line),
            Part::HeaderLine if line.is_empty() => self.read_head_end(),
            Part::HeaderLine => self.read_header(line).map(|()| Part::HeaderLine),
            Part::ChunkSize => Ok(match grammar::chunk_size(line)? {
                0 => Part::TrailerLine,
                size => Part::ChunkData(size),
            }),
            Part::ChunkEnd if line.is_empty() => Ok(Part::ChunkSize),
            Part::ChunkEnd => Err("a chunk is longer than its size"),
            Part::TrailerLine if line.is_empty() => Ok(Part::RequestLine),
            Part::TrailerLine => read_trailer(line).map(|()| Part::TrailerLine),
            Part::Content(_) | Part::ChunkData(_) => unreachable!("data has no lines"),
        }
    }

    fn read_request_line(&mut self, line: &[u8]) -> Result<Part, &'static str> {
        if line.is_empty() {
            return Ok(Part::RequestLine);
        }
        if line.starts_with(b"CONNECT ") {
            return Err("CONNECT is for forward proxies");
        }
        if memchr(b'#', line).is_some() {
            return Err("a fragment is the client's own business");
        }
        self.head = Head {
            is_http_10: line.ends_with(b" HTTP/1.0"),
            ..Head::default()
        };
        Ok(Part::HeaderLine)
    }

    fn read_header(&mut self, line: &[u8]) -> Result<(), &'static str> {
        match line[0] {
            b' ' | b'\t' => Err("a header line is folded"),
            b'h' | b'H' => value_of(line, b"host").map_or(Ok(()), |value| self.read_host(value)),
            b'c' | b'C' => value_of(line, b"content-length")
                .map_or(Ok(()), |value| self.read_content_length(value)),
            b't' | b'T' => value_of(line, b"transfer-encoding")
                .map_or(Ok(()), |value| self.read_transfer_encoding(value)),
            _ => Ok(()),
        }
    }

    fn read_host(&mut self, value: &[u8]) -> Result<(), &'static str> {
        if self.head.has_host {
            return Err("Host is there twice");
        }
        self.head.has_host = true;
        if is_host(value) {
            Ok(())
        } else {
            Err("Host is no host name with an optional port")
        }
    }

    fn read_content_length(&mut self, value: &[u8]) -> Result<(), &'static str> {
        if self.head.content_length.is_some() || self.head.is_chunked {
            return Err("the length is given twice");
        }
        let length = grammar::length(value).ok_or("Content-Length is no number")?;
        self.head.content_length = Some(length);
        Ok(())
    }

    fn read_transfer_encoding(&mut self, value: &[u8]) -> Result<(), &'static str> {
        if self.head.content_length.is_some() || self.head.is_chunked {
            return Err("the length is given twice");
        }
        if self.head.is_http_10 {
            return Err("HTTP/1.0 has no Transfer-Encoding");
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err("Transfer-Encoding is not chunked alone");
        }
        self.head.is_chunked = true;
        Ok(())
    }

    fn read_head_end(&mut self) -> Result<Part, &'static str> {
        if !self.head.has_host && !self.head.is_http_10 {
            return Err("Host is missing");
        }
        Ok(match self.head.content_length {
            _ if self.head.is_chunked => Part::ChunkSize,
            Some(length @ 1..) => Part::Content(length),
            Some(0) | None => Part::RequestLine,
        })
    }
}

/// Whether `value` is `uri-host [":" port]` (RFC 3986): no user, no path, no list, not empty.
pub(crate) fn is_host(value: &[u8]) -> bool {
    let (host, port) = match value {
        [b'[', ..] => match value.iter().position(|&byte| byte == b']') {
            Some(end) => value.split_at(end + 1),
            None => return false,
        },
        _ => value.split_at(memchr(b':', value).unwrap_or(value.len())),
    };
    let host_is_fine = match host {
        [b'[', address @ .., b']'] => {
            let is_address_byte =
                |&byte: &u8| byte.is_ascii_hexdigit() || matches!(byte, b':' | b'.');
            !address.is_empty() && address.iter().all(is_address_byte)
        }
        _ => !host.is_empty() && host.iter().all(|&byte| NAME_BYTES[usize::from(byte)]),
    };
    host_is_fine && is_port(port)
}

/// Whether `text` is nothing or a colon with a port behind it, which may be missing.
fn is_port(text: &[u8]) -> bool {
    match text {
        [] => true,
        [b':', digits @ ..] => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The bytes of a registered name (RFC 3986, 3.2.2), but for the comma, which a list would have.
const NAME_BYTES: [bool; 256] = alphanumeric_and(b"-._~%!$&'()*+;=");

/// Trailer fields that no member should be told behind a body, when it has dealt with the head: what frames the message, says
/// how to route or to treat it, who the client is, or what the body is (RFC 9110, 6.5.1).
const FORBIDDEN_TRAILERS: [&str; 31] = [
    "authorization",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-range",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "keep-alive",
    "max-forwards",
    "proxy",
    "proxy-authorization",
    "proxy-connection",
    "range",
    "set-cookie",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-server",
];

/// Judges a trailer line.
fn read_trailer(line: &[u8]) -> Result<(), &'static str> {
    let (name, _) = grammar::field(line)?;
    let is_forbidden = |it: &&str| name.eq_ignore_ascii_case(it.as_bytes());
    if FORBIDDEN_TRAILERS.iter().any(is_forbidden) {
        return Err("a trailer must not say this");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scan(bytes: &[u8]) -> Result<Scanner, Offence> {
        let mut scanner = Scanner::new(8192);
        scanner.scan(bytes).map(|()| scanner)
    }

    const FINE: [&str; 9] = [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\nGET / HTTP/1.1\r\nhost:a:8080\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: [::1]:80\r\nContent-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n\n\r\0",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding:chunked\r\n\r\nA;x=\"y\"\r\n0123456789\r\n00\r\nX-Sum: 1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nxGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    ];

    #[test]
    fn requests_as_the_rfc_wants_them_pass_and_leave_the_connection_idle() {
        for request in FINE {
            let scanner = scan(request.as_bytes())
                .unwrap_or_else(|offence| panic!("{request:?}: {offence:?}"));
            assert_eq!(scanner.phase(), Phase::Idle, "{request:?}");
        }
    }

    #[test]
    fn what_can_smuggle_is_refused_before_the_head_ends() {
        let heads = [
            "GET / HTTP/1.1\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\n\r\n",
            "Useless:\n\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost:\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a,b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a:b\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
            "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n",
            "GET /#a HTTP/1.1\r\nHost: a\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: ,chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n",
            "POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5,5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
        ];
        for head in heads {
            let offence = scan(head.as_bytes()).expect_err(head);
            assert_eq!(offence.phase, Phase::Head, "{head:?}");
            assert_eq!(head.as_bytes()[offence.at], b'\n', "{head:?}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        let bodies = [
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "+1\r\na\r\n",
            "0x1\r\na\r\n",
            "1 \r\na\r\n",
            "1_0\r\n",
            "1\na\r\n",
            "1;\r\na\r\n",
            "1;x\x01\r\na\r\n",
            "11111111111111111\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "0\r\nnocolon\r\n\r\n",
            "0\r\nContent-Length: 1\r\n\r\n",
            "0\r\n bad: 1\r\n\r\n",
            "0\r\nx: \x01\r\n\r\n",
            "0\r\nx: 1\n\r\n",
        ];
        for body in bodies {
            let request =
                format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            let offence = scan(request.as_bytes()).expect_err(body);
            assert_eq!(offence.phase, Phase::Body, "{body:?}");
        }
    }

    #[test]
    fn an_endless_line_is_refused_at_the_limit() {
        let mut scanner = Scanner::new(100);
        assert!(scanner.scan(&[b'a'; 100]).is_ok());
        assert!(scanner.scan(b"a").is_err());
    }

    proptest! {
        #[test]
        fn where_reads_are_cut_makes_no_difference(request in proptest::sample::select(&FINE[..]), cut in 1_usize..20) {
            let mut scanner = Scanner::new(8192);
            for piece in request.as_bytes().chunks(cut) {
                prop_assert!(scanner.scan(piece).is_ok());
            }
            prop_assert_eq!(scanner.phase(), Phase::Idle);
            prop_assert_eq!(scanner.messages(), scan(request.as_bytes()).unwrap().messages());
        }

        #[test]
        fn an_offence_lies_within_the_bytes(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            if let Err(offence) = scan(&bytes) {
                prop_assert!(offence.at < bytes.len());
            }
        }
    }
}
