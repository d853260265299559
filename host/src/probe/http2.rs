//! One request over HTTP/2, on a connection of its own, by the rules that traffic is held to.

use std::cell::Cell;
use std::io;
use std::ops::Range;
use std::time::Instant;

use equipoise_http::http2::{Connection, Event, Options, Role, SendError, StreamId};
use equipoise_http::{Edit, Fields, Head, Limits};
use equipoise_sdk::health::CheckResponse;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::expectation::{complaint, reported};
use super::target::{Inquiry, Target};
use super::{MOST_BODY, Reply, Stage, Trouble, grpc, plain};
use equipoise_proxy::upstream::MemberStream;

/// The room for each read, in bytes.
const ROOM: usize = 4096;

/// Asks a question of HTTP; reads the answer as far as it is of interest.
///
/// # Errors
/// There is no answer, or not all of it, or it is none that traffic would take.
pub(super) async fn ask(
    stream: MemberStream,
    target: &Target,
    request: &Head,
    inquiry: &Inquiry,
    stage: &Cell<Stage>,
) -> Result<Reply, Trouble> {
    let mut exchange = Exchange::begin(stream, target, request, b"")?;
    let (head, ends) = exchange.head().await?;
    stage.set(Stage::EndOfAnswer);
    let status = head.status();
    let mut wrong = complaint(&inquiry.expect, status, &head);
    let mut body = Vec::new();
    if inquiry.wants_body {
        (body, _) = exchange.body(ends).await?;
        wrong = wrong.or_else(|| inquiry.body_complaint(&body));
    }
    let answer = CheckResponse {
        status,
        headers: reported(&inquiry.report, &head),
        body,
    };
    Ok(Reply::of(answer, wrong))
}

/// Asks whether a service of gRPC serves.
///
/// # Errors
/// There is no answer, or none of gRPC.
pub(super) async fn ask_grpc(
    stream: MemberStream,
    target: &Target,
    request: &Head,
    question: &[u8],
    stage: &Cell<Stage>,
) -> Result<Reply, Trouble> {
    let mut exchange = Exchange::begin(stream, target, request, question)?;
    let (head, ends) = exchange.head().await?;
    stage.set(Stage::EndOfAnswer);
    let (body, trailers) = exchange.body(ends).await?;
    let complaint = grpc::complaint(head.status(), &head, &body, trailers.as_ref())?;
    Ok(Reply::of_service(head.status(), complaint))
}

/// A connection, and the one request on it.
struct Exchange<'q> {
    stream: MemberStream,
    engine: Connection,
    id: StreamId,
    /// The request's body, as far as it is not sent yet.
    unsent: &'q [u8],
    /// What came last, and how much of it is used.
    inbox: Vec<u8>,
    used: usize,
    /// Heads and trailers are read into this.
    head: Head,
    has_answered: bool,
}

/// What comes of an answer.
enum Part {
    /// Its head, which is no interim one.
    Head,
    /// Payload, which is here in the inbox.
    Data(Range<usize>),
    Trailers,
}

impl<'q> Exchange<'q> {
    /// Begins a connection, and the request on it.
    fn begin(
        stream: MemberStream,
        target: &Target,
        request: &Head,
        body: &'q [u8],
    ) -> Result<Self, Trouble> {
        let mut engine = Connection::new(Role::Client, options(target.limits), Instant::now());
        let is_tls = target.upstream.tls.is_some();
        let id = engine.request(request, &Edit::new(), is_tls, None, body.is_empty());
        Ok(Self {
            stream,
            engine,
            id: id.map_err(unsaid)?,
            unsent: body,
            inbox: Vec::with_capacity(ROOM),
            used: 0,
            head: Head::new(),
            has_answered: false,
        })
    }

    /// The head of the answer, and whether nothing follows.
    async fn head(&mut self) -> Result<(Head, bool), Trouble> {
        loop {
            if let (Part::Head, ends) = self.next().await? {
                self.has_answered = true;
                return Ok((std::mem::take(&mut self.head), ends));
            }
        }
    }

    /// The body up to its end or what is kept of it, and its trailers if that was all.
    async fn body(&mut self, is_over: bool) -> Result<(Vec<u8>, Option<Fields>), Trouble> {
        let (mut body, mut is_over) = (Vec::new(), is_over);
        while !is_over && body.len() < MOST_BODY {
            let (part, ends) = self.next().await?;
            is_over = ends;
            match part {
                Part::Data(range) => {
                    let data = &self.inbox[range];
                    let room = MOST_BODY - body.len();
                    body.extend_from_slice(&data[..data.len().min(room)]);
                }
                Part::Trailers => {
                    let trailers: &mut Fields = &mut self.head;
                    return Ok((body, Some(std::mem::take(trailers))));
                }
                Part::Head => {}
            }
        }
        Ok((body, None))
    }

    /// What comes next, and whether it is the last.
    async fn next(&mut self) -> Result<(Part, bool), Trouble> {
        loop {
            let (input, start) = (&self.inbox[self.used..], self.used);
            let (used, event) = self.engine.receive(input, Instant::now(), &mut self.head);
            self.used += used;
            match event {
                Event::Response { ends, .. } => return Ok((Part::Head, ends)),
                Event::Data { range, ends, .. } => {
                    self.engine.consume(self.id, range.len());
                    let range = start + range.start..start + range.end;
                    return Ok((Part::Data(range), ends));
                }
                Event::Trailers { .. } => return Ok((Part::Trailers, true)),
                Event::Refused { violation, .. } => {
                    let detail = format!("no answer in HTTP/2: {violation}");
                    return Err(Trouble::unintelligible(detail));
                }
                Event::Reset { code, .. } => {
                    let detail = format!("broke off: the stream was reset: {code}");
                    return Err(Trouble::broken_off(detail));
                }
                Event::Over(error) => {
                    return Err(Trouble::broken_off(format!("broke off: {error}")));
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
    async fn more(&mut self) -> Result<(), Trouble> {
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
        self.inbox.clear();
        self.used = 0;
        match self.stream.read_buf(&mut self.inbox).await {
            Ok(0) if self.has_answered => {
                Err(Trouble::broken_off("closed in the middle of the body"))
            }
            Ok(0) => Err(Trouble::broken_off("closed without an answer")),
            Ok(_) => Ok(()),
            Err(error) => Err(broken(error)),
        }
    }
}

/// One request, of whose answer no more may come than is kept, before it is looked at.
fn options(limits: Limits) -> Options {
    Options {
        streams: 1,
        stream_window: MOST_BODY as u32,
        connection_window: MOST_BODY as u32,
        takes_connect: false,
        limits,
    }
}

fn broken(error: io::Error) -> Trouble {
    Trouble::broken_off(format!("broke off: {}", plain(&error)))
}

/// The configuration has what no request can say.
fn unsaid(unsent: SendError) -> Trouble {
    Trouble {
        is_ours: true,
        ..Trouble::broken_off(format!("cannot be asked in HTTP/2: {unsent}"))
    }
}
