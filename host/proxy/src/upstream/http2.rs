//! One request on a member's connection of HTTP/2, which many share.
//!
//! - [`shared`]: the connection, as those who share it and the pool know it.
//! - [`driver`]: the task that reads and writes it, and looks whether the member lives.

mod driver;
mod handshake;
mod shared;

use std::io;
use std::task::{Context, Poll, ready};

use equipoise_http::http1::Framing;
use equipoise_http::http2::{ErrorCode, SendError};
use equipoise_http::{Edit, Fields, Head, Version};

use self::handshake::Handshake;
pub(super) use self::shared::{MAX_STREAMS, Shared};
use self::shared::{MemberIo, MemberTally};
use super::connection::{BeginError, ByteCounts};
use crate::body_frame::BodyFrame;
use crate::duplex::Duplex;
use crate::error::MemberError;
use crate::mux::{Stream, StreamError};

/// One request on a shared connection.
pub(crate) struct Http2 {
    /// None until it is begun. Dropped before the connection may be without users.
    stream: Option<Stream<MemberIo, MemberTally>>,
    shared: Shared,
    /// Where its head begins and ends in what is written to the connection.
    head: (u64, u64),
    /// Payload of its body that is yet to come, where its head says how much there is.
    left: Option<u64>,
    /// Whether nothing can follow the last byte of that.
    has_no_trailers: bool,
    /// What it asks for, where it is extended CONNECT.
    handshake: Option<Box<Handshake>>,
    framing: Framing,
}

impl Http2 {
    pub(super) fn new(shared: Shared) -> Self {
        Self {
            stream: None,
            shared,
            head: (0, 0),
            left: None,
            has_no_trailers: false,
            handshake: None,
            framing: Framing::None,
        }
    }

    /// What was to be sent of the request, and has come of its response, with the framing of both.
    pub(super) fn byte_counts(&self) -> ByteCounts {
        let Some(stream) = &self.stream else {
            return ByteCounts::default();
        };
        let (sent, read) = stream.byte_counts();
        let (begun, ended) = self.head;
        ByteCounts {
            sent: sent + ended - begun,
            read,
        }
    }

    /// Whether something of the request was written to the member.
    pub(super) fn has_sent(&self) -> bool {
        self.stream.is_some() && self.shared.mux().borrow().written() > self.head.0
    }

    pub(super) fn is_open(&self) -> bool {
        self.shared.is_open()
    }

    /// Ready when the member has answered a PING, so that it lives.
    pub(super) async fn ping(&self) -> Result<(), MemberError> {
        self.shared.ping().await.map_err(member_error)
    }

    /// Whether the member takes extended CONNECT, once it has said its settings.
    pub(super) async fn takes_connect(&self) -> Result<bool, MemberError> {
        self.shared.takes_connect().await.map_err(member_error)
    }

    /// No more requests begin on the connection.
    pub(super) fn retire(&self) {
        self.shared.retire();
    }

    /// Begins a request; it is written with whatever else waits. `protocol` makes it extended CONNECT (RFC 8441).
    ///
    /// # Errors
    /// It cannot be said in HTTP/2, or the connection takes no more; nothing is sent.
    pub(super) fn begin(
        &mut self,
        head: &Head,
        edit: &Edit,
        framing: Framing,
        protocol: Option<&str>,
    ) -> Result<(), BeginError> {
        let has_body = !matches!(framing, Framing::None | Framing::Length(0));
        let ends = !has_body && protocol.is_none();
        self.left = match framing {
            Framing::Length(length) => Some(length),
            _ => None,
        };
        self.has_no_trailers = head.version() < Version::Http2;
        self.handshake = protocol.map(|protocol| Box::new(Handshake::new(head, protocol)));
        let protocol = protocol.map(str::as_bytes);
        let shared = self.shared.mux();
        let mut mux = shared.borrow_mut();
        if mux.error().is_some() {
            return Err(BeginError::Unavailable);
        }
        let begun = mux.queued();
        let is_tls = self.shared.is_tls();
        let id = mux
            .engine
            .request(head, edit, is_tls, protocol, ends)
            .map_err(|unsent| match unsent {
                SendError::Invalid(violation) => BeginError::Invalid(violation),
                _ => BeginError::Unavailable,
            })?;
        self.head = (begun, mux.queued());
        let held = mux.register(id);
        mux.wake_owner();
        drop(mux);
        let stream = Stream::new(shared.clone(), held, false, ends, ErrorCode::CANCEL);
        self.stream = Some(stream);
        Ok(())
    }

