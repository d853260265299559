//! The body of an answer, as far as it is read.

use httparse::Status;

use super::Trouble;
use super::head::Framing;

/// How much of a body is kept, and about how much is read, in bytes.
pub(super) const MOST_BODY: usize = 64 * 1024;

/// The longest line before a chunk, in bytes: a size, and extensions that nobody needs.
const LONGEST_LINE: usize = 256;

/// A body that comes in parts.
#[derive(Debug)]
pub(super) struct Body {
    kept: Vec<u8>,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many bytes are to come.
    Length(u64),
    /// All that comes.
    Close,
    /// The line before a chunk.
    ChunkSize,
    /// So many bytes of a chunk.
    Chunk(u64),
    /// The line's end behind a chunk.
    ChunkEnd,
    /// Nothing more.
    Over,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Absent => State::Over,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::ChunkSize,
            Framing::Close => State::Close,
        };
        Self {
            kept: Vec::new(),
            state,
        }
    }

    /// Takes what has come; tells how much of it was used. The rest, a few bytes, is to come again with more behind it.
    ///
    /// # Errors
    /// The framing of chunks is broken.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, Trouble> {
        let mut used = 0;
        while !self.is_enough() {
            let rest = &bytes[used..];
            let step = self.step(rest)?;
            if step == 0 {
                break;
            }
            used += step;
        }
        Ok(used)
    }

    /// Whether nothing more is to be read: the end has come, or 64 KiB.
    pub(super) fn is_enough(&self) -> bool {
        let is_over = matches!(self.state, State::Over | State::Length(0));
        is_over || self.kept.len() >= MOST_BODY
    }

    /// The body, now that the connection has ended.
    ///
    /// # Errors
    /// More should have come.
    pub(super) fn ended(self) -> Result<Vec<u8>, Trouble> {
        if self.is_enough() || matches!(self.state, State::Close) {
            Ok(self.kept)
        } else {
            Err(Trouble::broken_off("closed in the middle of the body"))
        }
    }

    /// Uses some of the bytes, or none if more are needed.
    fn step(&mut self, rest: &[u8]) -> Result<usize, Trouble> {
        match self.state {
            State::Length(left) => Ok(self.keep(rest, left, State::Length)),
            State::Chunk(left) => Ok(self.keep(rest, left, |left| match left {
                0 => State::ChunkEnd,
                left => State::Chunk(left),
            })),
            State::Close => Ok(self.keep(rest, u64::MAX, |_| State::Close)),
            State::ChunkSize => self.chunk_size(rest),
            State::ChunkEnd => self.chunk_end(rest),
            State::Over => Ok(0),
        }
    }

    /// Keeps up to `left` bytes of `rest`.
    fn keep(&mut self, rest: &[u8], left: u64, next: impl Fn(u64) -> State) -> usize {
        let room = MOST_BODY - self.kept.len();
        let some = usize::try_from(left).unwrap_or(usize::MAX).min(room);
        let some = some.min(rest.len());
        self.kept.extend_from_slice(&rest[..some]);
        self.state = next(left - some as u64);
        some
    }

    fn chunk_size(&mut self, rest: &[u8]) -> Result<usize, Trouble> {
        let broken = || Trouble::unintelligible("broken chunks");
        match httparse::parse_chunk_size(rest).map_err(|_| broken())? {
            Status::Partial if rest.len() > LONGEST_LINE => Err(broken()),
            Status::Partial => Ok(0),
            Status::Complete((used, size)) => {
                self.state = match size {
                    0 => State::Over,
                    size => State::Chunk(size),
                };
                Ok(used)
            }
        }
    }

    fn chunk_end(&mut self, rest: &[u8]) -> Result<usize, Trouble> {
        match rest {
            [b'\r', b'\n', ..] => {
                self.state = State::ChunkSize;
                Ok(2)
            }
            [] | [b'\r'] => Ok(0),
            _ => Err(Trouble::unintelligible("broken chunks")),
        }
    }
}
