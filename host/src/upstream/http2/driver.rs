//! The task that reads and writes a connection for all who share it, and looks whether the member lives.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use equipoise_http::Head;
use equipoise_http::http2::{Connection, Event};
use tokio::io::AsyncWrite as _;
use tokio::time::Instant;

use super::shared::{MemberMux, MemberTally, News};
use crate::deadline::Deadline;
use crate::mux::{Mux, StreamFault};
use crate::upstream::stream::MemberStream;

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
    head: Head,
    has_settings: bool,
    vigil: Vigil,
}

impl Driver {
    pub(super) fn new(mux: MemberMux, news: Rc<News>, patience: Duration) -> Self {
        Self {
            mux,
            news,
            head: Head::new(),
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
        mux.own(context);
        let mut ended = read(&mut mux, news, head, vigil, context);
        if ended.is_pending() {
            ended = vigil.poll(&mut mux.engine, context);
        }
        if let Poll::Ready(fault) = ended {
            mux.fail(fault);
            mux.engine.go_away();
        } else if !*has_settings && mux.engine.has_settings() {
            *has_settings = true;
            news.tell();
        }
        match mux.poll_flush(context) {
            Poll::Ready(Err(_)) => mux.fail(StreamFault::Closed),
            // What the member does not take at once it does not get any more, if nothing follows.
            _ if mux.over().is_some() || mux.engine.is_done() => mux.fail(StreamFault::Closed),
            _ => {
                mux.wake_senders();
                return Poll::Pending;
            }
        }
        news.tell();
        let _ = Pin::new(mux.socket()).poll_shutdown(context);
        Poll::Ready(())
    }
}

/// Reads what has come, for those whose it is. Ready when nothing more comes.
fn read(
    mux: &mut Mux<MemberStream, MemberTally>,
    news: &News,
    head: &mut Head,
    vigil: &mut Vigil,
    context: &mut Context<'_>,
) -> Poll<StreamFault> {
    loop {
        match ready!(mux.poll_fill(context)) {
            Ok(0) => return Poll::Ready(StreamFault::Closed),
            Err(error) => {
                tracing::debug!(%error, "a connection to a member broke");
                return Poll::Ready(StreamFault::Closed);
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
                    return Poll::Ready(StreamFault::Connection(error));
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
struct Vigil {
    /// How long it may leave that incomplete.
    patience: Duration,
    /// When something came last.
    heard: Instant,
    /// When it was asked for a sign of life, of which there is none since.
    asked: Option<Instant>,
    deadline: Deadline,
}

impl Vigil {
    fn new(patience: Duration) -> Self {
        Self {
            patience,
            heard: Instant::now(),
            asked: None,
            deadline: Deadline::default(),
        }
    }

    /// Something has come.
    fn hear(&mut self, now: Instant) {
        self.heard = now;
        self.asked = None;
    }

    /// Ready when it is taken for dead. Asks it before, in time.
    fn poll(&mut self, engine: &mut Connection, context: &mut Context<'_>) -> Poll<StreamFault> {
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
                return Poll::Ready(StreamFault::Closed);
            }
            engine.ping(SIGN_OF_LIFE);
            self.asked = Some(Instant::now());
        }
    }
}
