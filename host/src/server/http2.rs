//! One client's connection of HTTP/2: many requests at once, a task each.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::activity::Turn;
use super::client::Client;
use super::h2_io::{H2Io, configure};
use super::stream::ClientStream;
use crate::config::Limits;
use crate::deadline::Deadline;
use crate::proxy;

/// How long a connection that is to end for want of requests may take to end.
const PARTING: Duration = Duration::from_secs(5);

/// Serves a client that speaks HTTP/2, until its connection ends, or is to end and has no request under way.
pub(super) async fn serve(
    stream: ClientStream,
    client: Rc<Client>,
    limits: &Arc<Limits>,
) -> hyper::Result<()> {
    let streams = Streams {
        client: client.clone(),
        patience: limits.client_timeout,
        rate: limits.client_rate.max(1) as u64,
    };
    let mut http = Builder::new(streams);
    configure(&mut http, limits);
    http.enable_connect_protocol();
    let io = H2Io::new(stream, limits.clone()).counted(client.worker.meters.clone());
    let served = client.clone();
    let service = service_fn(move |request| {
        let served = served.clone();
        async move {
            let answer = proxy::handle(served.clone(), request).await;
            // With a window of nothing, hyper does not even ask for the body.
            served.activity.note_offer(Some(0));
            answer
        }
    });
    let mut connection = pin!(http.serve_connection(TokioIo::new(io), service));
    let mut idle = Deadline::default();
    idle.set(Instant::now() + limits.keepalive_timeout);
    let mut is_ending = false;
    poll_fn(|context| {
        if client.guest.drain().has_begun() && !is_ending {
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
        let polled = connection.as_mut().poll(context);
        while polled.is_pending() && idle.poll(context).is_ready() {
            let (now, idle_since) = (Instant::now(), client.activity.idle_since());
            let until = idle_since.unwrap_or(now) + limits.keepalive_timeout;
            if until > now {
                idle.set(until);
            } else if is_ending {
                // It takes nothing that would let it end.
                return Poll::Ready(Ok(()));
            } else {
                is_ending = true;
                connection.as_mut().graceful_shutdown();
                idle.set(now + PARTING);
                context.waker().wake_by_ref();
            }
        }
        polled
    })
    .await
}

/// Runs the requests of a connection, and ends those whose client takes nothing of their answers.
#[derive(Clone)]
struct Streams {
    client: Rc<Client>,
    /// See [`Limits::client_timeout`].
    patience: Duration,
    /// See [`Limits::client_rate`]; at least 1.
    rate: u64,
}

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, future: F) {
        self.client.activity.begin();
        spawn_local(Stream {
            future: Box::pin(future),
            streams: self.clone(),
            deadline: Deadline::default(),
        });
    }
}

/// One request of a connection.
struct Stream<F> {
    future: Pin<Box<F>>,
    streams: Streams,
    /// When the client has had enough time to take what it was offered; not set while it is not waited for.
    deadline: Deadline,
}

impl<F: Future<Output = ()>> Future for Stream<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        let Streams {
            client,
            patience,
            rate,
        } = &this.streams;
        let polled = this.future.as_mut().poll(context);
        match client.activity.take_turn() {
            None => {}
            Some(Turn::Ours) => this.deadline.clear(),
            Some(Turn::Client(bytes)) => {
                let time = *patience + Duration::from_secs(bytes as u64 / rate);
                this.deadline.set(Instant::now() + time);
            }
        }
        if polled.is_pending() && this.deadline.poll(context).is_ready() {
            // Dropped, the request is broken off, and its client is told.
            tracing::debug!(address = %client.address, "a client takes nothing of an answer");
            return Poll::Ready(());
        }
        polled
    }
}

impl<F> Drop for Stream<F> {
    fn drop(&mut self) {
        self.streams.client.activity.end();
    }
}
