//! One request over HTTP/2, on a connection of its own, by the rules that traffic is held to.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::time::Instant;

use equipoise_http::http2::{Connection, Event, Options, Role, SendError, StreamId};
use equipoise_http::{Edit, Fields, Head, Limits};
use equipoise_sdk::health::CheckResponse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::expectation::{mismatch, reported};
use super::target::{Expectation, Target};
use super::{CheckError, CheckReply, MAX_BODY, Stage, grpc, plain};
use equipoise_proxy::upstream::MemberStream;

/// The room for each read, in bytes.
const READ_SIZE: usize = 4096;

/// Sends a request of HTTP; reads the response as far as it is expected to be read.
///
/// # Errors
/// There is no response, or not all of it, or it is invalid.
pub(super) async fn check(
    stream: MemberStream,
    target: &Target,
    request: &Head,
    expectation: &Expectation,
    stage: &Cell<Stage>,
) -> Result<CheckReply, CheckError> {
    let mut stream = CheckStream::begin(stream, target, request, b"")?;
    let (head, ends) = stream.head().await?;
    stage.set(Stage::EndOfResponse);
    let status = head.status();
    let mut wrong = mismatch(&expectation.expect, status, &head);
    let mut body = Vec::new();
    if expectation.reads_body {
        (body, _) = stream.body(ends).await?;
        wrong = wrong.or_else(|| expectation.body_mismatch(&body));
    }
    let answer = CheckResponse {
        status,
        headers: reported(&expectation.report, &head),
        body,
    };
    Ok(CheckReply::of(answer, wrong))
}

/// Calls gRPC's health check.
///
/// # Errors
/// There is no response, or none of gRPC.
pub(super) async fn check_grpc(
    stream: MemberStream,
    target: &Target,
    request: &Head,
    body: &[u8],
    stage: &Cell<Stage>,
) -> Result<CheckReply, CheckError> {
    let mut stream = CheckStream::begin(stream, target, request, body)?;
    let (head, ends) = stream.head().await?;
    stage.set(Stage::EndOfResponse);
    let (body, trailers) = stream.body(ends).await?;
    let mismatch = grpc::mismatch(head.status(), &head, &body, trailers.as_ref())?;
    Ok(CheckReply::of_service(head.status(), mismatch))
}

/// A connection, and the one request on it.
struct CheckStream<'q> {
    stream: MemberStream,
    engine: Connection,
    id: StreamId,
    /// The request's body, as far as it is not sent yet.
    unsent: &'q [u8],
    /// What came last, and how much of it is used.
    buffer: Vec<u8>,
    used: usize,
    /// Heads and trailers are read into this.
    head: Head,
    has_response: bool,
}

/// A part of a response.
enum Piece {
    /// Its head, which is no interim one.
    Head,
    /// Payload, which is here in the buffer.
    Data(Range<usize>),
    Trailers,
}

impl<'q> CheckStream<'q> {
    /// Begins a connection, and the request on it.
    fn begin(
        stream: MemberStream,
        target: &Target,
        request: &Head,
        body: &'q [u8],
    ) -> Result<Self, CheckError> {
        let mut engine = Connection::new(Role::Client, options(target.limits), Instant::now());
        let is_tls = target.endpoint.tls.is_some();
        let id = engine.request(request, &Edit::new(), is_tls, None, body.is_empty());
        Ok(Self {
            stream,
            engine,
            id: id.map_err(not_sendable)?,
            unsent: body,
            buffer: Vec::with_capacity(READ_SIZE),
            used: 0,
            head: Head::new(),
            has_response: false,
        })
    }

    /// The head of the response, and whether nothing follows.
    async fn head(&mut self) -> Result<(Head, bool), CheckError> {
        loop {
            if let (Piece::Head, ends) = self.next().await? {
                self.has_response = true;
                return Ok((std::mem::take(&mut self.head), ends));
            }
        }
    }

    /// The body up to its end or what is kept of it, and its trailers if that was all.
    async fn body(&mut self, is_over: bool) -> Result<(Vec<u8>, Option<Fields>), CheckError> {
        let (mut body, mut is_over) = (Vec::new(), is_over);
        while !is_over && body.len() < MAX_BODY {
            let (part, ends) = self.next().await?;
            is_over = ends;
            match part {
                Piece::Data(range) => {
                    let data = &self.buffer[range];
                    let room = MAX_BODY - body.len();
                    body.extend_from_slice(&data[..data.len().min(room)]);
                }
                Piece::Trailers => {
                    let trailers: &mut Fields = &mut self.head;
                    return Ok((body, Some(std::mem::take(trailers))));
                }
                Piece::Head => {}
            }
        }
        Ok((body, None))
    }

    /// What comes next, and whether it is the last.
    async fn next(&mut self) -> Result<(Piece, bool), CheckError> {
        loop {
            let (input, start) = (&self.buffer[self.used..], self.used);
            let (used, event) = self.engine.receive(input, Instant::now(), &mut self.head);
            self.used += used;
            match event {
                Event::Response { ends, .. } => return Ok((Piece::Head, ends)),
                Event::Data { range, ends, .. } => {
                    self.engine.consume(self.id, range.len());
                    let range = start + range.start..start + range.end;
                    return Ok((Piece::Data(range), ends));
                }
                Event::Trailers { .. } => return Ok((Piece::Trailers, true)),
                Event::Refused { violation, .. } => {
                    let detail = format!("invalid HTTP/2 response: {violation}");
                    return Err(CheckError::invalid_response(detail));
                }
                Event::Reset { code, .. } => {
                    let detail = format!("connection lost: the stream was reset: {code}");
                    return Err(CheckError::reset(detail));
                }
                Event::Over(error) => {
                    return Err(CheckError::reset(format!("connection lost: {error}")));
                }
                Event::More => self.more().await?,
                Event::Interim { .. }
                | Event::Request { .. }
                | Event::GoAway { .. }
                | Event::Pong(_) => {}
            }
        }
    }

    /// Sends what there is to send, and waits for more.
    async fn more(&mut self) -> Result<(), CheckError> {
        if !self.unsent.is_empty() {
            // A member may answer without having read it.
            let sent = self.engine.send_data(self.id, self.unsent, true);
            self.unsent = &self.unsent[sent.unwrap_or(self.unsent.len())..];
        }
        while !self.engine.output().is_empty() {
            let written = self.stream.write(self.engine.output()).await;
            self.engine.record_written(written.map_err(broken)?);
        }
        self.stream.flush().await.map_err(broken)?;
        self.buffer.clear();
        self.used = 0;
        match self.stream.read_buf(&mut self.buffer).await {
            Ok(0) if self.has_response => {
                Err(CheckError::reset("closed in the middle of the body"))
            }
            Ok(0) => Err(CheckError::reset("closed without a response")),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(error)),
        }
    }
}

/// One stream, with a window of no more than is kept of a body.
fn options(limits: Limits) -> Options {
    Options {
        streams: 1,
        stream_window: MAX_BODY as u32,
        connection_window: MAX_BODY as u32,
        takes_connect: false,
        limits,
    }
}

fn broken(error: io::Error) -> CheckError {
    CheckError::reset(format!("connection lost: {}", plain(&error)))
}

/// The configuration has what HTTP/2 cannot send.
fn not_sendable(unsent: SendError) -> CheckError {
    CheckError {
        is_local: true,
        ..CheckError::reset(format!("cannot be sent in HTTP/2: {unsent}"))
    }
}
