//! Members' answers by HTTP/1, held to what RFC 9112 demands.
//!
//! hyper reads answers leniently: a bare LF ends a line, of two lengths one counts, what comes behind an answer is left for
//! the next reader. A member that sends such things is broken, or somebody speaks through it. [`AnswerScanner`] reads along
//! ahead of hyper, line by line, and names the first byte that must not pass; what stands within a line hyper's parser judges
//! itself. Where nothing is wrong it costs a search for line ends in heads and in what frames a body.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use http::header::CONTENT_LENGTH;
use http::{HeaderName, HeaderValue, Response, StatusCode};
use memchr::memchr;

use crate::grammar::{self, take, value_of};

/// Interim answers (1xx) to one request; more are a flood.
const MOST_INTERIMS: u32 = 64;

/// The scanner of a connection, for who asks and for who reads.
#[derive(Debug)]
pub(super) struct Answers(Mutex<State>);

#[derive(Debug)]
struct State {
    scanner: AnswerScanner,
    /// Who waits for interim answers; none once the answer is over.
    waker: Option<Waker>,
}

impl Answers {
    /// No line of an answer may be longer than `line_limit` bytes.
    pub(super) fn new(line_limit: usize) -> Self {
        Self(Mutex::new(State {
            scanner: AnswerScanner::new(line_limit),
            waker: None,
        }))
    }

    /// See [`AnswerScanner::begin`].
    pub(super) fn begin(&self, is_head: bool) {
        self.lock().scanner.begin(is_head);
    }

    /// See [`AnswerScanner::scan`].
    pub(super) fn scan(&self, bytes: &[u8]) -> Result<(), Offence> {
        let mut state = self.lock();
        let scanned = state.scanner.scan(bytes);
        if !state.scanner.interims.is_empty()
            && let Some(waker) = state.waker.take()
        {
            waker.wake();
        } else if state.scanner.part == Part::Unasked {
            // The connection may be idle for long, and a waker keeps its task's memory.
            state.waker = None;
        }
        scanned
    }