    fn stream(&mut self) -> Result<&mut Stream<MemberIo, MemberTally>, MemberError> {
        self.stream.as_mut().ok_or(MemberError::Closed)
    }

    /// Takes payload, at least a byte of it. The end goes with the last, where it is known to be that.
    pub(super) fn poll_payload(
        &mut self,
        context: &mut Context<'_>,
        payload: &[u8],
    ) -> Poll<Result<usize, MemberError>> {
        let length = payload.len() as u64;
        if self.left.is_some_and(|left| length > left) {
            return Poll::Ready(Err(wrong_length()));
        }
        let ends = self.has_no_trailers && self.left == Some(length);
        let stream = self.stream()?;
        let taken = ready!(stream.poll_payload(context, payload, ends)).map_err(member_error)?;
        if let Some(left) = &mut self.left {
            *left -= taken as u64;
        }
        Poll::Ready(Ok(taken))
    }

    /// The request is over.
    pub(super) fn end(&mut self, trailers: Option<&Fields>) -> Result<(), MemberError> {
        if self.left.is_some_and(|left| left > 0) {
            return Err(wrong_length());
        }
        let ended = self.stream()?.end(trailers);
        ended.map_err(|_| MemberError::Closed)
    }

    /// The next head of the response; interim ones come first. One that grants a tunnel is a 101, as it is in HTTP/1.1.
    pub(super) fn poll_head(
        &mut self,
        context: &mut Context<'_>,
        head: &mut Box<Head>,
    ) -> Poll<Result<(), MemberError>> {
        let stream = self.stream()?;
        let framing = ready!(stream.poll_response(context, head)).map_err(member_error)?;
        self.framing = match framing {
            // Interim.
            None => return Poll::Ready(Ok(())),
            // Where a stream ends, it says itself.
            Some(Framing::Close) if stream.is_over() => Framing::Length(0),
            Some(Framing::Close) => Framing::Chunked,
            Some(framing) => framing,
        };
        if let Some(handshake) = self.handshake.take() {
            match self.framing {
                Framing::Tunnel => handshake.grant(head).map_err(MemberError::Violation)?,
                // There will be no tunnel, and so there is nothing more to send, if the member still listens.
                _ => drop(self.end(None)),
            }
        }
        Poll::Ready(Ok(()))
    }

    pub(super) fn framing(&self) -> Framing {
        self.framing
    }

    pub(super) fn poll_body(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<BodyFrame, MemberError>> {
        self.stream()?.poll_body(context).map_err(member_error)
    }

    pub(super) fn payload(&self) -> &[u8] {
        self.stream.as_ref().map_or(&[], Stream::payload)
    }

    pub(super) fn consume(&mut self, bytes: usize) {
        if let Some(stream) = &mut self.stream {
            stream.consume(bytes);
        }
    }

    pub(super) fn trailers(&self) -> Option<&Fields> {
        self.stream.as_ref().map(Stream::trailers)
    }

    /// The stream, once it is a tunnel.
    pub(super) fn tunnel(&mut self) -> Option<&mut dyn Duplex> {
        let stream = self.stream.as_mut();
        stream.map(|stream| stream as &mut dyn Duplex)
    }

    /// Ends the request before its end, for this reason.
    pub(super) fn reset(&mut self, code: ErrorCode) {
        if let Some(stream) = &mut self.stream {
            stream.reset(code);
        }
    }
}

/// The same as a member's fault.
fn member_error(fault: StreamError) -> MemberError {
    match fault {
        StreamError::Reset(code) => MemberError::Reset(code),
        StreamError::Violation(violation) => MemberError::Violation(violation),
        StreamError::Connection(error) => MemberError::Connection(error),
        StreamError::TimedOut => MemberError::Io(io::ErrorKind::TimedOut.into()),
        StreamError::Closed => MemberError::Closed,
    }
}

/// More payload than the head has told, or less.
fn wrong_length() -> MemberError {
    MemberError::Io(io::ErrorKind::InvalidInput.into())
}
