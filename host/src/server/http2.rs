//! One client's connection of HTTP/2: many requests at once, a task each.

use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use h2::server::{Builder, Connection};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::activity::Activity;
use super::client::Client;
use super::h2_io::H2Io;
use super::http2_stream;
use super::stream::ClientStream;
use super::vigil::Vigil;
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::meters::Limit;

/// The largest frame a client may send, in bytes: the least that the RFC allows. A frame is read into memory as a whole.
const FRAME_SIZE: u32 = 16 * 1024;

/// What a client may send of one body before it is read, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;

/// What a client may send of all bodies before they are read, in bytes.
const CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What is kept of one answer until the client's socket takes it, in bytes.
const SEND_BUFFER: usize = 64 * 1024;

/// Streams that a client may have reset before we have looked at them.
const PENDING_RESETS: usize = 20;

/// Streams that a client may make us reset, by what it does wrong on them, while the connection lives: it is ended behind
/// them, as is one that opens so many streams beyond the limit.
const RESETS_BY_US: usize = 1024;

/// How long a connection that is to end for want of requests may take to end.
const PARTING: Duration = Duration::from_secs(5);

/// What bounds a connection of HTTP/2.
///
/// A client can have in our memory, at most and in all: one megabyte of bodies that no member has taken yet
/// ([`CONNECTION_WINDOW`]); for each of `streams` requests, 64 KiB of its answer ([`SEND_BUFFER`], and the piece of it that
/// was read last) and heads of `header-size`; one frame ([`FRAME_SIZE`]); and two tables of HPACK, of 4 KiB and at most
/// 16 KiB.
fn bounds(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .max_frame_size(FRAME_SIZE)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buffer_size(SEND_BUFFER)
        .max_pending_accept_reset_streams(PENDING_RESETS)
        .max_local_error_reset_streams(Some(RESETS_BY_US))
        .enable_connect_protocol();
    builder
}

/// Serves a client that speaks HTTP/2, until its connection ends, or is to end and has no request under way.
///
/// # Errors
/// The client breaks the protocol, stalls, or is gone.
pub(super) async fn serve(
    stream: ClientStream,
    first: Vec<u8>,
    client: Rc<Client>,
    limits: &Arc<Limits>,
) -> Result<(), h2::Error> {
    let activity = Activity::new();
    let io = H2Io::new(stream, limits.clone(), activity.clone());
    let io = io.behind(first).counted(client.worker.meters.clone());
    let handshake = pin!(bounds(limits).handshake(io));
    let Some(connection) = client.guest.unless_insisted(handshake).await else {
        return Ok(());
    };
    let mut connection = connection?;
    let mut vigil = Vigil::new(connection.ping_pong(), limits);
    let mut idle = Deadline::default();
    idle.set(Instant::now() + limits.keepalive_timeout);
    let mut is_ending = false;
    poll_fn(|context| {
        if client.guest.drain().has_begun() && !is_ending {
            is_ending = true;
            connection.graceful_shutdown();
        }
        if vigil.poll(&activity, context).is_ready() {
            tracing::debug!(address = %client.address, "a client gives no sign of life");
            connection.abrupt_shutdown(Reason::NO_ERROR);
        }
        if let Poll::Ready(ended) =
            poll_requests(&mut connection, &client, &activity, limits, context)
        {
            return Poll::Ready(ended);
        }
        while idle.poll(context).is_ready() {
            let now = Instant::now();
            let until = activity.idle_since().unwrap_or(now) + limits.keepalive_timeout;
            if until > now {
                idle.set(until);
            } else if is_ending {
                // It takes nothing that would let it end.
                return Poll::Ready(Ok(()));
            } else {
                is_ending = true;
                connection.graceful_shutdown();
                idle.set(now + PARTING);
                context.waker().wake_by_ref();
            }
        }
        Poll::Pending
    })
    .await
}

/// Carries the connection on, and begins what requests come; ready when no more do.
fn poll_requests(
    connection: &mut Connection<H2Io<ClientStream>, Bytes>,
    client: &Rc<Client>,
    activity: &Rc<Activity>,
    limits: &Arc<Limits>,
    context: &mut Context<'_>,
) -> Poll<Result<(), h2::Error>> {
    while let Some(accepted) = ready!(connection.poll_accept(context)) {
        let (request, respond) = accepted?;
        let (client, limits) = (client.clone(), limits.clone());
        let under_way = activity.begin();
        if activity.under_way() == limits.streams as usize {
            client.worker.meters.counts().count_limit(Limit::Streams);
        }
        let serving = http2_stream::serve(client, request, respond, limits, under_way);
        // In a box: the runtime moves what it is given several times, and this is large.
        spawn_local(Box::pin(serving));
    }
    Poll::Ready(Ok(()))
}
