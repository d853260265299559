//! Futures of a connection's requests, polled by the task of the connection: each has a waker of its own, so that one that may go
//! on costs the others nothing.

use std::mem;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::AcqRel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

/// Lanes that are kept while none is in use.
const KEPT: usize = 4;

/// A future for each request under way.
pub(super) struct Lanes<F> {
    lanes: Vec<Lane<F>>,
    free: Vec<usize>,
    queue: Arc<Queue>,
    /// Those that are polled in this round; kept for its memory.
    round: Vec<usize>,
}

struct Lane<F> {
    future: Option<Pin<Box<F>>>,
    signal: Arc<Signal>,
    waker: Waker,
}

/// Wakes one lane; from any thread.
struct Signal {
    lane: usize,
    is_queued: AtomicBool,
    queue: Arc<Queue>,
}

/// Lanes that may go on.
#[derive(Default)]
struct Queue(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    lanes: Vec<usize>,
    /// Whether the task is looking after its lanes already, and need not be woken.
    is_awake: bool,
    task: Option<Waker>,
}

impl Queue {
    /// Held for a moment only.
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_queued.swap(true, AcqRel) {
            return;
        }
        let mut waiting = self.queue.lock();
        waiting.lanes.push(self.lane);
        let task = match waiting.is_awake {
            true => None,
            false => waiting.task.clone(),
        };
        drop(waiting);
        if let Some(task) = task {
            task.wake();
        }
    }
}

impl<F> Default for Lanes<F> {
    fn default() -> Self {
        Self {
            lanes: Vec::new(),
            free: Vec::new(),
            queue: Arc::default(),
            round: Vec::new(),
        }
    }
}

impl<F: Future<Output = ()>> Lanes<F> {
    /// How many futures there are.
    pub(super) fn len(&self) -> usize {
        self.lanes.len() - self.free.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds a future, which is polled in the next round.
    pub(super) fn add(&mut self, future: F) {
        let place = self.free.pop().unwrap_or_else(|| {
            let lane = self.lanes.len();
            let signal = Arc::new(Signal {
                lane,
                is_queued: AtomicBool::new(false),
                queue: self.queue.clone(),
            });
            self.lanes.push(Lane {
                future: None,
                waker: Waker::from(signal.clone()),
                signal,
            });
            lane
        });
        if let Some(lane) = self.lanes.get_mut(place) {
            lane.future = Some(Box::pin(future));
            lane.signal.wake_by_ref();
        }
    }

    /// The task looks after its lanes until it [pauses](Self::pause): it need not be woken for them.
    pub(super) fn resume(&self, context: &Context<'_>) {
        let mut waiting = self.queue.lock();
        waiting.is_awake = true;
        match &mut waiting.task {
            Some(task) => task.clone_from(context.waker()),
            none => *none = Some(context.waker().clone()),
        }
    }

    /// The task is to be woken when a lane may go on. False where one may already.
    pub(super) fn pause(&self) -> bool {
        let mut waiting = self.queue.lock();
        waiting.is_awake = !waiting.lanes.is_empty();
        !waiting.is_awake
    }

    /// Polls those that may go on, each once.
    pub(super) fn poll(&mut self) {
        let mut round = mem::take(&mut self.round);
        mem::swap(&mut round, &mut self.queue.lock().lanes);
        for place in &round {
            self.poll_one(*place);
        }
        round.clear();
        self.round = round;
    }

    fn poll_one(&mut self, place: usize) {
        let Some(lane) = self.lanes.get_mut(place) else {
            return;
        };
        lane.signal.is_queued.swap(false, AcqRel);
        let Some(future) = &mut lane.future else {
            return;
        };
        let mut context = Context::from_waker(&lane.waker);
        if let Poll::Ready(()) = future.as_mut().poll(&mut context) {
            lane.future = None;
            self.free.push(place);
        }
    }

    /// Gives memory back, if no future is left.
    pub(super) fn shrink(&mut self) {
        if self.is_empty() && self.lanes.len() > KEPT {
            *self = Self::default();
        }
    }
}
