//! Tunnel after an upgrade: copies bytes both ways until both sides are done or idle.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::time::Instant;

use crate::duplex::Duplex;
use crate::lazy_timer::LazyTimer;

/// How long nothing may pass through a tunnel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// While both sides may still send.
    pub(super) idle: Duration,
    /// Once one side has said that it is done.
    pub(super) half_closed: Duration,
}

/// Copies both ways until both sides are done, or nothing passes for too long: how many bytes went to the client, and why it ended
/// otherwise.
pub(super) async fn relay(
    client: &mut dyn Duplex,
    member: &mut dyn Duplex,
    limits: Limits,
) -> (usize, io::Result<()>) {
    let activity = Rc::new(Activity::default());
    let mut client = IdleTracked::new(client, activity.clone());
    let mut member = IdleTracked::new(member, activity.clone());
    let mut idle = LazyTimer::default();
    let ended = {
        let mut copying = pin!(copy_bidirectional(&mut client, &mut member));
        poll_fn(|context| {
            if let Poll::Ready(copied) = copying.as_mut().poll(context) {
                return Poll::Ready(copied.map(|_| ()));
            }
            let limit = match activity.is_half_closed.get() {
                true => limits.half_closed.min(limits.idle),
                false => limits.idle,
            };
            if activity.has_moved.take() || !idle.is_set() {
                idle.set(Instant::now() + limit);
            }
            idle.poll(context)
                .map(|()| Err(io::ErrorKind::TimedOut.into()))
        })
        .await
    };
    (client.written, ended)
}

/// What has happened since this was last read.
#[derive(Debug, Default)]
struct Activity {
    has_moved: std::cell::Cell<bool>,
    /// Whether a side is done.
    is_half_closed: std::cell::Cell<bool>,
}

/// One side, watched.
struct IdleTracked<'s> {
    stream: &'s mut dyn Duplex,
    activity: Rc<Activity>,
    /// Bytes.
    written: usize,
}

impl<'s> IdleTracked<'s> {
    fn new(stream: &'s mut dyn Duplex, activity: Rc<Activity>) -> Self {
        Self {
            stream,
            activity,
            written: 0,
        }
    }
}

impl AsyncRead for IdleTracked<'_> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut *self.stream).poll_read(context, buffer))?;
        self.activity.has_moved.set(true);
        if buffer.filled().len() == before {
            self.activity.is_half_closed.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for IdleTracked<'_> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut *self.stream).poll_write(context, bytes))?;
        self.activity.has_moved.set(true);
        self.written = self.written.saturating_add(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.stream).poll_shutdown(context)
    }
}
