//! The task that reads and writes a connection for all who share it, and looks whether the member lives.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use equipoise_http::Head;
use equipoise_http::http2::{Connection, Event};
use tokio::io::{AsyncWrite as _, empty};
use tokio::time::Instant;

use super::shared::{Line, MemberMux, MemberTally, News};
use crate::lazy_timer::LazyTimer;
use crate::mux::{Mux, StreamError};

/// How long a member may say nothing while requests are under way before it is asked for a sign of life, and how long that may
/// take.
const KEEPALIVE: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(10));

/// The payload of the PING that asks for a sign of life. Whatever comes is one.
const SIGN_OF_LIFE: [u8; 8] = *b"alive???";

/// Drives a connection until it ends: by the member, or when the last is dropped that shares it.
pub(super) struct Driver {
    mux: MemberMux,
    news: Rc<News>,
    /// Where heads and trailers are read into.
    head: Box<Head>,
    has_settings: bool,
    vigil: Vigil,
}

impl Driver {
    pub(super) fn new(mux: MemberMux, news: Rc<News>, patience: Duration) -> Self {
        Self {
            mux,
            news,
            head: Box::default(),
            has_settings: false,
            vigil: Vigil::new(patience),
        }
    }
}

impl Future for Driver {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let Self {
            mux,
            news,
            head,
            has_settings,
            vigil,
        } = &mut *self;
        let mut mux = mux.borrow_mut();
        mux.register_owner(context);
        let mut ended = read(&mut mux, news, head, vigil, context);
        if ended.is_pending() {
            ended = vigil.poll(&mut mux.engine, context);
        }
        if let Poll::Ready(error) = ended {
            mux.fail(error);
            mux.engine.go_away();
        } else if !*has_settings && mux.engine.has_settings() {
            *has_settings = true;
            news.tell();
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
        news.tell();
        let line = mux.socket();
        let _ = Pin::new(&mut *line).poll_shutdown(context);
        *line = Line::Right(empty());
        Poll::Ready(())
    }
}

/// Reads what has come, for those whose it is. Ready when nothing more comes.
pub(super) fn read(
    mux: &mut Mux<Line, MemberTally>,
    news: &News,
    head: &mut Box<Head>,
    vigil: &mut Vigil,
    context: &mut Context<'_>,
) -> Poll<StreamError> {
    loop {
        match ready!(mux.poll_fill(context)) {
            Ok(0) => return Poll::Ready(StreamError::Closed),
            Err(error) => {
                tracing::debug!(%error, "a connection to a member broke");
                return Poll::Ready(StreamError::Closed);
            }
            Ok(_) => {}
        }
        let now = Instant::now();
        vigil.hear(now);
        loop {
            match mux.next(now, head) {
                Event::More => break,
                Event::Pong(News::PING) => news.pong(),
                Event::Over(error) => {
                    tracing::debug!(%error, "a member broke the rules of HTTP/2");
                    return Poll::Ready(StreamError::Connection(error));
                }
                Event::GoAway { code, .. } => {
                    tracing::debug!(?code, "a member wants to end a connection");
                }
                // Only servers are told of others.
                _ => {}
            }
        }
    }
}

/// Whether a member lives: by what it says while requests are under way, and by what it has begun to say.
pub(super) struct Vigil {
    /// How long it may leave that incomplete.
    patience: Duration,
    /// When something came last.
    heard: Instant,
    /// When it was asked for a sign of life, of which there is none since.
    asked: Option<Instant>,
    deadline: LazyTimer,
}

impl Vigil {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            heard: Instant::now(),
            asked: None,
            deadline: LazyTimer::default(),
        }
    }

    /// Something has come.
    fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// Ready when it is taken for dead. Asks it before, in time.
    fn poll(&mut self, engine: &mut Connection, context: &mut Context<'_>) -> Poll<StreamError> {
        loop {
            let incomplete = engine.incomplete_since();
            let incomplete = incomplete.map(|since| Instant::from_std(since) + self.patience);
            let silent = match self.asked {
                Some(asked) => Some(asked + KEEPALIVE.1),
                None => (engine.open_streams() > 0).then(|| self.heard + KEEPALIVE.0),
            };
            let Some(due) = incomplete.into_iter().chain(silent).min() else {
                self.deadline.clear();
                return Poll::Pending;
            };
            self.deadline.set(due);
            ready!(self.deadline.poll(context));
            if self.asked.is_some() || incomplete == Some(due) {
                tracing::debug!("a member gives no sign of life");
                return Poll::Ready(StreamError::Closed);
            }
            engine.ping(SIGN_OF_LIFE);
            self.asked = Some(Instant::now());
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

    struct Line {
        engine: Connection,
        vigil: Vigil,
    }

    impl Line {
        /// A connection to a member that has begun it, if so.
        fn new(has_begun: bool) -> Self {
            let now = Instant::now().into_std();
            let mut line = Self {
                engine: Connection::new(Role::Client, Options::default(), now),
                vigil: Vigil::new(7 * SECOND),
            };
            if has_begun {
                line.hear(&SETTINGS);
            }
            line.flush();
            line
        }

        fn hear(&mut self, bytes: &[u8]) {
            let (now, mut head) = (Instant::now(), Head::new());
            self.vigil.hear(now);
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
            let dying = poll_fn(|context| self.vigil.poll(&mut self.engine, context));
            timeout(time, dying).await.ok()?;
            Some(begun.elapsed().as_secs())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_says_nothing_while_it_is_asked_is_pinged_and_then_dead() {
        let mut line = Line::new(true);
        assert_eq!(
            line.dies_within(1_000 * SECOND).await,
            None,
            "nothing is asked"
        );
        let mut line = Line::new(true);
        line.ask();
        assert_eq!(line.dies_within(29 * SECOND).await, None);
        assert_eq!(line.flush(), 0);
        assert_eq!(line.dies_within(2 * SECOND).await, None);
        assert_eq!(line.flush(), 17, "a PING");
        assert_eq!(line.dies_within(100 * SECOND).await, Some(9));
    }

    #[tokio::test(start_paused = true)]
    async fn whatever_a_member_says_is_a_sign_of_life() {
        let mut line = Line::new(true);
        line.ask();
        for _ in 0..10 {
            assert_eq!(line.dies_within(35 * SECOND).await, None);
            assert_eq!(line.flush(), 17, "a PING");
            line.hear(&SETTINGS);
            line.flush();
            assert_eq!(line.dies_within(29 * SECOND).await, None);
            line.hear(&SETTINGS);
            assert_eq!(line.flush(), 9, "no PING");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_incomplete_for_too_long_is_an_end() {
        let mut line = Line::new(false);
        assert_eq!(line.dies_within(100 * SECOND).await, Some(7), "settings");
        let mut line = Line::new(true);
        assert_eq!(line.dies_within(100 * SECOND).await, None);
        line.hear(&SETTINGS[..3]);
        assert_eq!(line.dies_within(5 * SECOND).await, None);
        // Bytes of it do not prolong its time.
        line.hear(&SETTINGS[3..4]);
        assert_eq!(line.dies_within(100 * SECOND).await, Some(2));
        let mut line = Line::new(true);
        line.hear(&SETTINGS[..3]);
        line.hear(&SETTINGS[3..]);
        assert_eq!(line.dies_within(100 * SECOND).await, None);
    }
}
