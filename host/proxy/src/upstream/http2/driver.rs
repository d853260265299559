//! The task that reads and writes a shared HTTP/2 connection, with keep-alive PINGs.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use equipoise_http::Head;
use equipoise_http::http2::{Connection, Event};
use tokio::io::{AsyncWrite as _, empty};
use tokio::time::Instant;

use super::shared::{ConnectionEvents, MemberIo, MemberMux, MemberTally};
use crate::lazy_timer::LazyTimer;
use crate::mux::{Mux, StreamError};

/// The silence, while requests are in flight, after which a PING is sent; and the timeout of its reply.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// The payload of a keep-alive PING. Any bytes count as its reply.
const PING_PAYLOAD: [u8; 8] = *b"alive???";

/// Drives a connection until it ends: by the member, or when the last is dropped that shares it.
pub(super) struct Driver {
    mux: MemberMux,
    events: Rc<ConnectionEvents>,
    /// Where heads and trailers are read into.
    head: Box<Head>,
    has_settings: bool,
    keepalive: KeepAlive,
}

impl Driver {
    pub(super) fn new(mux: MemberMux, events: Rc<ConnectionEvents>, timeout: Duration) -> Self {
        Self {
            mux,
            events,
            head: Box::default(),
            has_settings: false,
            keepalive: KeepAlive::new(timeout),
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self {
            mux,
            events,
            head,
            has_settings,
            keepalive,
        } = &mut *self;
        let mut mux = mux.borrow_mut();
        mux.register_owner(context);
        let mut ended = read(&mut mux, events, head, keepalive, context);
        if ended.is_pending() {
            ended = keepalive.poll(&mut mux.engine, context);
        }
        if let Poll::Ready(error) = ended {
            mux.fail(error);
            mux.engine.go_away();
        } else if !*has_settings && mux.engine.has_settings() {
            *has_settings = true;
            events.notify_waiters();
        }
        match mux.poll_flush(context) {
            Poll::Ready(Err(_)) => mux.fail(StreamError::Closed),
            // What the member does not take at once it does not get any more, if nothing follows.
            _ if mux.error().is_some() || mux.engine.is_done() => mux.fail(StreamError::Closed),
            _ => {
                mux.wake_senders();
                return Poll::Pending;
            }
        }
        events.notify_waiters();
        let io = mux.socket();
        let _ = Pin::new(&mut *io).poll_shutdown(context);
        *io = MemberIo::Right(empty());
        Poll::Ready(())
    }
}

/// Reads what has come, for those whose it is. Ready when nothing more comes.
pub(super) fn read(
    mux: &mut Mux<MemberIo, MemberTally>,
    events: &ConnectionEvents,
    head: &mut Box<Head>,
    keepalive: &mut KeepAlive,
    context: &mut Context<'_>,
) -> Poll<StreamError> {
    loop {
        match ready!(mux.poll_fill(context)) {
            Ok(0) => return Poll::Ready(StreamError::Closed),
            Err(error) => {
                tracing::debug!(%error, "connection to a member failed");
                return Poll::Ready(StreamError::Closed);
            }
            Ok(_) => {}
        }
        let now = Instant::now();
        keepalive.received(now);
        loop {
            match mux.next(now, head) {
                Event::More => break,
                Event::Pong(ConnectionEvents::PING) => events.pong(),
                Event::Over(error) => {
                    tracing::debug!(%error, "HTTP/2 connection error of a member");
                    return Poll::Ready(StreamError::Connection(error));
                }
                Event::GoAway { code, .. } => {
                    tracing::debug!(?code, "GOAWAY from a member");
                }
                // Only servers are told of others.
                _ => {}
            }
        }
    }
}

/// Keep-alive of a connection: times silence while requests are in flight, and incomplete frames.
pub(super) struct KeepAlive {
    /// How long it may leave that incomplete.
    timeout: Duration,
    /// When something came last.
    last_received: Instant,
    /// When a PING was sent that has no reply yet.
    ping_sent: Option<Instant>,
    deadline: LazyTimer,
}

impl KeepAlive {
    fn new(timeout: Duration) -> Self {
        Self {
            timeout,
            last_received: Instant::now(),
            ping_sent: None,
            deadline: LazyTimer::default(),
        }
    }

    /// Something has come.
    fn received(&mut self, now: Instant) {
        self.last_received = now;
        self.ping_sent = None;
    }

