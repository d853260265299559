//! Responses on their way to clients.

use std::fmt;
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use equipoise_http::http1::Framing;
use equipoise_http::{Head, Known, Method};
use equipoise_sdk::health;
use tokio::time::Instant;

use super::Call;
use super::downstream::{ClientError, Downstream, Piece};
use super::upload::RequestBodyError;
use super::workspace::Room;
use crate::upstream::{Connection, MemberError};

/// How a member's response ended.
pub(super) enum Ended {
    /// All of it is on its way to the client, and to be flushed.
    Whole,
    /// The client does not take all of it.
    ByClient(ClientError),
    /// The member did not send all of it.
    ByMember(Cut),
    /// It made the connection a tunnel, which is closed.
    AsTunnel,
}

/// Why a member did not send all of its response.
pub(super) enum Cut {
    Fault(MemberError),
    /// Nothing came for the member's `timeout`.
    Stalled(Duration),
}

impl fmt::Display for Cut {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault(fault) => write!(formatter, "response body truncated: {fault}"),
            Self::Stalled(limit) => write!(formatter, "response body stalled for {limit:?}"),
        }
    }
}

impl Ended {
    /// What the judge calls it; `None` where it is not the member's fault.
    pub(super) fn failure(&self) -> Option<health::Failure> {
        match self {
            Self::Whole | Self::ByClient(_) | Self::AsTunnel => None,
            Self::ByMember(Cut::Fault(_)) => Some(health::Failure::BrokenOff),
            Self::ByMember(Cut::Stalled(_)) => Some(health::Failure::TimedOut),
        }
    }
}

/// A response's body on its way.
pub(super) struct Relay {
    /// How long the member may send nothing.
    patience: Duration,
    has_trailers: bool,
}

impl Relay {
    /// One that gives the member so much time for each piece.
    pub(super) fn new(patience: Duration) -> Self {
        Self {
            patience,
            has_trailers: false,
        }
    }

    /// Passes the body of a member's response on, and what is left of the request's meanwhile.
    #[inline(always)]
    pub(super) fn poll(
        &mut self,
        member: &mut Connection,
        call: &mut Call<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Ended> {
        let Call {
            down: client,
            room,
            upload,
            notes,
        } = call;
        let mut awaits_client = false;
        if let Some(upload) = upload.as_mut().filter(|upload| !upload.is_done()) {
            match upload.poll(context, &mut room.replay, *client, member) {
                Poll::Ready(Err(RequestBodyError::Client(fault))) => {
                    return Poll::Ready(Ended::ByClient(fault));
                }
                // It has answered, and wants no more of it.
                Poll::Ready(Err(RequestBodyError::Member(_))) => upload.give_up(),
                Poll::Ready(Ok(())) | Poll::Pending => {}
            }
            awaits_client = upload.awaits_client();
        }
        loop {
            match member.poll_body(context) {
                Poll::Ready(Ok(Piece::Data)) => {
                    room.deadline.clear();
                    match client.poll_payload(context, member.payload()) {
                        Poll::Ready(Ok(taken)) => {
                            member.consume(taken);
                            notes.count_bytes(taken);
                        }
                        Poll::Ready(Err(fault)) => return Poll::Ready(Ended::ByClient(fault)),
                        // The client's turn.
                        Poll::Pending => return Poll::Pending,
                    }
                }
                Poll::Ready(Ok(Piece::Trailers)) => self.has_trailers = true,
                Poll::Ready(Ok(Piece::End)) => {
                    client.end(member.trailers().filter(|_| self.has_trailers));
                    room.deadline.clear();
                    return Poll::Ready(Ended::Whole);
                }
                Poll::Ready(Err(fault)) => {
                    return Poll::Ready(Ended::ByMember(Cut::Fault(fault)));
                }
                Poll::Pending => {
                    return self.poll_waiting(*client, room, awaits_client, context);
                }
            }
        }
    }

    /// Waits for the member: flushes to the client, and watches it.
    fn poll_waiting(
        &self,
        client: &mut dyn Downstream,
        room: &mut Room,
        awaits_client: bool,
        context: &mut Context<'_>,
    ) -> Poll<Ended> {
        match client.poll_flush(context) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(fault)) => return Poll::Ready(Ended::ByClient(fault)),
            Poll::Pending => {
                room.deadline.clear();
                return Poll::Pending;
            }
        }
        if !awaits_client && let Poll::Ready(fault) = client.poll_gone(context) {
            return Poll::Ready(Ended::ByClient(fault));
        }
        if !room.deadline.is_set() {
            room.deadline.set(Instant::now() + self.patience);
        }
        room.deadline.poll(context).map(|()| match awaits_client {
            // The member may be waiting for the rest of the request.
            true => Ended::ByClient(ClientError::TimedOut),
            false => Ended::ByMember(Cut::Stalled(self.patience)),
        })
    }
}

/// Sends a response of ours.
pub(super) async fn answer(request: &Head, body: &[u8], call: &mut Call<'_>) {
    let Call {
        down: client,
        room,
        notes,
        ..
    } = call;
    let Room { response, edit, .. } = &mut **room;
    let length = body.len();
    // Digits, and a name that is known.
    let _ = response.push(
        Known::ContentLength.name().as_bytes(),
        length.to_string().as_bytes(),
    );
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
        return notes.note_client_fault(fault);
    }
    notes.count_bytes(if is_sent { length } else { 0 });
    client.end(None);
    let took = call.notes.begun.elapsed();
    finish(call, took).await;
}

/// Writes what is left of a response; noted before, so that a client that has it finds it in logs and metrics.
pub(super) async fn finish(call: &mut Call<'_>, took: Duration) {
    call.notes.close_after(took);
    if let Err(fault) = poll_fn(|context| call.down.poll_flush(context)).await {
        call.notes.note_client_fault(fault);
    }
}
