//! Reads an answer out of a connection, as far as anybody wants to know it.

use std::cell::Cell;

use equipoise_sdk::health::Answer;
use tokio::io::AsyncReadExt as _;

use super::body::Body;
use super::head::{Head, end_of_head};
use super::target::Inquiry;
use super::{Reply, Stage, Trouble, plain};
use crate::upstream::MemberStream;

/// The most bytes of heads: of the answer and of interim ones before it.
const MOST_HEAD: usize = 64 * 1024;

/// What every answer begins with.
const BEGINNING: &[u8] = b"HTTP/1.";

/// The room for each read, in bytes.
const ROOM: usize = 4096;

/// What has come and is not used yet.
struct Inbox<'s> {
    stream: &'s mut MemberStream,
    bytes: Vec<u8>,
}

/// Reads the answer to an inquiry.
///
/// # Errors
/// There is none, or not all of it.
pub(super) async fn read(
    stream: &mut MemberStream,
    inquiry: &Inquiry,
    stage: &Cell<Stage>,
) -> Result<Reply, Trouble> {
    let mut inbox = Inbox {
        stream,
        bytes: Vec::with_capacity(ROOM),
    };
    let head = inbox.head(inquiry).await?;
    stage.set(Stage::EndOfAnswer);
    let body = if inquiry.wants_body {
        inbox.body(Body::new(head.framing)).await?
    } else {
        Vec::new()
    };
    let complaint = head.complaint;
    let complaint = complaint.or_else(|| inquiry.body_complaint(&body));
    let answer = Answer {
        status: head.status,
        headers: head.headers,
        body,
    };
    Ok(Reply::of(answer, complaint))
}

impl Inbox<'_> {
    /// Reads the head that is no interim one.
    async fn head(&mut self, inquiry: &Inquiry) -> Result<Head, Trouble> {
        let mut left = MOST_HEAD;
        loop {
            let end = self.end_of_head(left).await?;
            left -= end;
            let head = Head::parse(&self.bytes[..end], inquiry)?;
            self.bytes.drain(..end);
            if !head.is_interim() {
                return Ok(head);
            }
        }
    }

    /// Reads until a whole head of at most `most` bytes is there; tells how long it is.
    async fn end_of_head(&mut self, most: usize) -> Result<usize, Trouble> {
        let mut seen = 0;
        loop {
            let begun = self.bytes.len().min(BEGINNING.len());
            if self.bytes[..begun] != BEGINNING[..begun] {
                return Err(Trouble::unintelligible("no answer in HTTP/1"));
            }
            match end_of_head(&self.bytes, seen) {
                Some(end) if end <= most => return Ok(end),
                None if self.bytes.len() < most => {}
                _ => {
                    let detail = format!("a head of more than {} KiB", MOST_HEAD / 1024);
                    return Err(Trouble::unintelligible(detail));
                }
            }
            seen = self.bytes.len();
            if !self.more().await? {
                let detail = if seen == 0 {
                    "closed without an answer"
                } else {
                    "closed in the middle of the head"
                };
                return Err(Trouble::broken_off(detail));
            }
        }
    }

    /// Reads the body up to its end or what is kept of it.
    async fn body(&mut self, mut body: Body) -> Result<Vec<u8>, Trouble> {
        loop {
            let used = body.take(&self.bytes)?;
            self.bytes.drain(..used);
            if body.is_enough() || !self.more().await? {
                return body.ended();
            }
        }
    }

    /// Waits for more; false where the connection has ended.
    async fn more(&mut self) -> Result<bool, Trouble> {
        self.bytes.reserve(ROOM);
        let read = self.stream.read_buf(&mut self.bytes).await;
        let broken = |error| Trouble::broken_off(format!("broke off: {}", plain(&error)));
        Ok(read.map_err(broken)? > 0)
    }
}
