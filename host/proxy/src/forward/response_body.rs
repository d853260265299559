//! Response body: forwarded from a member, or sent by the proxy itself.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use equipoise_http::http1::Framing;
use equipoise_http::{Head, Known, Method};
use equipoise_sdk::health;
use tokio::time::Instant;

use super::RequestState;
use super::downstream::Downstream;
use super::request_body::RequestBodyError;
use super::workspace::Buffers;
use crate::body_frame::BodyFrame;
use crate::error::ClientError;
use crate::error::MemberError;
use crate::upstream::Connection;

/// How a member's response ended.
pub(super) enum Ended {
    /// All of it is on its way to the client, and to be flushed.
    Whole,
    /// The client does not take all of it.
    ByClient(ClientError),
    /// The member did not send all of it.
    ByMember(Truncation),
    /// It made the connection a tunnel, which is closed.
    AsTunnel,
}

/// Why a member did not send all of its response.
pub(super) enum Truncation {
    Fault(MemberError),
    /// Nothing came for the member's `timeout`.
    Stalled(Duration),
}

impl fmt::Display for Truncation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(formatter, "response body truncated: {fault}"),
            Self::Stalled(limit) => write!(formatter, "response body stalled for {limit:?}"),
        }
    }
}

impl Ended {
    /// The failure as health has it; `None` where the member is not at fault.
    pub(super) fn failure(&self) -> Option<health::Failure> {
        match self {
            Self::Whole | Self::ByClient(_) | Self::AsTunnel => None,
            Self::ByMember(Truncation::Fault(_)) => Some(health::Failure::Reset),
            Self::ByMember(Truncation::Stalled(_)) => Some(health::Failure::TimedOut),
        }
    }
}

/// A response's body on its way.
pub(super) struct ResponseBody {
    /// How long the member may send nothing.
    timeout: Duration,
    has_trailers: bool,
}

impl ResponseBody {
    /// One that gives the member so much time for each piece.
    pub(super) fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            has_trailers: false,
        }
    }

    /// Passes the body of a member's response on, and what is left of the request's meanwhile.
    #[inline(always)]
    pub(super) fn poll(
        &mut self,
        member: &mut Connection,
        state: &mut RequestState<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Ended> {
        let RequestState {
            downstream: client,
            buffers,
            body,
            observer,
        } = state;
        let mut awaits_client = false;
        if let Some(body) = body.as_mut().filter(|body| !body.is_done()) {
            match body.poll(context, &mut buffers.replay, *client, member) {
                Poll::Ready(Err(RequestBodyError::Client(fault))) => {
                    return Poll::Ready(Ended::ByClient(fault));
                }
                // It has responded, and reads no more.
                Poll::Ready(Err(RequestBodyError::Member(_))) => body.stop(),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            awaits_client = body.awaits_client();
        }
        loop {
            match member.poll_body(context) {
                Poll::Ready(Ok(BodyFrame::Data)) => {
                    buffers.deadline.clear();
                    match client.poll_payload(context, member.payload()) {
                        Poll::Ready(Ok(taken)) => {
                            member.consume(taken);
                            observer.count_bytes(taken);
                        }
                        Poll::Ready(Err(fault)) => return Poll::Ready(Ended::ByClient(fault)),
                        // The client's turn.
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Poll::Ready(Ok(BodyFrame::Trailers)) => self.has_trailers = true,
                Poll::Ready(Ok(BodyFrame::End)) => {
                    client.end(member.trailers().filter(|_| self.has_trailers));
                    buffers.deadline.clear();
                    return Poll::Ready(Ended::Whole);
                }
                Poll::Ready(Err(fault)) => {
                    return Poll::Ready(Ended::ByMember(Truncation::Fault(fault)));
                }
                Poll::Pending => {
                    return self.poll_waiting(*client, buffers, awaits_client, context);
                }
            }
        }
    }

    /// Waits for the member: flushes to the client, and watches it.
    fn poll_waiting(
        &self,
        client: &mut dyn Downstream,
        buffers: &mut Buffers,
        awaits_client: bool,
        context: &mut Context<'_>,
    ) -> Poll<Ended> {
        match client.poll_flush(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(fault)) => return Poll::Ready(Ended::ByClient(fault)),
            Poll::Pending => {
                buffers.deadline.clear();
                return Poll::Pending;
            }
        }
        if !awaits_client && let Poll::Ready(fault) = client.poll_closed(context) {
            return Poll::Ready(Ended::ByClient(fault));
        }
        if !buffers.deadline.is_set() {
            buffers.deadline.set(Instant::now() + self.timeout);
        }
        buffers
            .deadline
            .poll(context)
            .map(|()| match awaits_client {
                // The member may be waiting for the rest of the request.
                true => Ended::ByClient(ClientError::TimedOut),
                false => Ended::ByMember(Truncation::Stalled(self.timeout)),
            })
    }
}

/// Sends a response of the proxy itself.
pub(super) async fn send_local(request: &Head, body: &[u8], state: &mut RequestState<'_>) {
    let RequestState {
        downstream: client,
        buffers,
        observer,
        ..
    } = state;
    let Buffers { response, edit, .. } = &mut **buffers;
    let length = body.len();
    // RFC 9110, 8.6.
    if !matches!(response.status(), 204 | 304) {
        // Digits, and a name that is known.
        let _ = response.push(
            Known::ContentLength.name().as_bytes(),
            length.to_string().as_bytes(),
        );
    }
    let is_sent = length > 0 && request.method() != Method::Head;
    let framing = match is_sent {
        true => Framing::Length(length as u64),
        false => Framing::None,
    };
    client.begin(response, edit, framing);
    let mut rest = if is_sent { body } else { &[] };
    let sent = poll_fn(|context| {
        while !rest.is_empty() {
            match client.poll_payload(context, rest) {
                Poll::Ready(Ok(taken)) => rest = &rest[taken..],
                Poll::Ready(Err(fault)) => return Poll::Ready(Err(fault)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    })
    .await;
    if let Err(fault) = sent {
        return observer.record_client_error(fault);
    }
    observer.count_bytes(if is_sent { length } else { 0 });
    client.end(None);
    let took = state.observer.begun.elapsed();
    finish(state, took).await;
}

/// Writes what is left of a response; noted before, so that a client that has it finds it in logs and metrics.
pub(super) async fn finish(state: &mut RequestState<'_>, took: Duration) {
    state.observer.close_after(took);
    if let Err(fault) = poll_fn(|context| state.downstream.poll_flush(context)).await {
        state.observer.record_client_error(fault);
    }
}
