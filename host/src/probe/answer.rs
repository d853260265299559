//! Reads an answer out of a connection, as far as anybody wants to know it, by the rules that traffic is held to.

use std::cell::Cell;

use equipoise_http::http1::{BodyEvent, HeadEvent, ResponseReader};
use equipoise_http::{Fields, Head, Limits, Method, Violation};
use equipoise_sdk::health::CheckResponse;
use tokio::io::AsyncReadExt as _;

use super::expectation::{complaint, reported};
use super::target::Inquiry;
use super::{MOST_BODY, Reply, Stage, Trouble, plain};
use equipoise_proxy::upstream::MemberStream;

/// The room for each read, in bytes.
const ROOM: usize = 4096;

/// What has come and is not used yet, and how far it has been read.
struct Inbox<'s> {
    stream: &'s mut MemberStream,
    bytes: Vec<u8>,
    reader: ResponseReader,
}

/// Reads the answer to an inquiry.
///
/// # Errors
/// There is none, or not all of it, or it is none that traffic would take.
pub(super) async fn read(
    stream: &mut MemberStream,
    inquiry: &Inquiry,
    limits: Limits,
    stage: &Cell<Stage>,
) -> Result<Reply, Trouble> {
    let mut reader = ResponseReader::new(limits);
    // The method says only where the body ends, and none is read of what is asked by HEAD.
    reader.expect_response_to(Method::Get);
    let mut inbox = Inbox {
        stream,
        bytes: Vec::with_capacity(ROOM),
        reader,
    };
    let head = inbox.head().await?;
    stage.set(Stage::EndOfAnswer);
    let body = if inquiry.wants_body {
        inbox.body().await?
    } else {
        Vec::new()
    };
    let complaint = complaint(&inquiry.expect, head.status(), &head);
    let complaint = complaint.or_else(|| inquiry.body_complaint(&body));
    let answer = CheckResponse {
        status: head.status(),
        headers: reported(&inquiry.report, &head),
        body,
    };
    Ok(Reply::of(answer, complaint))
}

impl Inbox<'_> {
    /// Reads the head that is no interim one.
    async fn head(&mut self) -> Result<Head, Trouble> {
        let (mut head, mut has_begun) = (Head::new(), false);
        loop {
            let (used, event) = self.reader.head(&self.bytes, &mut head);
            self.bytes.drain(..used);
            has_begun |= used > 0;
            match event {
                HeadEvent::Head if head.status() == 101 => {
                    let detail = "a change of protocol that was not asked for";
                    return Err(Trouble::unintelligible(detail));
                }
                HeadEvent::Head => return Ok(head),
                HeadEvent::Interim => has_begun = false,
                HeadEvent::Refused(violation) => return Err(refused(violation)),
                HeadEvent::More if self.more().await? => {}
                HeadEvent::More if has_begun => {
                    return Err(Trouble::broken_off("closed in the middle of the head"));
                }
                HeadEvent::More => return Err(Trouble::broken_off("closed without an answer")),
            }
        }
    }

    /// Reads the body up to its end or what is kept of it.
    async fn body(&mut self) -> Result<Vec<u8>, Trouble> {
        let (mut body, mut trailers) = (Vec::new(), Fields::default());
        loop {
            let (used, event) = self.reader.body(&self.bytes, &mut trailers);
            if let BodyEvent::Data(data) = &event {
                let room = MOST_BODY - body.len();
                let data = &self.bytes[data.clone()];
                body.extend_from_slice(&data[..data.len().min(room)]);
            }
            self.bytes.drain(..used);
            match event {
                _ if body.len() == MOST_BODY => return Ok(body),
                BodyEvent::End => return Ok(body),
                BodyEvent::Refused(violation) => return Err(refused(violation)),
                BodyEvent::Data(_) | BodyEvent::Trailers => {}
                BodyEvent::More if self.more().await? => {}
                BodyEvent::More => {
                    let ended = self.reader.end();
                    let broken = |_| Trouble::broken_off("closed in the middle of the body");
                    return ended.map(|()| body).map_err(broken);
                }
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

fn refused(violation: Violation) -> Trouble {
    Trouble::unintelligible(format!("no answer in HTTP/1: {violation}"))
}