    /// The next interim answer to the request under way, but for `100 Continue`, which is between the member and us.
    pub(super) fn poll_interim(&self, context: &Context<'_>) -> Poll<Response<()>> {
        let mut state = self.lock();
        if let Some(interim) = state.scanner.interims.pop_front() {
            return Poll::Ready(interim);
        }
        match &mut state.waker {
            Some(waker) => waker.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// Whether another request may be sent.
    pub(super) fn are_over(&self) -> bool {
        let state = self.lock();
        state.scanner.part == Part::Unasked && !state.scanner.is_spoilt
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads along with what a member sends.
#[derive(Debug)]
pub(crate) struct AnswerScanner {
    /// What the next byte belongs to.
    part: Part,
    /// The start of a line whose end has not been read yet.
    line: Vec<u8>,
    /// What the head being read has said so far.
    head: Head,
    /// Whether the request is for a head alone.
    is_head: bool,
    /// How many interim answers there were to this request.
    interim_count: u32,
    /// The one being read, and how long its head is by now, in bytes.
    interim: Option<(Response<()>, usize)>,
    /// Those that have been read and nobody has taken.
    interims: VecDeque<Response<()>>,
    /// The longest line that is remembered.
    line_limit: usize,
    /// Whether something was wrong.
    is_spoilt: bool,
}

/// What a byte belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Nothing: no answer is owed.
    Unasked,
    /// The status line.
    StatusLine,
    /// A header line, or the empty line behind them.
    HeaderLine,
    /// A body of known length; so many bytes are left.
    Content(u64),
    /// A body that ends with the connection, or what the connection has become.
    Rest,
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
    status: u16,
    content_length: Option<u64>,
    is_chunked: bool,
}

/// A byte that must not pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Offence {
    /// Its index in the bytes just scanned.
    pub(crate) at: usize,
    /// What is wrong.
    pub(crate) reason: &'static str,
}

impl AnswerScanner {
    /// A scanner at the start of a connection, when nothing has been asked. No line may be longer than `line_limit` bytes.
    pub(crate) fn new(line_limit: usize) -> Self {
        Self {
            part: Part::Unasked,
            line: Vec::new(),
            head: Head::default(),
            is_head: false,
            interim_count: 0,
            interim: None,
            interims: VecDeque::new(),
            line_limit,
            is_spoilt: false,
        }
    }

    /// A request is about to be sent: an answer is owed, for HEAD without a body.
    pub(crate) fn begin(&mut self, is_head: bool) {
        if self.part == Part::Unasked {
            self.part = Part::StatusLine;
        } else {
            // The answer before is not over, and nobody could tell where the next begins.
            self.is_spoilt = true;
        }
        self.is_head = is_head;
        self.interim_count = 0;
        self.interims.clear();
    }

    /// Reads the next bytes of the stream.
    ///
    /// # Errors
    /// The first byte that must not pass. The bytes before it are fine; the connection is of no use afterwards.
    pub(crate) fn scan(&mut self, bytes: &[u8]) -> Result<(), Offence> {
        let mut at = 0;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let read = match self.part {
                _ if self.is_spoilt => Err((0, "there was something wrong before")),
                Part::Rest => return Ok(()),
                Part::Unasked => Err((0, "it was not asked for")),
                Part::Content(left) => {
                    let (taken, left) = take(left, rest);
                    self.part = if left == 0 {
                        Part::Unasked
                    } else {
                        Part::Content(left)
                    };
                    Ok(taken)
                }
                Part::ChunkData(left) => {
                    let (taken, left) = take(left, rest);
                    self.part = if left == 0 {
                        Part::ChunkEnd
                    } else {
                        Part::ChunkData(left)
                    };
                    Ok(taken)
                }
                _ => self.scan_line(rest),
            };
            at += read.map_err(|(offset, reason)| {
                self.is_spoilt = true;
                Offence {
                    at: at + offset,
                    reason,
                }
            })?;
        }
        Ok(())
    }

    /// Reads up to the end of a line and says how many bytes that took.
    fn scan_line(&mut self, rest: &[u8]) -> Result<usize, (usize, &'static str)> {
        let Some(end) = memchr(b'\n', rest) else {
            self.line.extend_from_slice(rest);
            return if self.line.len() > self.line_limit {
                Err((rest.len() - 1, "a line is too long"))
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
        self.part = read.map_err(|reason| (end, reason))?;
        Ok(end + 1)
    }

    /// Judges a line without its LF and says what comes behind it.
    fn read_line(&mut self, line: &[u8]) -> Result<Part, &'static str> {
        let Some((b'\r', line)) = line.split_last() else {
            return Err("a line ends in LF alone");
        };
        match self.part {
            Part::StatusLine => self.read_status_line(line),
            Part::HeaderLine if line.is_empty() => self.read_head_end(),
            Part::HeaderLine => self.read_header(line).map(|()| Part::HeaderLine),
            Part::ChunkSize => Ok(match grammar::chunk_size(line)? {
                0 => Part::TrailerLine,
                size => Part::ChunkData(size),
            }),
            Part::ChunkEnd if line.is_empty() => Ok(Part::ChunkSize),
            Part::ChunkEnd => Err("a chunk is longer than its size"),
            Part::TrailerLine if line.is_empty() => Ok(Part::Unasked),
            Part::TrailerLine => read_trailer(line).map(|()| Part::TrailerLine),
            Part::Unasked | Part::Rest | Part::Content(_) | Part::ChunkData(_) => {
                unreachable!("data has no lines")
            }
        }
    }

    fn read_status_line(&mut self, line: &[u8]) -> Result<Part, &'static str> {
        let (version, rest) = line.split_at(line.len().min(9));
        let is_http_10 = match version {
            b"HTTP/1.1 " => false,
            b"HTTP/1.0 " => true,
            _ => return Err("it is no answer of HTTP/1"),
        };
        let status = match rest {
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9'] => [a, b, c],
            [a @ b'1'..=b'9', b @ b'0'..=b'9', c @ b'0'..=b'9', b' ', ..] => [a, b, c],
            _ => return Err("the status is no number of three digits"),
        };
        let status = status
            .iter()
            .fold(0, |status, &&digit| status * 10 + u16::from(digit - b'0'));
        self.head = Head {
            is_http_10,
            status,
            ..Head::default()
        };
        if matches!(status, 102..=199) {
            self.begin_interim(status);
        }
        Ok(Part::HeaderLine)
    }

    #[cold]
    fn begin_interim(&mut self, status: u16) {
        let mut interim = Response::new(());
        if let Ok(status) = StatusCode::from_u16(status) {
            *interim.status_mut() = status;
            self.interim = Some((interim, 0));
        }
    }

    /// Keeps a field of an interim answer.
    #[cold]
    fn keep_field(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let Some((interim, size)) = &mut self.interim else {
            return Ok(());
        };
        *size += line.len();
        if *size > self.line_limit {
            return Err("an interim answer is too long");
        }
        let (name, value) = grammar::field(line)?;
        let name = HeaderName::from_bytes(name).map_err(|_| "a field's name is no token")?;
        let value = HeaderValue::from_bytes(value.trim_ascii());
        let value = value.map_err(|_| "a field has control bytes")?;
        if name != CONTENT_LENGTH {
            let kept = interim.headers_mut().try_append(name, value);
            kept.map_err(|_| "an interim answer has too many fields")?;
        }
        Ok(())
    }

    fn read_header(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if self.interim.is_some() {
            self.keep_field(line)?;
        }
        match line[0] {
            b' ' | b'\t' => Err("a header line is folded"),
            b'c' | b'C' => value_of(line, b"content-length")
                .map_or(Ok(()), |value| self.read_content_length(value)),
            b't' | b'T' => value_of(line, b"transfer-encoding")
                .map_or(Ok(()), |value| self.read_transfer_encoding(value)),
            _ => Ok(()),
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

    /// Where the body ends (RFC 9112, 6.3).
    fn read_head_end(&mut self) -> Result<Part, &'static str> {
        Ok(match (self.head.status, self.head.content_length) {
            (101, _) => Part::Rest,
            (100..=199, _) => {
                self.interim_count += 1;
                if self.interim_count > MOST_INTERIMS {
                    return Err("there are too many interim answers");
                }
                self.interims
                    .extend(self.interim.take().map(|(interim, _)| interim));
                Part::StatusLine
            }
            (204 | 304, _) | (_, Some(0)) => Part::Unasked,
            _ if self.is_head => Part::Unasked,
            _ if self.head.is_chunked => Part::ChunkSize,
            (_, Some(length)) => Part::Content(length),
            (_, None) => Part::Rest,
        })
    }
}

/// Judges a trailer line: a field that says nothing about framing.
fn read_trailer(line: &[u8]) -> Result<(), &'static str> {
    const FORBIDDEN: [&str; 4] = [
        "connection",
        "content-length",
        "trailer",
        "transfer-encoding",
    ];
    let (name, _) = grammar::field(line)?;
    let is_forbidden = |it: &&str| name.eq_ignore_ascii_case(it.as_bytes());
    if FORBIDDEN.iter().any(is_forbidden) {
        return Err("a trailer must not say this");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads this as what a member answers to one request.
    fn scan(bytes: &[u8], is_head: bool) -> Result<Part, Offence> {
        let mut scanner = AnswerScanner::new(8192);
        scanner.begin(is_head);
        scanner.scan(bytes).map(|()| scanner.part)
    }

    /// Answers, and what comes behind them.
    const FINE: [(&str, Part); 14] = [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
            Part::Unasked,
        ),
        (
            "HTTP/1.1 200 OK\r\ncontent-length:2 \r\n\r\n\n\r",
            Part::Unasked,
        ),
        ("HTTP/1.0 200 \r\nContent-Length: 0\r\n\r\n", Part::Unasked),
        ("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", Part::Unasked),
        ("HTTP/1.1 200 OK\r\n\r\nuntil the end\n\0", Part::Rest),
        ("HTTP/1.0 200 OK\r\nX: 1\r\n\r\nuntil the end", Part::Rest),
        ("HTTP/1.1 204 No Content\r\n\r\n", Part::Unasked),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n",
            Part::Unasked,
        ),
        (
            "HTTP/1.1 999 ?\r\nContent-Length: 1\r\n\r\nx",
            Part::Unasked,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            Part::Unasked,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nA;x=y\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\n",
            Part::Unasked,
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 204 No\r\n\r\n",
            Part::Unasked,
        ),
        (
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n\0\n\r",
            Part::Rest,
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nabc",
            Part::Content(2),
        ),
    ];

