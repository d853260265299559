//! A connection that has become something else than HTTP: bytes to and fro, until either side is done.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant as StdInstant};

use equipoise_balancer::Lease;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};
use tokio::task::spawn_local;
use tokio::time::{Instant, timeout};

use super::body::Aftermath;
use crate::deadline::Deadline;
use crate::health::Account;
use crate::server::{Becoming, Client, TunnelEnd};
use crate::upstream::{Connection, Slot};

/// A tunnel between a client and a member. It counts as a request in flight until its end.
pub(crate) struct Tunnel {
    /// When the request's head was there.
    pub(crate) begun: StdInstant,
    pub(crate) client_side: Becoming,
    pub(crate) member_side: OnUpgrade,
    pub(crate) client: Rc<Client>,
    pub(crate) connection: Connection,
    /// How long nothing may pass.
    pub(crate) patience: Duration,
    /// The same once one side has said that it is done; also how long both may take to become a tunnel.
    pub(crate) parting: Duration,
    /// What the judge is told at the end; none where it does not care.
    pub(crate) account: Option<Box<Account>>,
    pub(crate) _lease: Lease,
    pub(crate) _slot: Slot,
}

impl Tunnel {
    /// Carries on, in a task of its own, what the client is told of in the answer that goes out now; `aftermath` is for the end.
    pub(crate) fn begin(self, aftermath: Aftermath) {
        self.client.become_tunnel();
        spawn_local(self.run(aftermath));
    }

    async fn run(mut self, mut aftermath: Aftermath) {
        if let Err(error) = self.relay(&mut aftermath).await {
            tracing::debug!(address = %self.client.address, %error, "a tunnel broke off");
            aftermath.note_break(&error);
        }
        let durations = &self.connection.meters().balancer.durations;
        durations.observe(self.begun.elapsed());
        if let Some(account) = self.account.take() {
            account.close(None, self.connection.carried());
        }
    }

    async fn relay(&mut self, aftermath: &mut Aftermath) -> io::Result<()> {
        let (client, member) = (self.client_side.clone(), &mut self.member_side);
        let member = async { Ok(TokioIo::new(member.await.map_err(io::Error::other)?)) };
        let both = async { tokio::try_join!(client.tunnel(), member) };
        let (client, member) = timeout(self.parting, both)
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        let mut client = Watched::new(client);
        let mut member = Watched::new(member);
        let relayed = relay(&mut client, &mut member, self.patience, self.parting).await;
        aftermath.count_bytes(client.written);
        relayed
    }
}

/// Copies both ways until both sides are done, or nothing passes for too long.
async fn relay(
    client: &mut Watched<TunnelEnd>,
    member: &mut Watched<TokioIo<Upgraded>>,
    patience: Duration,
    parting: Duration,
) -> io::Result<()> {
    let pulse = Rc::new(Pulse::default());
    client.pulse = pulse.clone();
    member.pulse = pulse.clone();
    let mut copying = pin!(copy_bidirectional(client, member));
    let mut idle = Deadline::default();
    poll_fn(|context| {
        if let Poll::Ready(copied) = copying.as_mut().poll(context) {
            return Poll::Ready(copied.map(|_| ()));
        }
        let limit = match pulse.has_half_ended.get() {
            true => parting.min(patience),
            false => patience,
        };
        if pulse.has_moved.take() || !idle.is_set() {
            idle.set(Instant::now() + limit);
        }
        idle.poll(context)
            .map(|()| Err(io::ErrorKind::TimedOut.into()))
    })
    .await
}

/// What has happened since somebody looked.
#[derive(Debug, Default)]
struct Pulse {
    has_moved: std::cell::Cell<bool>,
    /// Whether a side is done.
    has_half_ended: std::cell::Cell<bool>,
}

/// One side, watched.
struct Watched<S> {
    stream: S,
    pulse: Rc<Pulse>,
    /// Bytes.
    written: usize,
}

impl<S> Watched<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            pulse: Rc::default(),
            written: 0,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        self.pulse.has_moved.set(true);
        if buffer.filled().len() == before {
            self.pulse.has_half_ended.set(true);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes))?;
        self.pulse.has_moved.set(true);
        self.written = self.written.saturating_add(written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
