//! A shared HTTP/2 connection, as requests and the pool hold it.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use equipoise_balancer::Counters;
use equipoise_http::Limits;
use equipoise_http::http2::{Options, Role};
use tokio::io::Empty;
use tokio::sync::Notify;
use tokio::task::spawn_local;
use tokio_util::either::Either;

use super::driver::Driver;
use crate::mux::{self, Mux, StreamError};
use crate::upstream::stream::MemberStream;
use crate::wire::ByteCounter;

/// The most requests at once on one connection; fewer where the member says so.
pub(crate) const MAX_STREAMS: usize = 100;

/// What a member may send of one response, and of all responses on a connection, before we have taken some: so much waits
/// in memory if clients are slow. One response that waits must not keep the others waiting, so the second is as much as all.
const WINDOWS: (u32, u32) = (256 * 1024, MAX_STREAMS as u32 * 256 * 1024);

/// Counts what passes as the member's traffic.
pub(in crate::upstream) struct MemberTally(Arc<Counters>);

impl ByteCounter for MemberTally {
    fn received(&self, bytes: usize) {
        self.0.add_read(bytes as u64);
    }

    fn sent(&self, bytes: usize) {
        self.0.add_transferred(bytes as u64);
    }
}

/// A member's stream; nothing once it is closed, which it is while some still hold requests on it.
pub(super) type MemberIo = Either<MemberStream, Empty>;

/// A connection, as all know it who have to do with it.
pub(super) type MemberMux = mux::SharedMux<MemberIo, MemberTally>;

/// A connection that many requests share. It is closed when the last that has it is dropped.
#[derive(Clone)]
pub(in crate::upstream) struct Shared(Rc<State>);

struct State {
    mux: MemberMux,
    events: Rc<ConnectionEvents>,
    is_tls: bool,
}

impl Drop for State {
    fn drop(&mut self) {
        // Its driver says so, and closes it.
        let mut mux = self.mux.borrow_mut();
        mux.engine.go_away();
        mux.wake_owner();
    }
}

/// Events of the connection itself: PING replies, settings, its end.
#[derive(Default)]
pub(super) struct ConnectionEvents {
    /// Whether a PING waits for its answer.
    is_pinged: Cell<bool>,
    /// PINGs that were answered.
    pongs: Cell<u64>,
    /// Told of each such answer, of the first settings, and of the end.
    notify: Notify,
}

impl ConnectionEvents {
    /// The payload of the PINGs of which this has the answers.
    pub(super) const PING: [u8; 8] = *b"are you?";

    /// A PING was answered.
    pub(super) fn pong(&self) {
        self.is_pinged.set(false);
        self.pongs.set(self.pongs.get() + 1);
        self.notify_waiters();
    }

    /// Wakes those that wait for an event.
    pub(super) fn notify_waiters(&self) {
        self.notify.notify_waiters();
    }
}

impl Shared {
    /// Begins to speak HTTP/2 with a member that may leave incomplete for `timeout` what it has begun to send.
    pub(in crate::upstream) fn open(
        stream: MemberStream,
        counters: Arc<Counters>,
        limits: Limits,
        is_tls: bool,
        timeout: Duration,
    ) -> Self {
        let options = Options {
            streams: MAX_STREAMS as u32,
            stream_window: WINDOWS.0,
            connection_window: WINDOWS.1,
            takes_connect: false,
            limits,
        };
        let tally = MemberTally(counters);
        let io = MemberIo::Left(stream);
        let mux = Mux::new(Role::Client, options, io, tally, Vec::new());
        let mux = Rc::new(RefCell::new(mux));
        let events = Rc::<ConnectionEvents>::default();
        spawn_local(Driver::new(mux.clone(), events.clone(), timeout));
        let state = State {
            mux,
            events,
            is_tls,
        };
        Self(Rc::new(state))
    }

    pub(super) fn mux(&self) -> &MemberMux {
        &self.0.mux
    }

    pub(super) fn is_tls(&self) -> bool {
        self.0.is_tls
    }

    /// Whether more requests may begin on it, now or when others have ended.
    pub(in crate::upstream) fn is_open(&self) -> bool {
        let mux = self.0.mux.borrow();
        mux.error().is_none() && !mux.engine.is_going_away()
    }

    /// How many requests it takes at once; none any more where it is about to end.
    pub(in crate::upstream) fn max_streams(&self) -> usize {
        let mux = self.0.mux.borrow();
        match (mux.error(), mux.engine.room_for_requests()) {
            (Some(_), _) | (_, 0) => 0,
            (None, room) => room + mux.engine.open_streams(),
        }
    }

    /// Gives memory back that is not needed while nothing is under way.
    pub(in crate::upstream) fn shrink(&self) {
        self.0.mux.borrow_mut().shrink();
    }

    /// No more requests begin on it.
    pub(super) fn retire(&self) {
        let mut mux = self.0.mux.borrow_mut();
        mux.engine.go_away();
        mux.wake_owner();
    }

    /// Ready when the member has answered a PING. Those that ask at once share one.
    pub(super) async fn ping(&self) -> Result<(), StreamError> {
        let events = &self.0.events;
        let before = events.pongs.get();
        if !events.is_pinged.replace(true) {
            let mut mux = self.0.mux.borrow_mut();
            mux.engine.ping(ConnectionEvents::PING);
            mux.wake_owner();
        }
        self.wait_for(|_| (events.pongs.get() > before).then_some(()))
            .await
    }

    /// Whether the member takes extended CONNECT, once it has told its settings.
    pub(super) async fn takes_connect(&self) -> Result<bool, StreamError> {
        self.wait_for(|mux| {
            let engine = &mux.engine;
            engine.has_settings().then(|| engine.takes_connect())
        })
        .await
    }

    /// Waits until `look` finds something.
    async fn wait_for<T>(
        &self,
        look: impl Fn(&Mux<MemberIo, MemberTally>) -> Option<T>,
    ) -> Result<T, StreamError> {
        loop {
            // It hears of what is told from here on.
            let notify = self.0.events.notify.notified();
            {
                let mux = self.0.mux.borrow();
                if let Some(found) = look(&mux) {
                    return Ok(found);
                }
                if let Some(error) = mux.error() {
                    return Err(error);
                }
            }
            notify.await;
        }
    }
}