    #[test]
    fn answers_as_the_rfc_wants_them_pass() {
        for (answer, behind) in FINE {
            assert_eq!(scan(answer.as_bytes(), false), Ok(behind), "{answer:?}");
        }
    }

    #[test]
    fn an_answer_to_head_has_no_body() {
        for framing in ["Content-Length: 5", "Transfer-Encoding: chunked", "X: 1"] {
            let answer = format!("HTTP/1.1 200 OK\r\n{framing}\r\n\r\n");
            assert_eq!(
                scan(answer.as_bytes(), true),
                Ok(Part::Unasked),
                "{framing}"
            );
        }
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        let answers = [
            "\r\nHTTP/1.1 200 OK\r\n",
            "hello\r\n",
            "HTTP/1.1\r\n",
            "HTTP/1.1 \r\n",
            "HTTP/1.1 20\r\n",
            "HTTP/1.1 099 No\r\n",
            "HTTP/1.1 2000 OK\r\n",
            "HTTP/1.1 2x0 OK\r\n",
            "HTTP/1.1  200 OK\r\n",
            "HTTP/1.1\t200 OK\r\n",
            "HTTP/2.0 200 OK\r\n",
            "HTTP/1.2 200 OK\r\n",
            "http/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\n",
            "HTTP/1.1 200 OK\r\nX: 1\n",
            "HTTP/1.1 200 OK\r\n\n",
            "HTTP/1.1 200 OK\r\nX: 1\r\n folded\r\n",
            "HTTP/1.1 200 OK\r\n\tfolded\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 5\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n",
            "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 5,5\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length:\r\n",
        ];
        for answer in answers {
            let offence = scan(answer.as_bytes(), false).expect_err(answer);
            assert_eq!(answer.as_bytes()[offence.at], b'\n', "{answer:?}");
        }
    }