    /// Ready when the connection is dead; sends a PING before.
    fn poll(&mut self, engine: &mut Connection, context: &mut Context<'_>) -> Poll<StreamError> {
        loop {
            let incomplete = engine.incomplete_since();
            let incomplete = incomplete.map(|since| Instant::from_std(since) + self.timeout);
            let silent = match self.ping_sent {
                Some(sent) => Some(sent + KEEPALIVE.1),
                None => (engine.open_streams() > 0).then(|| self.last_received + KEEPALIVE.0),
            };
            let Some(due) = incomplete.into_iter().chain(silent).min() else {
                self.deadline.clear();
                return Poll::Pending;
            };
            self.deadline.set(due);
            ready!(self.deadline.poll(context));
            if self.ping_sent.is_some() || incomplete == Some(due) {
                tracing::debug!("no reply to a keep-alive PING from a member");
                return Poll::Ready(StreamError::Closed);
            }
            engine.ping(PING_PAYLOAD);
            self.ping_sent = Some(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use equipoise_http::http2::{Options, Role};
    use equipoise_http::{Edit, Version};
    use tokio::time::timeout;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// SETTINGS without any, by which a member begins.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    struct Peer {
        engine: Connection,
        keepalive: KeepAlive,
    }

    impl Peer {
        /// A connection to a member that has begun it, if so.
        fn new(has_begun: bool) -> Self {
            let now = Instant::now().into_std();
            let mut peer = Self {
                engine: Connection::new(Role::Client, Options::default(), now),
                keepalive: KeepAlive::new(7 * SECOND),
            };
            if has_begun {
                peer.receive(&SETTINGS);
            }
            peer.flush();
            peer
        }

        fn receive(&mut self, bytes: &[u8]) {
            let (now, mut head) = (Instant::now(), Head::new());
            self.keepalive.received(now);
            let (used, event) = self.engine.receive(bytes, now.into_std(), &mut head);
            assert_eq!((used, event), (bytes.len(), Event::More));
        }

        /// Says how much is to be written.
        fn flush(&mut self) -> usize {
            let written = self.engine.output().len();
            self.engine.record_written(written);
            written
        }

        fn ask(&mut self) {
            let mut head = Head::new();
            head.begin_request(b"GET", b"/", Version::Http2).unwrap();
            head.push(b"host", b"a").unwrap();
            let asked = self.engine.request(&head, &Edit::new(), false, None, true);
            asked.expect("room for a request");
            self.flush();
        }

        /// How long it takes until the member is taken for dead, if it is within this time.
        async fn dies_within(&mut self, time: Duration) -> Option<u64> {
            let begun = Instant::now();
            let dying = poll_fn(|context| self.keepalive.poll(&mut self.engine, context));
            timeout(time, dying).await.ok()?;
            Some(begun.elapsed().as_secs())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_says_nothing_while_it_is_asked_is_pinged_and_then_dead() {
        let mut peer = Peer::new(true);
        assert_eq!(
            peer.dies_within(1_000 * SECOND).await,
            None,
            "nothing is asked"
        );
        let mut peer = Peer::new(true);
        peer.ask();
        assert_eq!(peer.dies_within(29 * SECOND).await, None);
        assert_eq!(peer.flush(), 0);
        assert_eq!(peer.dies_within(2 * SECOND).await, None);
        assert_eq!(peer.flush(), 17, "a PING");
        assert_eq!(peer.dies_within(100 * SECOND).await, Some(9));
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_a_member_says_is_a_sign_of_life() {
        let mut peer = Peer::new(true);
        peer.ask();
        for _ in 0..10 {
            assert_eq!(peer.dies_within(35 * SECOND).await, None);
            assert_eq!(peer.flush(), 17, "a PING");
            peer.receive(&SETTINGS);
            peer.flush();
            assert_eq!(peer.dies_within(29 * SECOND).await, None);
            peer.receive(&SETTINGS);
            assert_eq!(peer.flush(), 9, "no PING");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_incomplete_for_too_long_is_an_end() {
        let mut peer = Peer::new(false);
        assert_eq!(peer.dies_within(100 * SECOND).await, Some(7), "settings");
        let mut peer = Peer::new(true);
        assert_eq!(peer.dies_within(100 * SECOND).await, None);
        peer.receive(&SETTINGS[..3]);
        assert_eq!(peer.dies_within(5 * SECOND).await, None);
        // Bytes of it do not prolong its time.
        peer.receive(&SETTINGS[3..4]);
        assert_eq!(peer.dies_within(100 * SECOND).await, Some(2));
        let mut peer = Peer::new(true);
        peer.receive(&SETTINGS[..3]);
        peer.receive(&SETTINGS[3..]);
        assert_eq!(peer.dies_within(100 * SECOND).await, None);
    }
}
