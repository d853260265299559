//! Reads the response to a check in HTTP/1, by the rules that traffic is held to.

use std::cell::Cell;

use equipoise_http::http1::{BodyEvent, HeadEvent, ResponseReader};
use equipoise_http::{Fields, Head, Limits, Method, Violation};
use equipoise_sdk::health::CheckResponse;
use tokio::io::AsyncReadExt as _;

use super::expectation::{mismatch, reported};
use super::target::Expectation;
use super::{CheckError, CheckReply, MAX_BODY, Stage, plain};
use equipoise_proxy::upstream::MemberStream;

/// The room for each read, in bytes.
const READ_SIZE: usize = 4096;

/// Received bytes that are not parsed yet.
struct ReadBuffer<'s> {
    stream: &'s mut MemberStream,
    bytes: Vec<u8>,
    reader: ResponseReader,
}

/// Reads the response, as far as it is expected to be read.
///
/// # Errors
/// There is none, or not all of it, or it is invalid.
pub(super) async fn read(
    stream: &mut MemberStream,
    expectation: &Expectation,
    limits: Limits,
    stage: &Cell<Stage>,
) -> Result<CheckReply, CheckError> {
    let mut reader = ResponseReader::new(limits);
    // The method says only where the body ends, and none is read of what is asked by HEAD.
    reader.expect_response_to(Method::Get);
    let mut buffer = ReadBuffer {
        stream,
        bytes: Vec::with_capacity(READ_SIZE),
        reader,
    };
    let head = buffer.head().await?;
    stage.set(Stage::EndOfResponse);
    let body = if expectation.reads_body {
        buffer.body().await?
    } else {
        Vec::new()
    };
    let mismatch = mismatch(&expectation.expect, head.status(), &head);
    let mismatch = mismatch.or_else(|| expectation.body_mismatch(&body));
    let answer = CheckResponse {
        status: head.status(),
        headers: reported(&expectation.report, &head),
        body,
    };
    Ok(CheckReply::of(answer, mismatch))
}

impl ReadBuffer<'_> {
    /// Reads the head that is no interim one.
    async fn head(&mut self) -> Result<Head, CheckError> {
        let (mut head, mut has_begun) = (Head::new(), false);
        loop {
            let (used, event) = self.reader.head(&self.bytes, &mut head);
            self.bytes.drain(..used);
            has_begun |= used > 0;
            match event {
                HeadEvent::Head if head.status() == 101 => {
                    let detail = "a change of protocol that was not asked for";
                    return Err(CheckError::invalid_response(detail));
                }
                HeadEvent::Head => return Ok(head),
                HeadEvent::Interim => has_begun = false,
                HeadEvent::Refused(violation) => return Err(refused(violation)),
                HeadEvent::More if self.more().await? => {}
                HeadEvent::More if has_begun => {
                    return Err(CheckError::reset("closed in the middle of the head"));
                }
                HeadEvent::More => return Err(CheckError::reset("closed without a response")),
            }
        }
    }

    /// Reads the body up to its end or what is kept of it.
    async fn body(&mut self) -> Result<Vec<u8>, CheckError> {
        let (mut body, mut trailers) = (Vec::new(), Fields::default());
        loop {
            let (used, event) = self.reader.body(&self.bytes, &mut trailers);
            if let BodyEvent::Data(data) = &event {
                let room = MAX_BODY - body.len();
                let data = &self.bytes[data.clone()];
                body.extend_from_slice(&data[..data.len().min(room)]);
            }
            self.bytes.drain(..used);
            match event {
                _ if body.len() == MAX_BODY => return Ok(body),
                BodyEvent::End => return Ok(body),
                BodyEvent::Refused(violation) => return Err(refused(violation)),
                BodyEvent::Data(_) | BodyEvent::Trailers => {}
                BodyEvent::More if self.more().await? => {}
                BodyEvent::More => {
                    let ended = self.reader.end();
                    let broken = |_| CheckError::reset("closed in the middle of the body");
                    return ended.map(|()| body).map_err(broken);
                }
            }
        }
    }

    /// Waits for more; false where the connection has ended.
    async fn more(&mut self) -> Result<bool, CheckError> {
        self.bytes.reserve(READ_SIZE);
        let read = self.stream.read_buf(&mut self.bytes).await;
        let broken = |error| CheckError::reset(format!("connection lost: {}", plain(&error)));
        Ok(read.map_err(broken)? > 0)
    }
}

fn refused(violation: Violation) -> CheckError {
    CheckError::invalid_response(format!("invalid HTTP/1 response: {violation}"))
}