    #[test]
    fn bad_chunks_are_refused() {
        let bodies = [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "1 \r\na\r\n",
            "1;\r\n",
            "1\na\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "0\r\nnocolon\r\n",
            "0\r\nContent-Length: 1\r\n",
            "0\r\nx: \x01\r\n",
            "0\r\nx: 1\n",
        ];
        for body in bodies {
            let answer = format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
            assert!(scan(answer.as_bytes(), false).is_err(), "{body:?}");
        }
    }

    #[test]
    fn what_comes_behind_an_answer_is_refused_and_the_answer_is_not() {
        let answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        for extra in ["\r\n", "x", "HTTP/1.1 200 OK\r\n"] {
            let offence = scan([answer, extra].concat().as_bytes(), false).unwrap_err();
            assert_eq!(offence.at, answer.len());
        }
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n";
        let offence = scan([head, "ok"].concat().as_bytes(), true).unwrap_err();
        assert_eq!(offence.at, head.len());
    }

    #[test]
    fn nothing_may_come_unasked_and_an_answer_has_to_be_over_before_the_next() {
        let mut scanner = AnswerScanner::new(8192);
        assert!(scanner.scan(b"H").is_err());
        let mut scanner = AnswerScanner::new(8192);
        scanner.begin(false);
        scanner.begin(false);
        assert!(scanner.scan(b"H").is_err());
        let answers = Answers::new(8192);
        assert!(answers.are_over());
        answers.begin(false);
        assert!(!answers.are_over());
        assert!(answers.scan(b"HTTP/1.1 204 No\r\n\r\n").is_ok());
        assert!(answers.are_over());
        assert!(answers.scan(b"x").is_err());
        assert!(!answers.are_over());
    }

    #[test]
    fn interim_answers_are_bounded() {
        let interim = "HTTP/1.1 103 Early\r\n\r\n";
        let many = interim.repeat(MOST_INTERIMS as usize);
        assert_eq!(scan(many.as_bytes(), false), Ok(Part::StatusLine));
        let offence = scan((many.clone() + interim).as_bytes(), false).unwrap_err();
        assert!(offence.at >= many.len());
    }

    #[test]
    fn interim_answers_are_kept_without_what_says_how_long_they_are() {
        let mut scanner = AnswerScanner::new(8192);
        scanner.begin(false);
        let answer = "HTTP/1.1 100 Continue\r\nA: 1\r\n\r\n\
                      HTTP/1.1 103 Early\r\nLink:  <a> \r\nLink: <b>\r\nContent-Length: 3\r\n\r\n\
                      HTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 204 No\r\nLink: <c>\r\n\r\n";
        for byte in answer.as_bytes() {
            scanner.scan(std::slice::from_ref(byte)).unwrap();
        }
        let kept: Vec<_> = scanner.interims.drain(..).collect();
        assert_eq!(kept.len(), 2);
        assert_eq!(kept[0].status(), 103);
        let links: Vec<_> = kept[0].headers().get_all("link").iter().collect();
        assert_eq!(links, ["<a>", "<b>"]);
        assert_eq!(kept[0].headers().len(), 2);
        assert_eq!(
            (kept[1].status().as_u16(), kept[1].headers().len()),
            (102, 0)
        );
    }

    #[test]
    fn an_interim_answer_has_a_bound_and_fields_as_they_should_be() {
        let long = format!("HTTP/1.1 103 Early\r\n{}", "A: 1\r\n".repeat(30));
        for answer in [&*long, "HTTP/1.1 103 Early\r\nno field\r\n"] {
            let mut scanner = AnswerScanner::new(100);
            scanner.begin(false);
            assert!(scanner.scan(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn an_endless_line_is_refused_at_the_limit() {
        let mut scanner = AnswerScanner::new(100);
        scanner.begin(false);
        assert!(scanner.scan(&[b'a'; 100]).is_ok());
        assert!(scanner.scan(b"a").is_err());
    }

    proptest! {
        #[test]
        fn where_reads_are_cut_makes_no_difference(index in 0..FINE.len(), cut in 1_usize..20) {
            let (answer, behind) = FINE[index];
            let mut scanner = AnswerScanner::new(8192);
            scanner.begin(false);
            for piece in answer.as_bytes().chunks(cut) {
                prop_assert!(scanner.scan(piece).is_ok());
            }
            prop_assert_eq!(scanner.part, behind);
        }

        #[test]
        fn an_offence_lies_within_the_bytes(bytes in proptest::collection::vec(any::<u8>(), 1..300)) {
            if let Err(offence) = scan(&bytes, false) {
                prop_assert!(offence.at < bytes.len());
            }
        }
    }
}
